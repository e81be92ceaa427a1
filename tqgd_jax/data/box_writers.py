"""Boxes of a prepared set as YOLO, VOC or COCO files, in a folder that `convert` fills.

Numbers are written with all their digits; `export` reads the files back and compares.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from tqgd_jax.data.dataset import Dataset
from tqgd_jax.io.coco_columns import xywh

Stems = Mapping[str, Sequence[str]]  # file names without suffix, by split


def _yolo_row(k: int, box: Sequence[float], size: Sequence[int]) -> str:
    """Class, centre, width and height as fractions of the image."""
    words = []
    for low, high, edge in ((box[0], box[2], size[1]), (box[1], box[3], size[0])):
        words.append((repr((low + high) / 2 / edge), repr((high - low) / edge)))
    (cx, w), (cy, h) = words
    return f"{k} {cx} {cy} {w} {h}\n"


def write_yolo(root: Path, splits: Mapping[str, Dataset], stems: Stems) -> None:
    """ROOT/labels/STEM.txt of each image, and classes.txt."""
    classes = next(iter(splits.values())).classes
    (root / "classes.txt").write_text("".join(f"{c}\n" for c in classes), "utf-8")
    (root / "labels").mkdir()
    for part, of in splits.items():
        for i, stem in enumerate(stems[part]):
            size, rows = of.sizes[i].tolist(), of.boxes[i].tolist()
            kinds = of.labels[i].tolist()
            text = "".join(
                _yolo_row(k, b, size) for k, b in zip(kinds, rows, strict=True)
            )
            (root / "labels" / f"{stem}.txt").write_text(text, "utf-8")


def write_voc(root: Path, splits: Mapping[str, Dataset], stems: Stems) -> None:
    """ROOT/annotations/STEM.xml of each image, corners in pixel edges."""
    (root / "annotations").mkdir()
    for part, of in splits.items():
        depth = of.shape[2] if of.shape[2] == 3 else 1
        for i, stem in enumerate(stems[part]):
            h, w = of.sizes[i].tolist()
            rows = [
                f"<folder>images</folder><filename>{escape(stem)}.png</filename>",
                f"<size><width>{w}</width><height>{h}</height><depth>{depth}</depth></size>",
            ]
            for k, box in zip(of.labels[i].tolist(), of.boxes[i].tolist(), strict=True):
                corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
                place = "".join(f"<{tag}>{v!r}</{tag}>" for tag, v in corners)
                rows.append(
                    f"<object><name>{escape(of.classes[k])}</name>"
                    "<pose>Unspecified</pose><truncated>0</truncated>"
                    f"<difficult>0</difficult><bndbox>{place}</bndbox></object>"
                )
            text = "\n".join(["<annotation>", *rows, "</annotation>\n"])
            (root / "annotations" / f"{stem}.xml").write_text(text, "utf-8")


def write_coco(root: Path, splits: Mapping[str, Dataset], stems: Stems) -> None:
    """ROOT/annotations/instances_PART.json of each split."""
    (root / "annotations").mkdir()
    image_id = box_id = 0  # unique over all splits
    for part, of in splits.items():
        pictures, annotations = [], []
        for i, stem in enumerate(stems[part]):
            image_id += 1
            h, w = of.sizes[i].tolist()
            pictures.append(
                {"id": image_id, "file_name": f"{stem}.png", "height": h, "width": w}
            )
            for k, box in zip(of.labels[i].tolist(), xywh(of.boxes[i]), strict=True):
                box_id += 1
                annotations.append(
                    {
                        "id": box_id,
                        "image_id": image_id,
                        "category_id": k + 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
        kinds = [{"id": k, "name": name} for k, name in enumerate(of.classes, 1)]
        tables = {"images": pictures, "annotations": annotations, "categories": kinds}
        # a line for each, so that a problem can be told by its line
        text = ",\n".join(
            f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]"
            for name, rows in tables.items()
        )
        file = root / "annotations" / f"instances_{part}.json"
        file.write_text(f"{{\n{text}\n}}\n", "utf-8")


WRITERS = {"yolo": write_yolo, "voc": write_voc, "coco": write_coco}
