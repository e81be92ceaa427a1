"""What a study compares: rows (networks) on data sets, over folds and seeds."""

import ast
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqgd_jax.config import Config, differences, from_dict, one_of
from tqgd_jax.io import atomic

FILE = "study.json"
SCHEMA = "tqgd_jax.study/1"


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


def parsed(config: Config, words: Sequence[str]) -> dict[str, Any]:
    """Settings from SETTING=VALUE, each VALUE of the type that the setting has now.

    Raises:
      ValueError: a word without "=".
    """
    settings = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"--set: SETTING=VALUE, got {word!r}")
        before: Any = config
        for part in name.split("."):
            before = getattr(before, part, None)
        try:
            value = text if isinstance(before, str) else ast.literal_eval(text)
        except (SyntaxError, ValueError):
            value = text  # `overridden` refuses it with what is wanted
        settings[name] = value
    return settings


def overridden(config: Config, settings: Mapping[str, Any], where: str) -> Config:
    """The settings with some replaced, by dotted name.

    Raises:
      ValueError: begins with `where`, and names the setting, the value and the rule.
    """
    values = dataclasses.asdict(config)
    for name, value in settings.items():
        *sections, last = name.split(".")
        inner = values
        for section in sections:
            sections_here = [k for k, v in inner.items() if isinstance(v, dict)]
            one_of(f"{where}: {name}: section", section, sections_here)
            inner = inner[section]
        one_of(f"{where}: {name}: setting", last, inner)
        before = inner[last]
        number = isinstance(before, float) and type(value) is int
        if not (number or isinstance(value, type(before))) or isinstance(before, dict):
            raise ValueError(
                f"{where}: {name} is a {type(before).__name__}, got {value!r}"
            )
        inner[last] = float(value) if number else value
    try:
        return from_dict(Config, values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def load(file: str, preset: str = "", beside: Sequence[Path] = ()) -> Study:
    """The study that `get_study(preset)` of a Python file makes.

    The file may import its neighbours, as a script may, and what lies `beside`.

    Raises:
      ValueError: there is no such file, or it makes no study.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"--config: no file {path}; configs/paper.py is the paper's")
    spec = importlib.util.spec_from_file_location("study_config", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = [*sys.path]
    sys.path[:0] = [str(folder) for folder in (path.absolute().parent, *beside)]
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    if not hasattr(module, "get_study"):
        raise ValueError(
            f"--config: {path} has no get_study(preset); see configs/paper.py"
        )
    study = module.get_study(preset)
    if not isinstance(study, Study):
        raise ValueError(f"--config: get_study of {path} makes no Study but {study!r}")
    return study


def write(study: Study, root: Path) -> None:
    """Writes `study.json`; a study that is there may grow, but no cell may change.

    Raises:
      ValueError: names the first cell that has other settings there, and these.
    """
    path = root / FILE
    if path.exists():
        _same_cells(read(root), study, root)
    document = dataclasses.asdict(study) | {"schema": SCHEMA}
    root.mkdir(parents=True, exist_ok=True)
    with atomic.file(path) as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n")


def read(root: Path) -> Study:
    """The study of a folder.

    Raises:
      ValueError: there is none, or it cannot be read.
    """
    path = root / FILE
    if not path.is_file():
        raise ValueError(f"{path} is missing: `tqgd study run --out {root}` makes it")
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.pop("schema") != SCHEMA:
            raise KeyError("schema")
        lists = {"rows": Row, "data": DataSet}
        for key, kind in lists.items():
            document[key] = tuple(_plain(kind, row) for row in document[key])
        document["seeds"] = tuple(document["seeds"])
        document["base"] = from_dict(Config, document["base"], str(path))
        return Study(**document)
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is no study ({type(error).__name__}: {error}); give another --out"
        ) from error


def _plain(kind: Any, row: Mapping[str, Any]) -> Any:
    """A row or a data set from JSON, whose lists are tuples here."""

    def thawed(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: thawed(v) for k, v in value.items()}
        return tuple(value) if isinstance(value, list) else value

    return kind(**{name: thawed(value) for name, value in row.items()})


def _same_cells(before: Study, now: Study, root: Path) -> None:
    planned = {cell.name: cell.config for cell in before.cells(root)}
    for cell in now.cells(root):
        if cell.name not in planned:
            continue
        changed = differences(planned[cell.name], cell.config)
        if "data.dir" in changed:
            old, new = map(Path, changed["data.dir"])
            if old.absolute() == new.absolute():
                del changed["data.dir"]
        if changed:
            listed = "; ".join(
                f"{name} was {old!r} and is {new!r}"
                for name, (old, new) in changed.items()
            )
            raise ValueError(
                f"{root} holds a study in which {cell.name} has other settings: {listed}. "
                "Give the settings of before, or another --out"
            )


def chosen(study: Study, root: Path, only: Sequence[str]) -> list[Cell]:
    """The cells whose names have one of the words as a part, such as "T-QFGD" or "fold-1".

    Raises:
      ValueError: a word is part of no name.
    """
    cells = [*study.cells(root)]
    for word in only:
        if not any(word in cell.name.split("/") or word == cell.name for cell in cells):
            raise ValueError(
                f"--only: {word!r} is no data set, row, fold or seed of the study; there "
                f"are cells such as {cells[0].name}"
            )
    return [
        cell
        for cell in cells
        if not only or any(w in cell.name.split("/") or w == cell.name for w in only)
    ]
