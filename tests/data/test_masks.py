"""Which pixels are lesion: true masks are the source's, pseudo masks are by hand."""

import dataclasses
import json

import numpy as np
import pytest

from tests.ct_sets import LAD, RCA, config, orcascore, patient, scan
from tests.image_sets import config as image_config
from tests.image_sets import small, voc
from tests.scan_files import series
from tests.training.tiny import same_bits, squares
from tqgd_jax.commands.check import examine
from tqgd_jax.commands.pack import pack
from tqgd_jax.config import Config, Data
from tqgd_jax.data import masks
from tqgd_jax.data.batches import order
from tqgd_jax.data.batches.resident import arrays, fits, mebibytes, take
from tqgd_jax.data.batches.stream import stream
from tqgd_jax.data.dataset import in_order, label_map, load
from tqgd_jax.data.open import open_data
from tqgd_jax.data.prepared.prepare import prepare

EVERY = {"split": "ratio", "ratio": (1.0, 0.0, 0.0)}
BOX = np.array([[1, 1, 5, 4]], np.float32)
FIRST = np.zeros(1, np.int32)


def source_of(root, method="none", **data):
    return open_data(config(root, method, **(EVERY | data)))["train"]


def truth(hu, mask):
    """The rule of true masks with all arteries as one class, on whole slices."""
    return ((mask > 0) & (hu > 130)).astype(np.uint8)


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """Two arteries of calcium; a ragged lesion with dim voxels; a lesion in a corner."""
    root = tmp_path_factory.mktemp("masks") / "set"
    ragged = ((2, 3, 20, 27, 30, 39), 500, 2)
    patient(root, "TRV1P1", [LAD, RCA, ragged, ((2, 3, 20, 22, 30, 37), 130, 2)])
    patient(root, "TRV2P2", [((0, 1, 38, 40, 46, 48), 131, 1)])
    return root


def volumes():
    ragged = ((2, 3, 20, 27, 30, 39), 500, 2)
    first = scan([LAD, RCA, ragged, ((2, 3, 20, 22, 30, 37), 130, 2)])
    return [first, scan([((0, 1, 38, 40, 46, 48), 131, 1)])]


@pytest.fixture(scope="module")
def whole(patients):
    return source_of(patients)


def test_true_masks_are_those_of_the_volume(whole):
    expected = np.concatenate([truth(hu, mask) for hu, mask in volumes()])
    assert whole.masks == "true"
    assert whole.masks_statement == "true: the mask's voxels of at least 131 HU"
    assert expected[2].sum() == 20 + 7 * 9 - 2 * 7
    for i, one in enumerate(expected):
        seen = label_map(whole, i)
        assert seen.dtype == np.uint8
        np.testing.assert_array_equal(seen, one)


def test_arteries_keep_their_class(patients):
    source = source_of(patients, classes=("LAD", "LCX", "RCA"))
    hu, mask = volumes()[0]
    for z in (1, 2, 4):
        np.testing.assert_array_equal(label_map(source, z), mask[z] * (hu[z] > 130))


def test_masks_go_with_the_crop_also_where_it_cuts_a_box(patients):
    """The window is x 18 to 36, y 8 to 26: LAD is inside, RCA is not, LCX is cut."""
    rows = ["scan,z,x0,y0,x1,y1"]
    rows += [f"{name},0,20,10,34,24" for name in ("TRV1P1CTI", "TRV2P2CTI")]
    (patients / "hearts.csv").write_text("\n".join(rows))
    cfg = config(patients, "hearts.csv", **EVERY)
    cfg.data.crop.widen = "none"
    source = open_data(cfg)["train"]
    hu, mask = volumes()[0]
    for z in range(6):
        x0, y0, x1, y1 = source.slices[z].crop
        assert (x0, y0, x1, y1) == (18, 8, 36, 26)
        expected = truth(hu, mask)[z, y0:y1, x0:x1]
        np.testing.assert_array_equal(label_map(source, z), expected)
    assert label_map(source, 2).any()
    assert not label_map(source, 4).any()
    assert len(source.boxes[4]) == 1


def test_a_box_that_is_dropped_takes_its_pixels_along(tmp_path):
    root = tmp_path / "set"
    patient(root, "TRV1P1", [(LAD[0], 300, 7), RCA])
    source = source_of(root, bad_labels="drop")
    assert not label_map(source, 1).any()
    assert label_map(source, 4).sum() == 2


