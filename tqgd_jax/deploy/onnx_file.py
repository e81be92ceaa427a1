"""ONNX by jax2onnx: the network and its decoding in one file, for onnxruntime.

The input `image` [B s s c] is in [0, 1]; outputs are those of `programs.dense`. With
`nms` there is `selected` too: rows (image, class, box) that ONNX's own
NonMaxSuppression left, at the limits of `eval.py`.
"""

import importlib
import json
import logging
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tqgd_jax.decode import nms
from tqgd_jax.deploy import programs
from tqgd_jax.deploy.description import FORMAT, properties
from tqgd_jax.inference import Answer, Predict, network_input, on_stored
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.batch import Batch, Detections, ProbabilityMaps

OPSET = 21
INSTALL = (
    "pip install -r requirements-export.txt && pip install --no-deps 'jax2onnx==0.17.*'"
)


def write(
    predictor: Predictor,
    path: Path,
    *,
    batch: str | int,
    suppression: bool,
    description: dict[str, Any],
    licence: str,
) -> None:
    """Writes one file, which passes `onnx.checker`.

    Args:
      predictor: a detector.
      path: of the file.
      batch: number of images, or the name of an open one.
      suppression: adds `selected`.
      description: see `description.describe`.
      licence: of the weights.

    Raises:
      ValueError: a package is missing, or jax2onnx cannot convert the network.
    """
    onnx, jax2onnx = required("onnx"), required("jax2onnx")
    dense, side = programs.dense(predictor), predictor.config.data.image_size
    shape = (batch, side, side, predictor.config.model.in_channels)
    # It warns of each value whose type ONNX infers by itself.
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    try:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            model = jax2onnx.to_onnx(
                dense.apply,
                inputs=[shape],
                model_name="tqgd_jax",
                opset=OPSET,
                input_names=["image"],
                output_names=list(dense.names),
            )
    except Exception as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        family = predictor.config.baseline.family or "YOLO"
        raise ValueError(
            f"jax2onnx cannot convert this network (family {family}, batch {batch}): "
            f"{type(error).__name__}: {reason}; try --batch=1, or --format=stablehlo"
        ) from error
    if suppression:
        _suppress(onnx, model, predictor)
    onnx.helper.set_model_props(model, properties(description, licence))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _suppress(onnx: Any, model: Any, predictor: Predictor) -> None:
    """Appends NonMaxSuppression: strictly above both limits, each class by itself."""
    if predictor.network.segments:
        raise ValueError("--nms: a segmentation has no boxes to suppress; leave it out")
    limits, helper, of = predictor.config.eval, onnx.helper, onnx.numpy_helper
    constants = {
        "nms_max": np.array([limits.max_detections], np.int64),
        "nms_iou": np.array([limits.nms_iou], np.float32),
        "nms_score": np.array([limits.min_score], np.float32),
    }
    model.graph.initializer.extend(of.from_array(v, n) for n, v in constants.items())
    model.graph.node.extend(
        [
            helper.make_node(
                "Transpose",
                ["scores"],
                ["nms_scores"],
                perm=[0, 2, 1],
                name="nms_by_class",
            ),
            helper.make_node(
                "NonMaxSuppression",
                ["boxes", "nms_scores", *constants],
                ["selected"],
                name="nms",
            ),
        ]
    )
    kind = onnx.TensorProto.INT64
    model.graph.output.append(
        helper.make_tensor_value_info("selected", kind, ["selections", 3])
    )


def session(path: Path) -> Any:
    """onnxruntime's, with its fastest provider that is installed."""
    ort = required("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 3  # unused constants of jax2onnx are no news
    try:
        return ort.InferenceSession(
            str(path), options, providers=ort.get_available_providers()
        )
    except Exception as error:
        raise ValueError(
            f"{path}: onnxruntime cannot read it ({str(error).splitlines()[0]}); copy or "
            "export it again"
        ) from error


def read(path: Path) -> tuple[dict[str, Any], Predict]:
    """What `predictor.meta` was, and the program in place of `make_predict`'s.

    Pixels are prepared and boxes suppressed by this project, as in a run.

    Raises:
      ValueError: no file of `tqgd export`, or damaged.
    """
    from tqgd_jax.config import Config, from_dict

    of_file = session(path)
    given = of_file.get_modelmeta().custom_metadata_map.get("tqgd_jax", "{}")
    document = json.loads(given)
    if document.get("format") != FORMAT:
        raise ValueError(
            f"{path}: its format is {document.get('format')!r}, not {FORMAT!r}; `tqgd "
            "export --format=onnx` writes such a file from a run"
        )
    meta = document["detector"]
    config = from_dict(Config, meta["config"], str(path))
    classes, limits = len(meta["classes"]), config.eval

    @jax.jit
    def before(batch: Batch) -> Any:
        return network_input(batch, config)

    @jax.jit
    def after(outputs: dict[str, Any], batch: Batch) -> Answer:
        if "boxes" not in outputs:
            answer: Answer = ProbabilityMaps(**outputs)
        else:
            answer = nms(
                outputs["boxes"],
                outputs["scores"],
                outputs["scores"].max(axis=2),  # objectness is at least that
                min_score=limits.min_score,
                iou=limits.nms_iou,
                max_detections=limits.max_detections,
            )
        return on_stored(answer, batch, config, classes)

    names = [output.name for output in of_file.get_outputs()]
    wanted = [n for n in names if n in {*ProbabilityMaps._fields, *Detections._fields}]

    def predict(variables: Any, batch: Batch) -> Answer:
        del variables
        images = np.asarray(before(batch))
        parts = run(of_file, images, wanted)
        return after({n: jnp.asarray(v) for n, v in parts.items()}, batch)

    return meta, predict


def run(of_file: Any, images: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """The named outputs; one image at a time where the file takes no more."""
    fixed = of_file.get_inputs()[0].shape[0]
    size = fixed if isinstance(fixed, int) else len(images)
    parts = []
    for start in range(0, len(images), size):
        part = images[start : start + size]
        missing = size - len(part)
        filled = np.pad(part, ((0, missing), *[(0, 0)] * 3))
        outputs = of_file.run(names, {"image": filled})
        parts.append([output[: len(part)] for output in outputs])
    joined = [np.concatenate(of_name) for of_name in zip(*parts, strict=True)]
    return dict(zip(names, joined, strict=True))


def required(package: str) -> Any:
    """The package, or ValueError with the command that installs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ValueError(
            f"ONNX needs {package} ({error}); {INSTALL}, or `make export-tools`"
        ) from error
