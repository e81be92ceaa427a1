"""From scans to slices: Hounsfield units, boxes, crops and neighbours are exact."""

import csv
import logging
from pathlib import Path

import numpy as np
import pytest

from tests.ct_sets import LAD, RCA, config, orcascore, patient, scan, write
from tqgd_jax.config import Config, Data, Model
from tqgd_jax.data.open import open_data
from tqgd_jax.data.prepared.prepare import prepare
from tqgd_jax.data.read.scans import neighbours

EVERY = {"split": "ratio", "ratio": (1.0, 0.0, 0.0)}


def train(root: Path, method: str = "none", **data: object):
    return open_data(config(root, method, **(EVERY | data)))["train"]


def test_boxes_and_hounsfield_units_come_out_intact(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    data = train(root)
    assert data.classes == ("calcium",)
    assert data.names == [
        f"{s}_z{z:03d}" for s in ("TRV1P1CTI", "TRV2P2CTI") for z in range(6)
    ]
    assert data.patients == ["TRV1P1"] * 6 + ["TRV2P2"] * 6
    assert data.dtype == np.int16
    assert data.shape == (40, 48, 1)
    boxes = [b.tolist() for b in data.boxes]
    assert boxes[:6] == [
        [],
        [[20, 10, 25, 14]],
        [[20, 10, 25, 14]],
        [],
        [[5, 30, 7, 31]],
        [],
    ]
    assert boxes[6:] == [[]] * 6
    hu, _ = scan([LAD, RCA])
    for z in range(6):
        assert np.array_equal(data.image(z)[:, :, 0], hu[z])
    lesion = data.lesions[1][0]
    assert lesion == ("LAD", 1, 300, 20, 20 * 0.5 * 0.5)
    assert data.lesions[4][0][:3] == ("RCA", 2, 140)
    assert data.slices[1] == ("TRV1P1CTI", "TRV1", 1, (3.0, 0.5, 0.5), (0, 0, 48, 40))


def test_arteries_as_classes(tmp_path):
    data = train(orcascore(tmp_path / "set", 2), classes=("LAD", "LCX", "RCA"))
    assert data.classes == ("LAD", "LCX", "RCA")
    assert [k.tolist() for k in data.labels[:6]] == [[], [0], [0], [], [2], []]


def test_positive_slices_only(tmp_path):
    data = train(orcascore(tmp_path / "set", 2), slices="positive")
    assert [n[-4:] for n in data.names] == ["z001", "z002", "z004"]


def test_neighbours_are_channels_and_repeat_at_the_ends(tmp_path):
    data = train(orcascore(tmp_path / "set", 2), neighbours=1)
    hu, _ = scan([LAD, RCA])
    assert data.shape == (40, 48, 3)
    for z in range(6):
        wanted = [max(z - 1, 0), z, min(z + 1, 5)]
        assert np.array_equal(data.image(z), np.moveaxis(hu[wanted], 0, -1))


@pytest.mark.parametrize(
    ("mm", "dz", "wanted"),
    [
        (0, 1.5, [9, 10, 11]),
        (3, 1.5, [8, 10, 12]),
        (3, 3.0, [9, 10, 11]),
        (3, 5.0, [9, 10, 11]),  # 0.6 slices: the next one
        (3, 7.0, [10, 10, 10]),  # 0.43 slices: the slice itself is nearest
        (5, 0.7, [3, 10, 17]),  # 7.14 slices
    ],
)
def test_neighbours_by_distance(mm, dz, wanted):
    assert neighbours(10, 20, dz, Data(neighbours=1, neighbour_mm=mm)) == wanted


def test_neighbours_need_as_many_input_channels():
    with pytest.raises(
        ValueError, match=r"neighbours=2 makes images of 5.*set it to 5"
    ):
        Config(data=Data(neighbours=2))
    assert (
        Config(data=Data(neighbours=2), model=Model(in_channels=5)).data.channels == 5
    )


OTHER = "TRV2P2CTI,0,0,0,48,40"


def hearts(root: Path, rows: list[str]) -> str:
    (root / "hearts.csv").write_text(
        "\n".join(["scan,z,x0,y0,x1,y1", *rows, OTHER]) + "\n"
    )
    return "hearts.csv"


def test_crop_by_file_moves_boxes_and_pixels_alike(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    # margin 1 mm is 2 px; slices 0 and 3 to 5 take the crop of the nearest
    rows = ["TRV1P1CTI,1,10,5,40,35", "TRV1P1CTI,2,12,7,40,35"]
    data = train(root, hearts(root, rows))
    assert [s.crop for s in data.slices[:4]] == [
        (8, 3, 42, 37),
        (8, 3, 42, 37),
        (10, 5, 42, 37),
        (10, 5, 42, 37),
    ]
    assert data.boxes[1].tolist() == [[12, 7, 17, 11]]
    hu, _ = scan([LAD, RCA])
    assert np.array_equal(data.image(1)[:, :, 0], hu[1, 3:37, 8:42])
    assert data.slices[6].crop == (0, 0, 48, 40)


def test_a_crop_that_would_cut_a_lesion_is_widened_and_told(tmp_path, caplog):
    root = orcascore(tmp_path / "set", 2)
    name = hearts(root, ["TRV1P1CTI,4,20,5,40,20"])  # RCA is at x 5, y 30
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        data = train(root, name)
    assert "would have cut 1 labelled boxes and was widened" in caplog.text
    assert data.slices[4].crop == (1, 3, 42, 35)  # 4 px free around the box
    assert data.boxes[4].tolist() == [[4, 27, 6, 28]]


def test_dim_voxels_of_a_mask_are_told(tmp_path, caplog):
    root = tmp_path / "set"
    patient(root, "TRV1P1", [((1, 2, 3, 6, 3, 6), 130, 1), LAD])
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        data = train(root)
    assert "9 mask voxels at or below 130 HU" in caplog.text
    assert [len(b) for b in data.boxes] == [0, 1, 1, 0, 0, 0]
    assert [len(b) for b in train(root, lesion_hu=129.0).boxes] == [0, 2, 1, 0, 0, 0]


def test_tables_beside_the_records(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    rows = ["TRV1P1CTI,1,10,5,40,35"]
    folder = prepare(config(root, hearts(root, rows), **EVERY))
    with (folder / "lesions.csv").open() as file:
        lesions = list(csv.DictReader(file))
    assert len(lesions) == 3
    first = lesions[0]
    assert [first[k] for k in ("image", "artery", "x0", "y1")] == [
        "TRV1P1CTI_z001",
        "LAD",
        "20.0",
        "14.0",
    ]
    with (folder / "slices.csv").open() as file:
        slices = list(csv.DictReader(file))
    assert [s["boxes"] for s in slices[:6]] == ["0", "1", "1", "0", "1", "0"]
    assert slices[1]["crop_x0"] == "8"


def test_a_mask_of_another_size_stops_it_by_name(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    _, mask = scan([], shape=(5, 40, 48))
    path = root / "Training Set" / "Reference standard" / "TRV1P1R.mhd"
    write(path, mask)
    with pytest.raises(ValueError, match=r"TRV1P1R\.mhd") as caught:
        train(root)
    assert "TRV1P1CTI.mhd: unreadable" in str(caught.value)


def test_boxes_of_a_csv_instead_of_masks(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    (root / "h.csv").write_text("scan,z,x0,y0,x1,y1\nTRV1P1CTI,2,3,4,30.5,20\n")
    data = train(root, boxes="h.csv", classes=("heart",))
    assert data.classes == ("heart",)
    assert [len(b) for b in data.boxes[:4]] == [0, 0, 1, 0]
    assert data.boxes[2].tolist() == [[3, 4, 30.5, 20]]
    with pytest.raises(ValueError, match="no column 'class'"):
        train(root, boxes="h.csv")
    (root / "h.csv").write_text("scan,z,x0,y0,x1,y1\nTRV1P1CTI,9,3,4,30.5,20\n")
    with pytest.raises(
        ValueError, match=r"h\.csv:2: slice 9 has a box, the scan has the slices 0 to 5"
    ):
        train(root, boxes="h.csv", classes=("heart",))
    (root / "h.csv").write_text("scan,z,x0,y0,x1,y1\nNONE,1,3,4,30.5,20\n")
    with pytest.raises(ValueError, match=r"h\.csv:2: no scan is called 'NONE'"):
        train(root, boxes="h.csv", classes=("heart",))


def test_changed_masks_and_settings_prepare_anew(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    one = prepare(config(root, **EVERY))
    assert prepare(config(root, **EVERY)) == one
    assert prepare(config(root, **EVERY, neighbours=1)) != one
    assert prepare(config(root, "anatomical", **EVERY)) != one
    assert prepare(config(root, **EVERY, slices="positive")) != one
    (root / "notes.txt").write_text("decides nothing")
    assert prepare(config(root, **EVERY)) == one
    patient(root, "TRV1P1", [LAD], value=40)
    assert prepare(config(root, **EVERY)) != one


def test_a_truncated_scan_stops_it_unless_it_is_removed(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    path = root / "Training Set" / "Images" / "TRV1P1CTI.zraw"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"TRV1P1CTI\.mhd: unreadable"):
        train(root)


def test_the_builder_reads_its_manual_directory_by_itself(tmp_path):
    import tensorflow_datasets as tfds

    from tqgd_jax.data.prepared.builder import OrCaScore

    tfds.disable_progress_bar()
    root = orcascore(tmp_path / "set")
    builder = OrCaScore(data_dir=tmp_path / "out")
    assert "orcascore.grand-challenge.org" in builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    assert "Hounsfield" in builder.info.description
    where = tfds.download.DownloadConfig(manual_dir=root)
    builder.download_and_prepare(download_config=where)
    source = builder.as_data_source()
    assert {part: len(of) for part, of in source.items()} == {"train": 24, "test": 6}
    first = source["train"][1]
    hu, _ = scan([LAD, RCA])
    x0, y0, x1, y1 = first["crop"]
    assert first["image"].shape == (y1 - y0, x1 - x0, 1)
    assert np.array_equal(first["image"][:, :, 0], hu[1, y0:y1, x0:x1])


def dicom(root: Path, **tags: object) -> Path:
    """A DICOM series of 5 slices of 6x7 px and one XML: a box in the slice of UID 3."""
    from tests.image_sets import voc
    from tests.scan_files import series, some_hu

    series(root / "one", some_hu(), **tags)
    voc(root / "labels" / "1.2.3.4.5.3.xml", [("nodule", 1, 2, 4, 5)], h=6, w=7)
    return root


def test_dicom_boxes_by_sop_instance_uid(tmp_path):
    data = train(dicom(tmp_path / "set"))
    assert data.classes == ("nodule",)
    assert [len(b) for b in data.boxes] == [0, 0, 1, 0, 0]
    assert data.boxes[2].tolist() == [[1, 2, 4, 5]]


def test_boxes_turn_with_a_scan_that_is_stored_the_other_way_round(tmp_path):
    # rows and columns run to the right and to the front (prone)
    root = dicom(tmp_path / "set", ImageOrientationPatient="-1\\0\\0\\0\\-1\\0")
    data = train(root)
    # turned by 180 degrees in 7x6 px: x 7-4..7-1, y 6-5..6-2
    assert data.boxes[2].tolist() == [[3, 1, 6, 4]]
    from tests.scan_files import some_hu

    assert np.array_equal(data.image(2)[:, :, 0], some_hu()[2, ::-1, ::-1])


def test_boxes_turn_with_a_scan_whose_rows_are_columns(tmp_path):
    from tests.scan_files import some_hu

    root = dicom(tmp_path / "set", ImageOrientationPatient="0\\1\\0\\1\\0\\0")
    data = train(root)
    z = [len(b) for b in data.boxes].index(1)
    x0, y0, x1, y1 = data.boxes[z][0].astype(int)
    assert [x0, y0, x1, y1] == [2, 1, 5, 4]
    # the very pixels that the XML speaks of, in the slice as stored
    inside = some_hu()[2, 2:5, 1:4]
    assert np.array_equal(data.image(z)[y0:y1, x0:x1, 0], inside.T)


def test_a_series_twice_and_two_annotations_of_a_slice_are_refused(tmp_path):
    import shutil

    root = dicom(tmp_path / "set")
    xml = root / "labels" / "1.2.3.4.5.3.xml"
    (root / "again").mkdir()
    shutil.copy(xml, root / "again" / xml.name)
    with pytest.raises(ValueError, match=r"two annotations of one slice: .*again"):
        train(root)
    shutil.rmtree(root / "again")
    shutil.copytree(root / "one", root / "two")
    with pytest.raises(ValueError, match=r"one and .*two hold the same slice"):
        train(root)


def test_boxes_of_a_csv_take_the_place_of_xml(tmp_path):
    root = dicom(tmp_path / "set")
    (root / "b.csv").write_text("scan,z,x0,y0,x1,y1\none,0,1,1,3,3\n")
    data = train(root, boxes="b.csv", classes=("heart",))
    assert [len(b) for b in data.boxes] == [1, 0, 0, 0, 0]


def test_a_label_that_is_no_artery_is_a_fault(tmp_path):
    root = tmp_path / "set"
    patient(root, "TRV1P1", [(LAD[0], 300, 7), RCA])
    with pytest.raises(ValueError, match=r"2 unknown_class.*\n.*TRV1P1R\.mhd.*'7'"):
        train(root)
    assert sum(len(b) for b in train(root, bad_labels="drop").boxes) == 1


def test_one_artery_as_the_class_takes_no_other(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    with pytest.raises(ValueError, match=r"unknown_class.*\n.*'RCA'"):
        train(root, classes=("LAD",))
    data = train(root, classes=("LAD",), bad_labels="drop")
    assert [len(b) for b in data.boxes[:6]] == [0, 1, 1, 0, 0, 0]
    with pytest.raises(ValueError, match="knows LAD, LCX and RCA"):
        train(root, classes=("a", "b"))


@pytest.mark.parametrize("box", ["nan,1,3,3", "inf,1,3,3", "5,1,3,3", "90,90,99,99"])
@pytest.mark.parametrize("method", ["anatomical", "none"])
def test_bad_boxes_of_a_csv_are_named_by_line_and_can_be_dropped(tmp_path, box, method):
    root = orcascore(tmp_path / "set", 2)
    rows = f"TRV1P1CTI,2,{box}\nTRV1P1CTI,3,1,1,3,3\n"
    (root / "b.csv").write_text("scan,z,x0,y0,x1,y1\n" + rows)
    said = {"boxes": "b.csv", "classes": ("heart",)}
    with pytest.raises(ValueError, match=r"b\.csv:2: (degenerate|out_of_image)"):
        train(root, method, **said)
    data = train(root, method, bad_labels="drop", **said)
    assert [len(b) for b in data.boxes[:4]] == [0, 0, 0, 1]


def test_settings_of_scans_are_refused_for_images(tmp_path):
    from tests.image_sets import config as images
    from tests.image_sets import small

    root = small(tmp_path / "set")
    with pytest.raises(
        ValueError, match=r"holds images, and data\.neighbours is a setting"
    ):
        open_data(images(root, neighbours=1))


def test_only_files_that_are_read_decide(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    one = prepare(config(root, **EVERY))
    hu, _ = scan([LAD])
    write(root / "Training Set" / "Images" / "TRV1P1CTAI.mhd", hu)
    (root / "TrainingSet.zip").write_bytes(b"PK")
    (root / "gone.raw").symlink_to(root / "nowhere")
    assert prepare(config(root, **EVERY)) == one
