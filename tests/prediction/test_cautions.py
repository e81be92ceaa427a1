"""What a reader is warned of, one rule at a time."""

import dataclasses

import numpy as np
import pytest

from tqgd_jax.io.volumes import Volume
from tqgd_jax.prediction import cautions

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
