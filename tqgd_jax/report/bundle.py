"""A result as a folder: written in one go, read back, pooled, and made again.

`results.json` is written last; a folder without it is no result.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.metrics.calcium.patients import PatientScore
from tqgd_jax.metrics.study import Study, checked
from tqgd_jax.report import assemble, calcium, lesions, page, tables
from tqgd_jax.report.numbers import differences
from tqgd_jax.report.numbers import verify as verify_page
from tqgd_jax.report.overlays import choose, overlay_page
from tqgd_jax.report.pixels import Pixels, hounsfield
from tqgd_jax.report.plots import precision_recall
from tqgd_jax.report.results import (
    coco_detections,
    coco_ground_truth,
    json_bytes,
    replace,
)
from tqgd_jax.report.rules import Rules
from tqgd_jax.report.shots import shots

logger = logging.getLogger("tqgd_jax")
# What lies beside the page.
FILES = {
    *("results.json", "lesions.csv", "slices.csv", "patients.csv", "overlays.png"),
    *("ground_truth.json", "detections.json", "precision_recall.png"),
}
OVERLAYS = 12  # images on overlays.png
# Of results.json, what the tables do not tell.
BESIDE = ("inputs", "versions")


def make(
    out: Path,
    study: Study,
    rules: Rules,
    *,
    pixels: Pixels | None = None,
    window: tuple[float, float] | None = None,
    scores: Sequence[PatientScore] | None = None,
    shown: int = 60,
    inputs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Judges a study and writes everything that people look at into `out`.

    Args:
      out: folder; made if it is missing.
      study: as `metrics.study.checked` gives it.
      rules: how to judge.
      pixels: image k, [h, w] or [h, w, c], int16 being HU; None where it is unknown.
      window: values shown black and white, see `overlays.windowed`.
      scores: calcium, when it was scored already.
      shown: slices in the report's gallery.
      inputs: where the study is from, kept in the results.

    Returns:
      The results, see `assemble.results`.
    """
    rules = rules.checked()
    out.mkdir(parents=True, exist_ok=True)
    unscored = ""
    if scores is None:
        scores, unscored = _scored(study, pixels, rules)
    logger.info("matching %d images", len(study.images))
    judges = assemble.judges(study, rules)
    logger.info("figures from %d resamples of the patients", rules.bootstraps)
    found = assemble.results(study, rules, judges, scores, unscored)
    inputs = dict(inputs or {})
    if pixels is not None and window is not None:
        inputs["window"] = f"{window[0]:g} to {window[1]:g}, shown black and white"
    found |= {"inputs": inputs, "versions": _versions()}
    rows = lesions.rows(study, judges, pixels)
    patients = calcium.table(scores, study, rules)
    logger.info("writing %s", out)
    tables.write(out / "slices.csv", tables.SLICES, tables.slice_rows(study))
    tables.write(out / "lesions.csv", tables.LESIONS, rows)
    tables.write(out / "patients.csv", calcium.COLUMNS, patients)
    replace(out / "ground_truth.json", json_bytes(coco_ground_truth(study)))
    replace(out / "detections.json", json_bytes(coco_detections(study), indent=None))
    _pictures(out, study, pixels, window)
    seen = shots(study, rows, pixels, window, shown)
    there = {f.name for f in out.iterdir()} | {"results.json"}
    page.write(out / "report.html", found, rows, patients, seen, sorted(there & FILES))
    replace(out / "results.json", json_bytes(found))
    return found


