"""What each section of the page shows, chosen from the results."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tqgd_jax.report.html import metric_tables
from tqgd_jax.report.html.numbers import cut, pointer

CONTENTS = {
    "headline": "What was found",
    "threshold": "Threshold",
    "protocols": "The two protocols",
    "precision": "Average precision",
    "points": "At the threshold",
    "froc": "FROC",
    "sizes": "Sizes",
    "arteries": "Arteries",
    "scanners": "Scanners",
    "classes": "Classes",
    "lesions3d": "Lesions in 3-D",
    "folds": "Folds",
    "calcium": "Calcium score",
    "gallery": "Slices",
    "lesions": "Boxes and detections",
    "further": "Further figures",
    "about": "How this was made",
}
# Id of the section: prefix of the keys, what the rows are, unit.
STRATA = {
    "sizes": (("size.px", "Box area", "px"), ("size.mm2", "Box area", "mm²")),
    "arteries": (("artery", "Artery", ""),),
    "scanners": (("scanner", "Scanner", ""),),
    "classes": (("class", "Class", ""),),
}
CAPTIONS = {
    "size.px": "boxes found at the threshold, by area in native pixels",
    "size.mm2": "boxes found at the threshold, by area in mm²",
    "artery": "boxes found at the threshold, by artery",
    "scanner": "by scanner",
    "class": "by class",
}
# Beside the headline's: what a table of folds or protocols shows when there is none.
MAIN = (
    *("ap.yolo.0.5", "ap.yolo.0.5:0.95", "ap.yolo.0.1", "point.iou0.5.precision"),
    *("point.iou0.5.recall", "point.iou0.5.f1", "point.centre.recall"),
    *("point.iou0.5.fp_per_scan", "froc.scan.cpm"),
)


def known_keys(results: dict[str, Any], protocol: str) -> list[str]:
    return list(results["protocols"][protocol].get("figures", {}))


def tables(known: Sequence[str]) -> dict[str, metric_tables.Grid]:
    """The tables of a protocol by family; `rest` holds what none of them shows."""
    made = {
        "ap": metric_tables.average_precision(known),
        "point": metric_tables.points(known),
        "froc": metric_tables.froc(known),
        "lesion3d": metric_tables.lesions(known),
    }
    for families in STRATA.values():
        for family, corner, unit in families:
            made[family] = metric_tables.strata(family, corner, unit, known)
    return made | {"rest": metric_tables.rest(known, list(made.values()))}


def headline(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Keys and pointers of the headline; none for one fold of several."""
    top = results["headline"]
    if top.get("reason") or not known_keys(results, top["protocol"]):
        return []
    known = results["protocols"][top["protocol"]]["figures"]
    at = {key: pointer("protocols", top["protocol"], "figures", key) for key in known}
    return [(key, at[key]) for key in top["keys"] if key in known]


def plain(results: dict[str, Any]) -> dict[str, str]:
    """Pointers of the three plain numbers; empty where nothing was judged.

    Without a threshold nothing counts as found; then `recall` is the optimistic one.
    """
    protocol = results["headline"]["protocol"]
    known = results["protocols"][protocol].get("figures", {})

    def value(key: str) -> str:
        if known.get(key, {}).get("value") is None:
            return ""
        return pointer("protocols", protocol, "figures", key, "value")

    facts = ("boxes", "patients", "slices")
    return {
        "found": value("point.iou0.5.tp"),
        "alarms": value("point.iou0.5.fp"),
        "per_scan": value("point.iou0.5.fp_per_scan"),
        "recall": value("optimistic.recall"),
        **{fact: pointer("protocols", protocol, fact) for fact in facts if known},
    }


def main_keys(results: dict[str, Any], known: Iterable[str]) -> list[str]:
    keys = [*results["headline"]["keys"], *MAIN]
    present = set(known)
    return [key for key in dict.fromkeys(keys) if key in present]


def optimistic(known: Sequence[str], protocol: str) -> list[tuple[str, str, str]]:
    """Rows (name, pointer of the frozen figure, pointer of the optimistic one)."""

    def at(key: str) -> str:
        return pointer("protocols", protocol, "figures", key) if key in known else ""

    rows = [("Threshold", "/settings/threshold", at("optimistic.threshold"))]
    for tail in ("precision", "recall", "f1"):
        row = (
            metric_tables.WORDS[tail],
            at(f"point.iou0.5.{tail}"),
            at(f"optimistic.{tail}"),
        )
        rows.append(row)
    rows.append(("Gain in F1 by choosing here", "", at("optimistic.gain")))
    return [row for row in rows if row[2]]


def drawn_from(results: dict[str, Any]) -> tuple[float | None, str]:
    """From which score a detection is drawn where none was frozen, and how to say it."""
    if results["settings"]["segmentation"]:
        return results["settings"]["threshold"], "components of p >= 0.5 are drawn."
    if results["settings"]["threshold_source"] != "none":
        return results["settings"]["threshold"], (
            "detections below the threshold are not drawn."
        )
    for protocol in results["protocols"].values():
        best = protocol.get("figures", {}).get("optimistic.threshold", {}).get("value")
        if best is not None:
            return best, (
                f"no threshold was frozen, so detections are drawn from {cut(best)}, the "
                "best threshold on these very images (optimistic)."
            )
    return None, "no threshold was frozen, so all detections are drawn."


def settings(results: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Settings by name: (pointer, "") of each number, ("", text) of the rest."""
    rows = []
    for key, value in results["settings"].items():
        at = pointer("settings", key)
        if isinstance(value, dict):
            parts = [(pointer("settings", key, inner), "") for inner in value]
        elif isinstance(value, list):
            parts = [(f"{at}/{i}", "") for i in range(len(value))]
        elif isinstance(value, bool):
            parts = [("", "yes" if value else "no")]
        elif isinstance(value, str):
            parts = [("", value or "none")]
        else:
            parts = [(at, "")]
        rows.append((key, parts or [("", "none")]))
    return rows


def provenance(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Where the results are from, as far as they say: (name, value)."""
    lines = []
    for part in ("inputs", "versions"):
        for key, value in (results.get(part) or {}).items():
            lines.append(
                (
                    f"{part}: {key}",
                    value if isinstance(value, str) else json.dumps(value),
                )
            )
    return lines
