"""What the paper's tables leave out: every row under both protocols, FROC, sizes.

How figures come from the runs: `tables.how_pooled`.
"""

from collections.abc import Sequence

from tqgd_jax.evaluation.measures.froc import NAMES
from tqgd_jax.evaluation.measures.size_strata import size_names
from tqgd_jax.study.results import RowResults
from tqgd_jax.study.tables import (
    PROTOCOLS,
    Table,
    count,
    how_pooled,
    judged,
    pooled,
    spread,
)

THRESHOLDS = (
    ("AP50", "ap.yolo.0.5"),
    ("P, frozen", "point.iou0.5.precision"),
    ("R, frozen", "point.iou0.5.recall"),
    ("F1, frozen", "point.iou0.5.f1"),
    ("P, best F1", "optimistic.precision"),
    ("R, best F1", "optimistic.recall"),
    ("F1, best F1", "optimistic.f1"),
)
FROC = {
    "scan": "boxes, per scan",
    "slice": "boxes, per slice",
    "lesion": "3-D lesions, per scan",
}


def thresholds(rows: Sequence[RowResults], protocol: str) -> Table:
    """One protocol at the frozen threshold, and at that of the best F1 on these slices."""
    gain, keys = "optimistic.gain", [key for _, key in THRESHOLDS]
    return Table(
        f"thresholds-{protocol}",
        f"Thresholds, {PROTOCOLS[protocol]}",
        ["", "runs", *(title for title, _ in THRESHOLDS), "F1 gained in a run"],
        [
            [*cells, spread(row, gain, protocol)]
            for row, cells in zip(rows, _cells(rows, keys, protocol), strict=False)
        ],
        [
            "Frozen: the threshold that validation chose, in each fold its own. Best F1: "
            "one for all that is judged, the best on these very slices; of several folds "
            "it may be lower than with a threshold for each. F1 gained in a "
            "run: by the run's own best threshold instead of its frozen one, mean (SD) "
            f"over folds and seeds; so much is optimism. {how_pooled(rows)}"
        ],
    )


def froc(rows: Sequence[RowResults], unit: str) -> Table:
    """Sensitivity at the false alarms per scan or slice of LUNA16.

    Args:
      rows: of the data set.
      unit: of `FROC`.
    """
    keys = [f"froc.{unit}.{rate}" for rate in ("cpm", *NAMES)]
    protocol = judged(rows)
    return Table(
        f"froc-{unit}",
        f"FROC of {FROC[unit]}, {PROTOCOLS[protocol]}",
        ["", "runs", "mean in a run", "mean", *NAMES],
        [
            [*cells[:2], spread(row, keys[0], protocol), *cells[2:]]
            for row, cells in zip(rows, _cells(rows, keys, protocol), strict=False)
        ],
        [
            "Sensitivity at so many false alarms (boxes in slices) "
            f"{'a slice' if unit == 'slice' else 'a scan'}, and the mean over the seven; a "
            "hit is a centre within half the longer side. Pooled folds have one order of "
            "confidences: a fold whose network is surer than others costs them at few "
            "false alarms. In a run: the same of each run, mean (SD) over folds and "
            f"seeds. {how_pooled(rows)}"
        ],
    )


def sizes(rows: Sequence[RowResults]) -> Table:
    """Recall by area of the labelled box, and how many boxes there are."""
    done = [results for row in rows for results in row.done.values()]
    names = size_names(done[0]["settings"]["size_px"])
    keys = [f"size.px.{name}.{how}" for how in ("recall", "centre") for name in names]
    columns = [*names, *(f"{name}, centre" for name in names)]
    protocol = judged(rows)
    cells = _cells(rows, keys, protocol)
    pools = [model.results for row in rows for model in row.pooled.values()]
    first = next((p for p in pools if "figures" in p["protocols"][protocol]), None)
    if first is not None:
        of = first["protocols"][protocol]["figures"]
        counts = [f"{of[f'size.px.{name}.boxes']['value']:.0f}" for name in names]
        cells.insert(0, ["labelled boxes", "", *counts, *counts])
    return Table(
        "sizes",
        f"Recall by area of the labelled box in px, {PROTOCOLS[protocol]}",
        ["", "runs", *columns],
        cells,
        [
            "At the frozen threshold, at IoU .5 and by the distance of centres. Areas as "
            "in the paper's Fig. 2: above the first number, up to the second. "
            + how_pooled(rows)
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
