"""Does a module help? Effects of rows and modules, paired over patients.

Table 2 of the paper is a factorial design: every network with and without each of three
modules. The main effect of a module is its mean gain over the four networks of the others,
an interaction how much of it another module takes away or adds.
"""

import itertools
import math
import operator
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from scipy import optimize, stats

from tqgd_jax.evaluation import paired
from tqgd_jax.evaluation.paired import Difference, Drawn
from tqgd_jax.report.comparison.differences import holm
from tqgd_jax.study.results import RowResults

KEY = "ap.yolo.0.5"  # what differences are of
LEVEL, POWER = 0.95, 0.8
MOST = 10**7  # patients that are counted
MODULES = {"thr": "ThrConvs", "queen": "Queen-fusion", "gd": "gather-and-distribute"}
Pair = tuple[RowResults, RowResults]  # with, without


class Effect(NamedTuple):
    """A difference of a figure that has a name.

    Attributes:
      name: such as "ThrConvs" or a row's label.
      row: `difference`, `low`, `high`, `p`, `p_holm` and `reason`; None while runs are
        missing.
      sd: between patients, of what a patient adds to the difference; NaN if unknown.
      patients: how many.
      by_cell: the difference on each fold and seed, mean over the pairs of networks.
      cells: how many folds and seeds there are in the study.
    """

    name: str
    row: dict[str, Any]
    sd: float
    patients: int
    by_cell: list[float]
    cells: int

    @property
    def needed(self) -> int | None:
        """Patients with which a difference of this size would show, 80 % power.

        By a paired t test, two-sided 5 %; None if unknown, `MOST` for more.
        """
        size = self.row["difference"]
        if not size or not self.sd > 0:
            return None
        return patients_for(abs(size), self.sd)


def detectable(sd: float, patients: int, alpha: float = 1 - LEVEL) -> float:
    """The smallest difference that a paired t test shows with 80 % power.

    Args:
      sd: between patients, of the paired difference.
      patients: how many.
      alpha: two-sided.
    """
    if patients < 2:
        return math.inf
    freedom = patients - 1
    limit = stats.t.ppf(1 - alpha / 2, freedom)

    def lacking(shift: float) -> float:  # the other tail adds nothing at such power
        return float(stats.nct.sf(limit, freedom, shift)) - POWER

    shift: Any = optimize.brentq(lacking, 0, limit + 20)
    return float(shift) * sd / math.sqrt(patients)


def patients_for(size: float, sd: float, alpha: float = 1 - LEVEL) -> int:
    """The fewest patients with which a difference of this size shows, `MOST` at most."""
    low, high = 1, 2
    while detectable(sd, high, alpha) > size:
        low, high = high, 2 * high
        if high > MOST:
            return MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if detectable(sd, middle, alpha) <= size else (middle, high)
        )
    return high