def test_a_packed_set_has_the_same_masks(patients, whole, tmp_path):
    file = tmp_path / "set.npz"
    pack(config(patients, **EVERY), file)
    packed = open_data(Config(data=Data(dir=str(file))))["train"]
    assert packed.masks_statement == whole.masks_statement
    for i in range(len(whole.names)):
        np.testing.assert_array_equal(label_map(packed, i), label_map(whole, i))

    held = dict(np.load(file))
    bits = held.pop("train/parts")
    old, bad = tmp_path / "old.npz", tmp_path / "bad.npz"
    np.savez(old, **held)
    before = open_data(Config(data=Data(dir=str(old))))["train"]
    assert before.masks == "pseudo"
    assert "packed before masks were stored; pack it again" in before.masks_statement
    for wrong, what in (
        (bits[:-1], "pixels for boxes of"),
        (bits * 0, "5 of 5 boxes have no pixel of lesion"),
    ):
        np.savez(bad, **held, **{"train/parts": wrong})
        with pytest.raises(ValueError, match=rf"bad\.npz: masks.*{what}.*pack it"):
            open_data(Config(data=Data(dir=str(bad))))


def test_boxes_of_a_csv_beside_masks_give_pseudo_masks_and_say_why(patients, capsys):
    """The box holds half of LAD, x 20 to 25, and no other voxel of calcium."""
    (patients / "b.csv").write_text("scan,z,x0,y0,x1,y1\nTRV1P1CTI,1,16,9,22,20\n")
    by_csv = {"boxes": "b.csv", "classes": ("heart",)}
    source = source_of(patients, **by_csv)
    assert source.masks == "pseudo"
    said_so = (
        "pseudo (data.boxes=b.csv takes the place of masks, which need not fit it)"
    )
    assert source.masks_statement.startswith(said_so)
    expected = np.zeros((40, 48), np.uint8)
    expected[10:14, 20:22] = 1
    np.testing.assert_array_equal(label_map(source, 1), expected)
    assert examine(config(patients, **EVERY, **by_csv)) == 0
    assert f"masks     {said_so}" in capsys.readouterr().out
    assert examine(config(patients, **EVERY)) == 0
    assert f"masks     {'true: the mask'}" in capsys.readouterr().out


def test_masks_that_do_not_fit_their_boxes_are_refused(whole):
    boxes = [BOX, np.zeros((0, 4), np.float32), np.array([[0, 0, 1, 1]], np.float32)]
    parts = [np.arange(12) > 5, np.zeros(0, bool), np.ones(1, bool)]
    bits = masks.pack(parts)
    assert len(bits) == 2  # 13 pixels
    for a, b in zip(masks.unpack(bits, boxes), parts, strict=True):
        np.testing.assert_array_equal(a, b)
    assert masks.unpack(masks.pack([]), [boxes[1]])[0].shape == (0,)
    with pytest.raises(masks.MisfitError, match="1 of 2 boxes have no pixel"):
        masks.unpack(masks.pack([parts[0], ~parts[2]]), boxes)
    with pytest.raises(masks.MisfitError, match="24 pixels for boxes of 13"):
        masks.unpack(np.zeros(3, np.uint8), boxes)
    with pytest.raises(masks.MisfitError, match="whole pixels"):
        masks.unpack(bits, [BOX + 0.5])
    wrong = [np.ones(3, bool)] * len(whole.names)
    with pytest.raises(masks.MisfitError, match="3 pixels for boxes of 20"):
        label_map(dataclasses.replace(whole, parts=wrong), 1)


