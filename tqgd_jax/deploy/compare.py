"""How far the answers of two programs for one network lie apart."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from tqgd_jax.config import Config
from tqgd_jax.deploy.programs import batch_of
from tqgd_jax.inference import Predict
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.batch import Batch, Detections

IMAGES = 3
SHAPES = ((0.75, 1.0), (1.0, 0.5), (1.25, 1.25))  # sides, of the network input


class Limits(NamedTuple):
    """What rounding may do.

    Attributes:
      px: of a box.
      score: of a score.
      raw: of a raw output, as a share of the largest.
      probability: of a pixel, the worst of all.
      unpaired: share of detections without a partner.
      unpaired_above_threshold: their number, of those that count.
    """

    px: float
    score: float
    raw: float
    probability: float
    unpaired: float = 0.5
    unpaired_above_threshold: float = 0


LIMITS = {
    "fp32": Limits(1e-3, 1e-5, 1e-4, 1e-4),
    # A product keeps 11 or 8 bits, and each program rounds in its own places.
    "tf32": Limits(0.1, 1e-2, 1e-2, 1e-2),
    "bf16": Limits(1.0, 5e-2, 5e-2, 5e-2, unpaired_above_threshold=10),
}


def probe(config: Config, pixels: str) -> Batch:
    """Three images of different sides with bright discs of a few pixels on noise."""
    rng, side = np.random.default_rng(0), config.data.image_size
    sizes = np.array([[round(side * f) for f in shape] for shape in SHAPES], np.int32)
    h, w = sizes.max(axis=0)
    low, high = config.data.window_of(np.dtype(pixels))
    images = np.zeros((IMAGES, h, w, config.data.channels), pixels)
    y, x = np.mgrid[:h, :w]
    for image in images:
        value = rng.normal(0.3, 0.05, image.shape)
        for _ in range(12):
            at, radius = rng.uniform(0, (h, w)), rng.uniform(1, 6)
            disc = np.hypot(y - at[0], x - at[1]) < radius
            value[disc] = rng.uniform(0.5, 1.0)
        image[:] = np.clip(low + value * (high - low), low, high).astype(pixels)
    return batch_of(images, sizes)


def answers(
    predictor: Predictor, program: Predict | None, batch: Batch
) -> list[np.ndarray]:
    """Arrays of the answer of the run, or of a program in its place, to a batch."""
    predict = program or predictor._predict
    return [np.asarray(part) for part in predict(predictor.variables, batch)]


def detections_apart(
    ours: list[Any], theirs: list[Any], limits: Limits, threshold: float
) -> dict[str, float]:
    """Detections, or maps, of the same images: the largest differences.

    A detection's partner is the nearest one of its class, by box and score. Where scores
    are equal but for rounding, either of two rivals may stay, and others after it; of
    a network that knows something this happens far below its threshold.

    Args:
      ours: arrays of an answer.
      theirs: likewise.
      limits: see `Limits`.
      threshold: score from which a detection counts.

    Raises:
      ValueError: more than rounding.
    """
    if len(ours) == 2:  # maps
        apart = float(np.abs(ours[0] - theirs[0]).max())
        return _within({"probability": apart}, limits)
    pairs, scores, paired = [np.zeros((1, 6))], [], []
    for image in range(len(ours[0])):
        a, b = (Detections(*(part[image] for part in x)) for x in (ours, theirs))
        rows = [_rows(d, limits)[np.asarray(d.valid)] for d in (a, b)]
        for one, other in (rows, rows[::-1]):
            scores.append(one[:, 4] * limits.score)
            if not len(other):
                paired.append(np.zeros(len(one), bool))
                continue
            gap = np.abs(one[:, None] - other[None]).max(axis=2)
            near = gap.argmin(axis=1)
            paired.append(gap[np.arange(len(one)), near] <= 1)
            pairs.append(np.abs(one - other[near])[paired[-1]])
    alone, counts = ~np.concatenate(paired), np.concatenate(scores) >= threshold
    largest = np.concatenate(pairs).max(axis=0)
    return _within(
        {
            "px": float(largest[:4].max() * limits.px),
            "score": float(largest[4] * limits.score),
            "unpaired": float(alone.mean()) if len(alone) else 0.0,
            "unpaired_above_threshold": float((alone & counts).sum()),
            "detections": len(alone) // 2,
        },
        limits,
    )


def caution(apart: dict[str, float]) -> str:
    """What differences cannot show; empty if they show what they should.

    Args:
      apart: of `detections_apart`, for ONNX with those of `dense_apart`.
    """
    if apart.get("detections") == 0 and "raw" not in apart:
        return (
            "the detector finds nothing in the images of the check, so that no box or "
            "score was compared; compare it with the run on a scan of yours"
        )
    return ""


def _rows(d: Detections, limits: Limits) -> Float[np.ndarray, "n 6"]:
    """Boxes, score and class, so that 1 is the most that partners may differ."""
    parts = [
        np.asarray(d.boxes) / limits.px,
        np.asarray(d.scores)[:, None] / limits.score,
    ]
    return np.concatenate([*parts, 2.0 * np.asarray(d.labels)[:, None]], axis=1)


def dense_apart(
    ours: dict[str, Any], theirs: dict[str, Any], limits: Limits
) -> dict[str, float]:
    """Outputs of `programs.dense`, value by value: the largest differences.

    Raises:
      ValueError: more than rounding.
    """
    apart: dict[str, float] = {}
    for name, value in ours.items():
        one, other = np.asarray(value, np.float64), np.asarray(theirs[name], np.float64)
        if one.shape != other.shape:
            raise ValueError(f"output {name} is {other.shape}, and {one.shape} in JAX")
        gap = float(np.abs(one - other).max())
        if name == "label":
            continue
        kind = {"boxes": "px", "scores": "score", "probability": "probability"}.get(
            name, "raw"
        )
        if kind == "raw":
            gap /= max(1.0, float(np.abs(one).max()))
        if kind == "px":
            # A box far wider than the image is rounded in proportion.
            gap = float((np.abs(one - other) / np.maximum(1, np.abs(one) / 256)).max())
        apart[kind] = float(np.maximum(apart.get(kind, 0.0), gap))  # NaN stays
    return _within(apart, limits)


def _within(apart: dict[str, float], limits: Limits) -> dict[str, float]:
    for name, most in limits._asdict().items():
        value = apart.get(name, 0.0)
        if not value <= most:
            raise ValueError(
                f"the exported program differs from the run by {value:.2g} ({name}), and "
                f"rounding by no more than {most:g}; nothing was written: report it with "
                "the run's config.json"
            )
    return apart
