"""What --dicom may name, also where the extra is not installed."""

import sys

import pytest

from tqgd_jax.prediction.dicom.series import Algorithm
from tqgd_jax.prediction.dicom.write import check_kinds


def test_an_unknown_object_is_refused():
    with pytest.raises(
        ValueError, match="unknown object 'rtss'; there are: seg, sr, gsps"
    ):
        check_kinds(["seg", "rtss"])


def test_without_highdicom_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ValueError, match=r"pip install -r requirements-dicom\.txt"):
        check_kinds(["seg"])


@pytest.mark.parametrize("name", ["", "x" * 65, "a\\b", "a\nb"])
def test_a_name_that_dicom_cannot_hold_is_refused(name):
    with pytest.raises(ValueError, match="1 to 64 printable"):
        Algorithm(name, "0.1.0", "a" * 64)
