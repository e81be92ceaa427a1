"""What a study compares: rows (networks) on data sets, over folds and seeds."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqgd_jax.config import Config, one_of
from tqgd_jax.study.overrides import overridden


@dataclasses.dataclass(frozen=True)
class Row:
    """A network, as a name and what it changes in the settings of the study.

    Attributes:
      name: of its folders, such as "T-QFGD".
      label: for readers, such as "ThrConvs*B + Qf + GD".
      settings: by dotted name, such as {"model.neck": ("queen", "gd")}.
      modules: which of the paper's modules it has, of "thr", "queen" and "gd"; None keeps
        it out of the factorial reading of Table 2.
      tables: of the paper in which it stands.
    """

    name: str
    label: str
    settings: Mapping[str, Any]
    modules: tuple[str, ...] | None = None
    tables: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Where every row is trained and judged.

    Attributes:
      name: of its folder.
      settings: by dotted name; "data.dir" at least.
      folds: of a cross-validation by patients; 0 takes the data set's own split.
    """

    name: str
    settings: Mapping[str, Any]
    folds: int = 5


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of the study: a row on a fold of a data set, with a seed."""

    data: str
    row: str
    fold: int
    seed: int
    config: Config

    @property
    def name(self) -> str:
        """Its folder below that of the study; fold 0 is the data set's own split."""
        fold = f"fold-{self.fold}" if self.fold else "whole"
        return f"{self.data}/{self.row}/{fold}/seed-{self.seed}"


@dataclasses.dataclass(frozen=True)
class Study:
    """All that is compared.

    Attributes:
      base: settings that rows and data sets change.
      rows: networks.
      data: data sets.
      seeds: of `base.seed`: every row is trained once for each.
      reference: name of the row that the others are compared with.
    """

    base: Config
    rows: tuple[Row, ...]
    data: tuple[DataSet, ...]
    seeds: tuple[int, ...] = (0,)
    reference: str = "Y-PAN"

    def __post_init__(self) -> None:
        for what, names in (
            ("row", [row.name for row in self.rows]),
            ("data set", [data.name for data in self.data]),
            ("seed", [str(seed) for seed in self.seeds]),
        ):
            if not names:
                raise ValueError(f"the study has no {what}; name one at least")
            for name in names:
                if names.count(name) > 1 or not name or set(name) & set("/\\ :"):
                    raise ValueError(
                        f"{what} {name!r}: names are folders, each once, without "
                        "blanks, colons and slashes"
                    )
        one_of("reference", self.reference, [row.name for row in self.rows])
        for row in self.rows:
            for module in row.modules or ():
                one_of(f"row {row.name}: modules", module, ("thr", "queen", "gd"))
        factorial = [frozenset(r.modules) for r in self.rows if r.modules is not None]
        for row in self.rows:
            if row.modules is not None and factorial.count(frozenset(row.modules)) > 1:
                raise ValueError(
                    f"row {row.name}: another row has the same modules; give modules=None "
                    "to one that does not belong to the factorial reading of Table 2"
                )
        for data in self.data:
            if data.folds == 1 or data.folds < 0:
                raise ValueError(
                    f"data set {data.name}: folds must be 2 or more, or 0 for its own "
                    f"split; got {data.folds}"
                )
        for _ in self.cells(Path()):  # settings are checked where they are made
            pass

    def cells(self, root: Path) -> Iterator[Cell]:
        """Every run, folds innermost: whole rows come early.

        Args:
          root: folder of the study; the folds of a data set are in `manifest(root, data)`.

        Raises:
          ValueError: for a setting that does not exist or has a wrong value, naming the
            row or the data set.
        """
        for data in self.data:
            on_data = overridden(self.base, data.settings, f"data set {data.name}")
            for seed in self.seeds:
                for row in self.rows:
                    where = f"row {row.name}"
                    for fold in range(1, data.folds + 1) or (0,):
                        own: dict[str, Any] = {"seed": seed}
                        if data.folds:
                            file = str(manifest(root, data))
                            own |= {"data.split": file, "data.fold": fold}
                        config = overridden(on_data, {**row.settings, **own}, where)
                        yield Cell(data.name, row.name, fold, seed, config)

    def with_data(self, folders: Mapping[str, str]) -> "Study":
        """The study on these data sets alone, name to folder.

        A name that the study does not know is a new data set like its first.
        """
        known = {data.name: data for data in self.data}
        chosen = []
        for name, folder in folders.items():
            data = known.get(name, dataclasses.replace(self.data[0], name=name))
            settings = {**data.settings, "data.dir": folder}
            chosen.append(dataclasses.replace(data, settings=settings))
        return dataclasses.replace(self, data=tuple(chosen))


def manifest(root: Path, data: DataSet) -> Path:
    """The file of a data set's folds: the same patients for every row and seed."""
    return root.absolute() / data.name / "folds.json"


def chosen(study: Study, root: Path, only: Sequence[str]) -> list[Cell]:
    """The cells of these data sets, rows, folds and seeds.

    Args:
      study: of which.
      root: its folder.
      only: parts of names, such as "T-QFGD" or "fold-1", or whole names. Words of one kind
        add cells, another kind narrows them: "Y-PAN T-QFGD fold-1" are two cells.

    Raises:
      ValueError: a word is part of no name, or no cell has all of them.
    """
    cells = [*study.cells(root)]
    kinds: dict[int, set[str]] = {}
    for word in only:
        at = {
            k for cell in cells for k, part in enumerate(_parts(cell)) if part == word
        }
        if not at:
            raise ValueError(
                f"--only: {word!r} is no data set, row, fold or seed of the study; there "
                f"are cells such as {cells[0].name}"
            )
        kinds.setdefault(min(at), set()).add(word)
    of_all = [
        cell
        for cell in cells
        if all(_parts(cell)[k] in words for k, words in kinds.items())
    ]
    if not of_all:
        raise ValueError(
            f"--only: no cell of the study is {' and '.join(only)}; leave out one of them"
        )
    return of_all


def _parts(cell: Cell) -> list[str]:
    """Data set, row, fold, seed, and the whole name."""
    return [*cell.name.split("/"), cell.name]
