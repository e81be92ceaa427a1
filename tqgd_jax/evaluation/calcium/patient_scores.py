"""Calcium of each scan, from its labelled boxes and from its detections."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int16

from tqgd_jax.evaluation.calcium.boxes import Crop, Part, Row, assemble, calcium_mask
from tqgd_jax.evaluation.calcium.conventions import LOWEST, Convention
from tqgd_jax.evaluation.calcium.score import Marked, marked, score_marked
from tqgd_jax.evaluation.calcium.scores import Amount, Spacing
from tqgd_jax.structures.image import Image

Pixels = Callable[[int], Int16[np.ndarray, "_ _"]]
Beyond = Callable[[int], Sequence[tuple[Crop, Int16[np.ndarray, "_ _"]]]]


class PatientScore(NamedTuple):
    """One scan under one convention.

    Attributes:
      patient, scan: as `Image.scan`.
      convention: its name.
      reference: from the labelled boxes; ignored ones are left out.
      predicted: from the detections; None when an image of the scan has no threshold.
      lesions: how many lesions in 3-D: reference, and predicted or None.
      area_difference: pixels above 130 HU in the labelled boxes less those of the
        labelled lesions: how much else the boxes hold. None when the lesions' areas are
        not known.
      volume_sensitivity, volume_ppv: share of the reference's volume that is in the
        prediction, and of the prediction's in the reference (orCaScore); None without a
        prediction, NaN where there is no volume to share.
    """

    patient: str
    scan: str
    convention: str
    reference: Amount
    predicted: Amount | None
    lesions: tuple[int, int | None]
    area_difference: int | None
    volume_sensitivity: float | None
    volume_ppv: float | None


def patient_scores(
    images: Sequence[Image],
    pixels: Pixels,
    thresholds: Sequence[float | None],
    conventions: Sequence[Convention],
    calibration: float | None = None,
    beyond: Beyond = lambda _: (),
) -> list[PatientScore]:
    """A row for each scan, in the order of (patient, scan), and each convention.

    The reference holds all labelled boxes whose pixels are given, also those that the
    crop leaves out; a detection ends with its image.

    Args:
      images: slices of scans, with `place.z`, `place.spacing` and `place.crop`.
      pixels: HU of image k, [h, w], the size of its crop.
      thresholds: of each image, the confidence from which a detection counts.
      conventions: under which each scan is scored.
      calibration: mg/mL per HU, for masses.
      beyond: of image k, HU of labelled boxes that its crop cuts or leaves out, with
        their places in the whole slice.

    Raises:
      ValueError: naming an image whose place is not known well enough, or a scan whose
        slices have two spacings or are there twice.
    """
    scans: dict[tuple[str, str], list[int]] = defaultdict(list)
    for k, image in enumerate(images):
        _check(image)
        scans[image.scan].append(k)
    rows = []
    for key in sorted(scans):
        members = scans[key]
        chosen = [images[k] for k in members]
        spacing = _spacing(chosen)
        try:
            part = assemble(
                [
                    (im.place.z, im.place.crop, pixels(k))
                    for k, im in zip(members, chosen, strict=True)
                    if im.place.z is not None and im.place.crop is not None
                ],
                [
                    (im.place.z, *piece)
                    for k, im in zip(members, chosen, strict=True)
                    if im.place.z is not None
                    for piece in beyond(k)
                ],
            )
        except ValueError as error:
            raise ValueError(f"{chosen[0].name} and its scan: {error}") from error
        labelled = calcium_mask(part.hu, _rows(part, chosen))
        truth = marked(part.hu, labelled)
        limits = [thresholds[k] for k in members]
        detected = None
        if None not in limits:
            rows_of = _rows(part, chosen, limits)
            detected = marked(part.hu, calcium_mask(part.hu, rows_of))
        difference = _difference(truth, chosen)
        rows += [
            _row(key, one, truth, detected, spacing, calibration, difference)
            for one in conventions
        ]
    return rows


def _row(
    key: tuple[str, str],
    convention: Convention,
    truth: Marked,
    detected: Marked | None,
    spacing: Spacing,
    calibration: float | None,
    difference: int | None,
) -> PatientScore:
    reference, counted = score_marked(truth, spacing, convention, calibration)
    alone = PatientScore(
        *key,
        convention=convention.name,
        reference=reference.amount,
        predicted=None,
        lesions=(len(reference.lesions), None),
        area_difference=difference,
        volume_sensitivity=None,
        volume_ppv=None,
    )
    if detected is None:
        return alone
    predicted, counting = score_marked(detected, spacing, convention, calibration)
    labelled, seen = truth.flat[counted], detected.flat[counting]
    both = len(np.intersect1d(labelled, seen, assume_unique=True))
    return alone._replace(
        predicted=predicted.amount,
        lesions=(len(reference.lesions), len(predicted.lesions)),
        volume_sensitivity=_share(both, len(labelled)),
        volume_ppv=_share(both, len(seen)),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _check(image: Image) -> None:
    place = image.place
    missing = [n for n in ("z", "spacing", "crop") if getattr(place, n) is None]
    if missing:
        raise ValueError(
            f"{image.name}: no place.{', place.'.join(missing)}; a calcium score needs "
            "the slice's number, its spacing in mm and its place in the whole slice"
        )


def _spacing(images: Sequence[Image]) -> Spacing:
    spacings = {image.place.spacing for image in images}
    first = images[0].place.spacing
    if len(spacings) != 1 or first is None:
        raise ValueError(
            f"{images[0].name} and its scan: two spacings, {sorted(map(str, spacings))}; "
            "a scan has one"
        )
    return first


def _rows(
    part: Part, images: Sequence[Image], limits: Sequence[float | None] | None = None
) -> list[Row]:
    """Boxes in voxels of `part`: detections at or above `limits`, or labelled boxes."""
    rows: list[Row] = []
    for k, image in enumerate(images):
        z, crop = image.place.z, image.place.crop
        if z is None or crop is None:
            continue
        boxes: Float[np.ndarray, "n 4"] = image.boxes[image.counting]
        limit = None if limits is None else limits[k]
        if limit is not None:
            # A detection may not reach into what is known beside its image.
            x, y = crop[2] - crop[0], crop[3] - crop[1]
            boxes = np.clip(image.det_boxes[image.above(limit)], 0, [x, y, x, y])
        proper = boxes[(boxes[:, :2] < boxes[:, 2:]).all(axis=1)]
        proper = proper + np.tile([crop[0] - part.x0, crop[1] - part.y0], 2)
        rows += [(z - part.z0, *box) for box in proper.tolist()]
    return rows


def _difference(truth: Marked, images: Sequence[Image]) -> int | None:
    boxes = sum(int(image.counting.sum()) for image in images)
    areas = [
        one.area_px
        for image in images
        if image.lesions
        for one, counts in zip(image.lesions, image.counting, strict=True)
        if counts
    ]
    if len(areas) != boxes or 0 in areas:
        return None
    return int((truth.hu > LOWEST).sum()) - sum(areas)
