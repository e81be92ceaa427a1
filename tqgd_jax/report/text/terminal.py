"""The outcome of an evaluation on one screen."""

import textwrap
from collections.abc import Sequence
from typing import Any

from tqgd_jax.evaluation import beyond_crop
from tqgd_jax.report.html.numbers import cut

WIDTH, LINES = 88, 28
ROWS = (
    ("ap.yolo.0.5", "AP, IoU 0.5, YOLOv5 rule"),
    ("ap.yolo.0.5:0.95", "AP, IoU 0.5:0.95, YOLOv5 rule"),
    ("ap.yolo.0.1", "AP, IoU 0.1, YOLOv5 rule"),
    ("ap.coco.0.5", "AP, IoU 0.5, COCO rule"),
    ("point.iou0.5.precision", "precision, IoU 0.5, frozen"),
    ("point.iou0.5.recall", "recall, IoU 0.5, frozen"),
    ("point.iou0.5.f1", "F1, IoU 0.5, frozen"),
    ("optimistic.f1", "F1, OPTIMISTIC threshold"),
    ("point.centre.recall", "recall, centre hit, frozen"),
    ("froc.scan.cpm", "FROC mean (CPM), per scan"),
    ("froc.slice.cpm", "FROC mean (CPM), per slice"),
    ("lesion3d.sensitivity", "3-D lesions found, frozen"),
)
SOURCES = {
    "validation": "frozen, chosen on validation",
    "given": "given: nothing is known of how it was chosen",
    "mixed": "not all chosen in one way, as the note says",
}
WAY_OUT = "a validation split (data.hold_out) gives one, or `tqgd evaluate --threshold`"
CALCIUM = (("kappa", "weighted kappa"), ("icc_a1", "ICC(A,1)"), ("bias", "bias"))


def summary(results: dict[str, Any]) -> str:
    """At most 28 lines of 88 columns: each figure with rule, IoU, threshold, interval.

    Args:
      results: of `report.assemble.results`.
    """
    settings, head = results["settings"], results["headline"]
    lines = [_counts(results["input"])]
    if results["stamp"]:
        lines += _wrap(f"NOT A RESULT: {results['stamp']}", 3)
    lines += _wrap(beyond_crop.sentence(results["beyond"]), 2)
    lines += _wrap(_threshold(results), 2)
    if head["reason"]:
        lines += _wrap(f"NO HEADLINE: {head['reason']}", 3)
    both = [results["protocols"][name] for name in ("clinical", "paper")]
    level = f"{settings['level']:.0%} interval"
    lines.append(f"{level:<30}{'clinical: all slices':>29}{'paper: positive only':>29}")
    for key, name in ROWS:
        cells = [_cell(protocol, key) for protocol in both]
        if any(cells):
            lines.append(f"{name:<30}{cells[0] or '-':>29}{cells[1] or '-':>29}")
    if why := _missing(both):
        lines += _wrap(f"No interval, or no figure: {why}", 1)
    for name, protocol in zip(("clinical", "paper"), both, strict=True):
        if protocol.get("folds"):
            lines += _wrap(_folds(name, protocol), 2)
        elif "reason" in protocol:
            lines += _wrap(f"no {name} figures: {protocol['reason']}", 2)
    if "figures" in results["calcium"]:
        lines += _calcium(results["calcium"])
    if results["caution"]:
        lines += _wrap(f"Caution: {results['caution']}", LINES - len(lines))
    if results["note"]:
        lines += _wrap(f"Note: {results['note']}", LINES - len(lines))
    return "\n".join(lines)


def _wrap(text: str, most: int) -> list[str]:
    """Lines of a text; `...` where there would be more than `most`."""
    return textwrap.wrap(text, WIDTH, max_lines=most, placeholder=" ...")


def interval(figure: dict[str, Any], digits: int = 3) -> str:
    """A figure and its interval: 0.762 (0.601 to 0.873); empty without a value."""
    if figure["value"] is None:
        return ""
    text = f"{figure['value']:.{digits}f}"
    if figure["low"] is None:
        return text
    return f"{text} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def _counts(given: dict[str, Any]) -> str:
    names = ("patients", "scans", "images", "boxes", "detections")
    return ", ".join(f"{given[name]} {name}" for name in names)


def _threshold(results: dict[str, Any]) -> str:
    settings = results["settings"]
    if settings["segmentation"]:
        return "operating point of the segmentation: components of p >= 0.5"
    best = results["yolo"]["threshold"] if settings["threshold"] is None else None
    if settings["thresholds"] and settings["threshold"] is None:
        folds = ", ".join(
            f"{fold} {cut(limit)}"
            for fold, limit in settings["thresholds"].items()
            if limit is not None
        )
        if folds:
            how = SOURCES.get(settings["threshold_source"], "")
            return _wrap(f"thresholds of the folds, {how}: {folds}", 1)[0]
    if settings["threshold"] is None:
        text = "no frozen threshold, so no precision, recall, F1 but OPTIMISTIC ones"
        text += "" if best is None else f" (at {cut(best)})"
        chosen_here = "chosen on these very images" in results["note"]
        return text if chosen_here else f"{text}; {WAY_OUT}"
    how = SOURCES[settings["threshold_source"]]
    return f"threshold {cut(settings['threshold'])}, {how}"


def _cell(protocol: dict[str, Any], key: str) -> str:
    return interval(protocol["figures"][key]) if "figures" in protocol else ""


def _missing(protocols: Sequence[dict[str, Any]]) -> str:
    """Why figures have no interval; where none has a value, why."""
    rows = [p["figures"][key] for p in protocols if "figures" in p for key, _ in ROWS]
    known = [figure for figure in rows if figure["value"] is not None] or rows
    reasons = (figure["reason"].removesuffix(": no interval") for figure in known)
    return "; ".join(filter(None, dict.fromkeys(reasons)))


def _folds(name: str, protocol: dict[str, Any]) -> str:
    key = "ap.yolo.0.5"
    each = [fold["figures"][key] for fold in protocol["folds"]]
    listed = " ".join("-" if value is None else f"{value:.3f}" for value in each)
    over = protocol["spread"][key]
    if over["sd"] is None:
        return f"{name}, AP at IoU 0.5 by fold: {listed}"
    mean = f"mean {over['mean']:.3f}, SD {over['sd']:.3f}"
    return f"{name}, AP at IoU 0.5 by fold: {listed}; {mean}"


def _calcium(calcium: dict[str, Any]) -> list[str]:
    parts = [
        f"{name} {interval(calcium['figures'][key], 1 if key == 'bias' else 2) or '-'}"
        for key, name in CALCIUM
    ]
    text = f"Agatston score ({calcium['convention']}): " + ", ".join(parts)
    return _wrap(text, 2)
