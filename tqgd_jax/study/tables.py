"""The paper's tables from the results of a study, in its own columns and in honest ones.

Values are text here; empty cells say how many runs they lack.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqgd_jax.report.text.comparison_text import p_text
from tqgd_jax.study import paper_values
from tqgd_jax.study.effects import MOST, Effect, value
from tqgd_jax.study.results import RowResults

# Title, figure of results.json.
PAPER = (
    ("P", "optimistic.precision"),
    ("R", "optimistic.recall"),
    ("F1", "optimistic.f1"),
    ("mAP", "ap.yolo.0.5"),
)
HONEST = (
    ("AP50", "ap.yolo.0.5"),
    ("AP50-95", "ap.yolo.0.5:0.95"),
    ("P", "point.iou0.5.precision"),
    ("R", "point.iou0.5.recall"),
    ("F1", "point.iou0.5.f1"),
    ("R, centre", "point.centre.recall"),
    ("FROC", "froc.scan.cpm"),
)
PROTOCOLS = {"clinical": "all slices", "paper": "slices with a lesion"}
COSTS = (
    ("parameters", "parameters", "{:,}"),
    ("deployed", "parameters_fused", "{:,}"),
    ("GFLOPs", "gflops", "{:.1f}"),
    ("s a step", "step_s", "{:.3f}"),
    ("s an epoch", "epoch_s", "{:.1f}"),
    ("ms an image", "image_ms", "{:.1f}"),
)
TITLES = {
    1: "Table 1: TQGDNet and other networks",
    2: "Table 2: modules",
    3: "Table 3: fusion",
    4: "Table 4: folds",
}
NONE = "-"
UNLEARNT = 0.05  # AP50 of a run, below which its network has learnt nothing


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
    columns = [title for title, _ in PAPER]
    columns += [f"mAP, paper ({name})" for _, name in published]
    cells = []
    for row in own:
        seen = [spread(row, key, "paper") for _, key in PAPER]
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
            "only, threshold of the best F1 on these very slices.",
            *unlearnt(own),
        ],
    )


def judged(rows: Sequence[RowResults]) -> str:
    """The protocol of the honest tables: all slices, where they were judged."""
    done = [results for row in rows for results in row.done.values()]
    seen = any("figures" in results["protocols"]["clinical"] for results in done)
    return "clinical" if seen else "paper"


def how_pooled(rows: Sequence[RowResults]) -> str:
    """How a figure comes from the runs; for the notes of tables."""
    if any(cell.fold for row in rows for cell in row.cells):
        text = (
            "Folds pooled, so each patient is judged once, by a network that has not seen "
            "it; "
        )
    else:
        text = "The data set's own test split; "
    if len({cell.seed for row in rows for cell in row.cells}) > 1:
        return text + "mean (SD) over seeds."
    return text + "95 % intervals over patients."


def honest(number: int, rows: Sequence[RowResults]) -> Table:
    """The same rows on all slices: folds pooled, threshold frozen on validation."""
    own, protocol = [row for row in rows if number in row.row.tables], judged(rows)
    keys = [key for _, key in HONEST]
    cells = [
        [
            *(row.row.label, count(row), spread(row, keys[0], protocol)),
            *(pooled(row, key, protocol) for key in keys),
        ]
        for row in own
    ]
    return Table(
        f"table-{number}",
        f"{TITLES[number]}, {PROTOCOLS[protocol]}, frozen thresholds",
        ["", "runs", f"{HONEST[0][0]} in a run", *(title for title, _ in HONEST)],
        cells,
        [
            f"{how_pooled(rows)} In a run: mean (SD) over folds and seeds. Pooled folds "
            "have one order of confidences, which lowers AP50 and FROC where networks "
            "of different folds are not equally sure.",
            *unlearnt(own),
        ],
    )


def folds(row: RowResults) -> Table:
    """Each fold and seed of a row."""
    keys = [(key, "paper") for _, key in PAPER]
    keys += [(key, judged([row])) for _, key in HONEST]
    cells = []
    for seed, fold in sorted(row.done):
        values = [shown(value(row.done[seed, fold], *key)) for key in keys]
        cells.append([f"fold {fold}, seed {seed}", *values])
    if row.whole:
        cells.append(["mean (SD)", *(spread(row, *key) for key in keys)])
    columns = [f"{title}, paper's" for title, _ in PAPER]
    columns += [title for title, _ in HONEST]
    missing = len(row.cells) - len(row.done)
    notes = [f"{missing} of {len(row.cells)} runs are missing: no mean."] * bool(
        missing
    )
    for name, each in paper_values.FOLDS.items():
        values = ", ".join(f"{mean_ap:.3f}" for _, _, mean_ap in each)
        notes.append(f"mAP of the paper's five groups, {name}: {values}.")
    return Table(
        f"table-4-{row.row.name}",
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
        row, gains = effect.row, effect.by_cell
        needed = effect.needed
        cells.append(
            [
                effect.name,
                f"{len(gains)} of {effect.cells}" if gains else NONE,
                shown(row["difference"], "+.3f"),
                NONE
                if row["low"] is None
                else f"{row['low']:+.3f} to {row['high']:+.3f}",
                p_text(row["p"]),
                p_text(row["p_holm"]),
                f"{sum(d > 0 for d in gains)}" if gains else NONE,
                shown(statistics.stdev(gains)) if len(gains) > 1 else NONE,
                NONE if math.isnan(effect.sd) else f"{effect.sd:.3f}",
                NONE if not needed else f"{'> ' * (needed == MOST)}{needed:,}",
            ]
        )
    columns = ("", "runs", "difference", "95 % interval", "p", "p Holm", "with a gain")
    columns += ("SD of runs", "SD of patients", "patients needed")
    reasons = [e.row["reason"] for e in rows if e.row["reason"]]
    return Table(name, title, columns, cells, [*notes, *dict.fromkeys(reasons)])


def costs(
    rows: Sequence[RowResults], networks: Mapping[str, Mapping[str, Any]]
) -> Table:
    """What each row costs as far as that was measured, and how it was trained."""
    cells, devices = [], set()
    for row in rows:
        config = row.cells[0].config
        weights = Path(config.baseline.weights).name or "none"
        measured = networks.get(row.row.name)
        texts = [NONE] * len(COSTS)
        if measured:
            texts = [form.format(measured[key]) for _, key, form in COSTS]
            devices.add(f"{measured['device']}; steps timed: {measured['steps']}")
        size, epochs = config.data.image_size, config.train.epochs
        cells.append([row.row.label, *texts, f"{size}", f"{epochs}", weights])
    columns = [title for title, _, _ in COSTS]
    notes = ["GFLOPs of one image at the size in px that is judged."]
    if devices:
        notes.append(f"Measured by `tqgd study plan` on {'; '.join(sorted(devices))}.")
    return Table(
        "costs",
        "What each row costs, and how it was trained",
        ["", *columns, "px", "epochs", "pretrained"],
        cells,
        notes,
    )


def unlearnt(rows: Sequence[RowResults]) -> list[str]:
    """A sentence on each whole row with runs that have learnt nothing."""
    sentences = []
    for row in rows:
        each = [value(results, "ap.yolo.0.5", "paper") for results in row.done.values()]
        low = [ap for ap in each if ap is not None and ap < UNLEARNT]
        if not row.whole or not low:
            continue
        every = len(low) == len(each)
        runs = "here" if every else f"in {len(low)} of {len(each)} runs"
        where = "in every run" if every else "there"
        sentences.append(
            f"{row.row.label} did not learn {runs}: AP50 is at most {max(low):.3f} "
            f"{where}, on slices with a lesion."
        )
    return sentences


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
    """The figure of pooled folds: with its interval, of several seeds mean and SD."""
    if not row.whole:
        return NONE
    figures = [
        model.results["protocols"][protocol].get("figures", {}).get(key, {})
        for model in row.pooled.values()
    ]
    values = [figure.get("value") for figure in figures]
    if None in values:
        return NONE
    if len(values) > 1:
        return f"{statistics.mean(values):.3f} ({statistics.stdev(values):.3f})"
    low, high = figures[0].get("low"), figures[0].get("high")
    text = shown(values[0])
    return text if low is None else f"{text} ({low:.3f} to {high:.3f})"


def shown(number: float | None, form: str = ".3f") -> str:
    """A number, or a dash."""
    return NONE if number is None else f"{number:{form}}"


def count(row: RowResults) -> str:
    """How many of its runs are done."""
    return f"{len(row.done)} of {len(row.cells)}"
