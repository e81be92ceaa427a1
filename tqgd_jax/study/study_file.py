"""A study as a Python file, and as `study.json` in its folder."""

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from tqgd_jax.config import Config, differences, from_dict
from tqgd_jax.io import atomic
from tqgd_jax.study.design import DataSet, Row, Study

FILE = "study.json"
SCHEMA = "tqgd_jax.study/1"


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


def check(study: Study, root: Path) -> Study | None:
    """Whether a study may take the place of the one that is there; writes nothing.

    It may grow, but no cell may change or go: its results would be in no report.

    Returns:
      The study that is there, if any.

    Raises:
      ValueError: names the first cell that would go, or that has other settings there.
    """
    _refuse_file(root)
    if not (root / FILE).exists():
        return None
    before = read(root)
    _same_cells(before, study, root)
    _none_goes(before, study, root)
    return before


def write(study: Study, root: Path) -> None:
    """Writes `study.json`.

    Raises:
      ValueError: as `check`.
    """
    check(study, root)
    path = root / FILE
    document = dataclasses.asdict(study) | {"schema": SCHEMA}
    root.mkdir(parents=True, exist_ok=True)
    with atomic.file(path) as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n")


def read(root: Path) -> Study:
    """The study of a folder.

    Raises:
      ValueError: there is none, or it cannot be read.
    """
    _refuse_file(root)
    path = root / FILE
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: `tqgd study run --out {quote(str(root))}` makes it"
        )
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
    except (
        *(KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError),
        RecursionError,  # brackets without end
    ) as error:
        raise ValueError(
            f"{path} is no study ({type(error).__name__}: {error}); give another --out"
        ) from error


def _refuse_file(root: Path) -> None:
    if root.is_file():
        raise ValueError(f"--out: {root} is a file; name the folder of a study")


def _plain(kind: Any, row: Mapping[str, Any]) -> Any:
    """A row or a data set from JSON, whose lists are tuples here."""

    def thawed(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: thawed(v) for k, v in value.items()}
        return tuple(value) if isinstance(value, list) else value

    return kind(**{name: thawed(value) for name, value in row.items()})


def _none_goes(before: Study, now: Study, root: Path) -> None:
    names = {cell.name for cell in now.cells(root)}
    for cell in before.cells(root):
        if cell.name not in names:
            raise ValueError(
                f"{root} holds a study with {cell.name}, which this one leaves out. Give "
                "the rows, data sets, folds and seeds of before as well, or another --out"
            )


def _same_cells(before: Study, now: Study, root: Path) -> None:
    planned = {cell.name: cell.config for cell in before.cells(root)}
    for cell in now.cells(root):
        if cell.name not in planned:
            continue
        changed = differences(planned[cell.name], cell.config)
        if changed:
            listed = "; ".join(
                f"{name} was {old!r} and is {new!r}"
                for name, (old, new) in changed.items()
            )
            raise ValueError(
                f"{root} holds a study in which {cell.name} has other settings: {listed}. "
                "Give the settings of before, or another --out"
            )
