"""Patients: whose each sample is, and parts that never share one."""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from tqgd_jax.data.discover.scan_folder import compiled
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.io.tables import Table

logger = logging.getLogger("tqgd_jax")

GROUP = "a regular expression with a group in parentheses, such as '(P[0-9]+)_'"


class TooFewError(ValueError):
    """There are fewer patients than the parts need."""


def patients(
    rows: Sequence[Slice],
    find: Callable[[str], Sequence[str]],
    group: str,
    file: Path | None,
    table: Table,
) -> dict[str, str]:
    """Patient by name of the sample; an image without one is its own.

    Args:
      rows: with the patient that the format or a pattern in `group` knows, or "".
      find: names of samples by what the csv calls them.
      group: `data.group`, a column or a pattern. Where it is empty, a column "group"
        counts: known patients are never ignored.
      file: csv of the split, if there is one.
      table: what it holds.
    """
    patient_of = {r.name: r.patient or r.name for r in rows}
    column = group or "group"
    if column in table.columns:
        of_table: dict[str, str] = {}
        for line, row in table.rows:
            names = find(row["image"])
            if names and not row[column]:
                raise ValueError(f"{file}:{line}: no {column} for {row['image']!r}")
            for name in names:
                if of_table.setdefault(name, row[column]) != row[column]:
                    raise ValueError(
                        f"{file}:{line}: {row['image']!r} has two {column}s"
                    )
        missing = [r.name for r in rows if not r.patient and r.name not in of_table]
        if missing and group:
            raise ValueError(
                f"{file}: no {column} for {len(missing)} images, such as "
                f"{missing[0]!r}; every image needs its patient"
            )
        return patient_of | of_table
    if group and "(" not in group:
        columns = ", ".join(table.columns) or "there is none"
        raise ValueError(
            f"data.group: {group!r} is neither a column of the split file ({columns}) nor "
            + GROUP
        )
    return patient_of


def by_pattern(group: str, row: Slice) -> str:
    """The patient that the regular expression `data.group` finds.

    It is sought in the name of the file; of a DICOM series, whose folder may be called
    CT in every patient's, in the name of the scan, which has all folders.
    """
    rule = f"is neither a column nor {GROUP}"
    name = row.scan if row.scan and row.path.is_dir() else row.path.name
    match = compiled("data.group", group, rule).search(name)
    if not match or not match[1]:
        raise ValueError(
            f"data.group: {group!r} finds no patient in the file name of {row.path}"
            + f", {name!r}" * (name != row.path.name)
        )
    return match[1]


def by_ratio(
    patient_of: dict[str, str], ratio: tuple[float, ...], seed: int
) -> dict[str, str]:
    """Part by image name: shares of the shuffled patients."""
    units = sorted(set(patient_of.values()))
    order = np.random.default_rng(seed).permutation(len(units))
    ends = np.round(np.cumsum(ratio) * len(units))
    parts = ("train", "val", "test")
    place = np.searchsorted(ends, np.arange(len(units)), side="right")
    part_of = {units[p]: parts[k] for p, k in zip(order, place, strict=True)}
    for share, part in zip(ratio, parts, strict=True):
        if share > 0 and part not in part_of.values():
            least = min(s for s in ratio if s > 0)
            raise TooFewError(
                f"data.ratio: {share:g} of {len(units)} patients leave none for {part}; "
                f"{ratio} needs about {math.ceil(1 / least)}. Raise its "
                "share, or give a split"
            )
    return {name: part_of[patient] for name, patient in patient_of.items()}


def refuse_leaks(part_of: dict[str, str], patient_of: dict[str, str]) -> None:
    """Raises ValueError when a patient is in two parts."""
    parts = defaultdict(set)
    for name, part in part_of.items():
        parts[patient_of[name]].add(part)
    leaks = sorted(patient for patient, where in parts.items() if len(where) > 1)
    if leaks:
        names = ", ".join(sorted(n for n in part_of if patient_of[n] == leaks[0])[:4])
        raise ValueError(
            f"{len(leaks)} patients are in two parts of the split, such as "
            f"{leaks[0]!r} in {sorted(parts[leaks[0]])} ({names}): results on them "
            "would flatter. Split by patient, or correct data.group"
        )


def hold_out(
    part_of: dict[str, str],
    unit_of: dict[str, str],
    used: Collection[str],
    share: float,
    seed: int,
) -> None:
    """Moves a share of the training patients, at least one, to "val" in place.

    They are drawn from those with a sample in `used`. A unit is a patient, or a sample
    where patients are not whole.
    """
    train = [name for name, part in part_of.items() if part == "train"]
    units = sorted({unit_of[name] for name in train if name in used})
    count = max(1, round(share * len(units)))
    if count >= len(units):
        raise TooFewError(
            f"data.hold_out={share:g} of {len(units)} training patients leaves none to "
            "train on"
        )
    chosen = np.random.default_rng((seed, 1)).permutation(len(units))[:count]
    held = {units[k] for k in chosen}
    part_of |= {name: "val" for name in train if unit_of[name] in held}
    logger.info("data.hold_out: %d of %d training patients validate", count, len(units))
