"""Which slices train, validate and test: whole patients, unless a manifest leaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tqgd_jax.config import Data
from tqgd_jax.data import folds, groups, splits
from tqgd_jax.data.cohort import Cohort
from tqgd_jax.data.folds import Slice


class Row(NamedTuple):
    """A slice, and the scan it belongs to."""

    slice: Slice
    scan: str
    path: Path


@dataclass(frozen=True)
class CtSplit:
    """Part and patient by slice name; `stamp` is what every result must say."""

    mode: str
    seeded: bool
    part_of: dict[str, str]
    group_of: dict[str, str]
    stamp: str = ""
    note: str = ""


def source(root: Path, studies: Sequence[Path], data: Data) -> tuple[str, list[Path]]:
    """Where the parts come from, and the files that say so."""
    table = root / "split.csv"
    if data.split in ("ratio", "folds"):
        return data.split, []
    if data.split != "auto":
        path = splits.named(root, data.split)
        return ("manifest" if path.suffix == ".json" else "csv"), [path]
    if table.is_file():
        return "csv", [table]
    if any(splits.folder_part(root, path) for path in studies):
        return "folders", []
    return "folds", []


def split(cohort: Cohort, rows: Sequence[Row], data: Data, seed: int) -> CtSplit:
    """Raises ValueError when a patient would be in two parts without a stamp."""
    mode, files = source(cohort.root, [s.path for s in cohort.studies], data)
    group_of = {row.slice.name: row.slice.patient for row in rows}
    stamp = note = ""
    seeded = mode in ("ratio", "folds")
    if mode == "ratio":
        part_of = groups.by_ratio(group_of, data.ratio, seed)
    elif mode in ("folds", "manifest"):
        slices = [row.slice for row in rows]
        if mode == "folds":
            manifest = folds.assign(slices, data.folds, seed)
        else:
            manifest = folds.read(files[0])
            folds.check(manifest, slices, files[0])
        part_of = folds.parts(manifest, data.fold)
        stamp = folds.stamp(manifest)
        note = f"test is fold {data.fold} of {manifest.folds}"
    elif mode == "csv":
        part_of, said = _by_table(files[0], rows, data.group)
        group_of |= said
    else:
        part_of = {
            row.slice.name: part
            for row in rows
            if (part := splits.folder_part(cohort.root, row.path))
        }
    if not stamp:
        groups.refuse_leaks(part_of, group_of)
    if data.hold_out > 0 and "val" not in part_of.values():
        seeded = True
        # whole patients cannot be held back where none is whole
        unit = {name: name for name in group_of} if stamp else group_of
        groups.hold_out(part_of, unit, data.hold_out, seed)
    return CtSplit(mode, seeded, part_of, group_of, stamp, note)


def _by_table(
    file: Path, rows: Sequence[Row], group: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Part and, where a column says it, patient of each slice.

    A row of the csv names a slice, a scan or a patient; all its slices follow.
    """
    table, columns = splits.read_csv(file)
    splits.need(file, columns, "split")
    names: dict[str, list[str]] = {}
    for row in rows:
        for said in {row.slice.name, row.scan, row.slice.patient}:
            names.setdefault(said.casefold(), []).append(row.slice.name)
    part_of: dict[str, str] = {}
    group_of: dict[str, str] = {}
    column = group or "group"
    for line, row in table:
        part = splits.WORDS.get(row["split"].lower())
        if part is None:
            raise ValueError(
                f"{file}:{line}: unknown split {row['split']!r}; there are: "
                + ", ".join(splits.PARTS)
            )
        found = names.get(row["image"].casefold())
        if not found:
            raise ValueError(
                f"{file}:{line}: {row['image']!r} is no slice, scan or patient of the "
                f"data set, such as {rows[0].slice.name}, {rows[0].scan} or "
                f"{rows[0].slice.patient}"
            )
        for name in found:
            if name in part_of:
                raise ValueError(
                    f"{file}:{line}: {name!r} is listed a second time (before: "
                    f"{part_of[name]}, here: {part}); a slice belongs to one part, once"
                )
            part_of[name] = part
            if row.get(column):
                group_of[name] = row[column]
    return part_of, group_of
