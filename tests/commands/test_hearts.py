"""A heart detector, from its boxes to the crop of other scans and images."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import image_sets
from tests.ct_sets import config, orcascore
from tests.image_sets import voc_set
from tests.xla import COMPILES_QUICKLY
from tqgd_jax.config import Crop
from tqgd_jax.ct.heart_boxes import read_boxes
from tqgd_jax.data.open import open_data

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def run(*words: str, status: int = 0) -> str:
    """What is printed, or the message when the command is to fail."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": COMPILES_QUICKLY},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,  # it takes a tenth of that
    )
    assert done.returncode == status, done.stderr[-2000:]
    return done.stderr if status else done.stdout


def hearts(root: Path, out: Path, *more: str) -> str:
    """Trains two steps on a folder and finds the hearts in it."""
    work = out.parent / "run"
    run(
        "train.py",
        "--config=configs/heart.py",
        f"--config.data.dir={root}",
        f"--config.data.prepared_dir={out.parent / 'cache'}",
        "--config.data.image_size=64",
        "--config.data.batch_size=2",
        "--config.data.hold_out=0",
        "--config.train.steps=2",
        "--config.train.tensorboard=False",
        f"--workdir={work}",
        *more,
    )
    find = ("-m", "tqgd_jax", "hearts", f"--workdir={work}", f"--data_dir={root}")
    none = run(*find, f"--out={out}", "--min_score=2", status=1)
    assert f"{root}: no " in none
    assert "with a heart of a score of 2 or more" in none
    assert "lower --min_score" in none
    assert not out.exists()
    return run(*find, f"--out={out}", "--min_score=0")


def test_trained_boxes_crop_another_folder(tmp_path):
    # Two steps teach nothing: it is the path that is tested, boxes are those of noise.
    root = orcascore(tmp_path / "set")
    names = [f"TRV{1 + k % 2}P{1 + k}CTI" for k in range(5)]
    rows = [f"{name},{z},8,6,40,36" for name in names for z in range(6)]
    (root / "heart_boxes.csv").write_text("\n".join(["scan,z,x0,y0,x1,y1", *rows]))
    out = tmp_path / "hearts.csv"
    output = hearts(root, out)
    assert "30 slices with a heart, score >= 0.000" in output
    with out.open() as file:
        actual = list(csv.DictReader(file))
    assert {(r["scan"], int(r["z"])) for r in actual} == {
        (name, z) for name in names for z in range(6)
    }
    boxes = read_boxes(out, names[0], 6)
    assert np.isfinite(boxes).all()
    assert (boxes[:, 2:] <= [48, 40]).all()
    data = open_data(config(root, str(out)))["train"]
    lesion = data.boxes[data.names.index(f"{data.slices[0].scan}_z001")]
    assert len(lesion) == 1  # no crop cuts a labelled box


def test_a_detector_trained_on_images_crops_images(tmp_path):
    names = "abcde"
    box = ("heart", 8.0, 6.0, 40.0, 36.0)
    root = voc_set(tmp_path / "set", {n: [box] for n in names}, h=40, w=48)
    out = tmp_path / "hearts.csv"
    output = hearts(root, out, "--config.data.boxes=", "--config.data.split=folds")
    assert "5 images with a heart, score >= 0.000" in output
    with out.open() as file:
        actual = {
            r.pop("image"): [*map(float, r.values())] for r in csv.DictReader(file)
        }
    assert sorted(actual) == list(names)
    settings = image_sets.config(root, split="ratio", ratio=(0.0, 0.0, 1.0))
    settings.data.crop = Crop(method=str(out), margin_px=0.0)
    data = open_data(settings)["test"]
    for name, crop in zip(data.names, data.crops, strict=True):
        x0, y0, x1, y1 = actual[name]
        inside = (np.floor(x0), np.floor(y0), np.ceil(x1), np.ceil(y1))
        assert crop == inside
