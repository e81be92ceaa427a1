"""Scores of scans from their boxes, and how many of them a definition moves."""

import numpy as np
import pytest

from tqgd_jax.evaluation.calcium.convention_agreement import convention_agreement
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS, convention
from tqgd_jax.evaluation.calcium.patient_scores import PatientScore, patient_scores
from tqgd_jax.evaluation.calcium.scores import Amount
from tqgd_jax.structures.image import Image, Lesion, Place

HU = np.full((4, 20, 30), 40, np.int16)
HU[1:3, 5:7, 10:13] = 350  # 6 px in two slices: 6 x 3 each
HU[1, 5, 16:18] = 220  # 2 px beside it
CROP = (8, 4, 28, 20)


def image(z, boxes=(), dets=(), crop=CROP, **more):
    """A slice of patient A; boxes in px of the whole slice, detections with a score."""
    shift = np.array([crop[0], crop[1]] * 2)
    dets = np.array(dets, float).reshape(-1, 5)
    place = Place("A", z=z, spacing=(3.0, 1.0, 1.0), crop=crop)
    return Image(
        name=f"A_z{z}",
        boxes=np.array(boxes, float).reshape(-1, 4) - shift,
        labels=np.zeros(len(boxes), int),
        det_boxes=dets[:, :4] - shift,
        det_scores=dets[:, 4],
        det_labels=np.zeros(len(dets), int),
        place=place,
        **more,
    )


def scored(images, limit: float | None = 0.5, names=("orcascore",), **more):
    def pixels(k):
        x0, y0, x1, y1 = images[k].place.crop
        return HU[images[k].place.z, y0:y1, x0:x1]

    rules = [convention(name) for name in names]
    return patient_scores(images, pixels, [limit] * len(images), rules, **more)


BOX = (10, 5, 13, 7)


def test_reference_and_prediction_of_one_scan():
    images = [
        image(0),
        image(2, [BOX], [(10, 5, 13, 7, 0.5), (10, 5, 11, 6, 0.9)]),
        image(1, [BOX], [(12, 4, 20, 8, 0.8), (9, 4, 14, 8, 0.49)]),
    ]
    (row,) = scored(images, calibration=0.5)
    assert (row.patient, row.scan, row.convention) == ("A", "", "orcascore")
    assert row.reference == Amount(36.0, 36.0, 0.5 * 350 * 36 / 1000)
    # slice 2 whole, once; of slice 1 a column of 2 px (3 each) and the 2 px of 220 HU
    assert row.predicted is not None
    assert row.predicted.agatston == 18 + 2 * 3 + 2 * 2
    assert row.lesions == (1, 2)
    assert row.volume_sensitivity == pytest.approx(8 / 12)
    assert row.volume_ppv == pytest.approx(8 / 10)


def test_conventions_of_one_scan_stand_together():
    rows = scored([image(1, [BOX])], names=tuple(CONVENTIONS))
    assert [r.convention for r in rows] == [*CONVENTIONS]
    assert {r.reference.agatston for r in rows} == {18.0}
    assert {r.predicted for r in rows} == {Amount(0.0, 0.0, None)}


def test_without_a_threshold_nothing_is_predicted():
    (row,) = scored([image(1, [BOX], [(10, 5, 13, 7, 0.9)])], limit=None)
    assert (row.predicted, row.lesions, row.volume_ppv) == (None, (1, None), None)


def test_a_scan_without_calcium_is_a_row_of_zeros():
    (row,) = scored([image(0), image(3)])
    assert row.reference.agatston == 0
    assert str((row.volume_sensitivity, row.volume_ppv)) == "(nan, nan)"


def test_ignored_boxes_are_no_calcium():
    (row,) = scored([image(1, [BOX, (16, 5, 18, 6)], ignore=np.array([False, True]))])
    assert row.reference.agatston == 18


def test_what_else_a_labelled_box_holds_is_counted():
    lesion = Lesion("LAD", 1, 350, 6, 6.0)
    wide = (10, 5, 18, 7)  # the lesion's 6 px and 2 more
    assert scored([image(1, [wide], lesions=(lesion,)), image(2)])[0][6] == 2
    assert scored([image(1, [BOX], lesions=(lesion,))])[0].area_difference == 0
    assert scored([image(1, [BOX])])[0].area_difference is None
    assert scored([image(3)])[0].area_difference == 0


def test_a_detection_ends_with_its_image():
    # The image shows only half of the lesion; slice 2's crop is wider.
    narrow = (8, 4, 11, 20)
    images = [image(1, [], [(10, 5, 13, 7, 0.9)], crop=narrow), image(2)]
    (row,) = scored(images)
    assert row.predicted is not None
    assert row.predicted.agatston == 2 * 3


