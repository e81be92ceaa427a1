"""Which figures stand together in a table of the page, and what they are called."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from tqgd_jax.evaluation.measures import at_threshold, mean_ap
from tqgd_jax.evaluation.measures.froc import NAMES

PROTOCOLS = {
    "clinical": ("Clinical protocol", "all slices, with and without calcium"),
    "paper": ("Paper protocol", "only slices with a labelled box"),
}
WORDS = {
    **{"precision": "Precision", "recall": "Recall", "f1": "F1"},
    **{"tp": "Hits (TP)", "fp": "False alarms (FP)", "fn": "Missed (FN)"},
    "fp_per_scan": "False alarms per scan",
    "fp_per_slice": "False alarms per slice",
    **{"threshold": "Threshold", "gain": "Gain in F1"},
    **{"boxes": "Boxes", "centre": "Recall, centre-hit", "ap50": "AP50, YOLOv5 rule"},
    "cpm": "Mean of the seven (CPM)",
    "sensitivity": "Sensitivity",
    **{"ppv": "Positive predictive value (PPV)", "npv": "Negative predictive value"},
    "volume_sensitivity": "Sensitivity, volume of boxes",
    "volume_ppv": "PPV, volume of boxes",
    "volume_f1": "F1, volume of boxes",
    **{"reference": "Reference lesions", "detected": "Detected lesions"},
    "kappa": "Linearly weighted kappa",
    "accuracy": "Same category (share of scans)",
    "icc_a1": "ICC(A,1), absolute agreement",
    "icc_c1": "ICC(C,1), consistency",
    "bias": "Bias (mean difference)",
    "sd": "SD of the differences",
    "loa_low": "Lower limit of agreement",
    "loa_high": "Upper limit of agreement",
    "log_bias": "Bias of log(score + 1)",
    "log_sd": "SD of the differences of log(score + 1)",
    "log_loa_low": "Lower limit of log(score + 1)",
    "log_loa_high": "Upper limit of log(score + 1)",
    "mae": "Mean absolute difference",
}
CRITERIA = {
    "iou0.5": "IoU 0.5",
    "centre": "Centre-hit",
    "iou0.3": "IoU 0.3",
    "iou0.1": "IoU 0.1",
}
UNITS = {"scan": "Per scan", "slice": "Per slice", "lesion": "3-D lesions, per scan"}
RULES = {"yolo": "YOLOv5 v7.0 rule", "coco": "COCO rule"}


class Grid(NamedTuple):
    """A table of figures.

    Attributes:
      corner: what the rows are.
      columns: names.
      rows: name of each and its keys, one for each column; "" where there is none.
    """

    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def keys(self) -> set[str]:
        """All keys in the table."""
        return {key for _, keys in self.rows for key in keys if key}


def name(key: str) -> str:
    """A key in words, as a headline or a single row calls it."""
    family, *middle = key.split(".")
    tail = middle.pop() if middle else ""
    if family == "ap":
        rule, _, iou = key.removeprefix("ap.").partition(".")
        return f"AP at IoU {iou}, {RULES.get(rule, rule)}"
    if family == "point":
        criterion = ".".join(middle)
        return f"{WORDS.get(tail, tail)}, {CRITERIA.get(criterion, criterion)}"
    if family == "froc" and len(middle) == 1:
        unit = {"scan": "scan", "slice": "slice", "lesion": "scan (3-D lesions)"}
        each = unit.get(middle[0], middle[0])
        if tail == "cpm":
            return f"FROC: mean sensitivity at 1/8 to 8 false alarms per {each} (CPM)"
        return f"FROC: sensitivity at {tail} false alarms per {each}"
    if family == "lesion3d":
        return f"{WORDS.get(tail, tail)}, 3-D lesions"
    if family == "overlap":
        return f"{WORDS.get(tail.removeprefix('volume_'), tail)}, voxels of calcium"
    if family.startswith("cut"):
        return (
            f"{WORDS.get(tail, tail)}, score at or above {family.removeprefix('cut')}"
        )
    if family in ("volume", "mass"):
        return f"{WORDS.get(tail, tail)}, {family}"
    return WORDS.get(key, key)


def grid(
    corner: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[tuple[str, str]],
    pattern: str,
    known: Collection[str],
) -> Grid:
    """A table of those keys `pattern.format(row=..., column=...)` that are known.

    Args:
      corner: what the rows are.
      columns: (part of the key, name); one without any known key is left out.
      rows: likewise.
      pattern: of a key.
      known: keys there are.
    """

    def key(row: str, column: str) -> str:
        made = pattern.format(row=row, column=column)
        return made if made in known else ""

    shown = [c for c in columns if any(key(r, c[0]) for r, _ in rows)]
    lines = [(title, tuple(key(r, c) for c, _ in shown)) for r, title in rows]
    filled = tuple((title, keys) for title, keys in lines if any(keys))
    return Grid(corner, tuple(title for _, title in shown), filled)


def strata(prefix: str, corner: str, unit: str, known: Collection[str]) -> Grid:
    """A table of all `prefix.NAME.FIGURE`, in the order in which the keys stand."""
    parts = [
        k.removeprefix(f"{prefix}.").rpartition(".") for k in known if _of(prefix, k)
    ]
    rows = [
        (row, f"{row.replace('-', ' to ')} {unit}" if unit else row)
        for row in dict.fromkeys(row for row, _, _ in parts)
    ]
    tails = dict.fromkeys(tail for _, _, tail in parts)
    first = [
        t for t in ("boxes", "ap50", "recall", "centre", "precision") if t in tails
    ]
    columns = [
        (t, column(t, prefix)) for t in [*first, *(t for t in tails if t not in first)]
    ]
    return grid(corner, columns, rows, prefix + ".{row}.{column}", known)


def column(tail: str, prefix: str) -> str:
    """What a column of a table of strata is called."""
    if tail == "recall" and prefix != "class":
        return "Recall, IoU 0.5"
    return WORDS.get(tail, tail)


def _of(prefix: str, key: str) -> bool:
    return key.startswith(f"{prefix}.")


def average_precision(known: Collection[str]) -> Grid:
    """AP by IoU and rule."""
    rows = [(iou, f"IoU {iou.replace(':', ' to ')}") for iou in mean_ap.NAMES]
    return grid("Overlap", list(RULES.items()), rows, "ap.{column}.{row}", known)


def points(known: Collection[str]) -> Grid:
    """Figures at the frozen threshold by criterion of a hit."""
    rows = [(tail, WORDS[tail]) for tail in at_threshold.NAMES]
    return grid("Figure", list(CRITERIA.items()), rows, "point.{column}.{row}", known)


def froc(known: Collection[str]) -> Grid:
    """Sensitivity by false alarms per scan or slice."""
    rows = [(r, WORDS.get(r, r)) for r in (*NAMES, "cpm")]
    columns = list(UNITS.items())
    return grid("False alarms", columns, rows, "froc.{column}.{row}", known)


def lesions(known: Collection[str]) -> Grid:
    """Lesions in 3-D."""
    tails = [key.rpartition(".")[2] for key in known if _of("lesion3d", key)]
    rows = [(tail, WORDS.get(tail, tail)) for tail in tails]
    return grid("Figure", [("", "3-D lesions")], rows, "lesion3d.{row}{column}", known)


def cuts(known: Collection[str]) -> Grid:
    """Detection of patients at or above a score."""
    scores = dict.fromkeys(k.partition(".")[0] for k in known if k.startswith("cut"))
    rows = [(cut, f"at or above {cut.removeprefix('cut')}") for cut in scores]
    tails = ("sensitivity", "specificity", "ppv", "npv", "f1")
    columns = [(t, {"ppv": "PPV", "npv": "NPV"}.get(t, t.capitalize())) for t in tails]
    return grid("Score", columns, rows, "{row}.{column}", known)


def rest(known: Collection[str], shown: Sequence[Grid]) -> Grid:
    """A table of the keys that no other table shows, so that none is left out."""
    seen = set().union(*(g.keys for g in shown))
    left = [key for key in known if key not in seen and not _of("optimistic", key)]
    return Grid("Figure", ("Value",), tuple((name(key), (key,)) for key in left))


def meaning(results: dict[str, Any], key: str) -> str:
    """The glossary's sentence for a key, by its longest known beginning."""
    known = [start for start in results["glossary"] if key.startswith(start)]
    return results["glossary"][max(known, key=len)] if known else ""
