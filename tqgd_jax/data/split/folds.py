"""Cross-validation folds that keep each patient whole, kept in a JSON manifest.

docs/design/0011-folds.md says why folds are of patients and what is balanced. The search
is in `fold_search`, the file in `fold_manifest`; other modules need this one only.
"""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tqgd_jax.data.split.fold_manifest import LEVELS, Entry, Fold, Manifest
from tqgd_jax.data.split.fold_search import Slice, balance, deal
from tqgd_jax.data.split.patients import TooFewError

logger = logging.getLogger("tqgd_jax")

LEAKY = "slice-level split: slices of one patient train and test; measures leakage only"


def assign(
    slices: Sequence[Slice], folds: int, seed: int, level: str = "patient"
) -> Manifest:
    """Folds balanced in load class, slices, slices with calcium and scanner.

    Depends on the set of slices, `folds` and `seed` alone. Of any two folds, the number
    of patients differs by at most 1 and the number of slices by at most those of the
    largest patient. Within that, swaps of patients lower the imbalance until none does
    (up to 1000 patients).
    `level="slice"` deals out slices without regard to patients, to measure what that
    leak is worth; there, each class of each scanner differs by at most 1.

    Raises:
      ValueError: fewer patients (or slices) than folds, a name twice, a load below 0.
    """
    if level not in LEVELS:
        raise ValueError(f"level: unknown value {level!r}; there are: patient, slice")
    if folds < 2 or seed < 0:
        raise ValueError(
            f"folds must be at least 2 and seed at least 0, got {folds} and {seed}"
        )
    _refuse_bad(slices)
    slices = sorted(slices)
    units = sorted({s.patient if level == "patient" else s.name for s in slices})
    if len(units) < folds:
        way = f"use at most {len(units)} folds"
        if len(units) < 2:
            way = f"folds need at least 2 {level}s; add some"
        scans = len({s.scan for s in slices if s.scan})
        if level == "patient" and scans > len(units):
            way += (
                f"; {scans} scans count as {len(units)}: where one PatientID stands for "
                "several people, data.group='(.+)' takes each scan for a patient"
            )
        raise TooFewError(
            f"{len(units)} {level}s cannot make {folds} folds, each fold needs one to "
            f"test; {way}, or data.split=ratio"
        )
    rng = np.random.default_rng((seed, folds))
    if level == "slice":
        fold_of = deal(slices, folds, rng)
    else:
        fold_of = balance(slices, units, folds, rng)
    entries = {s.name: Entry(s.patient, fold_of[s.name] + 1, s.sha256) for s in slices}
    return Manifest(folds, level, seed, entries, _summary(slices, fold_of, folds))


def _refuse_bad(slices: Sequence[Slice]) -> None:
    where: dict[str, str] = {}
    patient_of: dict[str, str] = {}
    twins = []
    for s in slices:
        if not s.name or not s.patient:
            raise ValueError(
                f"slice {s.name!r} of patient {s.patient!r}: no empty names"
            )
        if s.name in where:
            raise ValueError(f"slice {s.name!r} is there twice; names must be unique")
        if not (math.isfinite(s.load) and s.load >= 0):
            raise ValueError(
                f"slice {s.name!r} of patient {s.patient!r}: load must be a number of "
                f"mm2 of at least 0, got {s.load}"
            )
        where[s.name] = s.sha256
        if s.sha256 and patient_of.setdefault(s.sha256, s.patient) != s.patient:
            twins.append(f"{s.name} ({patient_of[s.sha256]}, {s.patient})")
    if twins:
        logger.warning(
            "%d slices have the very pixels of another patient's, such as %s: one "
            "person under two names would both train and test",
            len(twins),
            ", ".join(twins[:3]),
        )


def _summary(
    slices: Sequence[Slice], fold_of: Mapping[str, int], folds: int
) -> tuple[Fold, ...]:
    rows = []
    for fold in range(folds):
        of = [s for s in slices if fold_of[s.name] == fold]
        scanners = dict(sorted(Counter(s.scanner for s in of).items()))
        positive = sum(s.load > 0 for s in of)
        load = math.fsum(s.load for s in of)
        rows.append(
            Fold(len({s.patient for s in of}), len(of), positive, load, scanners)
        )
    return tuple(rows)


def check(manifest: Manifest, slices: Sequence[Slice], path: Path) -> None:
    """Raises ValueError when the data are not those that `path` was made for."""
    _refuse_bad(slices)
    here = {s.name: s for s in slices}
    both = sorted(here.keys() & manifest.slices.keys())
    wrong = {
        "missing in the data": sorted(manifest.slices.keys() - here.keys()),
        "not in the manifest": sorted(here.keys() - manifest.slices.keys()),
        "of another patient": [
            n for n in both if here[n].patient != manifest.slices[n].patient
        ],
        "with other pixels (sha256)": [
            n for n in both if here[n].sha256 != manifest.slices[n].sha256
        ],
    }
    differences = [
        f"{len(names)} slices {what} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
        for what, names in wrong.items()
        if names
    ]
    if differences:
        raise ValueError(
            f"{path}: its folds were made for other data: {'; '.join(differences)}. "
            f"Restore those {len(manifest.slices)} slices, or make new folds under "
            "another name; results of the two do not compare"
        )


def parts(manifest: Manifest, fold: int) -> dict[str, str]:
    """The words train and test by slice name; the paper's 4:1 protocol is fold 1 of 5."""
    if not 1 <= fold <= manifest.folds:
        raise ValueError(f"fold must be in 1..{manifest.folds}, got {fold}")
    return {
        name: "test" if entry.fold == fold else "train"
        for name, entry in manifest.slices.items()
    }


def disclaimer(manifest: Manifest) -> str:
    """What every result on these folds must say; empty for whole patients."""
    return LEAKY if manifest.level == "slice" else ""
