"""The validators of dicom3tools and dcmtk find no error, on phantoms and on real CT."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip(
    "highdicom", reason="highdicom is not installed (requirements-dicom.txt)"
)

from pydicom import dcmread

from tests.prediction.dicom.cases import ACROSS, Case, case, lesions_of, written
from tqgd_jax.evaluation.calcium.agatston import agatston
from tqgd_jax.io.volumes import read_volume
from tqgd_jax.prediction.dicom.source import source_files

# The codes of categories are our own, because DICOM has none for them.
KNOWN = "99TQGDJAX"
OBJECTS = {
    "seg.dcm": "Segmentation",
    "sr.dcm": "Comprehensive3DSR",
    "gsps.dcm": "GrayscaleSoftcopyPresentationState",
}


def run(tool: str, *words: str | Path) -> list[str]:
    """Lines that a validator prints; skips where it is not installed."""
    if shutil.which(tool) is None:
        package = "dicom3tools" if tool in ("dciodvfy", "dcentvfy") else "dcmtk"
        pytest.skip(f"no {tool}: apt-get install {package}")
    done = subprocess.run(
        [tool, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    return (done.stdout + done.stderr).splitlines()


@pytest.fixture(scope="module", params=["usual", "turned", "none", "qrm", "chest"])
def made(request, tmp_path_factory) -> tuple[Case, Path]:
    """A scan and the folder of its objects."""
    home: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "usual":
        of = case(home / "ct")
    elif request.param == "turned":
        of = case(home / "ct", ACROSS[3])
    elif request.param == "none":
        of = case(home / "ct", rows=[])
    else:
        data: Path = request.getfixturevalue("realdata")
        of = qrm(data) if request.param == "qrm" else chest(data)
    written(home / "out", of)
    return of, home / "out"


def qrm(data: Path) -> Case:
    """Rods of 5 mm at the places and in the slices that ../shared/data/README.md gives."""
    folder = data / "qrm_phantom_ct" / "dicom"
    scan = read_volume(folder)
    z = [round((mm - scan.origin[2]) / scan.spacing[0]) for mm in (598, 601, 604)]
    rods = [(181, 221), (291, 151), (299, 282)]
    return boxed(
        folder,
        [
            (k, x - 11, y - 11, x + 12, y + 12, n, 0.9)
            for n, (x, y) in enumerate(rods)
            for k in z
        ],
    )


def chest(data: Path) -> Case:
    """Whatever is bright, bone too, in boxes of two slices."""
    folder = data / "chest_ct" / "dicom"
    return boxed(
        folder,
        [
            (k, 200 + 40 * n, 100, 230 + 40 * n, 400, n, 0.5)
            for n in (0, 1)
            for k in (30, 31)
        ],
    )


def boxed(folder: Path, rows: list[tuple]) -> Case:
    scan, lesions = read_volume(folder), lesions_of(rows)
    lesion_map = np.zeros(scan.hu.shape, np.uint16)
    for z, x0, y0, x1, y1, lesion, _ in rows:
        inside = np.s_[z, y0:y1, x0:x1]
        lesion_map[inside][scan.hu[inside] > 130] = lesion + 1
    score = agatston(scan, lesions, "orcascore")  # counts single voxels
    assert score.agatston > 0
    return Case(source_files(folder), scan, lesions, lesion_map, score)


def problems(lines: list[str], of: Case) -> list[str]:
    """Errors; of a phantom warnings too. Real CT has odd values, and objects copy them."""
    kinds = (
        ("Error", "Abort", "Warning") if "tests" in of.scan.ids["manufacturer"] else ()
    )
    return [line for line in lines if line.startswith(kinds or ("Error", "Abort"))]


def test_dciodvfy_finds_no_error(made):
    of, out = made
    for path in out.iterdir():
        lines = run("dciodvfy", path)
        assert OBJECTS[path.name] in lines
        assert [x for x in problems(lines, of) if KNOWN not in x] == []


def test_dcentvfy_finds_one_patient_and_one_study(made):
    of, out = made
    lines = run("dcentvfy", *of.files.values(), *out.iterdir())
    # It files AccessionNumber of an SR under Series, and says so of every pair.
    assert [x for x in problems(lines, of) if "AccessionNumber" not in x] == []


def test_dsrdump_reads_the_score(made):
    of, out = made
    text = "\n".join(run("dsrdump", "+Pl", out / "sr.dcm"))
    assert "Verification Flag   : UNVERIFIED" in text
    assert "Not a medical device" in text
    score = f'"Coronary artery calcium score")="{round(of.score.agatston, 6)}" (1,UCUM'
    assert score in text


def test_dcmpschk_passes(made):
    path = made[1] / "gsps.dcm"
    if not path.exists():
        assert made[0].score.agatston == 0  # nothing to draw
        return
    assert "Test passed" in run("dcmpschk", path)[-1]


def test_real_voxels_read_back(made):
    of, out = made
    seg = out / "seg.dcm"
    if not seg.exists():
        assert not of.map.any()
        return
    pixels = dcmread(seg).pixel_array
    assert np.count_nonzero(pixels) == np.count_nonzero(of.map)
