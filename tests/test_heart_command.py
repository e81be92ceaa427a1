"""A heart detector, from boxes of a csv to the crop of other scans."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.data.ct_sets import config, orcascore
from tests.xla import COMPILES_QUICKLY
from tqgd_jax.data.heart import read_boxes
from tqgd_jax.data.source import open_data
from tqgd_jax.heart import batches

ROOT = Path(__file__).parents[1]


def test_batches_hold_every_slice_once():
    hu = np.arange(5 * 3 * 4).reshape(5, 3, 4).astype(np.int16)
    made = list(batches(hu, 2))
    assert [b.index[:, 0].tolist() for b in made] == [[0, 1], [2, 3], [4, 5]]
    pixels = np.concatenate([b.image[:, 0, :, :, 0] for b in made])
    assert np.array_equal(pixels[:5], hu)
    assert not pixels[5].any()
    assert made[0].size.tolist() == [[[3, 4]], [[3, 4]]]


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": COMPILES_QUICKLY},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,  # it takes a tenth of that
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_trained_boxes_crop_another_folder(tmp_path):
    # Two steps teach nothing: it is the path that is tested, boxes are those of noise.
    root = orcascore(tmp_path / "set")
    names = [f"TRV{1 + k % 2}P{1 + k}CTI" for k in range(5)]
    rows = [f"{name},{z},8,6,40,36" for name in names for z in range(6)]
    (root / "heart_boxes.csv").write_text("\n".join(["scan,z,x0,y0,x1,y1", *rows]))
    work, out = tmp_path / "run", tmp_path / "hearts.csv"
    run(
        "train.py",
        "--config=configs/heart.py",
        f"--config.data.dir={root}",
        f"--config.data.prepared_dir={tmp_path / 'cache'}",
        "--config.data.image_size=64",
        "--config.data.batch_size=2",
        "--config.data.hold_out=0",
        "--config.train.steps=2",
        "--config.train.tensorboard=False",
        f"--workdir={work}",
    )
    said = run(
        "-m",
        "tqgd_jax.heart",
        f"--workdir={work}",
        f"--data_dir={root}",
        f"--out={out}",
        "--min_score=0",
    )
    assert "30 slices with a heart, score >= 0.000" in said
    with out.open() as file:
        found = list(csv.DictReader(file))
    assert {(r["scan"], int(r["z"])) for r in found} == {
        (name, z) for name in names for z in range(6)
    }
    boxes = read_boxes(out, names[0], 6)
    assert np.isfinite(boxes).all()
    assert (boxes[:, 2:] <= [48, 40]).all()
    data = open_data(config(root, str(out)))["train"]
    lesion = data.boxes[data.names.index(f"{data.slices[0].scan}_z001")]
    assert len(lesion) == 1  # no crop cuts a labelled box
