"""Which slices train, validate and test: whole patients, unless a manifest leaks."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tqgd_jax.config import Data
from tqgd_jax.data.discover.scan_folder import Cohort
from tqgd_jax.data.split import folds, image_splits
from tqgd_jax.data.split import patients as groups
from tqgd_jax.data.split.folds import Slice
from tqgd_jax.io.tables import read_table


class Row(NamedTuple):
    """A slice, and the scan it belongs to."""

    slice: Slice
    scan: str
    path: Path


@dataclass(frozen=True)
class CtSplit:
    """Part and patient by slice name.

    `stamp` is what every result must say; `fold` is (fold, folds) where test is one.
    """

    mode: str
    seeded: bool
    part_of: dict[str, str]
    group_of: dict[str, str]
    stamp: str = ""
    fold: tuple[int, int] | None = None


def source(cohort: Cohort, data: Data) -> tuple[str, list[Path]]:
    """Where the parts come from, and the files that say so or name patients."""
    if said := image_splits.stated(cohort.root, data):
        return said
    if any(_folder(cohort.root, s.path) for s in cohort.studies):
        return "folders", []
    return "folds", []


def _folder(root: Path, path: Path) -> str:
    # a DICOM study is a folder itself
    return image_splits.folder_part(root, path / "slices" if path.is_dir() else path)


def patients(cohort: Cohort, rows: Sequence[Row], data: Data) -> dict[str, str]:
    """Patient by slice name: a column of the split file before all else.

    The column is `data.group`, or "group": known patients are never ignored.
    """
    group_of = {row.slice.name: row.slice.patient for row in rows}
    _, files = source(cohort, data)
    tables = [f for f in files if f.suffix == ".csv"]
    column = data.group or "group"
    if data.group and "(" in data.group:
        return group_of
    columns: list[str] = []
    if tables:
        table, columns = read_table(tables[0], ["image"])
        names = _names(rows)
        for line, row in table if column in columns else ():
            if not row[column]:
                raise ValueError(
                    f"{tables[0]}:{line}: no {column} for {row['image']!r}"
                )
            for name in names.get(row["image"].casefold(), ()):
                group_of[name] = row[column]
    if data.group and column not in columns:
        raise ValueError(
            f"data.group: {data.group!r} is neither a column of a split file "
            f"({', '.join(columns) or 'there is none'}) nor a regular expression with a "
            "group in parentheses, such as '(P[0-9]+)_'"
        )
    return group_of


def split(
    cohort: Cohort, rows: Sequence[Row], wanted: Container[str], data: Data, seed: int
) -> CtSplit:
    """Raises ValueError when a patient would be in two parts without a stamp.

    `wanted` are the slices that will be used; patients without any are not held out.
    """
    mode, files = source(cohort, data)
    group_of = patients(cohort, rows, data)
    stamp, fold = "", None
    seeded = mode in ("ratio", "folds")
    if mode == "ratio":
        part_of = groups.by_ratio(group_of, data.ratio, seed)
    elif mode in ("folds", "manifest"):
        slices = [r.slice._replace(patient=group_of[r.slice.name]) for r in rows]
        if mode == "folds":
            manifest = folds.assign(slices, data.folds, seed)
        else:
            manifest = folds.read(files[0])
            folds.check(manifest, slices, files[0])
        part_of = folds.parts(manifest, data.fold)
        stamp = folds.stamp(manifest)
        fold = data.fold, manifest.folds
    elif mode == "csv":
        part_of = _by_table(files[0], rows)
    else:
        part_of = {
            row.slice.name: part
            for row in rows
            if (part := _folder(cohort.root, row.path))
        }
    if not stamp:
        groups.refuse_leaks(part_of, group_of)
    if data.hold_out > 0 and "val" not in part_of.values():
        seeded = True
        # whole patients cannot be held back where none is whole
        unit = {name: name for name in group_of} if stamp else group_of
        used = {name: part for name, part in part_of.items() if name in wanted}
        groups.hold_out(used, unit, data.hold_out, seed)
        held = {unit[name] for name, part in used.items() if part == "val"}
        part_of |= {
            name: "val"
            for name, part in part_of.items()
            if part == "train" and unit[name] in held
        }
    return CtSplit(mode, seeded, part_of, group_of, stamp, fold)


def _names(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Slices by what a csv may call them: the slice, its scan or its patient."""
    names: dict[str, list[str]] = {}
    for row in rows:
        for said in {
            s.casefold() for s in (row.slice.name, row.scan, row.slice.patient)
        }:
            names.setdefault(said, []).append(row.slice.name)
    return names


def _by_table(file: Path, rows: Sequence[Row]) -> dict[str, str]:
    """Part of each slice; a row of the csv names a slice, a scan or a patient."""
    table = read_table(file, ["image", "split"]).rows
    names = _names(rows)
    part_of: dict[str, str] = {}
    for line, row in table:
        part = image_splits.WORDS.get(row["split"].lower())
        if part is None:
            raise ValueError(
                f"{file}:{line}: unknown split {row['split']!r}; there are: "
                + ", ".join(image_splits.PARTS)
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
    return part_of
