"""`tqgd convert`: all or nothing, what is refused, and what it prints."""

import ast
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.commands.datasets import HU, noise, source
from tests.image_sets import small
from tqgd_jax.commands import convert as convert_module
from tqgd_jax.commands.convert import export
from tqgd_jax.data import read_back
from tqgd_jax.io import atomic
from tqgd_jax.io.images import read_image

ROOT = Path(__file__).parents[2]


def test_an_empty_folder_is_filled_and_another_one_refused(tmp_path, splits):
    out = tmp_path / "out"
    out.mkdir()
    export(splits, out, "voc", "raw", HU)
    before = sorted(out.rglob("*"))
    with pytest.raises(ValueError, match="is there and not empty; name a new folder"):
        export(splits, out, "yolo", "raw", HU)
    assert sorted(out.rglob("*")) == before
    with pytest.raises(ValueError, match="is a file; name a new folder"):
        export(splits, out / "split.csv", "yolo", "raw", HU)


def test_two_processes_do_not_fill_one_folder(tmp_path, splits):
    refused = pytest.raises(ValueError, match="another process is writing")
    with atomic.lock(tmp_path / ".out.lock"), refused:
        export(splits, tmp_path / "out", "voc", "raw", HU)
    export(splits, tmp_path / "out", "voc", "raw", HU)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_an_end_half_way_leaves_nothing(tmp_path, splits, monkeypatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for module, name in (
        (convert_module, "write_png"),
        (convert_module, "_write_split"),
        (read_back, "read_back"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(KeyboardInterrupt):
                export(splits, tmp_path / "out", "coco", "raw", HU)
        assert list(tmp_path.iterdir()) == []


def test_what_a_format_cannot_hold_is_an_error_and_no_folder(tmp_path):
    image = {"a": noise(0, 20, 30)}
    odd = source(image, {"a": [(0, 1, 2, 5, 9)]}, classes=(" cac ", "b"))
    with pytest.raises(ValueError, match="voc does not hold this data set"):
        export({"train": odd}, tmp_path / "out", "voc", "raw", HU)
    # a list of YOLO's own, taken for no label file
    odd = source({"train": image["a"]}, {"train": [(0, 1, 2, 5, 9)]})
    with pytest.raises(ValueError, match="yolo does not hold this data set"):
        export({"train": odd}, tmp_path / "out", "yolo", "raw", HU)
    assert list(tmp_path.iterdir()) == []


def test_splits_that_cannot_be_exported_are_refused(tmp_path):
    image = noise(0, 20, 30)
    with pytest.raises(ValueError, match="would be one file; rename one"):
        export(
            {"train": source({"a": image, "A": image}, {})}, tmp_path, "voc", "raw", HU
        )
    leaky = source({"a": image}, {}, disclaimer="slice-level split")
    with pytest.raises(ValueError, match="'slice-level split'"):
        export({"train": leaky}, tmp_path / "out", "voc", "raw", HU)
    with pytest.raises(ValueError, match="no image to export"):
        export({}, tmp_path / "out", "voc", "raw", HU)
    fine = {"train": source({"a": image}, {})}
    with pytest.raises(ValueError, match="--format: unknown value 'dota'"):
        export(fine, tmp_path / "out", "dota", "raw", HU)
    with pytest.raises(ValueError, match="--pixels: unknown value '8'"):
        export(fine, tmp_path / "out", "voc", "8", HU)


@pytest.mark.parametrize("classes", [["cac"], ["a <&> b", "it's"], ['$HOME "`!\\']])
def test_classes_survive_a_shell(classes):
    (word,) = shlex.split(convert_module._word(classes))
    assert ast.literal_eval(word) == tuple(classes)


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tqgd_jax", "convert", *words],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
    )


def test_the_command_exports_and_says_how_to_read(tmp_path):
    root, out = small(tmp_path / "set"), tmp_path / "a new" / "out"
    words = [f"--data_dir={root}", f"--config.data.prepared_dir={tmp_path / 'cache'}"]
    done = run(*words, f"--out={out}", "--format=coco", "--pixels=window8")
    assert done.returncode == 0, done.stderr
    assert f"{out}: train 5 images, 5 boxes\n" in done.stdout
    assert f"{out}: test 2 images, 1 boxes\n" in done.stdout
    assert "one of 256 levels is 1 grey values" in done.stdout
    assert "--config.data.classes=\"('cac', 'other')\"" in done.stdout
    words_of_shell = shlex.split(done.stdout.splitlines()[-1])
    assert f"--config.data.dir={out}" in words_of_shell
    assert "--config.data.classes=('cac', 'other')" in words_of_shell
    # 8 bits in, the whole range out: no pixel changes
    pixels = read_image(out / "images" / "a.png")
    assert np.array_equal(pixels, read_image(root / "images" / "a.png"))

    done = run(*words, f"--out={root / 'out'}", "--format=coco")
    assert done.returncode == 1
    assert "lies in the data set" in done.stderr
    assert "Traceback" not in done.stderr
