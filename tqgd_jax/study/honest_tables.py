"""What the paper's tables leave out: every row under both protocols, FROC, sizes.

Folds are pooled, so each patient counts once; intervals are over patients.
"""

from collections.abc import Sequence

from tqgd_jax.evaluation.measures.froc import NAMES
from tqgd_jax.evaluation.measures.strata import size_names
from tqgd_jax.study.results import RowResults
from tqgd_jax.study.tables import Table, count, pooled

PROTOCOLS = {"clinical": "all slices", "paper": "slices with a lesion"}
THRESHOLDS = (
    ("AP50", "ap.yolo.0.5"),
    ("P, frozen", "point.iou0.5.precision"),
    ("R, frozen", "point.iou0.5.recall"),
    ("F1, frozen", "point.iou0.5.f1"),
    ("P, best F1", "optimistic.precision"),
    ("R, best F1", "optimistic.recall"),
    ("F1, best F1", "optimistic.f1"),
    ("F1 gained", "optimistic.gain"),
)
FROC = {
    "scan": "boxes, per scan",
    "slice": "boxes, per slice",
    "lesion": "3-D lesions, per scan",
}
POOLED = "Folds pooled; 95 % intervals over patients."


def thresholds(rows: Sequence[RowResults], protocol: str) -> Table:
    """One protocol at the frozen threshold, and at that of the best F1 on these slices."""
    return Table(
        f"thresholds-{protocol}",
        f"Thresholds, {PROTOCOLS[protocol]}",
        ["", "runs", *(title for title, _ in THRESHOLDS)],
        _cells(rows, [key for _, key in THRESHOLDS], protocol),
        [
            "Frozen: the threshold that validation chose. Best F1: the one that is best on "
            "the judged slices themselves, which is optimistic. F1 gained: by that choice. "
            + POOLED
        ],
    )


def froc(rows: Sequence[RowResults], unit: str) -> Table:
    """Sensitivity at the false alarms per scan or slice of LUNA16.

    Args:
      rows: of the data set.
      unit: of `FROC`.
    """
    keys = [f"froc.{unit}.{rate}" for rate in (*NAMES, "cpm")]
    return Table(
        f"froc-{unit}",
        f"FROC of {FROC[unit]}, all slices",
        ["", "runs", *NAMES, "mean"],
        _cells(rows, keys, "clinical"),
        [
            "Sensitivity at so many false alarms "
            f"{'a slice' if unit == 'slice' else 'a scan'}, and its mean over the seven; a "
            f"hit is a centre within half the longer side. {POOLED}"
        ],
    )


def sizes(rows: Sequence[RowResults]) -> Table:
    """Recall by area of the labelled box, and how many boxes there are."""
    done = [results for row in rows for results in row.done.values()]
    names = size_names(done[0]["settings"]["size_px"])
    keys = [f"size.px.{name}.{how}" for how in ("recall", "centre") for name in names]
    columns = [*names, *(f"{name}, centre" for name in names)]
    first = next((row for row in rows if row.pooled), None)
    cells = _cells(rows, keys, "clinical")
    if first is not None and cells:
        of = next(iter(first.pooled.values())).results["protocols"]["clinical"][
            "figures"
        ]
        counts = [f"{of[f'size.px.{name}.boxes']['value']:.0f}" for name in names]
        cells.insert(0, ["labelled boxes", "", *counts, *counts])
    return Table(
        "sizes",
        "Recall by area of the labelled box in px, all slices",
        ["", "runs", *columns],
        cells,
        [
            "At the frozen threshold, at IoU .5 and by the distance of centres. Areas as "
            f"in the paper's Fig. 2: above the first number, up to the second. {POOLED}"
        ],
    )


def _cells(
    rows: Sequence[RowResults], keys: Sequence[str], protocol: str
) -> list[list[str]]:
    """A line for each row; none where no run was judged under the protocol."""
    done = [results for row in rows for results in row.done.values()]
    if not any("figures" in results["protocols"][protocol] for results in done):
        return []
    return [
        [row.row.label, count(row), *(pooled(row, key, protocol) for key in keys)]
        for row in rows
    ]
