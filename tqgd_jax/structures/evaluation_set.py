"""What the referee is given: images, classes, thresholds, and what must be said."""

from typing import NamedTuple

from tqgd_jax.structures.image import Image, check


class EvaluationSet(NamedTuple):
    """A set of judged images.

    Attributes:
      images: ground truth and detections; equal confidences stand in this order.
      classes: names by class index.
      thresholds: of each image, the confidence from which a detection counts; folds have
        models, and so thresholds, of their own. None: none was chosen beforehand.
      point: the images again with the detections of the operating point, when these are
        others than the curves' (segmentation); empty: they are the same.
      sizes: (height, width) of each image, px; empty when unknown.
      title: of the report.
      source: where the thresholds come from: "validation", "given" or "none".
      disclaimer: what every result must say; empty for an honest one.
      note: what a reader must know, such as which slices are missing.
      one_fold: non-empty when the images are one fold of several, saying which: then there
        is no headline.
      positive_only: only slices with labelled boxes are here, so the clinical protocol
        cannot be judged.
    """

    images: tuple[Image, ...]
    classes: tuple[str, ...]
    thresholds: tuple[float | None, ...]
    point: tuple[Image, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    title: str = ""
    source: str = "none"
    disclaimer: str = ""
    note: str = ""
    one_fold: str = ""
    positive_only: bool = False


def checked(study: EvaluationSet) -> EvaluationSet:
    """The study itself. Raises ValueError for what no figure could be computed from."""
    check(study.images, len(study.classes))
    n = len(study.images)
    if len(study.thresholds) != n or len(study.sizes) not in (0, n):
        raise ValueError(
            f"{n} images need as many thresholds and sizes (or no sizes), got "
            f"{len(study.thresholds)} and {len(study.sizes)}"
        )
    names = [image.name for image in study.images]
    if len(set(names)) != n:
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two images are called {twice!r}; names must differ")
    return study