def test_scans_of_a_patient_are_scored_apart_and_in_order():
    place = Place("A", "b", 1, (3.0, 1.0, 1.0), CROP)
    later = image(1, [BOX])._replace(place=place, name="other")
    rows = scored([later, image(1)])
    assert [(r.scan, r.reference.agatston) for r in rows] == [("", 0.0), ("b", 18.0)]


@pytest.mark.parametrize("field", ["z", "spacing", "crop"])
def test_an_image_of_unknown_place_is_named(field):
    known = image(1)
    lost = known._replace(place=known.place._replace(**{field: None}))
    with pytest.raises(ValueError, match=rf"A_z1: no place\.{field}"):
        patient_scores([lost], lambda k: HU[0], [None], [])


def test_scans_that_are_two_are_refused():
    first, second = image(1), image(2)
    place = second.place._replace(spacing=(2.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="two spacings"):
        scored([first, second._replace(place=place)])
    with pytest.raises(ValueError, match="slice 1 of the scan is there twice"):
        scored([first, first._replace(name="again")])


def rows(name, *agatston):
    """A patient each."""
    return [
        PatientScore(f"P{k}", "", name, Amount(a, a), None, (0, None), None, None, None)
        for k, a in enumerate(agatston)
    ]


BASE = rows("orcascore", 0, 5, 90, 350, 500)


def test_exactly_two_of_five_patients_change_by_the_convention():
    actual = convention_agreement(BASE + rows("clinical", 0, 11, 81, 350, 400))
    one = actual["conventions"]["clinical"]
    assert (one["patients_changed"], one["of"]) == (2, 5)
    assert one["categories"] == [1, 0, 2, 2, 0]
    assert actual["conventions"]["orcascore"]["patients_changed"] == 0
    assert actual["changed_by_definition"] == 2
    # 11/5, 81/90, 1, 400/500; NumPy's percentile lies .85 of the way from 1 to 2.2
    assert one["median_ratio"] == pytest.approx(0.95)
    assert one["p95_ratio"] == pytest.approx(1 + 0.85 * 1.2)


def test_patients_that_several_conventions_move_are_counted_once():
    more = rows("clinical", 0, 11, 90, 350, 500) + rows("aicac", 0, 11, 101, 350, 500)
    actual = convention_agreement(BASE + more)
    assert actual["changed_by_definition"] == 2
    changed = {k: v["patients_changed"] for k, v in actual["conventions"].items()}
    assert changed == {"orcascore": 0, "clinical": 1, "aicac": 2}


def test_patients_whom_a_scheme_calls_more_or_less_ill():
    actual = convention_agreement(rows("orcascore", 0, 5, 90, 100, 300, 350, 500))[
        "schemes"
    ]
    changed = {k: v["patients_changed"] for k, v in actual.items()}
    # 100 is in 11-100, but in 100-299 and in >=100; 300 and 350 are in 101-400, but 300
    # is in >=300 and 350 also in >300
    assert changed == {"standard": 0, "four": 0, "cacdrs": 3, "deepcac": 1, "coarse": 1}
    assert actual["cacdrs"]["categories"] == [1, 2, 1, 3]
    assert actual["cacdrs"]["labels"] == ["0", "1-99", "100-299", ">=300"]


def test_a_cohort_without_calcium_has_no_ratio():
    actual = convention_agreement(rows("orcascore", 0, 0))
    assert actual["changed_by_definition"] == 0
    assert actual["conventions"]["orcascore"]["median_ratio"] is None


def test_scores_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="no scores under 'orcascore'"):
        convention_agreement(rows("clinical", 1))
    with pytest.raises(ValueError, match="score the same scans"):
        convention_agreement(BASE + rows("clinical", 1))


def test_the_reference_holds_what_the_crop_leaves_out_and_the_prediction_does_not():
    # The crop begins in the lesion: of its 6 px at 350 HU it shows the last column.
    narrow = (12, 4, 28, 20)
    images = [image(1, [BOX], [(8, 4, 14, 8, 0.9)], crop=narrow)]
    pieces = {0: [(BOX, HU[1, 5:7, 10:13])]}
    (row,) = scored(images, beyond=lambda k: pieces[k])
    assert row.reference.agatston == 6 * 3
    assert row.predicted is not None
    assert row.predicted.agatston == 2 * 3
    (alone,) = scored(images)
    assert alone.reference.agatston == 2 * 3
