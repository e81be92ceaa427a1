"""The twelve figures against pycocotools, on random and crowded images."""

import numpy as np
import pytest

from tests.evaluation.cohorts import image
from tests.report.coco_files import NAMES, twelve
from tqgd_jax.evaluation.evaluator import Evaluator
from tqgd_jax.structures.image import Image


def xywh(box):
    return [*box[:2], box[2] - box[0], box[3] - box[1]]


def reference(images, num_classes, ious=None):
    """Twelve figures of pycocotools, or its AP at given IoUs; None for its -1."""
    boxes, dets = [], []
    for i, item in enumerate(images):
        for k, box in enumerate(item.boxes):
            size = xywh(box.tolist())
            row = {"id": len(boxes) + 1, "image_id": i, "bbox": size}
            row |= {"category_id": int(item.labels[k]), "area": size[2] * size[3]}
            if item.area is not None:
                row["area"] = float(item.area[k])
            for flag in ("ignore", "iscrowd"):
                values = getattr(item, flag)
                row[flag] = 0 if values is None else int(values[k])
            boxes.append(row)
        rows = zip(item.det_boxes, item.det_scores, item.det_labels, strict=True)
        for box, score, label in rows:
            row = {"image_id": i, "category_id": int(label), "score": float(score)}
            dets.append(row | {"bbox": xywh(box.tolist())})
    truth = {
        "images": [{"id": i} for i in range(len(images))],
        "categories": [{"id": c, "name": str(c)} for c in range(num_classes)],
        "annotations": boxes,
    }
    return twelve(truth, dets, ious)


def coco(images, num_classes):
    """Our figures."""
    return Evaluator(images, [str(c) for c in range(num_classes)], None).coco()


def random_images(
    rng, count, classes, most_boxes, most_dets, field, levels, side=60, marked=False
):
    """Boxes with whole-pixel corners, detections near them or anywhere.

    `marked` boxes may be crowds or ignored, and have an area that puts every second of
    them into another size range, or (2e10 px^2) into none.
    """
    images = []
    for i in range(count):
        n = int(rng.integers(0, most_boxes + 1)) if i % 5 else 0
        k = int(rng.integers(0, most_dets + 1)) if i % 7 else 0
        corner = rng.integers(0, field, (n, 2))
        boxes = np.concatenate([corner, corner + rng.integers(2, side, (n, 2))], 1)
        corner = rng.integers(0, field, (k, 2))
        dets = np.concatenate([corner, corner + rng.integers(2, side, (k, 2))], 1)
        labels, det_labels = rng.integers(0, classes, n), rng.integers(0, classes, k)
        if n and k:
            near = rng.integers(0, n, k)
            pick = rng.random(k) < 0.7
            dets = np.where(
                pick[:, None], boxes[near] + rng.integers(-2, 3, (k, 4)), dets
            )
            dets[:, 2:] = np.maximum(dets[:, 2:], dets[:, :2] + 1)
            det_labels = np.where(pick, labels[near], det_labels)
        scores = rng.integers(1, levels + 1, k) / levels
        boxes, dets = boxes.astype(float), dets.astype(float)
        item = Image(str(i), boxes, labels, dets, scores, det_labels)
        if marked:
            areas = rng.choice([0, 1024, 2000, 9216, 20_000, 2e10], n)
            own = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
            item = item._replace(
                ignore=rng.random(n) < 0.15,
                iscrowd=rng.random(n) < 0.15,
                area=np.where(rng.random(n) < 0.5, own, areas),
            )
        images.append(item)
    return images


CASES = [
    (1, 6, 20, 300, 10_000, 60, False),
    (3, 8, 40, 300, 8, 60, False),  # ties of scores, several classes
    (1, 40, 160, 80, 5, 30, False),  # crowded, more than 100 detections
    (2, 10, 40, 400, 50, 250, False),  # all three sizes
    (2, 12, 60, 120, 12, 120, True),  # crowds, `ignore`, areas of segmentations
]


@pytest.mark.parametrize("case", CASES)
def test_twelve_figures_equal_pycocotools(case):
    for seed in range(3):
        images = random_images(np.random.default_rng(seed), 25, *case)
        expected, got = reference(images, case[0]), coco(images, case[0])
        assert tuple(got) == NAMES
        for name in NAMES:
            assert got[name] == pytest.approx(expected[name], abs=1e-6), name


@pytest.mark.parametrize("case", CASES)
def test_ap_at_loose_and_strict_ious_equals_pycocotools(case):
    images = random_images(np.random.default_rng(7), 25, *case)
    evaluator = Evaluator(images, [str(c) for c in range(case[0])], None)
    keys = [f"ap.coco.{iou}" for iou in ("0.1", "0.3", "0.5", "0.75", "0.5:0.95")]
    values = evaluator.figures(np.ones((1, len(evaluator.clusters))), keys)
    expected = reference(images, case[0], [0.1, 0.3, 0.5, 0.75])
    expected.append(reference(images, case[0])["AP"])
    got = [values[key][0] for key in keys]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_a_taken_box_passes_the_detection_on():
    # The case that YOLOv5 counts as a false positive: here both are hits at .5.
    boxes = [(0, 0.5, 10, 10.5), (0, 5, 10, 15)]
    figures = coco([image("x", boxes, [(0, 0, 10, 10), (0, 2, 10, 12)], [0.9, 0.8])], 1)
    assert figures["AP50"] == pytest.approx(1.0)


def test_without_ground_truth_there_are_no_figures():
    empty = [image("x", [], [(0, 0, 5, 5)], [0.5]), image("x", [], [], [])]
    assert set(coco(empty, 1).values()) == {None}
    assert set(coco([], 1).values()) == {None}


def test_without_detections_the_figures_are_zero():
    figures = coco([image("x", [(0, 0, 10, 10)], [], [])], 1)
    assert (figures["AP"], figures["AR100"], figures["APs"]) == (0, 0, 0)
    assert figures["APl"] is None  # no large box


@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_boxes_with_equal_iou_the_last_is_taken(turn):
    # The first detection has IoU 2/3 with both boxes, the second reaches .5 with one.
    boxes = [(0, 0, 10, 10), (0, 4, 10, 14)][::turn]
    item = image("x", boxes, [(0, 2, 10, 12), (0, 5, 10, 14)], [0.9, 0.8])
    got, expected = coco([item], 1), reference([item], 1)
    for name in ("AP50", "AR100"):
        assert got[name] == pytest.approx(expected[name], abs=1e-6)
