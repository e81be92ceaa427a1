"""Which slices Fig. 8 shows: by a rule, from what all networks said of them.

The difficulty of a slice with a lesion is the number of errors that a network makes in
it, missed boxes and false alarms at its frozen threshold and IoU 0.5, as a mean over the
networks. Slices stand in its order, equal ones by name; those at the quantiles are shown.
"""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tqgd_jax.report import result_tables

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
PLACE = ("crop_x0", "crop_y0", "crop_x1", "crop_y1", "height", "width")
KIND, ABOVE = (result_tables.LESIONS.index(name) for name in ("kind", "above"))
Row = dict[str, str]


class Judged(NamedTuple):
    """A slice, and what a network that had not seen its patient said of it.

    Attributes:
      slice: row of slices.csv.
      rows: of lesions.csv: labelled boxes, and detections at the frozen threshold.
    """

    slice: Row
    rows: Sequence[Row]

    @property
    def boxes(self) -> list[Row]:
        """The labelled ones."""
        return [row for row in self.rows if row["kind"] == result_tables.BOX]

    @property
    def detections(self) -> list[Row]:
        """All others."""
        return [row for row in self.rows if row["kind"] == result_tables.DETECTION]

    @property
    def place(self) -> tuple[str, ...]:
        """Which part of the whole slice it is."""
        return tuple(self.slice[name] for name in PLACE)

    @property
    def outcomes(self) -> Counter[str]:
        """How many "found", "missed", "hit", "false alarm" and "ignored" there are."""
        return Counter(row["outcome"] for row in self.rows)

    @property
    def errors(self) -> int:
        """Missed boxes and false alarms."""
        return self.outcomes["missed"] + self.outcomes["false alarm"]


class Shown(NamedTuple):
    """A slice of the figure."""

    quantile: float
    name: str
    difficulty: float


def read(folders: Sequence[Path]) -> dict[str, Judged]:
    """The slices of some results by name; those without a frozen threshold are left out.

    Raises:
      ValueError: as `result_tables.read`.
    """
    judged = {}
    for folder in folders:
        slices = {
            row["image"]: row
            for row in result_tables.read(folder / "slices.csv", result_tables.SLICES)
        }
        rows: dict[str, list[Row]] = {name: [] for name in slices}
        lesions = folder / "lesions.csv"
        for row in result_tables.read(lesions, result_tables.LESIONS, _counts):
            if row["image"] in rows:
                rows[row["image"]].append(row)
        judged |= {
            name: Judged(row, rows[name])
            for name, row in slices.items()
            if row["threshold"]
        }
    return judged


def _counts(cells: Sequence[str]) -> bool:
    """Whether a row of lesions.csv is a labelled box, or a detection that counts."""
    return cells[KIND] == result_tables.BOX or cells[ABOVE] == "1"


def difficulties(networks: Sequence[Mapping[str, Judged]]) -> dict[str, float]:
    """Mean errors in the slices with a lesion that every network has judged.

    All in the same crop: else their boxes could not stand in one picture.
    """
    of = {}
    for name, first in networks[0].items():
        each = [judged[name] for judged in networks if name in judged]
        everywhere = len(each) == len(networks)
        if (
            everywhere
            and first.outcomes.keys() & {"found", "missed"}
            and all(one.place == first.place for one in each)
        ):
            of[name] = statistics.mean(one.errors for one in each)
    return of


def at_quantiles(
    of: Mapping[str, float], quantiles: Sequence[float] = QUANTILES
) -> list[Shown]:
    """The slices at the quantiles of difficulty, each once, the easiest first.

    With n slices in order, from 0, quantile q is the one at q (n - 1), rounded half up.
    """
    order = sorted(of, key=lambda name: (of[name], name))
    shown: dict[str, Shown] = {}
    for q in quantiles if order else ():
        name = order[math.floor(q * (len(order) - 1) + 0.5)]
        shown.setdefault(name, Shown(q, name, of[name]))
    return [*shown.values()]
