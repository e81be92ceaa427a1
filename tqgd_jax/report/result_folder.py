"""A result as a folder: written in one go and read back.

All files are made aside and then put in their places, `results.json` last; a folder
without it is no result.
"""

import logging
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.evaluation import calcium_section, fold_summary, results
from tqgd_jax.evaluation.beyond_crop import counts
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS
from tqgd_jax.evaluation.calcium.patient_scores import (
    Beyond,
    PatientScore,
    patient_scores,
)
from tqgd_jax.evaluation.inputs.image_pixels import hounsfield
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.io import atomic, json_text
from tqgd_jax.report import lesion_rows, pictures, result_tables
from tqgd_jax.report.html import page
from tqgd_jax.report.html.gallery import SelectedSlice, gallery_images
from tqgd_jax.report.html.page_sections import drawn_from
from tqgd_jax.report.html.pixels import Pixels, window_of
from tqgd_jax.report.html.slice_selection import select_slices
from tqgd_jax.report.result_files import coco_detections, coco_ground_truth, json_bytes
from tqgd_jax.structures.evaluation_set import EvaluationSet, checked

logger = logging.getLogger("tqgd_jax")
RESULTS = "results.json"
# What lies beside the page.
FILES = {
    *(RESULTS, "lesions.csv", "slices.csv", "patients.csv", "overlays.png"),
    *("ground_truth.json", "detections.json", "precision_recall.png"),
}
OVERLAYS = 12  # images on overlays.png
LINE = 90  # letters of a picture's heading


