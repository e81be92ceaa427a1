"""predictions.json: what it says of boxes, lesions and calcium, against hand counts."""

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import tqgd_jax
from tests.prediction import readings
from tests.prediction.readings import FOUND, NOTHING, detectors, reading, volume
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS
from tqgd_jax.io.volume_files import Grid
from tqgd_jax.prediction.document import document

SCHEMA = json.loads(
    files("tqgd_jax.prediction").joinpath("predictions.schema.json").read_text("utf-8")
)
ACROSS = 0.25  # mm2 of a pixel


def of(*args):
    content = document(reading(*args), detectors())
    jsonschema.validate(content, SCHEMA)
    return json.loads(json.dumps(content, allow_nan=False))


def test_lesions_are_counted_by_hand():
    first, second, third = of()["lesions"]
    assert first["slices"] == [1, 2]
    assert (first["best_slice"], first["score"]) == (2, 0.75)
    # 8 x 6 px of 140 HU weigh 1, in two slices of 3 mm
    assert first["voxels"] == 2 * 48
    assert first["agatston"] == pytest.approx(2 * 48 * ACROSS)
    assert first["volume_mm3"] == pytest.approx(2 * 48 * ACROSS * 3)
    # of 6 x 4 px of 420 HU three columns lie in the last box too; the surer one has them
    assert second["voxels"] == 24
    assert second["agatston"] == pytest.approx(24 * ACROSS * 4)
    assert (third["voxels"], third["agatston"], third["hu_max"]) == (0, 0, None)


def test_parts_of_the_score_add_up_under_every_convention():
    calcium = of()["calcium"]
    assert calcium["agatston"] == pytest.approx(2 * 48 * ACROSS + 24 * ACROSS * 4)
    assert calcium["category"] == "11-100"
    assert calcium["conventions"].keys() == CONVENTIONS.keys()
    # without the 3 mm of a slice taken into account it is the same here
    assert calcium["conventions"]["inplane8"]["agatston"] == calcium["agatston"]
    assert calcium["conventions"]["clinical"]["category"]["cacdrs"] == "1-99"
    got = sum(x["agatston"] for x in of()["lesions"])
    assert got == pytest.approx(calcium["agatston"])


def test_boxes_say_where_they_are_and_what_is_inside():
    boxes = of()["boxes"]
    assert [b["lesion"] for b in boxes] == [1, 1, 2, 3]
    assert [b["z_mm"] for b in boxes] == [103.0, 106.0, 112.0, 112.0]
    assert [b["hu_max"] for b in boxes] == [140, 140, 420, None]
    assert boxes[0]["area_mm2"] == 48 * ACROSS
    assert boxes[3]["score"] == 0.25


def test_boxes_are_the_very_numbers_of_the_detector():
    odd = readings.lesions([3], [[1 / 3, 0.1, 7.7, 9.9]], [0.123456789], [0])
    (box,) = of(odd)["boxes"]
    again = np.array([box[k] for k in ("x0", "y0", "x1", "y1")]).astype(np.float32)
    np.testing.assert_array_equal(again, odd.boxes[0])
    assert np.float32(box["score"]) == odd.scores[0]


def test_boxes_stand_on_the_rows_and_columns_of_the_file_too():
    # as a file whose rows run to the front, slices to the feet, and columns are rows
    turned = (0, -1, 0, 1, 0, 0, 0, 0, -1)
    grid = Grid((40, 60, 6), (0.5, 0.5, 3.0), (0, 0, 0), tuple(map(float, turned)))
    scan = volume(swapped=True, flipped=(False, True), grid=grid)
    own = of(FOUND, scan)["boxes"][0]["file"]
    # x 19 to 29 of 60 from the other side is 31 to 41, and stands for rows of the file
    assert own == {"slice": 4, "x0": 9, "y0": 31, "x1": 17, "y1": 41}
    sagittal = grid._replace(direction=(0.0, 0, 1, 1, 0, 0, 0, 1, 0))
    assert of(FOUND, volume(grid=sagittal))["boxes"][0]["file"] is None


def test_nothing_found_is_a_score_of_zero():
    content = of(NOTHING)
    assert content["boxes"] == content["lesions"] == []
    assert (content["calcium"]["agatston"], content["calcium"]["category"]) == (0, "0")


def test_the_document_names_model_threshold_and_what_was_not_checked():
    content = of()
    (member,) = content["model"]["members"]
    assert len(member["weights_sha256"]) == 64
    assert content["threshold"] == {"value": 0.25, "source": "given"}
    assert content["warnings"][0]["code"] == "kvp"
    assert content["unchecked"] == ["kernel"]
    assert content["disclaimer"].startswith("Not a medical device")


def test_the_sentence_is_a_constant_in_one_place():
    constant = re.compile(r'^[A-Z_]+ = \(?\s*"Not a medical device', re.MULTILINE)
    root = Path(tqgd_jax.__file__).parent
    having = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if constant.search(file.read_text("utf-8"))
    }
    assert having == {"structures/disclaimer.py"}
