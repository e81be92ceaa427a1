"""The door of the package: load, an image, a scan, the score; one file of weights."""

from dataclasses import replace

import numpy as np
import pytest

import tqgd_jax as tq
from tests import ct_sets
from tests.training.tiny import config as tiny
from tqgd_jax import detector as networks
from tqgd_jax import trained
from tqgd_jax.data.open import open_data
from tqgd_jax.evaluation.calcium.boxes import calcium_mask
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS
from tqgd_jax.evaluation.calcium.score import score
from tqgd_jax.inference import near_heart
from tqgd_jax.io import weights
from tqgd_jax.prediction.models import weights_hash
from tqgd_jax.predictor import Boxes, Lesions, in_whole_slices
from tqgd_jax.trained import USUAL_THRESHOLD

pytestmark = pytest.mark.slow

SHAPE = (6, 40, 48)  # of the scans, z y x


def same(one, other):
    """Boxes and scores are equal but for rounding, which may exchange equal scores."""
    (boxes, scores, *_), (others, theirs, *_) = one, other
    assert len(boxes) == len(others) > 0
    rows, wanted = (np.column_stack(x) for x in ((boxes, scores), (others, theirs)))
    apart = np.abs(rows[:, None] - wanted[None]).max(axis=2)
    assert apart.min(axis=1).max() < 1e-3
    assert apart.min(axis=0).max() < 1e-3


@pytest.fixture(scope="module", autouse=True)
def shallow():
    """One bottleneck a block: it compiles quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.SIZES, "n", networks.Size(0.01, 0.25, 64))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five tiny scans of calcium."""
    return ct_sets.orcascore(tmp_path_factory.mktemp("ct") / "set")