class Effects:
    """Effects on one figure of the rows of a data set; each pair is compared once."""

    def __init__(self, rows: Sequence[RowResults], key: str, drawn: Drawn):
        """Compares nothing yet.

        Args:
          rows: of the data set.
          key: figure, as `results.json` names it.
          drawn: how often patients are resampled and exchanged.
        """
        self._rows, self._key, self._drawn = rows, key, drawn
        self._compared: dict[tuple[str, str, int], Difference] = {}

    def against(self, reference: RowResults) -> list[Effect]:
        """Each further row minus the reference, on seeds whose folds both have done."""
        others = [row for row in self._rows if row is not reference]
        return _adjusted(
            [self._effect(row.row.label, [(row, reference)]) for row in others]
        )

    def modules(self) -> list[Effect]:
        """The main effect of each module, over the pairs of rows that differ in it.

        None where the study has not all of the networks.
        """
        return _adjusted(
            [
                self._effect(name, pairs)
                for module, name in MODULES.items()
                if (pairs := self._pairs(module))
            ]
        )

    def interactions(self) -> list[Effect]:
        """For each two modules: half of what one gains more with the other than without.

        There is no p: to exchange networks in a patient would exchange main effects too.
        """
        effects = []
        for one, other in itertools.combinations(MODULES, 2):
            if pairs := self._pairs(one):
                signs = [1 if other in (p[0].row.modules or ()) else -1 for p in pairs]
                name = f"{MODULES[one]} x {MODULES[other]}"
                effects.append(self._effect(name, pairs, signs))
        return effects

    def _pairs(self, module: str) -> list[Pair]:
        """Rows with and without a module; empty unless there are all of them."""
        rows = {
            frozenset(row.row.modules): row
            for row in self._rows
            if row.row.modules is not None
        }
        others, pairs = [m for m in MODULES if m != module], []
        for n in range(len(others) + 1):
            for rest in itertools.combinations(others, n):
                without = rows.get(frozenset(rest))
                having = rows.get(frozenset({*rest, module}))
                if without is None or having is None:
                    return []
                pairs.append((having, without))
        return pairs

    def _effect(
        self, name: str, pairs: list[Pair], signs: Sequence[int] = ()
    ) -> Effect:
        """The mean over pairs, on the seeds whose folds are done in all of them."""
        cells = len(pairs[0][0].cells)
        rows = [row for pair in pairs for row in pair]
        seeds = sorted(set.intersection(*({*row.pooled} for row in rows)))
        if not seeds:
            waiting = {r.row.label: r for r in rows if not r.pooled}
            runs = (f"{k}: {len(r.done)} of {cells} runs" for k, r in waiting.items())
            why = ", ".join(runs) or "no seed is done in all networks"
            return _unknown(name, f"{name}: not yet ({why})", cells)
        try:
            compared = [self._paired(*pair, seed) for pair in pairs for seed in seeds]
        except ValueError as error:
            return _unknown(name, str(error), cells)
        sign_of = [sign for sign in signs for _ in seeds]
        mean = paired.mean(compared, sign_of)
        row = mean.row(LEVEL) | {"p_holm": None}
        by_cell = []
        for at in sorted(at for at in rows[0].done if at[0] in seeds):
            values = [[value(r.done[at], self._key) for r in pair] for pair in pairs]
            gains = [a - b for a, b in values if a is not None and b is not None]
            if len(gains) == len(pairs):
                weights = signs or [1] * len(gains)
                by_cell.append(statistics.mean(map(operator.mul, weights, gains)))
        return Effect(name, row, mean.sd, mean.patients, by_cell, cells)

    def _paired(self, a: RowResults, b: RowResults, seed: int) -> Difference:
        which = a.row.name, b.row.name, seed
        if which not in self._compared:
            one, other = (row.pooled[seed].eval_set for row in (a, b))
            try:
                self._compared[which] = paired.differences(
                    *(one.images, one.thresholds, other.images, other.thresholds),
                    one.classes,
                    [self._key],
                    self._drawn,
                )[self._key]
            except ValueError as error:
                raise ValueError(
                    f"{a.row.name} and {b.row.name} cannot be compared: {error}"
                ) from error
        return self._compared[which]


def sentence(effect: Effect) -> str:
    """What a reader may take from an effect."""
    row = effect.row
    if row["difference"] is None or row["low"] is None:
        return f"{effect.name}: cannot be told. {row['reason']}."
    gains = sum((d > 0) == (row["difference"] > 0) for d in effect.by_cell)
    size = (
        f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}), the same "
        f"sign in {gains} of {len(effect.by_cell)} runs"
    )
    p = row["p_holm"]
    if p is not None and p < 1 - LEVEL and row["low"] * row["high"] > 0:
        verdict = "helps" if row["difference"] > 0 else "harms"
        return f"{effect.name} {verdict} here: {size}, p = {p:.3g} after Holm."
    many = ""
    if needed := effect.needed:
        about = "more than" if needed == MOST else "about"
        many = f"; an effect of this size needs {about} {needed:,} patients"
    return (
        f"{effect.name}: cannot be told with these {effect.patients} patients: "
        f"{size}{many}."
    )


def value(results: dict[str, Any], key: str, protocol: str = "") -> float | None:
    """A figure of results.json; of the clinical protocol where it is judged."""
    protocol = protocol or (
        "clinical" if "figures" in results["protocols"]["clinical"] else "paper"
    )
    figures = results["protocols"][protocol].get("figures", {})
    return figures.get(key, {}).get("value")


def _unknown(name: str, reason: str, cells: int) -> Effect:
    row = dict.fromkeys(("difference", "low", "high", "p", "p_holm"))
    return Effect(name, row | {"reason": reason}, math.nan, 0, [], cells)


def _adjusted(effects: list[Effect]) -> list[Effect]:
    """With `p_holm` over all of them, also those whose runs are missing yet."""
    p = [1.0 if e.row["p"] is None else e.row["p"] for e in effects]
    for effect, adjusted in zip(effects, holm(p), strict=True):
        if effect.row["p"] is not None:
            effect.row["p_holm"] = adjusted
    return effects
