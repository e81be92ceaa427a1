"""Finds lesions in scans or images.

tqgd predict --model RUN --input SCAN --out DIR

RUN is the folder of a run, or a file of `tqgd export`. SCAN is a volume file (NIfTI,
NRRD, MetaImage), a folder with one DICOM series, a PNG or JPEG, or a folder of these.
DIR gets `boxes.csv`, `detections.json` (COCO, with scores) and `findings.png`; of a
scan, boxes are in px of the whole slice, linked in 3-D, and the calcium score of what is
bright inside them is printed.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from tqgd_jax.commands.line import cli, config_flags
from tqgd_jax.io import atomic
from tqgd_jax.io.coco_columns import xywh
from tqgd_jax.io.tables import BOX, write_table

if TYPE_CHECKING:
    from tqgd_jax.predictor import Predictor

flags.disclaim_key_flags()

OF_SCAN = ("z", *BOX, "score", "class", "lesion")
OF_IMAGES = ("image", *BOX, "score", "class")
SHOWN = 24  # slices on the sheet


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
    from tqgd_jax.trained import load
    from tqgd_jax.training.runtime import compile_cache

    given = flags.FLAGS
    compile_cache.use_cache()
    convention(given.convention)
    path, out = Path(given.input).expanduser(), Path(given.out).expanduser()
    if not path.exists():
        raise ValueError(f"--input: no file or folder {given.input!r}")
    config_flags.refuse_full(out)
    predictor = load(given.model)
    is_scan = volumes.is_volume(path) or (
        path.is_dir() and bool(volumes.dicom_folders(path))
    )
    with atomic.folder(out) as partial:
        (_scan if is_scan else _images)(predictor, path, partial)
    print(f"written to {out}. Not a medical device.")


def _scan(predictor: "Predictor", path: Path, out: Path) -> None:
    from tqgd_jax.evaluation.calcium.agatston import agatston
    from tqgd_jax.io.volumes import read_volume
    from tqgd_jax.report.findings import sheet
    from tqgd_jax.report.html.pixels import HU_WINDOW

    given = flags.FLAGS
    scan = read_volume(path, series=given.series)
    lesions = predictor.scan(scan, given.min_score)
    names = [predictor.classes[label] for label in lesions.labels]
    columns = (lesions.z, *lesions.boxes.T, lesions.scores, names, lesions.lesion)
    write_table(out / "boxes.csv", OF_SCAN, list(zip(*columns, strict=True)))
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
        HU_WINDOW,
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

    images = of_folder(path, predictor.config.data)
    detections = predictor.found_in(images, flags.FLAGS.min_score)
    boxes, scores, labels = map(list, zip(*detections, strict=True))
    of = np.repeat(np.arange(len(boxes)), [len(b) for b in boxes])
    every = (of, np.concatenate(boxes), np.concatenate(scores), np.concatenate(labels))
    names = [predictor.classes[label] for label in every[3]]
    columns = ([images.names[i] for i in of], *every[1].T, every[2], names)
    write_table(out / "boxes.csv", OF_IMAGES, list(zip(*columns, strict=True)))
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


def _coco(
    path: Path,
    predictor: "Predictor",
    images: list[tuple[str, int, int]],
    detections: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """COCO json: images by their index, boxes as annotations that have a score."""
    of, boxes, scores, labels = detections
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
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "score": float(scores[k]),
            }
            for k, box in enumerate(xywh(boxes))
        ],
    }
    path.write_text(json.dumps(content, indent=1), "utf-8")
