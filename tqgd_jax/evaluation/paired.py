"""Two models on the same patients: differences, their intervals, permutation tests."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from tqgd_jax.evaluation.evaluator import Evaluator
from tqgd_jax.evaluation.statistics import bootstrap
from tqgd_jax.evaluation.statistics.weighted import Weights, known
from tqgd_jax.structures.image import Image

POINT = ("precision", "recall", "f1")
KEYS = (
    *("ap.yolo.0.5", "ap.yolo.0.5:0.95", "ap.coco.0.5", "ap.yolo.0.1"),
    *(f"point.{c}.{name}" for c in ("iou0.5", "centre") for name in POINT),
    *("froc.scan.cpm", "froc.slice.cpm"),
)
BLOCK = 2**24  # weights at once: 128 MiB


def compare(
    images_a: Sequence[Image],
    thresholds_a: Sequence[float | None],
    images_b: Sequence[Image],
    thresholds_b: Sequence[float | None],
    classes: Sequence[str],
    *,
    keys: Sequence[str] = KEYS,
    bootstraps: int = 2000,
    repeats: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, dict[str, Any]]:
    """Each figure of A and of B, A - B, its interval, and p of a permutation test.

    Were the models alike, exchanging their detections in some patients would change
    nothing. p is two-sided: how often a random exchange gives a difference as large as
    the one seen, that one counted; every exchange is tried once when there are no more
    than `repeats`. An exchange in which the figure is undefined counts as large.

    Args:
      images_a: of model A.
      thresholds_a: of its images.
      images_b: of model B: the same images, in any order.
      thresholds_b: of its images.
      classes: names by index.
      keys: figures, of `Evaluator.keys`.
      bootstraps: resamples for the interval of the difference.
      repeats: random exchanges.
      seed: of both.
      level: of the interval.

    Returns:
      Per key `a`, `b`, `difference`, `low`, `high`, `p` (None for none) and `reason`.

    Raises:
      ValueError: naming the first image whose boxes, patient or presence differ.
    """
    drawn = Drawn(bootstraps, repeats, seed)
    pair = differences(
        images_a, thresholds_a, images_b, thresholds_b, classes, keys, drawn
    )
    return {
        key: pair[key].row(level) | {"a": known(pair[key].a), "b": known(pair[key].b)}
        for key in keys
    }


class Drawn(NamedTuple):
    """How often patients are resampled (intervals) and exchanged (p), and the seed."""

    bootstraps: int
    repeats: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """A figure of two models: as seen, and as chance makes it.

    Attributes:
      a, b: of the models; NaN where there is none.
      without: a - b without each patient in turn.
      resampled: a - b of resampled patients.
      exchanged: a - b with the models exchanged in some patients; empty for no p.
      patients: how many.
      why: why there is no figure.
    """

    a: float
    b: float
    without: Float[np.ndarray, "p"]
    resampled: Float[np.ndarray, "r"]
    exchanged: Float[np.ndarray, "e"]
    patients: int
    why: str

    @property
    def sd(self) -> float:
        """Between patients, of what a patient adds to the difference; NaN if unknown.

        Resamples in which the figure is undefined do not count.
        """
        seen = self.resampled[~np.isnan(self.resampled)]
        spread = seen.std(ddof=1) if len(seen) > 1 else np.nan
        return float(spread * np.sqrt(self.patients))

    def row(self, level: float) -> dict[str, Any]:
        """`difference`, `low`, `high`, `p` (None for none) and `reason`."""
        seen, n = self.a - self.b, self.patients
        values: dict[str, Any] = dict.fromkeys(("difference", "low", "high", "p"))
        if np.isnan(seen):
            return values | {"reason": self.why}
        p = p_value(seen, self.exchanged, n) if len(self.exchanged) else None
        values |= {"difference": float(seen), "p": p}
        if reason := bootstrap.no_interval(float(seen), self.resampled, n):
            return values | {"reason": reason}
        low, high = bootstrap.interval(
            float(seen), self.resampled, self.without, n, level
        )
        return values | {"low": low, "high": high, "reason": ""}


def mean(pairs: Sequence[Difference], signs: Sequence[int] = ()) -> Difference:
    """The mean difference of several pairs of models on the same patients.

    An effect that is seen in several pairs, a module with and without others or networks
    of several seeds. In an exchange the models of every pair change places.

    Args:
      pairs: made with the same `Drawn`.
      signs: of each pair, 1 or -1, for an interaction [all 1]; it has no meaning then to
        exchange models, and `exchanged` is empty.
    """
    weights = np.array(signs or [1] * len(pairs), float) / len(pairs)

    def combined(name: str) -> Any:
        return np.tensordot(weights, [getattr(pair, name) for pair in pairs], 1)

    why = next((pair.why for pair in pairs if np.isnan(pair.a - pair.b)), "")
    exchanged = np.zeros(0) if signs else combined("exchanged")
    return Difference(
        float(combined("a")),
        float(combined("b")),
        combined("without"),
        combined("resampled"),
        exchanged,
        pairs[0].patients,
        why,
    )


def differences(
    images_a: Sequence[Image],
    thresholds_a: Sequence[float | None],
    images_b: Sequence[Image],
    thresholds_b: Sequence[float | None],
    classes: Sequence[str],
    keys: Sequence[str],
    drawn: Drawn,
) -> dict[str, Difference]:
    """What `compare` makes its rows of, by key; it has the arguments."""
    order = same_ground_truth(images_a, images_b)
    images, thresholds = [], []
    # Image by image A and B, so that neither comes first where confidences are equal.
    for i, j in enumerate(order):
        for model, image in (("A", images_a[i]), ("B", images_b[j])):
            known = image.place.patient  # else the image stands for a patient
            place = image.place._replace(patient=known and f"{model}/{known}")
            images.append(image._replace(name=f"{model}/{image.name}", place=place))
        thresholds += [thresholds_a[i], thresholds_b[j]]
    evaluator = Evaluator(images, classes, thresholds)
    n = len(evaluator.clusters) // 2
    resamples = bootstrap.resamples(n, drawn.bootstraps, drawn.seed)
    without = bootstrap.left_out(n)
    choice = exchanges(n, drawn.repeats, drawn.seed)
    mine = np.concatenate([np.ones((1, n)), without, resamples, choice])
    other = np.concatenate([0 * mine[: -len(choice)], 1 - choice])
    values = _both(evaluator, mine, other, keys)
    ends = np.cumsum([1, len(without), len(resamples)])
    result = {}
    for key, (a, b) in values.items():
        _, less, again, swapped = np.split(a - b, ends)
        why = evaluator.why(key) if np.isnan(a[0] - b[0]) else ""
        result[key] = Difference(float(a[0]), float(b[0]), less, again, swapped, n, why)
    return result


def _both(
    evaluator: Evaluator, mine: Weights, other: Weights, keys: Sequence[str]
) -> dict[str, Float[np.ndarray, "2 b"]]:
    """Figures of A's patients by `mine` with B's by `other`, and the other way round."""
    rows = max(1, BLOCK // max(1, 4 * mine.shape[1]))
    parts = []
    for i in range(0, len(mine), rows):
        a, b = mine[i : i + rows], other[i : i + rows]
        block = np.concatenate([np.hstack([a, b]), np.hstack([b, a])])
        parts.append(evaluator.figures(block, keys))
    return {
        key: np.concatenate([part[key].reshape(2, -1) for part in parts], axis=1)
        for key in keys
    }


def exchanges(clusters: int, repeats: int, seed: int) -> Weights:
    """Rows of 1 (keep) and 0 (exchange): all of them, or `repeats` at random."""
    if 2**clusters <= repeats:
        rows = np.arange(2**clusters)[:, None] >> np.arange(clusters)[None, :]
        return (rows & 1).astype(np.float64)
    rng = np.random.default_rng((seed, 1))
    return rng.integers(0, 2, (repeats, clusters)).astype(np.float64)


def p_value(difference: float, chance: Float[np.ndarray, "r"], clusters: int) -> float:
    """Share of exchanges with at least this difference, that of nobody counted once."""
    large = np.abs(chance) >= abs(difference) - bootstrap.SAME
    count = int((large | np.isnan(chance)).sum())
    if 2**clusters == len(chance):  # every exchange, that of nobody among them
        return count / len(chance)
    return (1 + count) / (1 + len(chance))


def same_ground_truth(a: Sequence[Image], b: Sequence[Image]) -> list[int]:
    """For each image of A the index of the same image in B.

    Raises:
      ValueError: naming the first image that differs.
    """
    place = {image.name: j for j, image in enumerate(b)}
    way_out = "models are compared on one ground truth; evaluate both on the same"
    if len(a) != len(b) or len(place) != len(b):
        raise ValueError(f"{len(a)} images of A, {len(b)} of B; {way_out} images")
    order = []
    for image in a:
        if image.name not in place:
            raise ValueError(f"image {image.name!r} of A is not in B; {way_out} images")
        other = b[place[image.name]]
        pairs = (
            ("boxes", image.boxes, other.boxes),
            ("classes", image.labels, other.labels),
            ("ignored boxes", image.counting, other.counting),
            ("crowd regions", image.crowd, other.crowd),
            ("patient", image.patient, other.patient),
            ("scan", image.scan, other.scan),
        )
        for what, mine, theirs in pairs:
            if not np.array_equal(mine, theirs):
                raise ValueError(
                    f"image {image.name!r}: its {what} differ between A "
                    f"({_short(mine)}) and B ({_short(theirs)}); {way_out} boxes"
                )
        order.append(place[image.name])
    return order


def _short(value: Any) -> str:
    text = str(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) < 60 else f"{text[:57]}..."
