"""What detectors say of one scan, or of a group of images, before it is written."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt16

from tqgd_jax.data.unlabelled import of_files
from tqgd_jax.evaluation.calcium.agatston import CalciumScore
from tqgd_jax.evaluation.calcium.boxes import Row, boxes_mask, calcium_mask
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS, convention
from tqgd_jax.evaluation.calcium.risk_categories import SCHEMES, category, scheme
from tqgd_jax.evaluation.calcium.score import (
    agatston_by_voxel,
    marked,
    score_marked,
)
from tqgd_jax.evaluation.calcium.scores import Score
from tqgd_jax.io import volumes
from tqgd_jax.io.volumes import Volume
from tqgd_jax.prediction import cautions
from tqgd_jax.prediction.cautions import Caution
from tqgd_jax.prediction.inputs import Source
from tqgd_jax.prediction.models import Detectors, Progress
from tqgd_jax.predictor import Lesions
from tqgd_jax.report.html.pixels import HU_WINDOW

WAY_OUT = "predict with the run that tests this patient alone"


@dataclass(frozen=True, eq=False)
class Reading:
    """Detections in the slices of a scan, or in images, and what follows from them.

    Attributes:
      source: what was read.
      names: of each slice or image.
      pixels: of each, [h, w] HU, or [h, w, channels] as stored.
      sizes: height and width of each.
      lesions: detections by slice; of images every box is a lesion of its own.
      window: values shown as black and white where no window is asked for.
      cautions: what to be careful with.
      unchecked: what the file does not say, or a run.
      scan: None for images.
      calcium: None for images, which have no Hounsfield units.
    """

    source: Source
    names: tuple[str, ...]
    pixels: Callable[[int], np.ndarray]
    sizes: Int[np.ndarray, "n 2"]
    lesions: Lesions
    window: tuple[float, float]
    cautions: tuple[Caution, ...]
    unchecked: tuple[str, ...] = ()
    scan: Volume | None = None
    calcium: "Calcium | None" = None


@dataclass(frozen=True, eq=False)
class Calcium:
    """Calcium of the voxels of 130 HU and more inside boxes.

    Attributes:
      score: under the convention that was asked for.
      scores: under every convention, by name.
      lesion_map: number of the lesion, from 1, of each voxel that counts in `score`;
        where boxes of several lesions overlap, that of the highest confidence.
      agatston: what each lesion adds to the score, by number - 1.
    """

    score: CalciumScore
    scores: dict[str, Score]
    lesion_map: UInt16[np.ndarray, "z y x"]
    agatston: Float[np.ndarray, "l"]


def read_source(
    source: Source,
    detectors: Detectors,
    progress: Progress,
    *,
    convention: str = "clinical",
    scheme: str = "standard",
) -> Reading:
    """Reads one source and looks for lesions in it.

    Args:
      source: of `inputs.find`.
      detectors: that look.
      progress: see `Progress`.
      convention: of the score that stands first.
      scheme: of its category.

    Raises:
      ValueError: it cannot be read, or a member of an ensemble was trained on it.
    """
    if source.kind == "images":
        return _of_images(source, detectors, progress)
    scan = volumes.read_volume(source.path, series=source.series)
    remarks = _of_training(source, scan, detectors)
    lesions, hearts = detectors.in_scan(scan, progress)
    more, unchecked = cautions.of_scan(
        scan, hearts, lesions.z, detectors.beyond_heart_mm
    )
    if source.elsewhere:
        text = (
            f"Slices of this series lie in {', '.join(map(str, source.elsewhere))} too "
            "and were read apart: if they are no copies, this is the score of a part of "
            "the scan. Put them into one folder."
        )
        more.append(Caution("split_series", text))
    for name, predictor in detectors.members:
        if predictor.config.data.crop.by_file:
            text = (
                f"{name} was trained on crops from a file of heart boxes; here the heart "
                "is found in the anatomy, and crops may differ."
            )
            more.append(Caution("crop_method", text))
    depth, *size = scan.hu.shape
    calcium = calcium_of(scan, lesions, convention, scheme)
    inside = boxes_mask(scan.hu.shape, _rows(lesions))
    more += cautions.of_result(scan, inside, calcium.score.agatston)
    return Reading(
        source,
        tuple(f"slice {z}" for z in range(depth)),
        scan.hu.__getitem__,
        np.tile(size, (depth, 1)),
        lesions,
        HU_WINDOW,
        (*_of_models(detectors), *remarks, *more),
        (*unchecked, *_unknown(detectors)),
        scan,
        calcium,
    )


def _of_images(source: Source, detectors: Detectors, progress: Progress) -> Reading:
    data = [member.predictor.config.data for member in detectors.members]
    images, *_ = (of_files(source.path, source.files, one) for one in data)
    detections = detectors.in_images(images, progress)
    count = [len(of.scores) for of in detections]
    lesions = Lesions(
        np.repeat(np.arange(len(detections)), count),
        np.concatenate([of.boxes for of in detections]),
        np.concatenate([of.scores for of in detections]),
        np.concatenate([of.labels for of in detections]),
        np.arange(sum(count)),
        np.column_stack([np.zeros_like(images.sizes), images.sizes[:, ::-1]]),
    )
    text = "Images hold no Hounsfield units: there is no calcium score." + "".join(
        cautions.of_images(name, predictor.provenance, predictor.config.data)
        for name, predictor in detectors.members
    )
    return Reading(
        source,
        tuple(images.names),
        images.image,
        images.sizes,
        lesions,
        data[0].window_of(images.dtype),
        (*_of_models(detectors), Caution("no_hu", text)),
        tuple(_unknown(detectors)),
    )


def _of_models(detectors: Detectors) -> list[Caution]:
    return [
        caution
        for name, predictor in detectors.members
        for caution in cautions.of_model(name, predictor.provenance)
    ]


def _of_training(source: Source, scan: Volume, detectors: Detectors) -> list[Caution]:
    hashes = [hashlib.sha256(s.tobytes()).hexdigest() for s in scan.hu]
    patient = scan.ids.get("patient", "") or source.name
    if not (names := detectors.trained_on(patient, hashes)):
        return []
    if detectors.ensemble:
        raise ValueError(
            f"{source.path}: {', '.join(names)} of the ensemble was trained on this "
            f"patient ({patient}), so its boxes would flatter; {WAY_OUT}"
        )
    text = f"{names[0]} was trained on this patient: its boxes flatter."
    return [Caution("trained_on", text)]


def _unknown(detectors: Detectors) -> list[str]:
    return [
        f"whether {name} was trained on this patient (its manifest of folds is not here)"
        for name in detectors.unknown_training
    ]


def calcium_of(
    scan: Volume, lesions: Lesions, convention_name: str, scheme_name: str
) -> Calcium:
    """Scores of the calcium inside the boxes, and which lesion each voxel is of."""
    first, steps = convention(convention_name), scheme(scheme_name)
    rows = _rows(lesions)
    voxels = marked(scan.hu, calcium_mask(scan.hu, rows))
    scores = {
        name: score_marked(voxels, scan.spacing, rules)[0]
        for name, rules in CONVENTIONS.items()
    }
    _, counted = score_marked(voxels, scan.spacing, first)
    owner = np.zeros(scan.hu.shape, np.uint16)
    for i in np.argsort(lesions.scores, kind="stable").tolist():
        z, *box = rows[i]
        inside = boxes_mask((1, *scan.hu.shape[1:]), [(0, *box)])[0]
        owner[z][inside] = lesions.lesion[i] + 1
    lesion_map = np.zeros_like(owner)
    at = voxels.flat[counted]
    lesion_map.ravel()[at] = owner.ravel()[at]
    points = agatston_by_voxel(voxels, scan.spacing, first)
    number = lesion_map.ravel()[voxels.flat]
    total = int(lesions.lesion.max(initial=-1)) + 1
    share = np.bincount(number, points, minlength=total + 1)[1:].astype(np.float64)
    whole = scores[first.name]
    return Calcium(
        CalciumScore(
            whole.agatston,
            steps.labels[category(whole.agatston, steps)],
            first.name,
            scheme_name,
            whole.amount,
            whole.lesions,
        ),
        scores,
        lesion_map,
        share,
    )


def _rows(lesions: Lesions) -> list[Row]:
    boxes = lesions.boxes.tolist()
    return [(int(z), *box) for z, box in zip(lesions.z, boxes, strict=True)]


def categories(agatston: float) -> dict[str, str]:
    """The category of a score in every scheme."""
    return {n: s.labels[category(agatston, s)] for n, s in SCHEMES.items()}
