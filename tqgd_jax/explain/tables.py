"""The checks of an explanation in words: a table of means, one of every slice."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

RAW_BEST = "best candidate, below the threshold"
FLAT = "empty map: nothing in it raises the score"
EMPTY = "nothing detected at any threshold"

CHANGES = 0.5  # rank correlation from which a map has not changed
# Key in "energy" or "checks", title, and whether the control stands beside it.
MEASURES = (
    ("boxes", "energy in the boxes", True),
    ("labels", "energy in the labels", True),
    ("random_above", "random weights after the module", False),
    ("random_all", "random weights everywhere", False),
    ("deletion", "deletion", True),
    ("insertion", "insertion", True),
)


class Table(NamedTuple):
    """Text by cells; the first column names the row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def means(document: dict[str, Any]) -> Table:
    """For each column of the grid the mean over the slices, and what fails."""
    rows = []
    for at, first in enumerate(document["rows"][0]["columns"]):
        entries = [row["columns"][at] for row in document["rows"]]
        values = {key: _mean(entries, key) for key, _, _ in MEASURES}
        control = {
            key: _mean(entries, f"{key}_gaussian") for key, _, two in MEASURES if two
        }
        moved = [e["checks"]["shift_cells"] for e in entries if e["checks"]]
        right = sum(cells == [0, 1] for cells in moved)
        rows.append(
            [
                f"{first['model']}, {first['module']}",
                *(_cell(values[key], control.get(key)) for key, _, _ in MEASURES),
                f"{right} of {len(moved)}" if moved else "",
                ", ".join(failed(values, control, right, len(moved)))
                or ("none" if moved else "none; energy alone was looked at"),
            ]
        )
    titles = [title for _, title, _ in MEASURES]
    return Table(
        "Mean over the slices (in brackets a centred Gaussian, which knows nothing)",
        ["network, module", *titles, "moves with the image", "fails"],
        rows,
    )


def failed(
    values: Mapping[str, float | None],
    control: Mapping[str, float | None],
    right: int,
    moved: int,
) -> list[str]:
    """The checks that a column does not pass; one that was not made fails nothing."""

    def above(key: str) -> bool:
        own, other = values[key], control[key]
        return own is not None and other is not None and own > other

    def below(key: str) -> bool:
        own, other = values[key], control[key]
        return own is not None and other is not None and own < other

    unchanged = [
        value is not None and abs(value) >= CHANGES
        for value in (values["random_above"], values["random_all"])
    ]
    wrong = {
        "energy": values["boxes"] is not None and not above("boxes"),
        "random weights after the module": unchanged[0],
        "random weights everywhere": unchanged[1],
        "shift": 2 * right < moved,
        "deletion": values["deletion"] is not None and not below("deletion"),
        "insertion": values["insertion"] is not None and not above("insertion"),
    }
    return [name for name, fails in wrong.items() if fails]


def every_slice(document: dict[str, Any]) -> Table:
    """For each panel its scores and checks."""
    rows = []
    for row in document["rows"]:
        for entry in row["columns"]:
            made = entry["checks"]
            note = [RAW_BEST] * entry["raw_best_candidate"]
            note += [FLAT] * entry["flat"]
            note = note if entry["boxes"] else [EMPTY]
            cells = [
                _cell(_value(entry, key), _value(entry, f"{key}_gaussian"))
                for key, _, _ in MEASURES
            ]
            parts = made.get("random_by_part", {}).items()
            rows.append(
                [
                    f"{row['slice']}: {entry['model']}, {entry['module']}",
                    " ".join(f"{box['score']:.2f}" for box in entry["boxes"]),
                    *cells,
                    ", ".join(f"{part} {_cell(value, None)}" for part, value in parts),
                    "{}, {}".format(*made["shift_cells"]) if made else "",
                    "; ".join(note),
                ]
            )
    titles = [title for _, title, _ in MEASURES]
    return Table(
        "Every panel",
        [
            "slice, network, module",
            "scores",
            *titles,
            "random down to",
            "shift (y, x)",
            "",
        ],
        rows,
    )


def _value(entry: dict[str, Any], key: str) -> float | None:
    return entry["energy"].get(key, entry["checks"].get(key))


def _mean(entries: Sequence[dict[str, Any]], key: str) -> float | None:
    values = [v for entry in entries if (v := _value(entry, key)) is not None]
    return mean(values) if values else None


def _cell(value: float | None, control: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" + ("" if control is None else f" ({control:.2f})")
