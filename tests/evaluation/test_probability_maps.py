"""Probability maps in the place of detections: files, and what is wrong with them."""

import numpy as np
import pytest
from PIL import Image as Picture

from tests.report.studies import study
from tqgd_jax.evaluation.inputs.probability_maps import from_maps


@pytest.fixture
def judged():
    return study(patients=2, slices=2)[0]


def zeros(folder, judged, shape=(64, 72)):
    for image in judged.images:
        np.save(folder / f"{image.name}.npy", np.zeros(shape))


def test_components_become_boxes_at_both_probabilities(tmp_path, judged):
    zeros(tmp_path, judged)
    p = np.zeros((64, 72))
    p[10:12, 20:23] = 0.2
    p[40:44, 30:34] = 0.75
    np.save(tmp_path / "P1_z1.npy", p)
    made = from_maps(judged, tmp_path, "mean")
    curve, point = made.images[3], made.point[3]
    assert curve.det_boxes.tolist() == [[20, 10, 23, 12], [30, 40, 34, 44]]
    assert curve.det_scores == pytest.approx([0.2, 0.75])
    assert point.det_boxes.tolist() == [[30, 40, 34, 44]]
    assert [len(i.det_boxes) for i in made.images[:3]] == [0, 0, 0]
    np.testing.assert_array_equal(curve.boxes, judged.images[3].boxes)
    assert set(made.thresholds) == {0.0}
    assert "the curves have 2 different scores" in made.note


def test_hounsfield_units_take_out_what_is_no_calcium(tmp_path, judged):
    zeros(tmp_path, judged)
    p = np.zeros((64, 72))
    p[10:12, 20:23] = 0.9
    np.save(tmp_path / "P0_z0.npy", p)
    hu = np.zeros((64, 72), np.int16)
    hu[10:12, 20:22] = 130
    for shape in ((64, 72), (64, 72, 1)):  # a scan's slices have channels
        made = from_maps(judged, tmp_path, "max", lambda _, s=shape: hu.reshape(s))
        assert made.point[0].det_boxes.tolist() == [[20, 10, 22, 12]]
    grey = from_maps(judged, tmp_path, "max", lambda _: hu.astype(np.uint8))
    assert grey.point[0].det_boxes.tolist() == [[20, 10, 23, 12]]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_the_full_scale_of_a_png_is_one(tmp_path, judged, depth):
    zeros(tmp_path, judged)
    (tmp_path / "P0_z0.npy").unlink()
    values = np.zeros((64, 72), depth)
    values[5:9, 5:9] = np.iinfo(depth).max
    Picture.fromarray(values).save(tmp_path / "P0_z0.png")
    made = from_maps(judged, tmp_path, "mean")
    assert made.images[0].det_scores.tolist() == [1.0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "no P0_z1.npy or P0_z1.png"),
        (lambda path: np.save(path, np.zeros((64, 70))), "has the shape"),
        (lambda path: np.save(path, np.full((64, 72), np.nan)), "NaN"),
        (lambda path: np.save(path, np.full((64, 72), 7.0)), "apply the sigmoid"),
        (lambda path: np.save(path, np.zeros((64, 72), int)), "holds floats"),
        (lambda path: np.save(path, np.zeros((64, 72, 2))), "height and width"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
    ],
)
def test_a_wrong_map_is_named(tmp_path, judged, spoil, message):
    zeros(tmp_path, judged)
    spoil(tmp_path / "P0_z1.npy")
    with pytest.raises(ValueError, match=f"P0_z1.*{message}|{message}"):
        from_maps(judged, tmp_path, "mean")


def test_several_classes_are_refused(tmp_path, judged):
    with pytest.raises(ValueError, match="knows one class"):
        from_maps(judged._replace(classes=("LAD", "RCA")), tmp_path, "mean")