def read(folder: Path) -> tuple[Study, dict[str, Any]]:
    """What was judged, from the tables, and the results.

    Raises:
      ValueError: when the folder holds no result, or one of another version.
    """
    path = folder / "results.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"{folder}: no results.json ({error.strerror}); name a folder that eval.py "
            "or `python -m tqgd_jax.evaluate` wrote to its end"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: not json ({error}); evaluate again") from error
    if not isinstance(found, dict) or found.get("schema") != assemble.SCHEMA:
        said = found.get("schema") if isinstance(found, dict) else type(found).__name__
        raise ValueError(
            f"{path}: the schema is {said!r}, this version reads {assemble.SCHEMA!r}; "
            "evaluate again"
        )
    slices = tables.read(folder / "slices.csv", tables.SLICES)
    rows = tables.read(folder / "lesions.csv", tables.LESIONS)
    settings, classes = found["settings"], tuple(found["input"]["classes"])
    curve = [r for r in rows if r["use"] != "point"]
    point: Sequence = ()
    if settings["segmentation"]:
        others = [r for r in rows if r["use"] != "curve"]
        point = tables.images(slices, others, classes, folder / "lesions.csv")
    sizes = [(r["height"], r["width"]) for r in slices]
    study = Study(
        images=tuple(tables.images(slices, curve, classes, folder / "lesions.csv")),
        classes=classes,
        thresholds=tuple(
            float(r["threshold"]) if r["threshold"] else None for r in slices
        ),
        point=tuple(point),
        sizes=tuple((int(h), int(w)) for h, w in sizes if h and w),
        title=found["title"],
        source=settings["threshold_source"],
        stamp=found["stamp"],
        note=found["note"],
        part=settings["part"],
        positive_only=settings["positive_only"],
    )
    return checked(study), found


def scores(folder: Path) -> list[PatientScore]:
    """The calcium scores of a result; empty when it has none."""
    path = folder / "patients.csv"
    return calcium.read(tables.read(path, calcium.COLUMNS), path)


def verify(folder: Path) -> tuple[int, list[str]]:
    """Makes every number of a result again from its tables.

    Returns:
      How many numbers were compared, and a line for each that differs by more than 1e-9.
    """
    study, told = read(folder)
    settings = told["settings"]
    rules = Rules(**{k: settings[k] for k in Rules._fields})
    rules = rules._replace(
        size_px=tuple(rules.size_px), size_mm2=tuple(rules.size_mm2)
    ).checked()
    known = scores(folder)
    unscored = "" if known else told["calcium"]["reason"]
    again = assemble.results(
        study, rules, assemble.judges(study, rules), known, unscored
    )
    again = json.loads(json_bytes(again)) | {name: told[name] for name in BESIDE}
    wrong = [f"results.json{line}" for line in differences(told, again)]
    path = folder / "report.html"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return _numbers(told), [*wrong, f"report.html: {error.strerror}"]
    wrong += [f"report.html: {line}" for line in verify_page(text, again)]
    return _numbers(told), wrong


def _scored(
    study: Study, pixels: Pixels | None, rules: Rules
) -> tuple[list[PatientScore], str]:
    """Calcium of every scan, or why there is none."""
    if pixels is None:
        return [], "the pixels are not known, and a score needs Hounsfield units"
    if not calcium.can_be_scored(study):
        return [], (
            "the boxes are not known to be calcium of scans: patient, slice, spacing "
            "and the labelled area of each lesion are needed"
        )
    slices = []
    for k, image in enumerate(study.images):
        hu = hounsfield(pixels, k)
        if hu is None:
            return [], f"{image.name} has no Hounsfield units"
        slices.append(hu)
    return calcium.scores(study, slices.__getitem__, rules), ""


def _pictures(
    out: Path,
    study: Study,
    pixels: Pixels | None,
    window: tuple[float, float] | None,
) -> None:
    """precision_recall.png and, where pixels are known, overlays.png."""
    images = study.point or study.images
    limits = set(study.thresholds)
    threshold = limits.pop() if len(limits) == 1 else None
    precision_recall(
        out / "precision_recall.png", study.images, study.classes, threshold
    )
    if pixels is None or limits:
        return  # folds have thresholds of their own: see the report's gallery
    chosen = choose(images, 0.0 if threshold is None else threshold, OVERLAYS)
    items = [(seen, images[k]) for k in chosen if (seen := pixels(k)) is not None]
    overlay_page(
        out / "overlays.png",
        items,
        study.classes,
        threshold,
        study.title,
        most=OVERLAYS,
        window=window,
    )


def _versions() -> dict[str, str]:
    import scipy

    return {"numpy": np.__version__, "scipy": scipy.__version__}


def _numbers(value: Any) -> int:
    """How many numbers a json document holds."""
    if isinstance(value, dict):
        return sum(_numbers(v) for v in value.values())
    if isinstance(value, list):
        return sum(_numbers(v) for v in value)
    return isinstance(value, int | float) and not isinstance(value, bool)
