"""How far answers lie apart, by hand."""

import numpy as np
import pytest

from tests.training.tiny import config
from tqgd_jax.deploy import compare
from tqgd_jax.deploy.compare import LIMITS, dense_apart, detections_apart


def found(*rows):
    """Boxes of one image: x0, score."""
    n = len(rows)
    boxes = np.array([[[x, 0, x + 9, 9] for x, _ in rows]], np.float32)
    scores = np.array([[s for _, s in rows]], np.float32)
    return [
        boxes.reshape(1, n, 4),
        scores,
        np.zeros((1, n), int),
        np.ones((1, n), bool),
    ]


def test_partners_are_the_nearest():
    ours, theirs = found((5, 0.5), (50, 0.25)), found((50, 0.25), (5.0005, 0.5))
    apart = detections_apart(ours, theirs, LIMITS["fp32"], 0.2)
    assert apart["px"] == pytest.approx(0.0005, rel=1e-2)
    assert (apart["score"], apart["unpaired"], apart["detections"]) == (0, 0, 2)


@pytest.mark.parametrize(
    "theirs",
    [
        found((5, 0.5)),  # one is missing
        found((5, 0.5), (50, 0.3)),  # another score
        found((5, 0.5), (50.1, 0.25)),  # another box
    ],
)
def test_more_than_rounding_is_refused(theirs):
    ours = found((5, 0.5), (50, 0.25))
    with pytest.raises(ValueError, match=r"the run by .* \(unpaired_above_threshold\)"):
        detections_apart(ours, theirs, LIMITS["fp32"], 0.2)
    # rivals of one score below the threshold may exchange their places
    assert detections_apart(ours, theirs, LIMITS["fp32"], 0.4)["unpaired"] <= 0.5


def test_a_comparison_of_nothing_says_so():
    none = detections_apart(found(), found(), LIMITS["fp32"], 0.2)
    assert "no box or score was compared" in compare.caution(none)
    some = detections_apart(found((5, 0.5)), found((5, 0.5)), LIMITS["fp32"], 0.2)
    assert compare.caution(some) == ""
    assert compare.caution(none | {"raw": 0.0}) == ""  # ONNX: dense outputs too


def test_another_class_is_no_partner():
    theirs = found((5, 0.5))
    theirs[2] = theirs[2] + 1
    with pytest.raises(ValueError, match="unpaired"):
        detections_apart(found((5, 0.5)), theirs, LIMITS["fp32"], 0.9)


def test_dense_outputs_value_by_value():
    ours = {
        "boxes": np.array([512.0]),
        "scores": np.array([0.5]),
        "p3": np.array([20.0]),
    }
    theirs = {k: v + 2e-6 for k, v in ours.items()}
    apart = dense_apart(ours, theirs, LIMITS["fp32"])
    assert apart["px"] == pytest.approx(1e-6)  # 2e-6 px at 512 px
    assert apart["raw"] == pytest.approx(1e-7)  # of 20
    with pytest.raises(ValueError, match=r"\(score\)"):
        dense_apart(ours, ours | {"scores": np.array([0.6])}, LIMITS["fp32"])
    with pytest.raises(ValueError, match="differs from the run by nan"):
        dense_apart(ours, ours | {"p3": np.array([np.nan])}, LIMITS["fp32"])
    with pytest.raises(ValueError, match=r"output p3 is \(2,\)"):
        dense_apart(ours, ours | {"p3": np.zeros(2)}, LIMITS["fp32"])


def test_probe_images_are_in_the_window_and_differ_in_size():
    batch = compare.probe(config(), "int16")
    assert batch.image.shape == (3, 1, 80, 80, 1)
    assert np.asarray(batch.size)[:, 0].tolist() == [[48, 64], [64, 32], [80, 80]]
    assert -1200 <= int(batch.image.min()) < int(batch.image.max()) <= 1800
