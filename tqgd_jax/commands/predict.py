"""Finds lesions in scans or images.

tqgd predict --model RUN --input SCAN --out DIR

RUN is the folder of a run, or a file of `tqgd export`. SCAN is a volume file (NIfTI,
NRRD, MetaImage), a folder with one DICOM series, a PNG or JPEG, or a folder of these.
DIR gets `boxes.csv`, `detections.json` (COCO, with scores) and `findings.png`; of a
scan, boxes are in px of the whole slice, linked in 3-D, and the calcium score of what is
bright inside them is printed.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from tqgd_jax.commands import cli

if TYPE_CHECKING:
    from tqgd_jax.predictor import Predictor

flags.disclaim_key_flags()

CORNERS = ("x0", "y0", "x1", "y1")
OF_SCAN = ("z", *CORNERS, "score", "class", "lesion")
OF_IMAGES = ("image", *CORNERS, "score", "class")
SHOWN = 24  # slices on the sheet
HU_SHOWN = (-200.0, 500.0)


def main() -> None:
    """The command."""
    flags.DEFINE_string("model", None, "run, or file of weights", required=True)
    flags.DEFINE_string("input", None, "scan, image or folder", required=True)
    flags.DEFINE_string("out", None, "folder to write; new or empty", required=True)
    flags.DEFINE_float("min_score", None, "least confidence [the run's threshold]")
    flags.DEFINE_string("series", "", "of several in a DICOM folder: its UID")
    flags.DEFINE_string("convention", "clinical", "of the calcium score")
    cli.run(_main)


def _main(_: list[str]) -> None:
    """Weights, pixels, boxes, files."""
    from tqgd_jax.evaluation.calcium.conventions import convention
    from tqgd_jax.io import volumes
    from tqgd_jax.predictor import load
    from tqgd_jax.training.runtime import compile_cache

    given = flags.FLAGS
    compile_cache.use_cache()
    convention(given.convention)
    path, out = Path(given.input).expanduser(), Path(given.out).expanduser()
    if not path.exists():
        raise ValueError(f"--input: no file or folder {given.input!r}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out: {out} is there and not empty; name a new folder")
    predictor = load(given.model)
    is_scan = volumes.is_volume(path) or (
        path.is_dir() and bool(volumes.dicom_folders(path))
    )
    (_scan if is_scan else _images)(predictor, path, out)
    print(f"written to {out}. Not a medical device.")


def _scan(predictor: "Predictor", path: Path, out: Path) -> None:
    from tqgd_jax.evaluation.calcium.agatston import agatston
    from tqgd_jax.io.volumes import read_volume
    from tqgd_jax.report.findings import sheet

    given = flags.FLAGS
    scan = read_volume(path, series=given.series)
    lesions = predictor.scan(scan, given.min_score)
    names = [predictor.classes[label] for label in lesions.labels]
    out.mkdir(parents=True, exist_ok=True)
    columns = (lesions.z, *lesions.boxes.T, lesions.scores, names, lesions.lesion)
    _table(out / "boxes.csv", OF_SCAN, zip(*columns, strict=True))
    slices = np.arange(len(scan.hu))
    _coco(
        out / "detections.json",
        predictor,
        [(f"{path.name} z{z:03d}", *scan.hu.shape[1:]) for z in slices],
        (lesions.z, lesions.boxes, lesions.scores, lesions.labels),
    )
    best = np.zeros(len(slices))
    np.maximum.at(best, lesions.z, lesions.scores)
    shown = np.sort(np.argsort(-best, kind="stable")[: min(SHOWN, (best > 0).sum())])
    cut = [lesions.windows[z] for z in shown]
    sheet(
        out / "findings.png",
        [
            scan.hu[z, y0:y1, x0:x1]
            for z, (x0, y0, x1, y1) in zip(shown, cut, strict=True)
        ],
        [f"slice {z}" for z in shown],
        [
            lesions.boxes[lesions.z == z] - window[[0, 1, 0, 1]]
            for z, window in zip(shown, cut, strict=True)
        ],
        [lesions.scores[lesions.z == z] for z in shown],
        f"{path.name}: {len(shown)} of {(best > 0).sum()} slices with a finding",
        HU_SHOWN,
    )
    score = agatston(scan, lesions, given.convention)
    number = len(np.unique(lesions.lesion))
    print(
        f"{path}: {len(lesions.z)} boxes in {(best > 0).sum()} of {len(slices)} slices, "
        f"{number} lesions; Agatston score ({score.convention}) {score.agatston:.1f}, "
        f"category {score.category}"
    )


def _images(predictor: "Predictor", path: Path, out: Path) -> None:
    from tqgd_jax.data.unlabelled import of_folder
    from tqgd_jax.report.findings import sheet

    least = flags.FLAGS.min_score
    least = predictor.threshold if least is None else least
    images = of_folder(path, predictor.config.data)
    detected = predictor.detect(images)
    above = [image.above(least) for image in detected]
    boxes = [im.det_boxes[a] for im, a in zip(detected, above, strict=True)]
    scores = [im.det_scores[a] for im, a in zip(detected, above, strict=True)]
    labels = [im.det_labels[a] for im, a in zip(detected, above, strict=True)]
    of = np.repeat(np.arange(len(boxes)), [len(b) for b in boxes])
    every = (of, np.concatenate(boxes), np.concatenate(scores), np.concatenate(labels))
    names = [predictor.classes[label] for label in every[3]]
    out.mkdir(parents=True, exist_ok=True)
    columns = ([images.names[i] for i in of], *every[1].T, every[2], names)
    _table(out / "boxes.csv", OF_IMAGES, zip(*columns, strict=True))
    sizes = images.sizes.tolist()
    rows = [(n, h, w) for n, (h, w) in zip(images.names, sizes, strict=True)]
    _coco(out / "detections.json", predictor, rows, every)
    with_boxes = [i for i in range(len(boxes)) if len(boxes[i])]
    shown = sorted(with_boxes, key=lambda i: -scores[i].max())[:SHOWN]
    sheet(
        out / "findings.png",
        [images.image(i) for i in shown],
        [images.names[i] for i in shown],
        [boxes[i] for i in shown],
        [scores[i] for i in shown],
        f"{path.name}: {len(shown)} of {len(with_boxes)} images with a finding",
        predictor.config.data.window_of(images.dtype),
    )
    print(f"{path}: {len(of)} boxes in {len(with_boxes)} of {len(boxes)} images")


def _table(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def _coco(
    path: Path,
    predictor: "Predictor",
    images: list[tuple[str, int, int]],
    detections: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """COCO json: images by their index, boxes as annotations that have a score."""
    of, boxes, scores, labels = detections
    sides = boxes[:, 2:] - boxes[:, :2]
    content = {
        "info": {"description": "detections", **predictor.provenance},
        "images": [
            {"id": i, "file_name": name, "height": h, "width": w}
            for i, (name, h, w) in enumerate(images)
        ],
        "categories": [{"id": c, "name": n} for c, n in enumerate(predictor.classes)],
        "annotations": [
            {
                "id": k + 1,
                "image_id": int(of[k]),
                "category_id": int(labels[k]),
                "bbox": [*map(float, boxes[k, :2]), *map(float, sides[k])],
                "area": float(sides[k].prod()),
                "iscrowd": 0,
                "score": float(scores[k]),
            }
            for k in range(len(of))
        ],
    }
    path.write_text(json.dumps(content, indent=1), "utf-8")
