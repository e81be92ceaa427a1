"""From scans to slices: Hounsfield units, boxes, crops and neighbours are exact."""

import csv
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from tests import image_sets
from tests.ct_sets import LAD, RCA, config, orcascore, patient, scan, write
from tqgd_jax.commands.pack import pack
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
    assert data.slices[1] == (
        "TRV1P1CTI",
        "TRV1",
        1,
        (3.0, 0.5, 0.5),
        (0, 0, 48, 40),
        0,
    )


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
    # 3 mm apart; the hearts end at slices 1 and 2
    assert [s.beyond_mm for s in data.slices[:6]] == [3, 0, 0, 3, 6, 9]
    assert data.boxes[1].tolist() == [[12, 7, 17, 11]]
    hu, _ = scan([LAD, RCA])
    assert np.array_equal(data.image(1)[:, :, 0], hu[1, 3:37, 8:42])
    assert data.slices[6].crop == (0, 0, 48, 40)


def test_a_packed_set_knows_how_far_the_heart_is(tmp_path):
    root, file = orcascore(tmp_path / "set", 2), tmp_path / "set.npz"
    cfg = config(root, hearts(root, ["TRV1P1CTI,1,10,5,40,35"]), **EVERY)
    cfg.eval.beyond_heart_mm = 5.0
    pack(cfg, file)
    cfg.data.dir = str(file)
    slices = open_data(cfg)["train"].slices
    assert [s.beyond_mm for s in slices[:6]] == [3, 0, 3, 6, 9, 12]
    arrays = dict(np.load(file))
    meta = json.loads(str(arrays["meta"]))
    for row in meta["parts"]["train"]["slices"]:
        del row[5]  # as they were packed before
    np.savez(file, **arrays | {"meta": np.array(json.dumps(meta))})
    with pytest.raises(ValueError, match="packed before the distance from the heart"):
        open_data(cfg)
    cfg.eval.beyond_heart_mm = 0.0
    assert {s.beyond_mm for s in open_data(cfg)["train"].slices} == {0}


def test_a_crop_that_would_cut_a_lesion_is_widened(tmp_path, caplog):
    root = orcascore(tmp_path / "set", 2)
    name = hearts(root, ["TRV1P1CTI,4,20,5,40,20"])  # RCA is at x 5, y 30
    with caplog.at_level(logging.INFO, "tqgd_jax"):
        data = train(root, name)
    assert "would have cut 1 labelled boxes and was widened" in caplog.text
    assert data.slices[4].crop == (1, 3, 42, 35)  # 4 px free around the box
    assert data.boxes[4].tolist() == [[4, 27, 6, 28]]


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


def test_changed_masks_and_settings_prepare_anew(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    one = prepare(config(root, **EVERY))
    assert prepare(config(root, **EVERY)) == one
    assert prepare(config(root, **EVERY, neighbours=1)) != one
    assert prepare(config(root, "anatomical", **EVERY)) != one
    assert prepare(config(root, **EVERY, slices="positive")) == one
    assert train(root, slices="positive").fingerprint != train(root).fingerprint
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


def test_settings_of_scans_are_refused_for_images(tmp_path):
    root = image_sets.small(tmp_path / "set")
    with pytest.raises(
        ValueError, match=r"holds images, and data\.neighbours is a sett"
    ):
        open_data(image_sets.config(root, neighbours=1))


def test_only_files_that_are_read_decide(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    one = prepare(config(root, **EVERY))
    hu, _ = scan([LAD])
    write(root / "Training Set" / "Images" / "TRV1P1CTAI.mhd", hu)
    (root / "TrainingSet.zip").write_bytes(b"PK")
    (root / "gone.raw").symlink_to(root / "nowhere")
    assert prepare(config(root, **EVERY)) == one
