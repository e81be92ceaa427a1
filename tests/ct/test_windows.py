"""Training crops follow the labels, others do not: what they lose is told, not hidden."""

import logging

import numpy as np
import pytest

from tests.ct_sets import config, orcascore
from tests.image_sets import table
from tqgd_jax.commands.check import examine
from tqgd_jax.commands.pack import pack
from tqgd_jax.config import Crop
from tqgd_jax.data.dataset import load
from tqgd_jax.data.open import open_data
from tqgd_jax.data.prepared.packed import open_packed
from tqgd_jax.evaluation.inputs import held_out

# The window is 2 px (1 mm) larger: x 22 to 42, y 3 to 22. It cuts LAD (x 20 to 25, y 10
# to 14, slices 1 and 2); RCA (x 5 to 7, y 30 to 31, slice 4) lies outside.
HEART, WINDOW = "24,5,40,20", (22, 3, 42, 22)
SCANS = ("TRV1P1CTI", "TRV2P2CTI", "TRV1P3CTI", "TRV2P4CTI")


@pytest.fixture
def root(tmp_path):
    """Patient 1 trains, 2 validates, 3 and 4 test; 4 has no calcium."""
    root = orcascore(tmp_path / "set", 4)
    rows = [f"{scan},0,{HEART}" for scan in SCANS]
    (root / "hearts.csv").write_text("\n".join(["scan,z,x0,y0,x1,y1", *rows]) + "\n")
    parts = zip(SCANS, ("train", "val", "test", "test"), strict=True)
    table(root, [f"{scan},{part}" for scan, part in parts])
    return root


def settings(root, **crop):
    made = config(root)
    made.data.crop = Crop(**({"method": "hearts.csv", "margin_mm": 1.0} | crop))
    return made


def crops(source):
    return [of.crop for of in source.slices[:6]]


WIDE = [
    WINDOW,
    # LAD with 4 px around it is x 16 to 29, y 6 to 18; RCA is x 1 to 11, y 26 to 35
    *[(16, 3, 42, 22)] * 2,
    *[WINDOW, (1, 3, 42, 35), WINDOW],
]


def test_only_training_windows_follow_the_labels(root):
    parts = open_data(settings(root))
    assert crops(parts["train"]) == WIDE
    assert [b.tolist() for b in parts["train"].boxes[1:5]] == [
        *[[[4, 7, 9, 11]]] * 2,
        *[[], [[4, 27, 6, 28]]],
    ]
    for part in ("val", "test"):
        source = parts[part]
        assert crops(source) == [WINDOW] * 6
        assert source.sizes[:6].tolist() == [[19, 20]] * 6
        # true size, true place: LAD begins left of the image, RCA lies outside it
        assert [b.tolist() for b in source.boxes[1:5]] == [
            *[[[-2, 7, 3, 11]]] * 2,
            *[[], [[-17, 27, -15, 28]]],
        ]
        assert source.disclaimer == ""
    batch = load(parts["test"], np.array([[4]]))
    assert batch.boxes[0, 0, 0].tolist() == [-17, 27, -15, 28]
    assert batch.valid[0, 0, 0]


def test_one_window_for_a_scan_does_not_follow_labels_either(root):
    parts = open_data(settings(root, per="volume"))
    assert crops(parts["train"]) == [(1, 3, 42, 35)] * 6
    assert crops(parts["val"]) == crops(parts["test"]) == [WINDOW] * 6


def test_held_out_patients_are_not_widened(root):
    table(root, ["TRV1P1CTI,train", "TRV2P2CTI,train", "TRV1P3CTI,test"])
    (root / "Training Set" / "Images" / "TRV2P4CTI.mhd").unlink()
    (root / "Training Set" / "Reference standard" / "TRV2P4R.mhd").unlink()
    made = settings(root)
    made.data.hold_out = 0.5
    parts = open_data(made)
    assert {part: len(set(of.patients)) for part, of in parts.items()} == {
        **{"train": 1, "val": 1, "test": 1}
    }
    assert crops(parts["train"]) == WIDE
    assert crops(parts["val"]) == crops(parts["test"]) == [WINDOW] * 6


def test_what_the_crop_loses_is_counted_and_listed(root, caplog, capsys):
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        open_data(settings(root))
    log = caplog.text
    slices = "(TRV1P1CTI_z001, TRV1P1CTI_z002, TRV1P1CTI_z004)"
    assert f"would have cut 3 labelled boxes and was widened {slices}" in log
    for scan in ("TRV2P2CTI", "TRV1P3CTI"):
        slices = f"({scan}_z001, {scan}_z002, {scan}_z004)"
        assert f"the crop cuts 2 and leaves out 1 labelled boxes {slices}" in log
    for part in ("val", "test"):
        assert f"{part}: the crop cuts 2 and leaves out 1 of 3 labelled boxes" in log
    assert "train: the crop" not in log
    assert examine(settings(root)) == 0
    assert "test: the crop cuts 2 and leaves out 1 of 3" in capsys.readouterr().out


