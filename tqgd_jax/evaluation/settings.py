"""How an evaluation set is judged."""

from typing import NamedTuple

from tqgd_jax.evaluation.calcium.conventions import convention
from tqgd_jax.evaluation.calcium.risk_categories import scheme

LEAST = 20  # resamples of which an interval is made


class EvaluationSettings(NamedTuple):
    """How images are judged; stands in the results, so that they can be made again.

    Attributes:
      bootstraps: resamples of the patients.
      seed: of the resamples.
      level: coverage of the intervals.
      size_px, size_mm2: edges of the size strata, box area in px^2 and mm^2.
      convention: of the calcium score.
      scheme: of the risk categories.
      calibration: mg/mL per HU, for the mass; None: no mass.
    """

    bootstraps: int = 2000
    seed: int = 0
    level: float = 0.95
    size_px: tuple[float, ...] = (10, 100, 200)
    size_mm2: tuple[float, ...] = (2, 20, 40)
    convention: str = "orcascore"
    scheme: str = "standard"
    calibration: float | None = None

    def checked(self) -> "EvaluationSettings":
        """The settings themselves. Raises ValueError for one that cannot be followed."""
        if self.bootstraps < LEAST:
            raise ValueError(
                f"bootstraps must be {LEAST} or more, got {self.bootstraps}; an interval "
                "of fewer resamples may miss its own figure"
            )
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must be inside (0, 1), got {self.level}")
        convention(self.convention)
        scheme(self.scheme)
        for name in ("size_px", "size_mm2"):
            edges = getattr(self, name)
            if not edges or min(edges) <= 0 or list(edges) != sorted(set(edges)):
                raise ValueError(f"{name} must rise and be positive, got {edges}")
        if self.calibration is not None and not 0 < self.calibration < 100:
            raise ValueError(
                f"calibration must be mg/mL per HU, about 0.8, got {self.calibration}"
            )
        return self
