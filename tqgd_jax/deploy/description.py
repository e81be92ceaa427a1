"""What lies beside an exported program, or in it: `model.json` and ONNX properties."""

import datetime
import importlib.metadata
import json
from typing import Any

import numpy as np

import tqgd_jax
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.disclaimer import NOT_A_DEVICE

FORMAT = "tqgd_jax.export/1"
MODEL, NETWORK = "model.jaxexport", "network.jaxexport"
DESCRIPTION = "model.json"
PACKAGES = ("jax", "jaxlib", "flax", "numpy")


def describe(predictor: Predictor, pixels: str, date: datetime.date) -> dict[str, Any]:
    """What a program takes and means, as plain data.

    Args:
      predictor: a detector.
      pixels: type of stored images.
      date: of the export.
    """
    config = predictor.config
    low, high = config.data.window_of(np.dtype(pixels))
    segments = predictor.network.segments
    return {
        "format": FORMAT,
        "note": NOT_A_DEVICE,
        "date": date.isoformat(),
        "versions": versions(),
        "classes": list(predictor.classes),
        "image_size": config.data.image_size,
        "channels": config.model.in_channels,
        "pixels": {"dtype": pixels, "shown_as_0": low, "shown_as_1": high},
        "pad_value": config.data.pad_value / 255,
        "strides": [] if segments else [2**n for n in config.model.heads],
        "precision": config.model.precision,
        "min_score": config.eval.min_score,
        "nms_iou": config.eval.nms_iou,
        "max_detections": config.eval.max_detections,
        "threshold": predictor.threshold,
        "threshold_chosen_in_validation": predictor.chosen,
        "boxes": "x0, y0, x1, y1 in px, x1 and y1 exclusive",
        "detector": predictor.meta,
    }


def properties(document: dict[str, Any], licence: str) -> dict[str, str]:
    """`metadata_props` of an ONNX file.

    `names`, `stride`, `imgsz`, `task`, `batch` and so on are those that users of
    ultralytics know; `tqgd_jax` has all of it as JSON.
    """
    names = dict(enumerate(document["classes"]))
    source = document["detector"]["provenance"]
    return {
        "author": "tqgd_jax",
        "description": f"TQGDNet in JAX. {NOT_A_DEVICE}",
        "version": document["versions"]["tqgd_jax"],
        "date": document["date"],
        "license": licence,
        "task": "detect" if document["strides"] else "segment",
        "stride": str(max(document["strides"], default=1)),
        "strides": json.dumps(document["strides"]),
        "imgsz": json.dumps([document["image_size"]] * 2),
        "channels": str(document["channels"]),
        "names": repr(names),
        "window": json.dumps(
            [document["pixels"]["shown_as_0"], document["pixels"]["shown_as_1"]]
        ),
        "pad_value": str(document["pad_value"]),
        "threshold": str(document["threshold"]),
        "source": json.dumps(source),
        "tqgd_jax": json.dumps(document),
    }


def versions() -> dict[str, str]:
    """Of this project and what the programs are made with."""
    others = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"tqgd_jax": tqgd_jax.__version__} | others
