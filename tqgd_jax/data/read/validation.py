"""What counts as a bad box, and what `data.bad_labels` does about it."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tqgd_jax.structures.annotation import Annotation, Problem

logger = logging.getLogger("tqgd_jax")

KINDS = {
    "degenerate": "box without area, or not a number",
    "out_of_image": "box reaches over the image",
    "sub_pixel": "box with a side below 1 px",
    "duplicate": "second box of the same class and place",
    "unknown_class": "class that data.classes does not name",
    "crowd": "COCO region that stands for many objects",
    "size_mismatch": "annotation made for an image of another size",
    "missing_image": "annotation or split entry without its image",
    "not_in_split": "image that no split names",
    "unsupported": "image format that is not read",
    "unreadable": "file that cannot be read",
    "no_mask": "scan without its mask: left out",
    "no_annotation": "image without annotation: taken as an image without boxes",
    "below_threshold": "mask voxels at or below data.lesion_hu: no lesion",
    "crop_widened": "heart crop that would have cut a labelled box: widened",
    "crop_cut": "labelled box outside the heart crop: missed unless it is found",
    "crop_nearest": "slices without a heart box: cropped as the nearest with one",
    "crop_unused": "heart boxes of scans that are not there",
    "crop_whole": "image without a heart box: stays whole",
    "same_channels": "neighbours nearer than the slices of a scan",
    "doubtful_spacing": "spacing that scans of people do not have",
    "shared_patient": "one PatientID for several examinations",
    "dark": "values that fill little of the window",
    "no_box_trains": "training part without a box",
}
# no fault, but told
NOTED = (
    *("below_threshold", "crop_widened", "crop_cut", "crop_whole"),
    *("crop_nearest", "crop_unused", "same_channels"),
    *("doubtful_spacing", "shared_patient", "dark", "no_box_trains"),
)
FOREMOST = ("crop_cut", "no_box_trains", "shared_patient", "doubtful_spacing", "dark")
INFO = ("no_annotation", *NOTED)  # no fault
# No policy can decide: the boxes are not known, or those of another image size.
FATAL = ("unreadable", "size_mismatch")
LISTED = 20
BRIGHT = 0.25  # share of the window that values usually reach
FIRST = 5  # problems that stand before an advice
ROUNDING = 0.05  # px; a text file's decimals may put an edge so far over the image
LEAST, MOST = 1e-6, 0.5  # px that the side of a box may be short for its decimals


def unusable(root: Path, problems: Iterable[Problem], what: str) -> ValueError:
    """The error of a data set of which nothing is left: first the causes, then `what`."""
    bad = faults(problems)
    if not bad:
        return ValueError(f"{root}: {what}")
    causes = "\n".join(f"  {p}" for p in bad[:FIRST])
    more = f", the first {FIRST}" if len(bad) > FIRST else ""
    return ValueError(
        f"{root}: {len(bad)} problems ({counts(bad)}){more}:\n{causes}\nso {what}"
    )


def numbers(
    classes: Sequence[str], root: Path, problems: Iterable[Problem] = ()
) -> dict[str, int]:
    """Index by class. Raises ValueError when there is no class, or one is there twice.

    `problems` may be why there is no class.
    """
    if not classes:
        way = "no box in it names a class; correct the files"
        if not faults(problems):
            way = "no box in it names a class; label some, or set data.classes"
        raise unusable(root, problems, way)
    for k, name in enumerate(classes):
        if (first := classes.index(name)) != k:
            raise ValueError(
                f"data.classes, or the list of classes: {first} and {k} are both called "
                f"{name!r}: {tuple(classes)}"
            )
    return {name: k for k, name in enumerate(classes)}


class Checked(NamedTuple):
    """Boxes to keep, their class indices, their rows in the label, and problems."""

    boxes: Float[np.ndarray, "n 4"]
    labels: Int[np.ndarray, " n"]
    rows: list[int]
    problems: list[Problem]


def check(
    label: Annotation, size: tuple[int, int], classes: Mapping[str, int], policy: str
) -> Checked:
    """The boxes to keep, and every problem.

    `size` is height and width of the image. The policy "clip" keeps what is inside the
    image of each box that reaches over it, and keeps small boxes; otherwise a box with
    a problem is not kept.
    """
    h, w = size
    problems = list(label.problems)
    if label.size is not None and label.size != size:
        claimed = "{1}x{0}".format(*label.size)
        text = (
            f"made for an image of {claimed} px, the image has {w}x{h}: scale the "
            "boxes to this image, or correct the size if only that is wrong"
        )
        problems.append(Problem(label.file, 0, "size_mismatch", text))
    edge = np.array([w, h, w, h], np.float64)
    with np.errstate(over="ignore"):  # a box without an end is degenerate
        scaled = label.boxes * (edge[None, :] if label.relative else 1.0)
    clipped = np.clip(scaled, 0.0, edge[None, :])
    # what rounding may take of a side: a lesion of 1 px must not be lost to it
    last = label.rounding * (edge[:2] if label.relative else np.ones(2))
    across, down = np.clip(last, LEAST, MOST).tolist()
    over = max(ROUNDING, across, down)
    seen: set[tuple[object, ...]] = set()
    rows = []
    for i, (box, name, line) in enumerate(
        zip(scaled.tolist(), label.names, label.lines, strict=True)
    ):
        x0, y0, x1, y1 = box
        kinds = []
        inside = clipped[i].tolist()
        if not (np.isfinite(box).all() and x1 > x0 and y1 > y0):
            kinds.append("degenerate")
        else:
            if max(abs(a - b) for a, b in zip(box, inside, strict=True)) > over:
                kinds.append("out_of_image")
            if x1 - x0 < 1 - across or y1 - y0 < 1 - down:
                kinds.append("sub_pixel")
        if name not in classes:
            kinds.append("unknown_class")
        if (name, *box) in seen:
            kinds.append("duplicate")
        seen.add((name, *box))
        where = "({:g}, {:g}, {:g}, {:g})".format(*box)
        text = f"{name!r} {where} in an image of {w}x{h} px"
        problems += [Problem(label.file, line, kind, text) for kind in kinds]
        keep = not kinds
        if policy == "clip":
            keep = set(kinds) <= {"out_of_image", "sub_pixel"}
        low, high = np.array(inside, np.float32).reshape(2, 2)  # no sliver of rounding
        if keep and (high > low).all():
            rows.append(i)
    boxes = clipped[rows].reshape(-1, 4).astype(np.float32)
    labels = np.array([classes[label.names[i]] for i in rows], np.int32)
    return Checked(boxes, labels, rows, problems)


def dark(root: Path, highest: float, window: tuple[float, float]) -> list[Problem]:
    """A note when images are nearly black in the window, as 12 bits stored in 16 are."""
    low, high = window
    if highest - low > (high - low) * BRIGHT:
        return []
    text = (
        f"no value is above {highest:g}, and {low:g} to {high:g} is shown, so images are "
        f"nearly black to a detector; set data.window=({low:g}, {highest:g})"
    )
    return [Problem(root, 0, "dark", text)]


def faults(problems: Iterable[Problem]) -> list[Problem]:
    """Without what is only worth knowing."""
    return [p for p in problems if p.kind not in INFO]


def noted(problems: Iterable[Problem]) -> list[Problem]:
    """What is no fault, but told; first what the crop of validation and test loses."""
    known = [p for p in problems if p.kind in NOTED]
    return sorted(known, key=lambda p: p.kind not in FOREMOST)


def counts(problems: Iterable[Problem]) -> str:
    """Counts by kind: "2 degenerate, 1 duplicate"."""
    by_kind = Counter(p.kind for p in problems)
    return ", ".join(f"{n} {kind}" for kind, n in sorted(by_kind.items()))


def enforce(problems: Iterable[Problem], policy: str) -> None:
    """Raises ValueError with the list of problems, or logs what the policy did."""
    bad = faults(problems)
    fatal = [p for p in bad if p.kind in FATAL]
    shown = bad if policy == "error" else fatal
    if shown:
        listed = "\n".join(f"  {p}" for p in shown[:LISTED])
        more = f"\n  ... and {len(shown) - LISTED} more" if len(shown) > LISTED else ""
        out = "data.bad_labels=clip (to the image, then drop what is empty) or drop"
        raise ValueError(
            f"{len(shown)} problems in the data ({counts(shown)}):\n{listed}{more}\n"
            f"Repair the files (`tqgd check DIR` lists all)"
            + (", or remove them." if fatal else f", or set {out}.")
        )
    if bad:
        logger.warning("data.bad_labels=%s: %s", policy, counts(bad))
        for problem in bad[:LISTED]:
            logger.warning("%s", problem)
