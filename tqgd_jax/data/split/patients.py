"""Patients: the group of each image, and parts that never share one."""

import logging
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tqgd_jax.data.discover.image_folder import Layout

logger = logging.getLogger("tqgd_jax")

Table = list[tuple[int, dict[str, str]]]  # line and row of a csv


def groups(
    layout: Layout,
    group: str,
    find: Callable[[str], str | None],
    file: Path | None,
    table: Table,
    columns: list[str],
) -> dict[str, str]:
    """Patient by image name; an image without one is its own.

    When `group` (`data.group`) is empty and the csv has a column "group", that column
    counts: known patients are never ignored. `find` gives the image name for what the
    csv calls it.
    """
    column = group or "group"
    if column in columns:
        found = {}
        for line, row in table:
            name = find(row["image"])
            if name is None:
                continue
            if not row[column]:
                raise ValueError(f"{file}:{line}: no {column} for {row['image']!r}")
            if found.setdefault(name, row[column]) != row[column]:
                raise ValueError(f"{file}:{line}: {row['image']!r} has two {column}s")
        missing = [e.name for e in layout.entries if e.name not in found]
        if missing and group:
            raise ValueError(
                f"{file}: no {column} for {len(missing)} images, such as "
                f"{missing[0]!r}; every image needs its patient"
            )
        return {e.name: found.get(e.name, e.name) for e in layout.entries}
    if not group:
        return {e.name: e.name for e in layout.entries}
    there = f" of the split file ({', '.join(columns) or 'there is none'})"
    return {
        e.name: pattern_group(group, e.path.name, e.path, there) for e in layout.entries
    }


def pattern_group(group: str, name: str, path: Path, columns: str = "") -> str:
    """The patient that the regular expression `data.group` finds in a file name."""
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise ValueError(
            f"data.group: {group!r} is no regular expression: {error}"
        ) from (error)
    if pattern.groups < 1:
        raise ValueError(
            f"data.group: {group!r} is neither a column{columns} nor a regular "
            "expression with a group in parentheses, such as '(P[0-9]+)_'"
        )
    match = pattern.search(name)
    if not match or not match[1]:
        raise ValueError(
            f"data.group: {group!r} finds no patient in the file name of {path}"
        )
    return match[1]


def by_ratio(
    group_of: dict[str, str], ratio: tuple[float, ...], seed: int
) -> dict[str, str]:
    """Part by image name: shares of the shuffled patients."""
    patients = sorted(set(group_of.values()))
    order = np.random.default_rng(seed).permutation(len(patients))
    ends = np.round(np.cumsum(ratio) * len(patients))
    parts = ("train", "val", "test")
    place = np.searchsorted(ends, np.arange(len(patients)), side="right")
    part_of = {patients[p]: parts[k] for p, k in zip(order, place, strict=True)}
    for share, part in zip(ratio, parts, strict=True):
        if share > 0 and part not in part_of.values():
            raise ValueError(
                f"data.ratio: {share:g} of {len(patients)} patients leave none for "
                f"{part}; raise its share, or give a split"
            )
    return {name: part_of[patient] for name, patient in group_of.items()}


def refuse_leaks(part_of: dict[str, str], group_of: dict[str, str]) -> None:
    """Raises ValueError when a patient is in two parts."""
    parts = defaultdict(set)
    for name, part in part_of.items():
        parts[group_of[name]].add(part)
    leaks = sorted(patient for patient, where in parts.items() if len(where) > 1)
    if leaks:
        names = ", ".join(sorted(n for n in part_of if group_of[n] == leaks[0])[:4])
        raise ValueError(
            f"{len(leaks)} patients are in two parts of the split, such as "
            f"{leaks[0]!r} in {sorted(parts[leaks[0]])} ({names}): results on them "
            "would flatter. Split by patient, or correct data.group"
        )


def hold_out(
    part_of: dict[str, str], group_of: dict[str, str], share: float, seed: int
) -> None:
    """Moves a share of the training patients, at least one, to "val" in place."""
    train = sorted({group_of[n] for n, part in part_of.items() if part == "train"})
    count = max(1, round(share * len(train)))
    if count >= len(train):
        raise ValueError(
            f"data.hold_out={share:g} of {len(train)} training patients leaves none to "
            "train on"
        )
    chosen = np.random.default_rng((seed, 1)).permutation(len(train))[:count]
    held = {train[k] for k in chosen}
    for name, part in part_of.items():
        if part == "train" and group_of[name] in held:
            part_of[name] = "val"
    logger.info("data.hold_out: %d of %d training patients validate", count, len(train))
