"""All slices of held-out patients, with what is known of each."""

import dataclasses
import shutil

import numpy as np
import pytest

from tests.ct_sets import config, orcascore
from tqgd_jax.commands.pack import pack
from tqgd_jax.data.open import open_data
from tqgd_jax.evaluation.inputs import held_out
from tqgd_jax.structures.image import Image, Lesion

# Eight patients, the last without calcium; 3 of the 6 slices of the others have a box.
POSITIVE = {"slices": "positive", "split": "folds", "folds": 3, "hold_out": 0.3}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return orcascore(tmp_path_factory.mktemp("judged") / "set", patients=8)


def opened(cohort, fold):
    settings = config(cohort, fold=fold, **POSITIVE)
    return settings, open_data(settings)


def test_every_slice_of_the_judged_patients_is_there_and_none_of_the_trained(cohort):
    healthy = []
    for fold in (1, 2, 3):
        settings, trained = opened(cohort, fold)
        whole = held_out.all_slices(settings, trained)
        for part in ("val", "test"):
            patients = set(whole[part].patients)
            assert patients >= set(trained[part].patients)
            assert not patients & set(trained["train"].patients)
            assert len(whole[part].names) == 6 * len(patients)
            boxes = sum(map(len, whole[part].boxes))
            assert boxes == sum(map(len, trained[part].boxes))
            k = whole[part].names.index(trained[part].names[0])
            np.testing.assert_array_equal(whole[part].image(k), trained[part].image(0))
        healthy += sorted(set(whole["test"].patients) - set(trained["test"].patients))
    # The patient without calcium is judged once, in the fold that tests it.
    assert healthy == ["TRV2P8"]


def test_a_patient_who_was_trained_on_is_never_judged(cohort):
    settings, _ = opened(cohort, 1)
    _, others = opened(cohort, 2)
    with pytest.raises(ValueError, match="was trained on and is in the test part"):
        held_out.all_slices(settings, {"train": others["train"]})


def test_detections_carry_what_is_known_of_their_slice(cohort):
    _, trained = opened(cohort, 2)
    test = trained["test"]
    actual = [
        Image(
            name,
            test.boxes[k],
            test.labels[k],
            np.zeros((1, 4), np.float32),
            np.array([0.7], np.float32),
            np.zeros(1, int),
        )
        for k, name in enumerate(test.names)
    ]
    images = held_out.placed(test, actual, "test")
    first = images[0]
    assert first.place.fold == "2"
    assert test.fold == (2, 3)
    assert first.place.spacing == (3.0, 0.5, 0.5)
    assert first.place.patient == test.patients[0]
    assert first.name == f"{first.place.scan}_z{first.place.z:03d}"
    # The lesion at 300 HU, 4 x 5 px of 0.25 mm2, is in slices 1 and 2.
    assert first.lesions == (Lesion("LAD", 1, 300, 20, 5.0),)
    assert first.det_scores.dtype == np.float64
    assert held_out.placed(test, actual, "val")[0].place.fold == ""


def test_the_same_data_in_another_place_are_the_same(cohort, tmp_path):
    settings, trained = opened(cohort, 1)
    folder = shutil.copytree(cohort, tmp_path / "moved")
    moved = held_out.elsewhere(settings, str(folder), ["calcium"])
    assert open_data(moved)["test"].fingerprint == trained["test"].fingerprint
    others = held_out.elsewhere(settings, str(folder), ["LAD", "LCX", "RCA"])
    assert others.data.classes == ("LAD", "LCX", "RCA")


def test_images_of_unknown_patients_count_as_one_each(cohort):
    _, trained = opened(cohort, 1)
    alone = dataclasses.replace(trained["test"], slices=[], lesions=[])
    assert held_out.patients_known(alone)
    alone = dataclasses.replace(alone, patients=alone.names)
    assert not held_out.patients_known(alone)
    none = np.zeros((0, 4), np.float32)
    actual = Image(
        alone.names[0], none, np.zeros(0, int), none, none[:, 0], np.zeros(0, int)
    )
    assert held_out.placed(alone, [actual], "test")[0].place.patient == ""


@pytest.mark.parametrize(
    ("change", "part", "whole"),
    [
        ({}, "test", True),
        ({}, "val", True),
        ({}, "train", False),
        ({"slices": "all"}, "test", False),
        ({"dir": "set.npz"}, "test", False),
    ],
)
def test_when_slices_without_boxes_can_be_added(cohort, change, part, whole):
    settings, trained = opened(cohort, 1)
    data = dataclasses.replace(settings.data, **change)
    settings = dataclasses.replace(settings, data=data)
    assert held_out.can_be_whole(settings, trained, part) == whole


def test_a_split_that_leaks_is_judged_as_it_was_trained(cohort):
    settings, trained = opened(cohort, 1)
    groups = [trained["test"].patients[0], *trained["train"].patients[1:]]
    leaky = trained | {"train": dataclasses.replace(trained["train"], patients=groups)}
    assert not held_out.can_be_whole(settings, leaky, "test")


def test_a_packed_set_of_positive_slices_says_so(cohort, tmp_path):
    settings, trained = opened(cohort, 1)
    assert trained["test"].positive_only
    pack(settings, tmp_path / "set.npz")
    every = config(tmp_path / "set.npz")  # data.slices=all, which is not said aloud
    every.data.dir = str(tmp_path / "set.npz")
    assert open_data(every)["test"].positive_only
    whole = held_out.all_slices(settings, trained)
    assert not whole["test"].positive_only


def test_a_set_that_nobody_trained_on_is_judged_whole(cohort):
    settings, trained = opened(cohort, 1)
    assert held_out.can_be_whole(settings, {"test": trained["test"]}, "test")
    whole = held_out.all_slices(settings, {"test": trained["test"]})
    assert set(whole["test"].patients) >= set(trained["test"].patients)