def test_a_damaged_prepared_set_is_named(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    folder = prepare(config(root, **EVERY))
    index = folder / "index.npz"
    held = dict(np.load(index))
    assert held["parts"].size == -(-(20 + 20 + 2) // 8)  # bits of three boxes
    held["parts"] = held["parts"][:-1]
    np.savez_compressed(index, **held)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["index.npz"] = index.stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"do not fit their boxes.*delete this folder"):
        source_of(root)


@pytest.mark.parametrize(
    ("data", "dtype", "least"),
    [
        ({}, np.int16, 131),  # above 130 HU
        ({"lesion_hu": 129.5}, np.int16, 130),
        ({}, np.uint8, 113),  # (130 + 1200) / 3000 * 255 = 113.05
        ({}, np.uint16, 29054),  # 29053.85
        ({"hu_window": (-200.0, 400.0)}, np.uint8, 140),  # 330 / 600 * 255 = 140.25
        # as `convert --pixels raw` writes them, HU + 32768
        ({"window": (31568.0, 34568.0)}, np.uint16, 130 + 32768),
    ],
)
def test_the_threshold_in_stored_values(data, dtype, least):
    data = Data(**data)
    assert masks.least_calcium(data, data.lesion_hu, dtype) == least


def test_pseudo_masks_by_hand():
    image = np.full((6, 8, 1), 50, np.uint8)
    image[2, 2:4], image[0, 0], image[3, 7] = 113, 255, 112
    seen = masks.pseudo(image, BOX, FIRST, 113)
    assert np.argwhere(seen).tolist() == [[2, 2], [2, 3]]  # not the one beside the box
    # a box of 4 x 3 px without calcium: the ellipse leaves out its four corners
    empty = masks.pseudo(image * 0, BOX, FIRST, 113)
    np.testing.assert_array_equal(
        empty[1:4, 1:5], [[0, 1, 1, 0], [1] * 4, [0, 1, 1, 0]]
    )
    assert empty.sum() == 8


def test_pseudo_masks_of_small_cut_and_overlapping_boxes():
    image = np.zeros((6, 8, 1), np.uint8)
    boxes = np.array(
        [
            (3.1, 3.2, 3.4, 3.3),  # no centre of a pixel is in it
            (-4, -4, 1, 1),  # cut by the crop
            (20, 2, 30, 4),  # beyond it
            (5, 0, 8, 3),
            (5, 0, 6, 1),  # over the corner of the last
        ],
        np.float32,
    )
    seen = masks.pseudo(image, boxes, np.arange(5, dtype=np.int32), 113)
    assert seen[3, 3] == 1
    assert seen[0, 0] == 2
    assert seen[1, 6] == 4
    assert seen[0, 5] == 5
    assert sorted(set(seen.ravel().tolist())) == [0, 1, 2, 4, 5]


def test_pseudo_masks_of_colours_and_of_neighbours():
    colours = np.zeros((6, 8, 3), np.uint8)
    colours[2, 2], colours[2, 3] = 113, (255, 0, 0)  # luma 113 and 76
    assert np.argwhere(masks.pseudo(colours, BOX, FIRST, 113)).tolist() == [[2, 2]]
    slices = np.zeros((6, 8, 3), np.int16)
    slices[2, 2, 1], slices[2, 3, 0], slices[3, 3, 2] = 131, 500, 500
    assert np.argwhere(masks.pseudo(slices, BOX, FIRST, 131)).tolist() == [[2, 2]]


def test_boxes_of_dicom_and_of_images_give_pseudo_masks(tmp_path):
    hu = np.zeros((5, 6, 7), np.int16)
    hu[2, 3, 2], hu[2, 4, 2] = 130, 131
    series(tmp_path / "dicom" / "one", hu)
    voc(tmp_path / "dicom" / "1.2.3.4.5.3.xml", [("n", 1, 2, 4, 5)], h=6, w=7)
    source = source_of(tmp_path / "dicom")
    assert source.masks_statement == (
        "pseudo (the labels are boxes): in each box the pixels of at least 131 HU, or "
        "the inscribed ellipse where no pixel is"
    )
    assert np.argwhere(label_map(source, 2)).tolist() == [[4, 2]]


def test_load_stream_and_resident_give_the_same_masks(tmp_path):
    cfg = image_config(small(tmp_path / "set"), batch_size=2)
    train = open_data(cfg)["train"]
    assert train.masks == "pseudo"
    resident = arrays(train, masks=True)
    for step, batch in enumerate(stream(train, cfg, 0, 2, masks=True)):
        indices = order.of_run(cfg, train.boxes)(step)
        host = load(train, indices, masks=True)
        lesion = np.asarray(host.lesion)
        assert lesion.shape == host.image.shape[:-1]
        assert lesion.dtype == np.uint8
        assert lesion.any()
        for at in np.ndindex(indices.shape):
            h, w = host.size[at]
            expected = label_map(train, int(indices[at]))
            np.testing.assert_array_equal(lesion[at][:h, :w], expected)
            assert lesion[at].sum() == expected.sum()  # none in the padding
        same_bits(batch, host)
        same_bits(take(resident, indices), host)
    assert not np.any(take(resident, np.array([[-1]], np.int32)).lesion)
    *_, last = in_order(train, 2, masks=True)
    assert np.array_equal(last.index, [[4], [-1]])
    assert not np.asarray(last.lesion)[1].any()
    assert load(train, np.zeros((1, 1), np.int32)).lesion is None
    assert arrays(train).lesion is None


def test_resident_masks_count_in_the_budget():
    # 300 images of 64 x 64 bytes are 1.2 MiB, as many bytes are their masks
    source = dataclasses.replace(squares(), names=[str(i) for i in range(300)])
    assert mebibytes(source, masks=True) - mebibytes(source) == 300 * 64 * 64 / 2**20
    two = Config(data=Data(resident_mib=2))
    assert fits(source, two)
    assert not fits(source, two, masks=True)


def test_images_without_labels_and_too_many_classes_have_no_masks():
    source = dataclasses.replace(squares(), calcium=None)
    assert source.masks == ""
    assert source.masks_statement == "none"
    with pytest.raises(ValueError, match="no labels to make masks of"):
        load(source, np.zeros((1, 1), np.int32), masks=True)
    many = dataclasses.replace(source, classes=tuple(map(str, range(255))))
    with pytest.raises(ValueError, match="holds 254 classes, the data set has 255"):
        label_map(many, 0)
