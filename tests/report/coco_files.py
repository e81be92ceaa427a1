"""COCO files made at random, and what pycocotools says of COCO files."""

import contextlib
import io
import json
from copy import deepcopy

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)


def twelve(truth, dets, ious=None):
    """The figures of pycocotools by name, or its AP at each of `ious`; None for its -1.

    It stops with a KeyError where an annotation has no `area` or no `iscrowd`; these
    get width x height and 0, as docs/evaluation.md has it.
    """
    of = COCO()
    of.dataset = deepcopy(truth)
    for row in of.dataset["annotations"]:
        row.setdefault("area", row["bbox"][2] * row["bbox"][3])
        row.setdefault("iscrowd", 0)
    with contextlib.redirect_stdout(io.StringIO()):
        of.createIndex()
        judge = COCOeval(of, of.loadRes(deepcopy(dets)), "bbox")
        judge.params.iouThrs = np.array(ious or judge.params.iouThrs)
        judge.evaluate()
        judge.accumulate()
        if ious:
            precision = judge.eval["precision"][:, :, :, 0, 2]  # all areas, 100
            return [p[p > -1].mean() for p in precision]
        judge.summarize()
    assert 0.05 < judge.stats[0] < 0.95  # the case is not trivial
    return {n: None if v == -1 else v for n, v in zip(NAMES, judge.stats, strict=True)}


def marked(seed, keys):
    """Ground truth and detections with everything that an annotation may say.

    Two classes, many equal scores, images without boxes; `area` missing, width x height
    or that of another size range; `ignore` and `iscrowd` both, one, none or missing.

    Args:
      seed: of the boxes.
      keys: ids of the images, in the order of the file.
    """
    rng = np.random.default_rng(seed)
    annotations, dets = [], []
    for key in keys:
        for _ in range(int(rng.integers(0, 6))):
            bbox = rng.uniform((0, 0, 4, 4), (200, 200, 130, 130)).tolist()
            row = {"id": len(annotations) + 1, "image_id": key, "bbox": bbox}
            row["category_id"] = int(rng.choice([3, 7]))
            area = (None, bbox[2] * bbox[3], 0, 1024, 2000, 9216, 2e4)
            area = area[rng.integers(len(area))]
            row |= {} if area is None else {"area": area}
            for flag in ("ignore", "iscrowd"):
                row |= ({flag: 1}, {flag: 0}, {})[rng.choice(3, p=(0.2, 0.4, 0.4))]
            annotations.append(row)
            for _ in range(int(rng.integers(0, 3))):
                moved = (np.array(bbox) + rng.normal(0, 2, 4)).tolist()
                det = {
                    "image_id": key,
                    "bbox": moved[:2] + np.abs(moved[2:]).tolist(),
                }
                det["category_id"] = int(rng.choice([row["category_id"], 3, 7]))
                dets.append(det | {"score": float(rng.choice([0.25, 0.5, 0.75]))})
    rng.shuffle(dets)
    truth = {
        "images": [{"id": k, "file_name": f"{k}.png", "patient": k} for k in keys],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "stent"}, {"id": 3, "name": "calcium"}],
    }
    return truth, dets


def written(folder):
    """Both files of a result."""
    names = ("ground_truth.json", "detections.json")
    return [json.loads((folder / name).read_text("utf-8")) for name in names]
