"""TQGDNet in JAX/Flax: detection of coronary artery calcium in CT.

    import tqgd_jax as tq

    detector = tq.load("runs/demo-gated")     # a run, or a file of weights
    boxes, scores, labels = detector(hu_slice)
    scan = tq.read_scan("patient/")           # DICOM folder, NIfTI, MetaImage, NRRD
    lesions = detector.scan(scan)
    print(tq.agatston(scan, lesions))

A name below is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqgd_jax.config import Config, Model
    from tqgd_jax.detector import Detector
    from tqgd_jax.evaluation.calcium.agatston import agatston
    from tqgd_jax.evaluation.evaluator import evaluate
    from tqgd_jax.io.volumes import read_volume as read_scan
    from tqgd_jax.predictor import Predictor
    from tqgd_jax.structures.image import Image
    from tqgd_jax.trained import load
    from tqgd_jax.training.train import train

__version__ = "0.1.0"
__all__ = ["Config", "Detector", "Image", "Model", "Predictor"]
__all__ += ["agatston", "evaluate", "load", "read_scan", "train"]

_HOMES = {
    "Config": "config.Config",
    "Detector": "detector.Detector",
    "Image": "structures.image.Image",
    "Model": "config.Model",
    "Predictor": "predictor.Predictor",
    "agatston": "evaluation.calcium.agatston.agatston",
    "evaluate": "evaluation.evaluator.evaluate",
    "load": "trained.load",
    "read_scan": "io.volumes.read_volume",
    "train": "training.train.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tqgd_jax' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].rpartition(".")
    return getattr(import_module(f"tqgd_jax.{module}"), attribute)
