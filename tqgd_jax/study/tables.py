"""The paper's tables from the results of a study, in its own columns and in honest ones.

Values are text here; empty cells say how many runs they lack.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tqgd_jax.report.text.comparison_text import p_text
from tqgd_jax.study import paper_values
from tqgd_jax.study.effects import Effect, value
from tqgd_jax.study.results import RowResults

# Title, figure of results.json, protocol.
PAPER = (
    ("P", "optimistic.precision", "paper"),
    ("R", "optimistic.recall", "paper"),
    ("F1", "optimistic.f1", "paper"),
    ("mAP", "ap.yolo.0.5", "paper"),
)
HONEST = (
    ("AP50", "ap.yolo.0.5", "clinical"),
    ("AP50-95", "ap.yolo.0.5:0.95", "clinical"),
    ("P", "point.iou0.5.precision", "clinical"),
    ("R", "point.iou0.5.recall", "clinical"),
    ("F1", "point.iou0.5.f1", "clinical"),
    ("R, centre", "point.centre.recall", "clinical"),
    ("FROC", "froc.scan.cpm", "clinical"),
)
COSTS = (
    ("parameters", "parameters", "{:,}"),
    ("deployed", "parameters_fused", "{:,}"),
    ("GFLOPs", "gflops", "{:.1f}"),
    ("s an epoch", "epoch_s", "{:.1f}"),
    ("ms an image", "image_ms", "{:.1f}"),
)
TITLES = {
    1: "Table 1: TQGDNet and its baseline",
    2: "Table 2: modules",
    3: "Table 3: fusion",
    4: "Table 4: folds",
}
NONE = "-"


class Table(NamedTuple):
    """A table for any kind of page.

    Attributes:
      name: of its files.
      title: above it.
      columns: titles; the first column names the row.
      rows: cells.
      notes: below it.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def of_paper(number: int, rows: Sequence[RowResults]) -> Table:
    """A table of the paper in its own columns: mean and SD over folds and seeds.

    Precision and recall are those at the best F1 on the test images themselves, on slices
    with a lesion alone: as the paper does it, and optimistic.
    """
    own = [row for row in rows if number in row.row.tables]
    published = [
        (paper_values.CONCORD, "Concord"),
        (paper_values.ORCASCORE, "OrCaScore"),
    ]
    columns = [title for title, _, _ in PAPER]
    columns += [f"mAP, paper ({name})" for _, name in published]
    cells = []
    for row in own:
        seen = [spread(row, key, protocol) for _, key, protocol in PAPER]
        published_values = [
            f"{of[row.row.name][3]:.3f}" if row.row.name in of else NONE
            for of, _ in published
        ]
        cells.append([row.row.label, count(row), *seen, *published_values])
    return Table(
        f"table-{number}-paper",
        f"{TITLES[number]}, as the paper counts",
        ["", "runs", *columns],
        cells,
        [
            "Mean (SD) over folds and seeds, never the best fold; slices with a lesion "
            "only, threshold of the best F1 on these very slices."
        ],
    )


def honest(number: int, rows: Sequence[RowResults]) -> Table:
    """The same rows on all slices: folds pooled, threshold frozen on validation."""
    own = [row for row in rows if number in row.row.tables]
    cells = [
        [row.row.label, count(row), *(pooled(row, key, p) for _, key, p in HONEST)]
        for row in own
    ]
    return Table(
        f"table-{number}",
        f"{TITLES[number]}, all slices",
        ["", "runs", *(title for title, _, _ in HONEST)],
        cells,
        [
            "All folds pooled, so each patient is judged once, by a network that has not "
            "seen it; 95 % intervals over patients; of several seeds the mean, with the "
            "interval of the first."
        ],
    )


def folds(row: RowResults) -> Table:
    """Each fold and seed of a row."""
    cells = []
    for seed, fold in sorted(row.done):
        results = row.done[seed, fold]
        values = [shown(value(results, key, p)) for _, key, p in (*PAPER, *HONEST)]
        cells.append([f"fold {fold}, seed {seed}", *values])
    if row.whole:
        both = [spread(row, key, p) for _, key, p in (*PAPER, *HONEST)]
        cells.append(["mean (SD)", *both])
    columns = [f"{title}, paper's" for title, _, _ in PAPER]
    columns += [title for title, _, _ in HONEST]
    missing = len(row.cells) - len(row.done)
    notes = [f"{missing} of {len(row.cells)} runs are missing: no mean."] * bool(
        missing
    )
    for name, each in paper_values.FOLDS.items():
        values = ", ".join(f"{mean_ap:.3f}" for _, _, mean_ap in each)
        notes.append(f"mAP of the paper's five groups, {name}: {values}.")
    return Table(
        "table-4-folds",
        f"{TITLES[4]}: {row.row.label}",
        ["", *columns],
        cells,
        notes,
    )


def effects(
    name: str, title: str, rows: Sequence[Effect], notes: Sequence[str]
) -> Table:
    """Differences with intervals, p, and what each cell says."""
    cells = []
    for effect in rows:
        row = effect.row
        signs = [d > 0 for d in effect.by_cell]
        cells.append(
            [
                effect.name,
                shown(row["difference"], "+.3f"),
                NONE
                if row["low"] is None
                else f"{row['low']:+.3f} to {row['high']:+.3f}",
                p_text(row["p"]),
                p_text(row["p_holm"]),
                f"{sum(signs)} of {len(signs)}",
                shown(statistics.stdev(effect.by_cell)) if len(signs) > 1 else NONE,
                f"{effect.sd:.3f}",
                NONE if effect.needed is None else f"{effect.needed:,}",
            ]
        )
    columns = ("", "difference", "95 % interval", "p", "p Holm", "runs with a gain")
    columns += ("SD of runs", "SD of patients", "patients needed")
    return Table(name, title, columns, cells, notes)


def costs(
    rows: Sequence[RowResults], networks: Mapping[str, Mapping[str, Any]]
) -> Table:
    """What each row costs, as far as it was measured."""
    cells = []
    for row in rows:
        measured = networks.get(row.row.name, {})
        texts = [
            NONE if measured.get(key) is None else form.format(measured[key])
            for _, key, form in COSTS
        ]
        cells.append([row.row.label, *texts])
    return Table(
        "costs", "What each row costs", ["", *(title for title, _, _ in COSTS)], cells
    )


def spread(row: RowResults, key: str, protocol: str) -> str:
    """Mean and SD over folds and seeds; the count alone while one is missing."""
    values = [value(results, key, protocol) for results in row.done.values()]
    known = [v for v in values if v is not None]
    if not row.whole or len(known) < len(values):
        return NONE
    if len(known) == 1:
        return shown(known[0])
    return f"{statistics.mean(known):.3f} ({statistics.stdev(known):.3f})"


def pooled(row: RowResults, key: str, protocol: str) -> str:
    """The figure of pooled folds with its interval."""
    if not row.whole:
        return NONE
    figures = [
        model.results["protocols"][protocol].get("figures", {}).get(key, {})
        for model in row.pooled.values()
    ]
    values = [figure.get("value") for figure in figures]
    if None in values:
        return NONE
    text = shown(statistics.mean(values))
    low, high = figures[0].get("low"), figures[0].get("high")
    return text if low is None else f"{text} ({low:.3f} to {high:.3f})"


def shown(number: float | None, form: str = ".3f") -> str:
    """A number, or a dash."""
    return NONE if number is None else f"{number:{form}}"


def count(row: RowResults) -> str:
    """How many of its runs are done."""
    return f"{len(row.done)} of {len(row.cells)}"
