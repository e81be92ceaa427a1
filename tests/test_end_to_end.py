"""The product as its user meets it: one training and two evaluations, by the commands.

Four steps teach nothing, so every detection is kept: some hit a lesion by chance.
"""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from tests.xla import COMPILES_QUICKLY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PARTS = ("train", "train", "train", "test", "val", "test")  # of patient 1, 2, ...
TESTED, SLICES, STEPS = ("TRV1P4", "TRV1P6"), 6, 4
PHANTOM = f"-m tqgd_jax phantom --patients=6 --slices={SLICES} --size=128 --workers=1"
# Trains on slices with calcium alone, as the paper does.
TRAIN = f"""train.py --config=configs/yolov5.py --config.model.size=n
    --config.model.neck="('fpn',)" --config.model.heads="(2,)"
    --config.model.anchors="2,2 3,3 4,4" --config.augment.min_side=0.5
    --config.data.image_size=64 --config.data.batch_size=2 --config.train.steps={STEPS}
    --config.eval.min_score=0 --config.eval.max_detections=128
    --config.data.dir=HOME/set --config.data.split=HOME/parts.csv --workdir=HOME/run"""
VERIFY = "-m tqgd_jax evaluate --verify"


def run(home: Path, command: str, *words: str, status: int = 0) -> str:
    own = {"TQGD_CACHE": str(home / "cache"), "XLA_FLAGS": COMPILES_QUICKLY}
    told = shlex.split(command.replace("HOME", shlex.quote(str(home))))
    done = subprocess.run(
        [sys.executable, *told, *words],
        cwd=ROOT,
        env=os.environ | own,
        capture_output=True,
        encoding="utf-8",  # of this process it may be another, after what tests do
        check=False,
    )
    assert done.returncode == status, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A phantom in `set`, its run in `run`, judged in `run/eval-test` and `run/anew`."""
    home = tmp_path_factory.mktemp("end to end")  # a path with spaces
    run(home, f"{PHANTOM} --out=HOME/set")
    named = [f"TRV1P{k},{part}" for k, part in enumerate(PARTS, 1)]
    (home / "parts.csv").write_text("\n".join(["image,split", *named]))
    (command,) = re.findall(r"next: python (eval\.py .*)", run(home, TRAIN))
    run(home, f"{command} --bootstraps=20")
    run(home, f"{command} --bootstraps=20 --recalibrate=2 --out=HOME/run/anew")
    return home


def results(home: Path, name: str = "eval-test") -> dict:
    return json.loads((home / "run" / name / "results.json").read_text("utf-8"))


def rows(home: Path, table: str, name: str = "eval-test") -> list[dict[str, str]]:
    text = (home / "run" / name / table).read_text("utf-8")
    return [*csv.DictReader(text.splitlines())]


def lesions(home: Path) -> list[tuple]:
    """Patient, slice and box of each component of an artery in the masks."""
    found, masks = [], home / "set" / "Training Set" / "Reference standard"
    for patient in TESTED:
        mask = sitk.GetArrayFromImage(sitk.ReadImage(masks / f"{patient}R.mhd"))
        for z, artery in np.ndindex(len(mask), 3):
            parts, _ = ndimage.label(mask[z] == artery + 1, np.ones((3, 3)))
            for y, x in ndimage.find_objects(parts):
                found.append((patient, z, x.start, y.start, x.stop, y.stop))
    return sorted(found)


def test_all_slices_and_all_lesions_of_the_tested_patients_are_judged(home):
    wanted, table = lesions(home), rows(home, "lesions.csv")
    boxes = [
        (row["patient"], *(float(row[key]) for key in row if key[:5] in ("z", "slice")))
        for row in table
        if row["kind"] == "box"
    ]
    assert sorted(boxes) == wanted
    slices = [(row["patient"], int(row["z"])) for row in rows(home, "slices.csv")]
    assert sorted(slices) == [(name, z) for name in TESTED for z in range(SLICES)]
    assert results(home)["input"] == {
        **{"patients": 2, "scans": 2, "images": 2 * SLICES, "classes": ["calcium"]},
        **{"boxes": len(wanted), "positive_images": len({box[:2] for box in wanted})},
        **{"detections": len(table) - len(wanted), "ignored": 0},
    }


@pytest.mark.parametrize("name", ["eval-test", "anew"])
def test_the_report_is_whole_and_its_results_fit_the_schema(home, name):
    jsonschema = pytest.importorskip("jsonschema", reason="see requirements-dev.txt")
    (schema,) = (ROOT / "tqgd_jax").rglob("results.schema.json")
    jsonschema.validate(results(home, name), json.loads(schema.read_text("utf-8")))
    page = (home / "run" / name / "report.html").read_text("utf-8")
    assert page.rstrip().endswith("</html>")
    assert {row["patient"] for row in rows(home, "patients.csv", name)} == set(TESTED)


def test_every_number_is_made_again_from_the_tables(home, tmp_path):
    copy, numbers = shutil.copytree(home / "run" / "eval-test", tmp_path / "copy"), []
    text = (copy / "results.json").read_text("utf-8")
    json.loads(text, parse_int=numbers.append, parse_float=numbers.append)
    assert f"{len(numbers)} numbers made again" in run(home, VERIFY, str(copy))
    table = (copy / "lesions.csv").read_bytes().splitlines(keepends=True)
    (copy / "lesions.csv").write_bytes(b"".join(table[:-1]))
    run(home, VERIFY, str(copy), status=1)


def test_statistics_taken_anew_are_told_and_change_the_figures(home):
    running, anew = results(home), results(home, "anew")
    assert [found["inputs"]["recalibrate"] for found in (running, anew)] == ["0", "2"]
    assert anew["protocols"]["clinical"] != running["protocols"]["clinical"]


def test_a_set_of_ones_own_is_judged_whole(home):
    shutil.copytree(home / "set", home / "copy")
    run(
        home,
        "eval.py --split=all --workdir=HOME/run --data_dir=HOME/copy --out=HOME/run/all "
        "--bootstraps=20",
    )
    judged = results(home, "all")
    assert judged["input"]["patients"] == len(PARTS)
    assert judged["input"]["images"] == len(PARTS) * SLICES
    assert "not trained on" in judged["note"]
    # the settings are those of the run, so are the boxes of the patients it tested
    for table in ("slices.csv", "lesions.csv"):
        whole = [r for r in rows(home, table, "all") if r["patient"] in TESTED]
        assert [without_fold(r) for r in whole] == [
            without_fold(r) for r in rows(home, table)
        ]


def without_fold(row: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in row.items() if k not in ("fold", "threshold")}


def test_a_finished_run_trains_nothing_more(home):
    logged, steps = home / "run" / "metrics.jsonl", home / "run" / "checkpoints"

    def there() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in (logged, *steps.glob("*/SHA256SUMS"))}

    before = there()
    assert [*before] == [logged, steps / f"{STEPS}" / "SHA256SUMS"]
    log = map(json.loads, logged.read_text().splitlines())
    assert [row["step"] for row in log if "loss" in row] == [*range(1, STEPS + 1)]
    assert "next: python eval.py" in run(home, TRAIN)
    assert there() == before


def test_a_dry_run_counts_the_parameters_of_the_specification(tmp_path):
    said = run(tmp_path, "train.py --config=configs/tqgdnet.py --dry_run")
    assert json.loads(said)["parameters"] == 14_399_798  # TQGDNet, Table 1