@pytest.fixture(scope="module")
def run(folder):
    """Two steps teach nothing: it is the path that is tested."""
    data = ct_sets.config(folder, "anatomical", batch_size=2, image_size=64).data
    config = tiny(data=replace(data, hold_out=0.25))
    config.train.steps = 2
    config.eval.batch_size = 4
    workdir = folder.parent / "run"
    tq.train(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def detector(run):
    return tq.load(run)


@pytest.fixture(scope="module")
def scan(folder):
    return tq.read_scan(str(next(folder.rglob("*P1CTI.mhd"))))  # as users write it


def test_a_slice_gives_what_the_evaluation_finds_in_it(detector):
    images = open_data(detector.config)["train"]
    evaluated = detector.detect(images)
    for i in (0, len(evaluated) - 1):
        found = detector(images.image(i)[:, :, 0], min_score=0.0)
        same(found, (evaluated[i].det_boxes, evaluated[i].det_scores))
        assert (np.diff(found.scores) <= 0).all()
        assert set(found.labels) == {0}


def test_a_batch_gives_what_each_image_gives_alone(detector, scan):
    slices = [scan.hu[z, : 30 + z] for z in range(5)]  # heights differ
    together = detector.batch(slices, min_score=0.0)
    assert detector.batch([]) == []
    for image, found in zip(slices, together, strict=True):
        same(detector(image, min_score=0.0), found)
        assert (found.boxes <= [48, len(image), 48, len(image)]).all()


def test_a_scan_gives_boxes_of_whole_slices_linked_in_3d(detector, scan):
    hearts = np.tile([8.0, 6.0, 40.0, 36.0], (6, 1))
    least = 0.0
    lesions = detector.scan(scan, least, hearts)
    # 1 mm of margin at 0.5 mm a pixel
    assert lesions.windows.tolist() == [[6, 4, 42, 38]] * 6
    x0, y0, x1, y1 = lesions.boxes.T
    assert len(lesions.z) > 0
    assert (x0 >= 6).all()
    assert (y0 >= 4).all()
    assert (x1 <= 42).all()
    assert (y1 <= 38).all()
    of_slice = detector(scan.hu[3, 4:38, 6:42], least)
    here = lesions.z == 3
    shifted = of_slice.boxes + np.array([6, 4, 6, 4])
    same((lesions.boxes[here], lesions.scores[here]), (shifted, of_slice.scores))
    assert sorted(set(lesions.lesion)) == list(range(lesions.lesion.max() + 1))
    # without lungs no heart is found, and the whole slice is looked at
    assert detector.scan(scan).windows.tolist() == [[0, 0, 48, 40]] * 6


def test_far_from_the_heart_nothing_counts(detector, scan):
    heart = [8.0, 6.0, 40.0, 36.0]
    hearts = np.array([[np.nan] * 4] * 2 + [heart] * 3 + [[np.nan] * 4])
    images, _ = detector.images_of(scan, hearts)
    assert [s.beyond_mm for s in images.slices] == [6, 3, 0, 0, 0, 3]  # 3 mm apart
    found = detector.detect(images)  # at first everything counts
    assert all(len(image.det_scores) for image in found)
    for limit, slices in ((0, 6), (3, 5), (2, 3)):
        some = near_heart(found, images.slices, limit)
        assert sum(len(image.det_scores) > 0 for image in some) == slices
    config = replace(detector.config, eval=replace(detector.config.eval))
    config.eval.beyond_heart_mm = 2.0
    strict = replace(detector, config=config)
    assert {*strict.scan(scan, 0.0, hearts).z} == {2, 3, 4}


def test_the_score_is_that_of_the_voxels_in_the_boxes(scan):
    z, boxes = np.array([1, 2]), np.array([[19.0, 9, 26, 15]] * 2, np.float32)
    nothing = np.zeros(2)
    found = Lesions(z, boxes, nothing, nothing.astype(int), np.zeros(2, int), boxes)
    result = tq.agatston(scan, found)
    # by hand: 20 px of 0.25 mm2, 300 HU weigh 3, in two slices of 3 mm
    assert result.agatston == pytest.approx(2 * 20 * 0.25 * 3)
    assert (result.category, result.convention) == ("11-100", "clinical")
    rows = [(int(k), *box) for k, box in zip(z, boxes.tolist(), strict=True)]
    by_mask = tq.agatston(scan, calcium_mask(scan.hu, rows), "orcascore")
    mask = np.zeros(SHAPE, bool)
    mask[1:3, 10:14, 20:25] = True
    expected = score(scan.hu, mask, scan.spacing, CONVENTIONS["orcascore"])
    assert by_mask.agatston == expected.agatston
    with pytest.raises(ValueError, match=r"the mask is \(1, 40, 48\), the scan"):
        tq.agatston(scan, mask[:1])


def test_a_file_of_weights_needs_no_run(detector, scan, tmp_path):
    path = tmp_path / "a.safetensors"
    detector.save(path)
    again = tq.load(path)
    assert again.classes == detector.classes
    assert again.threshold == detector.threshold
    assert again.provenance == detector.provenance
    assert again.config == detector.config
    for a, b in zip(detector(scan.hu[2], 0.0), again(scan.hu[2], 0.0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_exported_program_is_known_by_the_hash_of_its_file(
    detector, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        trained.reading, "read", lambda _: (detector.meta, lambda *_: None)
    )
    hashes = []
    for name in ("a", "b"):
        (tmp_path / f"{name}.onnx").write_text(name)
        hashes.append(weights_hash(tq.load(tmp_path / f"{name}.onnx")))
    # sha256sum of the letter
    assert hashes[0].startswith("ca978112ca1bbdcafac231b39a23dc4d")
    assert hashes[1] != hashes[0]


def test_wrong_files_of_weights_are_refused(detector, tmp_path):
    path = tmp_path / "a.safetensors"
    detector.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="incomplete or damaged"):
        tq.load(path)
    with pytest.raises(ValueError, match=r"ends with \.safetensors"):
        detector.save(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"nowhere\.safetensors: no file of weights"):
        tq.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(FileNotFoundError, match="is not the workdir of a run"):
        tq.load(tmp_path)
    variables = {"params": {"x": np.zeros(3)}, "batch_stats": {}}
    weights.write(path, variables, {})
    with pytest.raises(ValueError, match="settings are incomplete"):
        tq.load(path)
    replace(detector, variables=variables).save(path)
    with pytest.raises(ValueError, match=r"array batch_stats/backbone.* is not there"):
        tq.load(path)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((8, 8), np.float32), "got float32; round and convert it"),
        (np.zeros(8, np.int16), r"an image is \[h, w\] or"),
        (np.zeros((0, 8), np.int16), r"got \(0, 8, 1\)"),
        (np.zeros((8, 8, 3), np.int16), "sees 1 slices at once"),
    ],
)
def test_wrong_images_are_refused(detector, image, reason):
    with pytest.raises(ValueError, match=reason):
        detector(image)


def test_a_threshold_that_nobody_chose_is_the_usual_one(detector):
    # hold_out gives a validation split, but two steps find nothing there
    assert detector.threshold == USUAL_THRESHOLD
    assert detector.provenance["validated_ap50"] == 0.0
    assert detector.provenance["dtype"] == "int16"
    with pytest.raises(ValueError, match=r"min_score must be in \[0, 1\], got 2"):
        detector(np.zeros((8, 8), np.int16), 2)


def test_a_box_that_rounding_leaves_no_area_in_the_whole_slice_is_no_detection():
    # 6e-8 px high; from 205 on single precision has steps of 1.5e-5 px
    thin = np.array([[1, 0, 5, 6e-8], [1, 0, 5, 2]], np.float32)
    given = Boxes(thin, np.array([0.9, 0.8]), np.zeros(2, int))
    (got,) = in_whole_slices([given], np.array([[100, 205, 200, 300]]))
    assert got.boxes.tolist() == [[101, 205, 105, 207]]
    assert got.scores.tolist() == [0.8]


def test_the_face_names_what_it_has():
    assert all(getattr(tq, name) for name in tq.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = tq.nothing
