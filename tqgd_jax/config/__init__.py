"""Settings of a run: every default of the paper and of the YOLOv5 recipe stands here.

"§" and "Eq." are Wang et al., 2025 (TQGDNet). Where the paper is silent, the value is the
YOLOv5 recipe's and `docs/design/` says so. Only plain types appear, because each field is
also a command-line flag (`--config.optim.lr=0.02`).
"""

from dataclasses import dataclass, field

from tqgd_jax.config.baselines import Baseline, Foellmer, Zair, Zhao, refuse_unread
from tqgd_jax.config.checks import checked, differences, from_dict, one_of
from tqgd_jax.config.data import CT_FORMATS, IMAGE_FORMATS, Crop, Data
from tqgd_jax.config.model import LEVELS, PRESETS, Gd, Model, Queen, Thr
from tqgd_jax.config.training import Augment, Eval, Loss, Optim, Train

__all__ = ["CT_FORMATS", "IMAGE_FORMATS", "LEVELS", "PRESETS", "Config"]
__all__ += ["Augment", "Baseline", "Crop", "Data", "Eval", "Foellmer", "Gd", "Loss"]
__all__ += ["Model", "Optim", "Queen", "Thr", "Train", "Zair", "Zhao"]
__all__ += ["checked", "differences", "from_dict", "one_of", "refuse_unread"]


@dataclass
class Config:
    """One run. `seed` decides everything random.

    With `baseline.family` another network takes the place of the detector of `model`,
    of which `in_channels` and `precision` alone are read then, and of its `loss`.
    """

    seed: int = 0
    model: Model = field(default_factory=Model)
    baseline: Baseline = field(default_factory=Baseline)
    data: Data = field(default_factory=Data)
    augment: Augment = field(default_factory=Augment)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)
    eval: Eval = field(default_factory=Eval)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be from 0 to 2**32 - 1, got {self.seed}")
        if self.eval.beyond_heart_mm and self.data.crop.method == "none":
            raise ValueError(
                f"eval.beyond_heart_mm={self.eval.beyond_heart_mm:g} does nothing with "
                "data.crop.method='none', which looks for no heart; leave one out"
            )
        wanted = self.data.channels
        if wanted > 1 and self.model.in_channels != wanted:
            raise ValueError(
                f"data.neighbours={self.data.neighbours} makes images of {wanted} "
                f"channels, model.in_channels is {self.model.in_channels}; set it to "
                f"{wanted}"
            )
