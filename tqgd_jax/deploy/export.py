"""Writes a detector in several formats, each read again and compared with the run."""

import datetime
import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from tqgd_jax.deploy import compare, hub, onnx_file, programs, stablehlo
from tqgd_jax.deploy import tensorflow_files as tensorflow
from tqgd_jax.deploy.description import (
    DESCRIPTION,
    MODEL,
    NETWORK,
    describe,
    versions,
)
from tqgd_jax.deploy.reading import ONNX
from tqgd_jax.inference import network_input
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.disclaimer import NOT_A_DEVICE
from tqgd_jax.trained import load

FORMATS = ("safetensors", "stablehlo", "onnx", *tensorflow.FORMATS)
REPORT = "export.json"
PURPOSES = {
    hub.WEIGHTS: "weights with batch statistics: `tqgd_jax.load`",
    hub.DEPLOYED: "the same with batch norm folded into the convolutions",
    hub.SETTINGS: "settings, classes, anchors, threshold, origin",
    hub.LICENSE: "licence",
    MODEL: "StableHLO: stored pixels in, boxes out, NMS inside; `jax.export.deserialize`",
    NETWORK: "StableHLO: images in [0, 1] in, boxes in network px out",
    DESCRIPTION: "what these two take and give, and until when JAX reads them",
    ONNX: "network and decoding for onnxruntime",
    "saved_model": "TensorFlow, one image",
    "model.tflite": "TFLite, one image",
    REPORT: "sizes, differences from the run, times",
}


@dataclass(frozen=True)
class Options:
    """How to export.

    Attributes:
      formats: of `FORMATS`.
      pixels: type of the stored images: int16 (Hounsfield units), uint8 or uint16.
      batch: images of the ONNX file: a number, or a name for any.
      suppression: ONNX gets NonMaxSuppression.
      licence: of the weights.
      figures: of the evaluation, for the card.
    """

    formats: Collection[str]
    pixels: str = "int16"
    batch: str | int = "B"
    suppression: bool = False
    licence: str = hub.OURS
    figures: str = ""


def export(predictor: Predictor, folder: Path, options: Options) -> dict[str, Any]:
    """Fills a folder.

    Args:
      predictor: with weights.
      folder: empty.
      options: see `Options`.

    Returns:
      What `export.json` says.

    Raises:
      ValueError: a format cannot be made, or differs from the run by more than rounding.
    """
    today = datetime.date.today()
    of_run = _Reference(predictor, options.pixels)
    description = describe(predictor, options.pixels, today)
    rows = []
    with tqdm(options.formats, unit="format", desc="export") as bar:
        for kind in bar:
            bar.set_postfix_str(kind)
            before = _sizes(folder)
            start = time.perf_counter()
            if kind in tensorflow.FORMATS:
                dense = programs.dense(predictor)
                answers = tensorflow.write(dense, folder, kind, of_run.images)
                written, apart = time.perf_counter(), of_run.dense(answers)
            else:
                check = _WRITERS[kind](predictor, folder, options, description)
                written, apart = time.perf_counter(), check(of_run)
            checked = time.perf_counter()
            files = {k: v for k, v in _sizes(folder).items() if before.get(k) != v}
            rows.append(
                {
                    "format": kind,
                    "files": files,
                    "bytes": sum(files.values()),
                    "differences": apart,
                    "caution": compare.caution(apart),
                    "seconds_to_write": round(written - start, 2),
                    "seconds_to_check": round(checked - written, 2),
                }
            )
    report = {
        "format": description["format"],
        "note": NOT_A_DEVICE,
        "date": description["date"],
        "versions": versions(),
        "platform": jax.default_backend(),
        "limits": compare.LIMITS[predictor.config.model.precision]._asdict(),
        "detector": description["detector"],
        "formats": rows,
    }
    (folder / REPORT).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    top = {name.split("/")[0] for name in _sizes(folder)} | {hub.LICENSE}
    hub.finish(
        predictor,
        folder,
        licence=options.licence,
        figures=options.figures,
        files={name: PURPOSES[name] for name in PURPOSES if name in top},
    )
    return report


