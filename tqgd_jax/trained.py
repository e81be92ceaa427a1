"""Where a predictor comes from: a run, a file of weights, an exported program."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from tqgd_jax import shipped
from tqgd_jax.config import Config, from_dict
from tqgd_jax.deploy import reading
from tqgd_jax.inference import Predict
from tqgd_jax.io import weights
from tqgd_jax.network import Network, build
from tqgd_jax.predictor import Predictor

USUAL_THRESHOLD = 0.25  # YOLOv5's, where no validation has chosen one


def load(path: str | Path = shipped.FILE, step: str | None = None) -> Predictor:
    """The detector of a run's folder, or of what `tqgd export` wrote.

    Args:
      path: folder that `train.py` or `tqgd export` made, `*.safetensors`, or a program:
        `*.jaxexport`, `*.onnx` [the detector that ships]. Of an exported folder the
        weights, if it has them.
      step: of a run: number of a checkpoint, or "best" in validation [the newest].

    Raises:
      ValueError, FileNotFoundError: nothing there, or it cannot be read.
    """
    path = reading.file_in(Path(path).expanduser())
    if path.suffix not in (weights.SUFFIX, *reading.PROGRAMS) or path.is_dir():
        return _from_run(path, step)
    if step is not None:
        raise ValueError(f"step={step!r}: {path} is an exported file and has one")
    if path.suffix in reading.PROGRAMS:
        return _predictor(path, *reading.read(path))
    variables, meta = weights.read(path)
    predictor = _predictor(path, meta, None, variables)
    _fit(predictor, path)
    return predictor


def _predictor(
    path: Path,
    meta: dict[str, Any],
    program: Predict | None,
    variables: Mapping[str, Any] | None = None,
) -> Predictor:
    """What `Predictor.meta` and weights, or a program, make again."""
    try:
        config = from_dict(Config, meta["config"], str(path))
        return Predictor(
            config,
            tuple(meta["classes"]),
            _three_a_head(meta["anchors"]),
            variables or {},
            meta["threshold"] or _usual(build(config, len(meta["classes"]))),
            meta["threshold"] is not None,
            meta["provenance"],
            program,
            hashlib.sha256(path.read_bytes()).hexdigest() if program else "",
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: its settings are incomplete ({error})") from error


def _from_run(folder: Path, step: str | None) -> Predictor:
    from tqgd_jax.training import state
    from tqgd_jax.training.records import workdir
    from tqgd_jax.training.records.checkpoint import Checkpoints

    config, run = workdir.read(folder)
    network = build(config, len(run["classes"]))
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    now, meta = checkpoints.restore(
        state.create(network, config, pretrained=False), checkpoints.named(step)
    )
    checkpoints.close()
    step_number = int(now.step)
    judged = meta if meta.get("threshold_step") == step_number else {}
    validated = judged.get("threshold")
    # One that was chosen with batch statistics taken anew is not for the running ones,
    # and the operating point of a segmentation is a probability of pixels.
    unfit = config.eval.recalibrate or network.segments
    threshold = None if unfit else validated
    provenance = {
        "run": folder.resolve().name,
        "step": step_number,
        "validated_threshold": validated,
        "validated_ap50": judged.get("AP50"),
        "data_fingerprint": run["fingerprint"],
        "dtype": run.get("dtype", ""),
        "stamp": run.get("stamp", ""),
        "masks": run.get("masks", ""),
    }
    return Predictor(
        config,
        tuple(run["classes"]),
        _three_a_head(run["anchors"]),
        now.ema,
        threshold or _usual(network),
        threshold is not None,
        provenance,
    )


def _usual(network: Network) -> float:
    """The threshold where validation chose none; maps have their own, of pixels."""
    return 0.0 if network.segments else USUAL_THRESHOLD


def _three_a_head(anchors: list[Any]) -> Float[np.ndarray, "l 3 2"]:
    """Anchors from plain data; a network without any has no head."""
    return np.array(anchors, np.float32).reshape(-1, 3, 2)


def _fit(predictor: Predictor, path: Path) -> None:
    """Refuses arrays that are not those of the network, naming the first."""
    wanted = predictor.network.init(0, pretrained=False)
    stored, needed = (
        {
            jax.tree_util.keystr(k, simple=True, separator="/"): v.shape
            for k, v in jax.tree.leaves_with_path(tree)
        }
        for tree in (dict(predictor.variables), wanted)
    )
    for name in sorted({*stored, *needed}):
        if stored.get(name) != needed.get(name):
            raise ValueError(
                f"{path}: array {name} is {stored.get(name, 'not there')}, the network "
                f"of its settings has {needed.get(name, 'none')}; export it again with "
                "the version that trained it"
            )
