"""A study is checked before anything of it runs, and may grow but not change."""

import dataclasses
from pathlib import Path

import pytest

from tqgd_jax.config import Config
from tqgd_jax.data import index_dataset
from tqgd_jax.data.split.fold_search import Slice
from tqgd_jax.study import design, overrides, run, study_file
from tqgd_jax.study.design import DataSet, Row, Study

ROOT = Path(__file__).parents[2]
PLAIN = Row("plain", "YOLOv5", {"model.stem": "conv", "model.neck": ("pan",)})
OURS = Row("ours", "of one's own", {"model.neck": ("fpn",)})


def study(**changes) -> Study:
    data = DataSet("set", {"data.dir": "d", "data.slices": "positive"}, folds=2)
    given = {"base": Config(), "rows": (PLAIN, OURS), "data": (data,), "seeds": (0, 7)}
    return Study(**(given | {"reference": "plain"} | changes))


def test_cells_are_runs_with_folds_innermost():
    cells = [*study().cells(Path("/r"))]
    assert [cell.name for cell in cells] == [
        f"set/{row}/fold-{fold}/seed-{seed}"
        for seed in (0, 7)
        for row in ("plain", "ours")
        for fold in (1, 2)
    ]
    last = cells[-1].config
    assert (last.seed, last.data.fold, last.data.slices) == (7, 2, "positive")
    assert last.data.split == "/r/set/folds.json"
    assert last.model.neck == ("fpn",)


def test_a_set_with_its_own_split_has_one_cell_a_row_and_seed():
    own = study(data=(DataSet("own", {"data.dir": "d"}, folds=0),))
    cells = [*own.cells(Path())]
    assert [cell.name for cell in cells][:2] == [
        "own/plain/whole/seed-0",
        "own/ours/whole/seed-0",
    ]
    assert cells[0].config.data.split == "auto"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ()}, "no row"),
        ({"rows": (PLAIN, PLAIN)}, "row 'plain': names are folders, each once"),
        ({"rows": (dataclasses.replace(PLAIN, name="a b"),)}, "without"),
        ({"seeds": (1, 1)}, "seed '1'"),
        ({"reference": "plane"}, "did you mean 'plain'"),
        ({"data": (DataSet("set", {}, folds=1),)}, "folds must be 2 or more"),
        (
            {
                "rows": tuple(
                    dataclasses.replace(r, modules=("gd",)) for r in (PLAIN, OURS)
                )
            },
            "another row has the same modules",
        ),
        (
            {"rows": (dataclasses.replace(PLAIN, modules=("thr", "x")),)},
            "unknown value 'x'",
        ),
        (
            {"rows": (PLAIN, dataclasses.replace(OURS, settings={"model.neck.x": 1}))},
            "row ours: model.neck.x: section: unknown value 'neck'",
        ),
        (
            {"rows": (PLAIN, dataclasses.replace(OURS, settings={"model.nek": 1}))},
            "did you mean 'neck'",
        ),
        (
            {"rows": (PLAIN, dataclasses.replace(OURS, settings={"model.neck": "gd"}))},
            "row ours: model.neck is a tuple, got 'gd'",
        ),
        (
            {"data": (DataSet("set", {"data.batch_size": 0}),)},
            "data set set: data.batch_size must be at least 1, got 0",
        ),
    ],
)
def test_what_cannot_run_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        study(**changes)


def test_settings_of_the_command_line_take_the_type_of_the_setting():
    words = ["train.epochs=3", "model.neck=('gd',)", "optim.lr=1", "data.dir=7"]
    settings = overrides.parsed(Config(), words)
    config = overrides.overridden(Config(), settings, "--config")
    assert (config.train.epochs, config.model.neck) == (3, ("gd",))
    assert (config.optim.lr, type(config.optim.lr)) == (1.0, float)
    assert config.data.dir == "7"
    for word, message in (
        ("train.epochs", "SETTING=VALUE"),
        ("train.epochs=x", "train.epochs is a int, got 'x'"),
        ("train.epochs=1.5", "train.epochs is a int, got 1.5"),
        ("train.tensorboard=1", "train.tensorboard is a bool, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            overrides.overridden(
                Config(), overrides.parsed(Config(), [word]), "--config"
            )


def test_a_study_comes_back_may_grow_and_refuses_other_settings(tmp_path):
    study_file.write(study(), tmp_path)
    assert study_file.read(tmp_path) == study()
    grown = study(rows=(PLAIN, OURS, dataclasses.replace(OURS, name="more")))
    study_file.write(grown, tmp_path)
    assert study_file.read(tmp_path) == grown
    other = dataclasses.replace(Config(), seed=3)
    other.optim.lr = 0.5
    with pytest.raises(
        ValueError, match=r"set/plain/fold-1/seed-0 .*optim.lr was 0.01 and is 0.5"
    ):
        study_file.write(study(base=other), tmp_path)
    assert study_file.read(tmp_path) == grown
    for text in ('{"schema": "other"}', "[" * 200_000):
        (tmp_path / study_file.FILE).write_text(text)
        with pytest.raises(ValueError, match="is no study"):
            study_file.read(tmp_path)
    with pytest.raises(ValueError, match="is missing"):
        study_file.read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"rows": (PLAIN,), "seeds": (1,)}, "set/plain/fold-1/seed-0"),
        ({"rows": (PLAIN,)}, "set/ours/fold-1/seed-0"),
        ({"seeds": (0,)}, "set/plain/fold-1/seed-7"),
        ({"data": (DataSet("second", {"data.dir": "d"}),)}, "set/plain/fold-1/seed-0"),
    ],
)
def test_a_study_does_not_shrink(tmp_path, changes, gone):
    study_file.write(study(), tmp_path)
    with pytest.raises(ValueError, match=rf"{gone}, which this one leaves out. Give"):
        study_file.write(study(**changes), tmp_path)
    assert study_file.read(tmp_path) == study()