class _Reference:
    """What the run answers to a few images, computed once for each question."""

    def __init__(self, predictor: Predictor, pixels: str):
        config = predictor.config
        self.predictor = predictor
        self.limits = compare.LIMITS[config.model.precision]
        self.batch = compare.probe(config, pixels)
        self.images = np.asarray(network_input(self.batch, config))
        self._answers: list[np.ndarray] | None = None
        self._dense: dict[str, Any] | None = None

    def answers(self, program: Any) -> dict[str, float]:
        """Differences of a program's answer from that of the run."""
        if self._answers is None:
            self._answers = compare.answers(self.predictor, None, self.batch)
        theirs = compare.answers(self.predictor, program, self.batch)
        return compare.detections_apart(
            self._answers, theirs, self.limits, self.predictor.threshold
        )

    def dense(self, of_images: list[dict[str, Any]]) -> dict[str, float]:
        """Differences of raw outputs, given by image, or of all images at once."""
        if self._dense is None:
            dense = programs.dense(self.predictor)
            values = jax.jit(dense.apply)(jnp.asarray(self.images))
            self._dense = dict(zip(dense.names, values, strict=True))
        joined = {
            name: np.concatenate([np.asarray(one[name]) for one in of_images])
            for name in self._dense
        }
        return compare.dense_apart(self._dense, joined, self.limits)


Check = Callable[[_Reference], dict[str, float]]


def _safetensors(
    predictor: Predictor, folder: Path, options: Options, description: dict[str, Any]
) -> Check:
    del options, description
    hub.write(predictor, folder)

    def check(of_run: _Reference) -> dict[str, float]:
        again = load(folder / hub.WEIGHTS)
        gaps = jax.tree.map(
            lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max(initial=0)),
            dict(again.variables),
            dict(of_run.predictor.variables),
        )
        worst = max(jax.tree.leaves(gaps))
        if worst or again.meta != of_run.predictor.meta:
            raise ValueError(
                f"{folder / hub.WEIGHTS} differs from the run by {worst:g}"
            )
        return {"weights": worst}

    return check


def _stablehlo(
    predictor: Predictor, folder: Path, options: Options, description: dict[str, Any]
) -> Check:
    today = datetime.date.fromisoformat(description["date"])
    document = description | {
        "expires": stablehlo.expiry(today).isoformat(),
        "programs": stablehlo.write(predictor, folder, options.pixels),
    }
    (folder / DESCRIPTION).write_text(json.dumps(document, indent=2) + "\n", "utf-8")

    def check(of_run: _Reference) -> dict[str, float]:
        whole = of_run.answers(stablehlo.read(folder)[1])
        network = of_run.answers(stablehlo.read(folder, NETWORK)[1])
        return {name: max(value, network[name]) for name, value in whole.items()}

    return check


def _onnx(
    predictor: Predictor, folder: Path, options: Options, description: dict[str, Any]
) -> Check:
    path = folder / ONNX
    onnx_file.write(
        predictor,
        path,
        batch=options.batch,
        suppression=options.suppression,
        description=description,
        licence=options.licence,
    )

    def check(of_run: _Reference) -> dict[str, float]:
        names = list(programs.dense(predictor).names)
        outputs = onnx_file.run(onnx_file.session(path), of_run.images, names)
        return of_run.dense([outputs]) | of_run.answers(onnx_file.read(path)[1])

    return check


_WRITERS = {"safetensors": _safetensors, "stablehlo": _stablehlo, "onnx": _onnx}


def _sizes(folder: Path) -> dict[str, int]:
    files = (f for f in sorted(folder.rglob("*")) if f.is_file())
    return {str(f.relative_to(folder)): f.stat().st_size for f in files}
