"""What a reader is warned of, one rule at a time."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.explain.tiny import predictor
from tests.image_sets import picture
from tests.prediction.readings import NOTHING
from tqgd_jax.config import Config
from tqgd_jax.io import volumes
from tqgd_jax.io.volumes import Volume
from tqgd_jax.prediction import cautions
from tqgd_jax.prediction.inputs import Source
from tqgd_jax.prediction.models import Detectors, Member
from tqgd_jax.prediction.reading import read_source
from tqgd_jax.predictor import Boxes

IDS = {"modality": "CT", "kvp": "120", "kernel": "Qr36f", "contrast": "NONE"}
HEART = np.tile([1.0, 1, 5, 5], (4, 1))
NONE = np.zeros(0, int)


def scan(**changes):
    usual = Volume(
        np.full((4, 6, 6), -1000, np.int16), (3.0, 0.5, 0.5), (0.0, 0.0, 0.0), IDS,
        thickness=3.0,
    )  # fmt: skip
    return dataclasses.replace(usual, **changes)


def codes(volume, hearts: np.ndarray | None = HEART, z=NONE):
    return [one.code for one in cautions.of_scan(volume, hearts, z)[0]]


def test_an_ordinary_scan_has_none():
    assert codes(scan()) == []
    assert cautions.of_scan(scan(), HEART, NONE)[1] == []
    assert codes(scan(), hearts=None) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ids": IDS | {"kvp": "100"}}, "kvp"),
        ({"ids": IDS | {"contrast": "Iomeprol 400"}}, "contrast"),
        ({"ids": IDS | {"kernel": "B70f"}}, "sharp_kernel"),
        ({"spacing": (5.0, 0.5, 0.5), "thickness": 5.0}, "thick_slices"),
        ({"spacing": (2.0, 0.5, 0.5)}, "overlap"),
        ({"thickness": 2.0}, "gaps"),
        ({"hu": np.zeros((4, 6, 6), np.int16)}, "no_air"),
        ({"hu": np.full((1, 6, 6), -5, np.int16)}, "one_slice"),
    ],
)
def test_each_rule(changes, code):
    assert codes(scan(**changes)) == [code]


def test_overlap_names_the_convention_that_ignores_it():
    (one,), _ = cautions.of_scan(scan(spacing=(2.0, 0.5, 0.5)), HEART, NONE)
    # docs/design/0013: it has no thickness factor
    assert "but not those of inplane8," in one.text


@pytest.mark.parametrize("kvp", ["120.0", "120 "])
def test_120_kvp_may_be_written_in_other_ways(kvp):
    assert codes(scan(ids=IDS | {"kvp": kvp})) == []


def test_a_heart_that_was_not_found_or_left_is_said():
    nowhere = np.full((4, 4), np.nan)
    assert codes(scan(), nowhere) == ["crop_fallback"]
    middle = HEART.copy()
    middle[[0, 3]] = np.nan
    assert codes(scan(), middle, np.array([1, 2])) == []
    warned = cautions.of_scan(scan(), middle, np.array([0, 1, 3, 3]))[0]
    assert [one.code for one in warned] == ["beyond_heart"]
    assert "3 of 4 boxes" in warned[0].text
    assert "slices 1 to 2" in warned[0].text


def test_slices_in_which_nothing_counts_are_said():
    middle = HEART.copy()
    middle[[0, 3]] = np.nan  # the slices below and above it lie 3 mm from it
    nothing = np.zeros(0, int)
    assert cautions.of_scan(scan(), middle, nothing, 3.0)[0] == []
    (warned,) = cautions.of_scan(scan(), middle, nothing, 2.5)[0]
    assert warned.code == "not_counted"
    assert "2 of 4 slices lie more than 2.5 mm" in warned.text


def test_what_a_file_does_not_say_is_listed():
    _, missing = cautions.of_scan(scan(ids={}), HEART, NONE)
    assert missing == ["tube voltage", "kernel", "contrast agent"]
    # emptied with a patient's name, or never filled: nobody knows
    emptied = scan(ids=IDS | {"contrast": ""})
    assert codes(emptied) == []
    assert cautions.of_scan(emptied, HEART, NONE)[1] == ["contrast agent"]


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("B31f", False), ("B60f", True), ("I70f\\3", True), ("Br36d\\2", False),
        ("Bl57d", True), ("STANDARD", False), ("BONEPLUS", True), ("FC03", False),
        ("FC30", True), ("FC51", True), ("FC12", False), ("B", False), ("YA", True),
        ("", False), ("unheard of", False),
    ],
)  # fmt: skip
def test_kernels_of_four_makers(kernel, expected):
    assert cautions.sharp(kernel) == expected


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"validated_ap50": 0.0, "step": 9000}, "an AP50 of 0.000"),
        ({"validated_ap50": 0.3, "step": 12}, "trained for 12 steps"),
        ({"validated_ap50": 0.01, "step": 100}, ""),
        ({"validated_ap50": None, "step": 9000}, ""),
        ({}, ""),  # of an exported file of another version
    ],
)
def test_a_model_that_has_learnt_nothing_is_told(known, why):
    warned = cautions.of_model("poor", known)
    assert [one.code for one in warned] == ["unlearnt"] * bool(why)
    assert all(why in one.text and one.text.startswith("poor ") for one in warned)


def test_results_that_no_patient_has_are_told():
    large = scan(hu=np.full((2, 100, 100), -1000, np.int16), spacing=(3.0, 1.0, 0.5))
    marked = np.zeros(large.hu.shape, bool)
    marked[:, 10:50] = True  # 40 x 100 px of 0.5 mm2 in each slice: 2000 mm2
    assert cautions.of_result(large, marked, 10_000) == []
    marked[1, 50] = True
    area, score = cautions.of_result(large, marked, 10_001)
    assert (area.code, score.code) == ("implausible_area", "implausible_score")
    assert "2050 mm² of slice 1" in area.text
    assert "10,001" in score.text


@pytest.fixture
def detectors(monkeypatch):
    """A model that finds nothing, by what its run says of itself."""
    nothing = Boxes(*NOTHING[1:4])
    monkeypatch.setattr(Detectors, "in_scan", lambda *_: (NOTHING, None))
    monkeypatch.setattr(
        Detectors, "in_images", lambda _, images, __: [nothing] * len(images.names)
    )
    of = dataclasses.replace(predictor(), config=Config())

    def known(**provenance) -> Detectors:
        return Detectors(
            [Member("run", dataclasses.replace(of, provenance=provenance))], 0.25
        )

    return known


def test_an_image_for_a_model_of_scans_is_warned_of(detectors, tmp_path):
    path = picture(tmp_path / "x.png")

    def text(dtype: str) -> str:
        source = Source("images", "x", path, files=(path,))
        (one,) = read_source(source, detectors(dtype=dtype), lambda x: x).cautions
        assert one.code == "no_hu"
        return one.text

    assert text("uint8") == text("")  # an older run
    # its window of Hounsfield units is that of section 2.1.4
    assert "run was trained on Hounsfield units" in text("int16")
    assert "black is -1200 HU and white 1800 HU" in text("int16")


def test_what_is_known_of_the_model_is_said_of_each_scan(detectors, monkeypatch):
    monkeypatch.setattr(volumes, "read_volume", lambda *_, **__: scan())
    source = Source("volume", "x", Path("x.nii.gz"))
    said = read_source(source, detectors(validated_ap50=0.0), lambda x: x)
    assert [one.code for one in said.cautions] == ["unlearnt"]