def files_of(root: Path) -> dict[str, bytes]:
    files = [file for file in root.rglob("*") if file.is_file()]
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


@pytest.fixture
def two_folders(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Real patients, and a phantom's; each patient has one slice."""
    for name in ("real", "phantom"):
        (tmp_path / name).mkdir()
    (tmp_path / "phantom" / "phantom.json").write_text("{}")

    def slices(config: Config) -> list[Slice]:
        name = Path(config.data.dir).name
        return [Slice(f"{name}-{k}", f"{name}-{k}", "0", 1.0, "") for k in range(4)]

    monkeypatch.setattr(index_dataset, "slices", slices)
    return tmp_path / "real", tmp_path / "phantom"


def test_a_refused_study_leaves_nothing_behind(two_folders, tmp_path):
    real, phantom = two_folders
    root = tmp_path / "study"
    run.same_folds(study().with_data({"set": str(real)}), root)
    study_file.write(study().with_data({"set": str(real)}), root)
    before = files_of(root)
    with pytest.raises(ValueError, match=r"data.dir was .*real.* and is .*phantom"):
        run.same_folds(study().with_data({"set": str(phantom)}), root)
    assert files_of(root) == before
    assert not run.simulated(str(real), root / "set")


def test_folds_that_a_plan_made_for_other_data_are_refused(two_folders, tmp_path):
    real, phantom = two_folders
    root = tmp_path / "study"
    run.same_folds(study().with_data({"set": str(phantom)}), root)
    assert sorted(files_of(root)) == ["set/folds.json", f"set/{run.SIMULATED}"]
    before = files_of(root)
    with pytest.raises(ValueError, match=r"made for other data.*or another --out"):
        run.same_folds(study().with_data({"set": str(real)}), root)
    assert files_of(root) == before
    run.same_folds(study().with_data({"set": str(phantom)}), root)
    assert files_of(root) == before


def test_a_plan_for_simulated_patients_makes_no_others_so(two_folders, tmp_path):
    """With the data set's own split there are no folds that could be refused."""
    real, phantom = two_folders
    own = study(data=(DataSet("set", {"data.dir": str(phantom)}, folds=0),))
    root = tmp_path / "study"
    run.same_folds(own, root)
    assert run.simulated(str(real), root / "set")
    run.same_folds(own.with_data({"set": str(real)}), root)
    assert not run.simulated(str(real), root / "set")
    run.same_folds(own, root)
    study_file.write(own, root)
    (phantom / "phantom.json").unlink()  # the data have gone
    run.same_folds(own, root)
    assert run.simulated(str(phantom), root / "set")


def test_cells_are_chosen_by_a_part_of_their_names():
    names = [c.name for c in design.chosen(study(), Path(), ["ours", "fold-1"])]
    assert names == [f"set/ours/fold-1/seed-{seed}" for seed in (0, 7)]
    one = design.chosen(study(), Path(), ["set/ours/fold-2/seed-7"])
    assert [c.name for c in one] == ["set/ours/fold-2/seed-7"]
    both = design.chosen(study(), Path(), ["ours", "plain", "fold-1", "seed-7"])
    assert [c.name for c in both] == [
        f"set/{row}/fold-1/seed-7" for row in ("plain", "ours")
    ]
    with pytest.raises(ValueError, match="'T-QF' is no data set"):
        design.chosen(study(), Path(), ["T-QF"])
    with pytest.raises(ValueError, match="no cell of the study is fold-1 and set/"):
        design.chosen(study(), Path(), ["fold-1", "set/ours/fold-2/seed-7"])


@pytest.mark.parametrize(
    ("preset", "cells"),
    [("", 85), ("smoke", 18), ("phantom", 45), ("phantom-paper", 45), ("nuclei", 27)],
)
def test_the_papers_study_is_whole(preset, cells):
    paper = study_file.load(str(ROOT / "configs" / "paper.py"), preset)
    assert len([*paper.cells(Path())]) == cells
    modules = [row.modules for row in paper.rows if row.modules is not None]
    assert len({frozenset(m) for m in modules}) == len(modules) == 8
    renamed = paper.with_data({"mine": "DIR"})
    assert [(d.name, d.settings["data.dir"]) for d in renamed.data] == [("mine", "DIR")]


def test_a_file_that_makes_no_study_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        study_file.load(str(tmp_path / "x.py"))
    (tmp_path / "x.py").write_text("get_config = dict\n")
    with pytest.raises(ValueError, match="has no get_study"):
        study_file.load(str(tmp_path / "x.py"))
    (tmp_path / "x.py").write_text("get_study = dict\n")
    with pytest.raises(
        ValueError, match=r"get_study of .*x.py makes no Study but \{\}"
    ):
        study_file.load(str(tmp_path / "x.py"))
