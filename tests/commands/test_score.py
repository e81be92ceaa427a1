"""The command `tqgd score`, on files of known content."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import scan_files
from tests.evaluation.flood import slowly
from tqgd_jax.commands import score
from tqgd_jax.evaluation.calcium.boxes import calcium_mask
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS, convention

ROOT = Path(__file__).parents[2]
SCORE = (sys.executable, "-m", "tqgd_jax", "score")
HU = np.full((6, 12, 16), 40, np.int16)
HU[0, 0, 0] = -1000
HU[1:3, 5:7, 10:13] = 350  # 6 px of 0.2 mm2 in two slices of 3 mm
HU[2, 9, 2:6] = 220  # 4 px
SPACING, ORIGIN = scan_files.SPACING, scan_files.ORIGIN  # (3, .5, .4), z from -300


@pytest.fixture
def scan(tmp_path):
    return scan_files.write(tmp_path / "scan.mhd", HU)


@pytest.fixture
def boxes(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text("z,x0,y0,x1,y1\n1,9,4,14,8\nmm:-294,9,4,14,8\n")
    return path


def run(capsys, *words) -> tuple[int, Any, str]:
    """Status, JSON or None, and what is said beside it."""
    status = score.main([str(w) for w in words])
    printed = capsys.readouterr()
    return status, json.loads(printed.out) if printed.out else None, printed.err


def test_score_of_boxes(scan, boxes, capsys):
    status, actual, output = run(
        capsys,
        *("--scan", scan, "--boxes", boxes, "--convention", "clinical"),
        *("--calibration", "0.5"),
    )
    assert (status, output) == (0, "")
    assert actual["scan"] == str(scan)
    assert (actual["convention"], actual["scheme"]) == ("clinical", "standard")
    assert actual["agatston"] == pytest.approx(2 * 6 * 0.2 * 3)  # 7.2
    assert actual["category"] == "1-10"
    assert actual["volume_mm3"] == pytest.approx(12 * 0.6)
    assert actual["mass_mg"] == pytest.approx(0.5 * 350 * 7.2 / 1000)
    assert actual["spacing_mm"] == pytest.approx(SPACING)
    (lesion,) = actual["lesions"]
    assert (lesion["z"], lesion["box"]) == ([1, 2], [10, 5, 13, 7])
    assert (lesion["hu_max"], lesion["voxels"]) == (350, 12)
    assert actual["arteries"] == {}
    assert actual["settings"]["weights_hu"] == [130, 200, 300, 400]
    assert actual["settings"]["calibration"] == 0.5


def test_score_of_a_mask_with_arteries(scan, tmp_path, capsys):
    mask = np.zeros(HU.shape, np.uint8)
    mask[1:3, 5:7, 10:13] = 1
    mask[2, 9, 2:6] = 3
    path = scan_files.write(tmp_path / "mask.nrrd", mask)
    status, actual, _ = run(
        capsys, "--scan", scan, "--mask", path, "--convention", "inplane8"
    )
    assert status == 0
    assert actual["arteries"]["LAD"]["agatston"] == pytest.approx(7.2)
    assert actual["arteries"]["RCA"]["agatston"] == pytest.approx(4 * 0.2 * 2)
    assert actual["arteries"]["LCX"]["agatston"] == 0
    assert [one["artery"] for one in actual["lesions"]] == ["LAD", "RCA"]


def test_a_mask_of_one_value_names_no_artery(scan, tmp_path, capsys):
    mask = (HU > 130).astype(np.uint8) * 255
    path = scan_files.write(tmp_path / "mask.mha", mask)
    status, actual, _ = run(capsys, "--scan", scan, "--mask", path)
    assert (status, actual["arteries"]) == (0, {})
    assert actual["lesions"][0]["artery"] == ""


def test_a_mask_of_unknown_values_is_refused(scan, tmp_path, capsys):
    mask = (HU > 130).astype(np.uint8)
    mask[2, 9, 2:6] = 4
    path = scan_files.write(tmp_path / "mask.mha", mask)
    status, actual, output = run(capsys, "--scan", scan, "--mask", path)
    assert (status, actual) == (1, None)
    assert "mask.mha: the value 4 beside others" in output


def test_a_mask_of_another_grid_is_refused(scan, tmp_path, capsys):
    smaller = scan_files.write(tmp_path / "a.mha", np.zeros((6, 12, 15), np.uint8))
    coarser = scan_files.write(
        tmp_path / "b.mha", np.zeros(HU.shape, np.uint8), spacing=(3.0, 0.5, 0.5)
    )
    for path in (smaller, coarser):
        status, actual, output = run(capsys, "--scan", scan, "--mask", path)
        assert (status, actual) == (1, None)
        assert "They must be one grid" in output
        assert output.count("\n") == 1


def test_all_conventions_and_the_spread(scan, boxes, capsys):
    words = ("--scan", scan, "--boxes", boxes, "--scheme", "four")
    _, actual, _ = run(capsys, *words, "--convention", "all")
    assert [one["convention"] for one in actual["conventions"]] == [*CONVENTIONS]
    assert actual["conventions"][-1]["agatston"] == 7  # AI-CAC's are whole numbers
    _, actual, _ = run(capsys, *words, "--spread")
    assert {k: v["category"]["four"] for k, v in actual["spread"].items()} == (
        dict.fromkeys(CONVENTIONS, "1-100")
    )
    assert actual["category"] == "1-100"


def test_whole_scans_are_scored_only_when_asked(scan, capsys):
    status, actual, output = run(capsys, "--scan", scan)
    assert (status, actual) == (1, None)
    assert "bones are as bright; give --boxes or --mask, or --whole" in output
    status, actual, _ = run(capsys, "--scan", scan, "--whole")
    assert len(actual["lesions"]) == 1  # 0.8 mm2 of 220 HU are too small
    assert actual["agatston"] == pytest.approx(7.2)


def test_bones_and_all_are_in_no_category_of_risk(scan, capsys):
    _, actual, _ = run(capsys, "--scan", scan, "--whole", "--spread")
    assert actual["category"] is None
    assert actual["spread"]["clinical"]["agatston"] == pytest.approx(7.2)
    assert {
        v for one in actual["spread"].values() for v in one["category"].values()
    } == {None}


def test_boxes_of_no_row_score_zero(scan, boxes, capsys):
    boxes.write_text("z,x0,y0,x1,y1\n")
    status, actual, _ = run(capsys, "--scan", scan, "--boxes", boxes)
    assert (status, actual["agatston"], actual["category"]) == (0, 0, "0")
    assert (actual["lesions"], actual["mass_mg"]) == ([], None)


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["--convention", "cinical"], "unknown convention 'cinical'; there are: orca"),
        (["--scheme", "five"], "unknown scheme of categories 'five'; there are: stand"),
        (["--calibration", "0"], "calibration must be above 0"),
        (["--calibration", "nan"], "calibration must be above 0"),
        (["--series", "1.2"], "is for folders of DICOM files"),
        (["--boxes", "none.csv"], "none.csv: cannot be read"),
        (["--scan", "none.mhd"], "none.mhd: no such file"),
    ],
)
def test_wrong_words_end_in_one_line_and_no_score(scan, boxes, capsys, words, output):
    status, actual, error = run(capsys, "--scan", scan, "--boxes", boxes, *words)
    assert (status, actual) == (1, None)
    assert output in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words", [[], ["--scan", "s", "--mask", "m", "--boxes", "b"], ["--scan", "s", "-x"]]
)
def test_a_wrong_command_line_has_status_two(words, capsys):
    with pytest.raises(SystemExit) as ended:
        score.main(words)
    output = capsys.readouterr()
    assert (ended.value.code, output.out) == (2, "")
    assert output.err.count("\n") == 1


def test_a_wrong_row_has_nothing_on_stdout(scan, boxes):
    boxes.write_text("z,x0,y0,x1,y1\n1,9,4,14,8\n1,14,4,9,8\n")
    done = subprocess.run(
        [*SCORE, "--scan", scan, "--boxes", boxes],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tqgd score: {boxes}:3: box (14, 4, 9, 8)")


def shuffled(folder, seed):
    """HU as DICOM slices whose names are in random order."""
    files = sorted(scan_files.series(folder / "a", HU).iterdir())
    random.Random(seed).shuffle(files)
    out = folder / "b"
    out.mkdir()
    for k, file in enumerate(files):
        shutil.copy(file, out / f"{k:03d}")
    return out


def test_a_shuffled_series_and_a_flipped_volume_have_one_score(
    scan, boxes, tmp_path, capsys
):
    words = ("--boxes", boxes, "--convention", "all")
    _, first, _ = run(capsys, "--scan", scan, *words)
    others = [shuffled(tmp_path / str(seed), seed) for seed in range(2)]
    for path in (*others, flipped(tmp_path / "flipped.nrrd")):
        _, other, _ = run(capsys, "--scan", path, *words)
        for a, b in zip(first["conventions"], other["conventions"], strict=True):
            assert (a["agatston"], a["lesions"]) == (b["agatston"], b["lesions"])


def flipped(path):
    """The same patient, with slices from the head down and columns from the left."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(HU[::-1, :, ::-1]))
    image.SetSpacing(SPACING[::-1])
    image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, -1))
    x, y, z = ORIGIN
    image.SetOrigin((x + 15 * 0.4, y, z + 5 * 3))
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(
    ("kvp", "warned"), [("120", False), ("120.0", False), ("100", True)]
)
def test_another_tube_voltage_is_told(
    tmp_path, capsys, caplog, monkeypatch, kvp, warned
):
    tags = {**scan_files.DICTIONARY, "KVP": (0x00180060, b"DS")}
    in_order = dict(sorted(tags.items(), key=lambda item: item[1][0]))
    monkeypatch.setattr(scan_files, "DICTIONARY", in_order)
    folder = scan_files.series(tmp_path / "a", HU, KVP=kvp)
    assert run(capsys, "--scan", folder, "--whole")[0] == 0
    messages = [r.getMessage() for r in caplog.records]
    assert ["100 kVp; the weights are those of 120 kVp" in s for s in messages] == (
        [True] if warned else []
    )