def test_widening_all_is_stamped_and_widening_none_loses_labels_in_training(
    root, caplog
):
    parts = open_data(settings(root, widen="all"))
    for source in parts.values():
        assert crops(source)[:5] == WIDE[:5]
        assert "data.crop.widen=all" in source.disclaimer
    whole = open_data(settings(root, widen="all", method="none"))
    assert whole["test"].disclaimer == ""
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        train = open_data(settings(root, widen="none"))["train"]
    assert crops(train) == [WINDOW] * 6
    assert "train: the crop cuts 2 and leaves out 1 of 3 labelled" in caplog.text


def test_an_older_packed_set_says_that_all_its_windows_were_widened(root, tmp_path):
    import json

    made, path = settings(root), tmp_path / "set.npz"
    pack(made, path)
    made.data.dir = str(path)
    assert open_packed(path, made)["test"].disclaimer == ""
    with np.load(path) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays["meta"]))
    del meta["settings"]["crop"]["widen"]
    arrays["meta"] = np.array(json.dumps(meta))
    np.savez(path, **arrays)
    made.data.crop = Crop()
    assert "data.crop.widen=all" in open_packed(path, made)["test"].disclaimer


def test_all_slices_of_judged_patients_keep_the_windows_that_know_no_labels(root):
    # The set of all slices may hold out other patients than the set of positive ones, so
    # that a patient who validates here may train there.
    (root / "split.csv").unlink()
    made = settings(root)
    made.data.split, made.data.folds, made.data.hold_out = "folds", 3, 0.5
    made.data.slices = "positive"
    for fold in (1, 2, 3):
        made.data.fold = fold
        trained = open_data(made)
        assert held_out.can_be_whole(made, trained, "test")
        for source in held_out.all_slices(made, trained).values():
            assert {of.crop for of in source.slices} == {WINDOW}
    made.data.crop.widen = "all"
    trained = open_data(made)
    assert held_out.can_be_whole(made, trained, "test")
    assert (1, 3, 42, 35) in {
        of.crop for of in held_out.all_slices(made, trained)["test"].slices
    }


def test_pixels_beyond_the_window_are_read_from_the_scan(root, tmp_path):
    from tests.ct_sets import LAD, RCA, scan
    from tqgd_jax.structures.image import Image

    made = settings(root)
    source = open_data(made)["test"]
    none = np.zeros((0, 4), np.float32)
    images = [
        Image(n, b, k, none, none[:, 0], np.zeros(0, int))
        for n, b, k in zip(source.names, source.boxes, source.labels, strict=True)
    ]
    images = held_out.placed(source, images, "test")
    scans = held_out.scans(made, source, images)
    assert scans is not None
    hu, _ = scan([LAD, RCA], value=42)  # the third patient
    at = {of.name: k for k, of in enumerate(images)}
    assert scans.beyond(at["TRV1P3CTI_z000"]) == []
    ((place, inside),) = scans.beyond(at["TRV1P3CTI_z004"])
    assert (place, inside.tolist()) == ((5, 30, 7, 31), [[140, 140]])
    ((place, inside),) = scans.beyond(at["TRV1P3CTI_z001"])
    assert place == (20, 10, 25, 14)
    assert np.array_equal(inside, hu[1, 10:14, 20:25])
    pack(made, tmp_path / "set.npz")
    made.data.dir = str(tmp_path / "set.npz")
    assert held_out.scans(made, source, images) is None


def test_what_a_file_of_hearts_does_not_fit_is_told(root, caplog):
    file = root / "hearts.csv"
    file.write_text(file.read_text() + f"TRV9P9CTI,0,{HEART}\n")
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        open_data(settings(root))
    assert "5 of 6 slices have no heart box in hearts.csv" in caplog.text
    assert "names 1 scans that are not there, such as 'TRV9P9CTI'" in caplog.text
    file.write_text("scan,z\n")
    with pytest.raises(ValueError, match=r"^\S*hearts\.csv:1: no column x0"):
        open_data(settings(root))  # once, not for each scan
    rows = [f"0,{HEART},{scan}" for scan in SCANS]
    file.write_text("\n".join(["z,x0,y0,x1,y1,scan", *rows, "1"]) + "\n")
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        open_data(settings(root))
    assert "such as ''" in caplog.text  # a row that ends early names no scan