def make(
    out: Path,
    eval_set: EvaluationSet,
    settings: EvaluationSettings,
    *,
    pixels: Pixels | None = None,
    window: tuple[float, float] | None = None,
    beyond: Beyond | None = None,
    scores: Sequence[PatientScore] | None = None,
    unscored: str = "",
    shown: int = 60,
    inputs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Judges an evaluation set and writes everything that people look at into `out`.

    Args:
      out: folder; made if it is missing.
      eval_set: as `evaluation_set.checked` gives it.
      settings: how to judge.
      pixels: image k, [h, w] or [h, w, c], int16 being HU; None where it is unknown.
      window: values shown black and white, see `pixels.windowed`.
      beyond: of image k, HU of labelled boxes that reach beyond it, with their places
        in the whole slice; None where they are unknown.
      scores: calcium, when it was scored already.
      unscored: why there are none, when `scores` is empty.
      shown: slices in the report's gallery.
      inputs: where the evaluation set is from, kept in the results.

    Returns:
      The results, see `evaluation.results.results`.
    """
    settings = settings.checked()
    fold_summary.thresholds(eval_set)
    with atomic.files(out, FILES | {page.PAGE}, RESULTS) as draft:
        if scores is None:
            scores, unscored = _scored(eval_set, pixels, settings, beyond)
        logger.info("matching the detections of %d images", len(eval_set.images))
        evaluators = results.evaluators(eval_set, settings)
        logger.info("figures from %d resamples of the patients", settings.bootstraps)
        result = results.results(eval_set, settings, evaluators, scores, unscored)
        inputs = dict(inputs or {})
        if pixels is not None:
            window, inputs["window"] = window_of(pixels, len(eval_set.images), window)
        result |= {"inputs": inputs, "versions": _versions()}
        logger.info("writing the tables")
        rows = list(lesion_rows.rows(eval_set, evaluators, pixels))
        patients = calcium_section.table(scores, eval_set, settings)
        result_tables.write(
            draft / "slices.csv",
            result_tables.SLICES,
            result_tables.slice_rows(eval_set),
        )
        result_tables.write(draft / "lesions.csv", result_tables.LESIONS, rows)
        result_tables.write(draft / "patients.csv", calcium_section.COLUMNS, patients)
        _json(draft / "ground_truth.json", coco_ground_truth(eval_set))
        _json(draft / "detections.json", coco_detections(eval_set), indent=None)
        logger.info("drawing the report")
        seen = select_slices(eval_set, rows, pixels, window, max(shown, OVERLAYS))
        _pictures(draft, _heading(eval_set), result, rows, seen[:OVERLAYS])
        names = sorted({f.name for f in draft.iterdir()} | {RESULTS})
        text = page.render(result, rows, patients, seen[:shown], names)
        (draft / page.PAGE).write_bytes(text.encode())
        _json(draft / RESULTS, result)
    return result


def _json(path: Path, value: Any, indent: int | None = 1) -> None:
    path.write_bytes(json_bytes(value, indent=indent))


def read_results(folder: Path) -> dict[str, Any]:
    """The results as they were written.

    Raises:
      ValueError: when the folder holds no result, or one of another version.
    """
    path = folder / RESULTS
    if not path.is_file():
        why = "is a file" if folder.is_file() else f"no {RESULTS}"
        raise ValueError(
            f"{folder}: {why}; name a folder that eval.py or `tqgd evaluate` wrote to "
            "its end"
        )
    result = json_text.load(path)
    if not isinstance(result, dict) or result.get("schema") != results.SCHEMA:
        schema = (
            result.get("schema") if isinstance(result, dict) else type(result).__name__
        )
        raise ValueError(
            f"{path}: the schema is {schema!r}, this version reads {results.SCHEMA!r}; "
            "evaluate again"
        )
    return result


def read(folder: Path) -> tuple[EvaluationSet, dict[str, Any]]:
    """What was judged, from the tables, and the results; ValueError as `read_results`."""
    result, path = read_results(folder), folder / "lesions.csv"
    slices = list(result_tables.read(folder / "slices.csv", result_tables.SLICES))
    rows = list(result_tables.read(path, result_tables.LESIONS))
    settings, classes = result["settings"], tuple(result["input"]["classes"])
    curve = [r for r in rows if r["use"] != "point"]
    point: Sequence = ()
    if settings["segmentation"]:
        others = [r for r in rows if r["use"] != "curve"]
        point = result_tables.images(slices, others, classes, path)
    sizes = [(r["height"], r["width"]) for r in slices]
    eval_set = EvaluationSet(
        images=tuple(result_tables.images(slices, curve, classes, path)),
        classes=classes,
        thresholds=tuple(
            float(r["threshold"]) if r["threshold"] else None for r in slices
        ),
        point=tuple(point),
        sizes=tuple((int(h), int(w)) for h, w in sizes if h and w),
        title=result["title"],
        source=settings["threshold_source"],
        disclaimer=result["stamp"],
        note=result["note"],
        one_fold=settings["part"],
        positive_only=settings["positive_only"],
    )
    return checked(eval_set), result


def scores(folder: Path) -> list[PatientScore]:
    """The calcium scores of a result; empty when it has none."""
    path = folder / "patients.csv"
    return calcium_section.read(result_tables.read(path, calcium_section.COLUMNS), path)


def _scored(
    eval_set: EvaluationSet,
    pixels: Pixels | None,
    settings: EvaluationSettings,
    beyond: Beyond | None = None,
) -> tuple[list[PatientScore], str]:
    """Calcium of every scan, or why there is none."""
    if pixels is None:
        return [], "the pixels are not known, and a score needs Hounsfield units"
    if not calcium_section.can_be_scored(eval_set):
        return [], (
            "the boxes are not known to be calcium of scans: patient, slice, spacing "
            "and the labelled area of each lesion are needed"
        )

    if beyond is None and (lost := [k for k, *_ in counts(eval_set)]):
        return [], (
            f"labelled boxes of {len(lost)} images reach beyond them, and their pixels "
            "are not known there: the reference would lack their calcium. Name the "
            "folder of the scans (--data_dir of eval.py, --pixels of "
            "tqgd evaluate)"
        )

    def known(k: int) -> np.ndarray:
        if (hu := hounsfield(pixels, k)) is None:
            raise LookupError(f"{eval_set.images[k].name} has no Hounsfield units")
        return hu

    logger.info("scoring the calcium of %d images", len(eval_set.images))
    try:
        scored = patient_scores(
            eval_set.images,
            known,
            eval_set.thresholds,
            [*CONVENTIONS.values()],
            settings.calibration,
            beyond or (lambda _: ()),
        )
    except LookupError as error:
        return [], str(error)
    return scored, ""


def _heading(eval_set: EvaluationSet) -> str:
    """What stands on a picture, so that it does not say more alone than on the page."""
    fold = fold_summary.alone(eval_set)
    protocol = (
        "slices with a labelled box only" if eval_set.positive_only else "all slices"
    )
    lines = [
        f"NOT A RESULT: {eval_set.disclaimer}" if eval_set.disclaimer else "",
        f"{fold} alone: no headline" if fold else "",
        f"{eval_set.title}; {protocol}" if eval_set.title else protocol,
    ]
    return "\n".join(textwrap.fill(line, LINE) for line in lines if line)


def _pictures(
    out: Path,
    heading: str,
    result: dict[str, Any],
    rows: Sequence[calcium_section.Row],
    slices: Sequence[SelectedSlice],
) -> None:
    """precision_recall.png and, where pixels are known, overlays.png."""
    pictures.precision_recall(out / "precision_recall.png", result, heading)
    if slices:
        cut, _ = drawn_from(result)
        edges = result["settings"]["size_px"]
        shown = gallery_images(slices, rows, edges, cut, budget=math.inf)
        pictures.overlays(out / "overlays.png", shown, result, heading)


def _versions() -> dict[str, str]:
    import scipy

    return {"numpy": np.__version__, "scipy": scipy.__version__}
