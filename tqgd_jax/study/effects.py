"""Does a module help? Effects of rows and modules, paired over patients.

Table 2 of the paper is a factorial design: every network with and without each of three
modules. The main effect of a module is its mean gain over the four networks of the others,
an interaction how much of it another module takes away or adds.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from scipy import optimize, stats

from tqgd_jax.evaluation import paired
from tqgd_jax.evaluation.paired import Difference, Drawn
from tqgd_jax.report.comparison.differences import holm
from tqgd_jax.study.results import RowResults

KEY = "ap.yolo.0.5"  # what differences are of
LEVEL, POWER = 0.95, 0.8
MODULES = {"thr": "ThrConvs", "queen": "Queen-fusion", "gd": "gather-and-distribute"}
Pair = tuple[RowResults, RowResults]  # with, without


class Effect(NamedTuple):
    """A difference of a figure that has a name.

    Attributes:
      name: such as "ThrConvs" or a row's label.
      pairs: how many pairs of networks it is the mean of, seeds included.
      row: `difference`, `low`, `high`, `p`, `p_holm` and `reason`.
      sd: between patients, of what a patient adds to the difference; NaN if unknown.
      patients: how many.
      by_cell: the difference on each fold and seed, in each pair.
    """

    name: str
    pairs: int
    row: dict[str, Any]
    sd: float
    patients: int
    by_cell: list[float]

    @property
    def needed(self) -> int | None:
        """Patients with which a difference of this size would show, 80 % power."""
        size = self.row["difference"]
        if not size or math.isnan(self.sd):
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
    """The fewest patients with which a difference of this size shows."""
    low, high = 1, 2
    while detectable(sd, high, alpha) > size:
        low, high = high, 2 * high
        if high > 10**7:
            return high
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
        """Each further row minus the reference, as far as both have pooled folds."""
        others = [row for row in self._rows if row is not reference]
        return _adjusted(
            effect
            for row in others
            if (effect := self._effect(row.row.label, [(row, reference)]))
        )

    def modules(self) -> list[Effect]:
        """The main effect of each module, over the pairs of rows that differ in it."""
        return _adjusted(
            effect
            for module, name in MODULES.items()
            if (effect := self._effect(name, self._pairs(module)))
        )

    def interactions(self) -> list[Effect]:
        """For each two modules: half of what one gains more with the other than without.

        There is no p: to exchange networks in a patient would exchange main effects too.
        """
        effects = []
        for one, other in itertools.combinations(MODULES, 2):
            pairs = self._pairs(one)
            signs = [1 if other in (p[0].row.modules or ()) else -1 for p in pairs]
            name = f"{MODULES[one]} x {MODULES[other]}"
            if effect := self._effect(name, pairs, signs):
                effects.append(effect)
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
    ) -> Effect | None:
        """The mean over pairs and seeds; None while a pair has no seed with all folds."""
        compared, by_cell, sign_of = [], [], []
        for i, (having, without) in enumerate(pairs):
            seeds = sorted(having.pooled.keys() & without.pooled.keys())
            if not seeds:
                return None
            sign = signs[i] if signs else 1
            for seed in seeds:
                compared.append(self._paired(having, without, seed))
                sign_of.append(sign)
            for at in sorted(having.done.keys() & without.done.keys()):
                a, b = (value(row.done[at], self._key) for row in (having, without))
                if a is not None and b is not None:
                    by_cell.append(sign * (a - b))
        if not compared:
            return None
        mean = paired.mean(compared, sign_of if signs else ())
        row = mean.row(LEVEL) | {"p_holm": None}
        return Effect(name, len(compared), row, mean.sd, mean.patients, by_cell)

    def _paired(self, a: RowResults, b: RowResults, seed: int) -> Difference:
        which = a.row.name, b.row.name, seed
        if which not in self._compared:
            one, other = (row.pooled[seed].eval_set for row in (a, b))
            self._compared[which] = paired.differences(
                *(one.images, one.thresholds, other.images, other.thresholds),
                one.classes,
                [self._key],
                self._drawn,
            )[self._key]
        return self._compared[which]


def sentence(effect: Effect) -> str:
    """What a reader may take from an effect."""
    row = effect.row
    if row["difference"] is None or row["low"] is None:
        return f"{effect.name}: cannot be told ({row['reason']})."
    size = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
    p = row["p_holm"]
    if p is not None and p < 1 - LEVEL and row["low"] * row["high"] > 0:
        verdict = "helps" if row["difference"] > 0 else "harms"
        return f"{effect.name} {verdict} here: {size}, p = {p:.3g} after Holm."
    needed = effect.needed
    many = f"; an effect of this size needs about {needed} patients" if needed else ""
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


def _adjusted(effects: Iterable[Effect]) -> list[Effect]:
    """With `p_holm` over all of them."""
    effects = list(effects)
    tested = [e for e in effects if e.row["p"] is not None]
    for effect, p in zip(tested, holm([e.row["p"] for e in tested]), strict=True):
        effect.row["p_holm"] = p
    return effects
