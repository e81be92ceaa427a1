"""Which samples train, validate and test: whole patients, unless a manifest leaks."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tqgd_jax.config import Data
from tqgd_jax.data.discover.image_folder import ImageFolder, finder
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.discover.split_source import PARTS, WORDS
from tqgd_jax.data.split import fold_manifest, folds, patients
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.io.tables import Table, read_table, require
from tqgd_jax.io.text import read_text
from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.dataset_index import Record

logger = logging.getLogger("tqgd_jax")


Find = Callable[[str], Sequence[str]]  # names of samples by what a list calls them


class Rows(NamedTuple):
    """A data set before it is split.

    Attributes:
      slices: every image or slice; those of a scan together, from the feet up.
      records: of each by name, but of images that cannot be read.
      classes: names by index.
      problems, notes: that do not depend on the split.
    """

    slices: Sequence[Slice]
    records: Mapping[str, Record]
    classes: Sequence[str]
    problems: list[Problem]
    notes: list[str]


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


class Known(NamedTuple):
    """Rows with the patients that a list may name, whose each is, and the csv."""

    slices: Sequence[Slice]
    patient_of: dict[str, str]
    table: Table
    find: Find

    def whose(self) -> list[Slice]:
        """The rows with the patients that the csv knows better."""
        return [s._replace(patient=self.patient_of[s.name]) for s in self.slices]


def known(layout: Layout, slices: Sequence[Slice], group: str) -> Known:
    """What `group` and the csv of the split say of the rows."""
    file = layout.split.table
    table = Table([], []) if file is None else read_table(file, ["image"])
    if "(" in group and group not in table.columns:
        slices = [s._replace(patient=patients.by_pattern(group, s)) for s in slices]
    find = _finder(layout, slices)
    patient_of = patients.patients(slices, find, group, file, table)
    return Known(slices, patient_of, table, find)


def _finder(layout: Layout, slices: Sequence[Slice]) -> Find:
    """A list may name an image, or a slice, or all of a scan or a patient."""
    folder = layout.folder
    if isinstance(folder, ImageFolder):
        return finder(folder.root, folder.entries)
    names: dict[str, list[str]] = {}
    for row in slices:
        for alias in {s.casefold() for s in (row.name, row.scan, row.patient)}:
            names.setdefault(alias, []).append(row.name)
    return lambda alias: names.get(alias.casefold(), ())


def split(
    layout: Layout,
    slices: Sequence[Slice],
    data: Data,
    seed: int,
    used: Collection[str],
) -> Split:
    """Parts of all rows, by `layout.split`.

    Patients without any sample in `used`, by name, are not held out. Raises ValueError
    when a sample or a patient would be in two parts, but for a manifest that says so.
    """
    mode, files = layout.split.mode, layout.split.files
    rows = known(layout, slices, data.group)
    slices, patient_of, table, find = rows
    problems: list[Problem] = []
    disclaimer, fold = "", None
    if mode == "ratio":
        part_of = patients.by_ratio(patient_of, data.ratio, seed)
    elif mode in ("folds", "manifest"):
        if mode == "folds":
            manifest = folds.assign(rows.whose(), data.folds, seed)
        else:
            manifest = fold_manifest.read(files[0])
            folds.check(manifest, rows.whose(), files[0])
        part_of, disclaimer = (
            folds.parts(manifest, data.fold),
            folds.disclaimer(manifest),
        )
        fold = data.fold, manifest.folds
    elif mode in ("csv", "imagesets"):
        lists = _csv(files[0], table) if mode == "csv" else _image_sets(files, find)
        part_of, problems = _listed(lists, slices, find)
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


def _image_sets(files: Sequence[Path], find: Find) -> Iterator[Line]:
    for file in files:
        part = file.stem.lower().replace("trainval", "train")
        for line, text in enumerate(read_text(file).splitlines(), 1):
            # some VOC lists carry 1 or -1 after the name
            whole = bool(find(text.strip()))
            name = text.strip() if whole else (text.split() or [""])[0]
            if name:
                yield file, line, name, part


def _listed(
    lists: Iterator[Line], slices: Sequence[Slice], find: Find
) -> tuple[dict[str, str], list[Problem]]:
    part_of: dict[str, str] = {}
    problems = []
    first = slices[0] if slices else None
    noun = "a slice" if first and first.scan else "an image"
    for file, line, alias, part in lists:
        names = find(alias)
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
