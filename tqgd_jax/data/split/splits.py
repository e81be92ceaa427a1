"""Which samples train, validate and test: whole patients, unless a manifest leaks."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tqgd_jax.config import Data
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.discover.split_source import PARTS, WORDS
from tqgd_jax.data.split import fold_manifest, folds, patients
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.io.tables import Table, read_table, require
from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.dataset_index import Sample

logger = logging.getLogger("tqgd_jax")


class Rows(NamedTuple):
    """Samples before they are split.

    Attributes:
      slices: one row for each sample.
      find: names of samples by what a list calls them.
      problems: met on the way.
    """

    slices: Sequence[Slice]
    find: Callable[[str], Sequence[str]]
    problems: Sequence[Problem]


@dataclass(frozen=True)
class Split:
    """Part and patient by name; a sample that no part has is in none.

    Attributes:
      seeded: whether the seed had a say.
      disclaimer: what every result on these parts must say; empty for honest ones.
      fold: (fold, folds) where the test part is one of several; else None.
    """

    part_of: dict[str, str]
    patient_of: dict[str, str]
    problems: list[Problem]
    seeded: bool
    disclaimer: str = ""
    fold: tuple[int, int] | None = None


class Samples(NamedTuple):
    """The samples of each part, what was wrong with them, and what is worth knowing."""

    split: Split
    classes: Sequence[str]
    parts: dict[str, list[Sample]]
    problems: list[Problem]
    notes: list[str]


def with_patients(layout: Layout, rows: Rows, group: str) -> tuple[list[Slice], Table]:
    """Rows with the patients that the csv of the split knows better, and that csv."""
    file = layout.split.table
    table = Table([], []) if file is None else read_table(file, ["image"])
    patient_of = patients.patients(rows.slices, rows.find, group, file, table)
    return [r._replace(patient=patient_of[r.name]) for r in rows.slices], table


def split(
    layout: Layout, rows: Rows, data: Data, seed: int, used: Collection[str]
) -> Split:
    """Parts of all rows, by `layout.split`.

    Patients without any sample in `used`, by name, are not held out. Raises ValueError
    when a sample or a patient would be in two parts, but for a manifest that says so.
    """
    mode, files = layout.split.mode, layout.split.files
    slices, table = with_patients(layout, rows, data.group)
    patient_of = {s.name: s.patient for s in slices}
    problems: list[Problem] = []
    disclaimer, fold = "", None
    if mode == "ratio":
        part_of = patients.by_ratio(patient_of, data.ratio, seed)
    elif mode in ("folds", "manifest"):
        if mode == "folds":
            manifest = folds.assign(slices, data.folds, seed)
        else:
            manifest = fold_manifest.read(files[0])
            folds.check(manifest, slices, files[0])
        part_of, disclaimer = (
            folds.parts(manifest, data.fold),
            folds.disclaimer(manifest),
        )
        fold = data.fold, manifest.folds
    elif mode in ("csv", "imagesets"):
        lists = _csv(files[0], table) if mode == "csv" else _image_sets(files, rows)
        part_of, problems = _listed(lists, rows)
    else:
        named = layout.split.parts
        part_of = {s.name: named[s.path] for s in slices if s.path in named}
    if not disclaimer:
        patients.refuse_leaks(part_of, patient_of)
    seeded = mode in ("ratio", "folds")
    if data.hold_out > 0 and "val" not in part_of.values():
        seeded = True
        # whole patients cannot be held back where none is whole
        unit_of = {name: name for name in patient_of} if disclaimer else patient_of
        patients.hold_out(part_of, unit_of, used, data.hold_out, seed)
    elif data.hold_out > 0:
        logger.info("data.hold_out is not used: the split has a val part")
    return Split(part_of, patient_of, problems, seeded, disclaimer, fold)


Line = tuple[Path, int, str, str]  # file, line, what it names, part


def _csv(file: Path, table: Table) -> Iterator[Line]:
    require(file, table.columns, ["split"])
    for line, row in table.rows:
        part = WORDS.get(row["split"].lower())
        if part is None:
            raise ValueError(
                f"{file}:{line}: unknown split {row['split']!r}; there are: "
                + ", ".join(PARTS)
            )
        yield file, line, row["image"], part


def _image_sets(files: Sequence[Path], rows: Rows) -> Iterator[Line]:
    for file in files:
        part = "train" if file.stem == "trainval" else file.stem
        for line, text in enumerate(file.read_text().splitlines(), 1):
            # some VOC lists carry 1 or -1 after the name
            whole = bool(rows.find(text.strip()))
            name = text.strip() if whole else (text.split() or [""])[0]
            if name:
                yield file, line, name, part


def _listed(lists: Iterator[Line], rows: Rows) -> tuple[dict[str, str], list[Problem]]:
    part_of: dict[str, str] = {}
    problems = []
    first = rows.slices[0] if rows.slices else None
    noun = "a slice" if first and first.scan else "an image"
    for file, line, alias, part in lists:
        names = rows.find(alias)
        if not names and first and first.scan:
            raise ValueError(
                f"{file}:{line}: {alias!r} is no slice, scan or patient of the data set, "
                f"such as {first.name}, {first.scan} or {first.patient}"
            )
        if not names:
            text = f"{part} names {alias!r}, and no image has that name"
            problems.append(Problem(file, line, "missing_image", text))
        for name in names:
            if name in part_of:
                raise ValueError(
                    f"{file}:{line}: {alias!r} is listed a second time (before: "
                    f"{part_of[name]}, here: {part}); {noun} belongs to one part, once"
                )
            part_of[name] = part
    return part_of, problems