def test_the_rods_of_the_scanned_phantom_score_as_a_flood_fill_says(
    realdata, tmp_path, capsys
):
    # Where they are: ../shared/data/README.md
    from tqgd_jax.io.volumes import read_volume

    folder = realdata / "qrm_phantom_ct" / "dicom"
    volume = read_volume(folder)
    rows, text = [], ["z,x0,y0,x1,y1"]
    for x, y in ((181, 221), (291, 151), (299, 282), (206, 221)):
        for mm in (598, 601, 604):
            z = round((mm - volume.origin[2]) / volume.spacing[0])
            box = (x - 8, y - 8, x + 9, y + 9)
            rows.append((z, *box))
            text.append(f"mm:{mm},{','.join(map(str, box))}")
    path = tmp_path / "rods.csv"
    path.write_text("\n".join(text))
    words = ("--scan", folder, "--boxes", path, "--convention", "inplane8")
    _, actual, _ = run(capsys, *words)
    mask = calcium_mask(volume.hu, rows)
    near = (slice(20, 25), slice(130, 300), slice(160, 320))
    rule = convention("inplane8")
    points, voxels = slowly(volume.hu[near], mask[near], volume.spacing, rule)
    assert actual["agatston"] == pytest.approx(points, rel=1e-12)
    assert sum(one["voxels"] for one in actual["lesions"]) == voxels.sum()
    # 5 mm rods of 800, 400 and 200 mg/mL in the middle slice: a circle of 19.6 mm2,
    # of which blur makes up to twice as much, at the highest weight
    peaks = sorted(one["hu_max"] for one in actual["lesions"])[-4:]
    assert peaks[0] > 300
    assert 4 * 3 * 19.6 < actual["agatston"] < 3 * 4 * 4 * 2 * 19.6
