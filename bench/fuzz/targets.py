"""The readers, each with whole files to damage."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK  # noqa: F401  before processes are made: each would import it
from PIL import Image

from bench.fuzz import mutations
from bench.fuzz.mutations import Mutation
from tests import scan_files
from tqgd_jax.commands.line.cli import from_json
from tqgd_jax.config import Config
from tqgd_jax.data.read.validation import check
from tqgd_jax.data.split import fold_manifest
from tqgd_jax.data.split.fold_manifest import Entry, Fold, Manifest
from tqgd_jax.evaluation.calcium import box_file
from tqgd_jax.evaluation.inputs import detections, patient_table
from tqgd_jax.io import weights
from tqgd_jax.io.coco import read_coco
from tqgd_jax.io.images import read_header, read_image
from tqgd_jax.io.voc_yolo import read_voc, read_yolo
from tqgd_jax.io.volumes import Volume, read_mask, read_volume
from tqgd_jax.training.records import workdir

SCAN = (4, 3, 2)  # slices, rows, columns of the seeds: a header is most of the file


class Target(NamedTuple):
    """A reader.

    Attributes:
      name: the file that is damaged.
      seeds: whole files of that name.
      read: of the file's path; or of its folder, where a folder is what is read.
      beside: files that lie there too, whole.
      sealed: makes a damaged file whole again on the outside.
    """

    name: str
    seeds: list[bytes]
    read: Callable[[Path], Any]
    beside: Mapping[str, bytes] = {}
    sealed: Mutation | None = None


def targets(scratch: Path) -> dict[str, Target]:
    """All readers by name; `scratch` is for the seeds that libraries write."""
    return _volumes(scratch) | _images(scratch) | _texts() | _tables(scratch)


def _volumes(scratch: Path) -> dict[str, Target]:

    hu = scan_files.some_hu(SCAN)
    labels = (hu > 500).astype(np.uint8)
    like = Volume(hu, scan_files.SPACING, scan_files.ORIGIN, {})

    def written(name: str, values: np.ndarray, *, compress: bool = False) -> bytes:
        return scan_files.write(scratch / name, values, compress).read_bytes()

    def mask(path: Path) -> Any:
        return read_mask(path, like)

    made: dict[str, Target] = {}
    for suffix in ("mhd", "mha", "nrrd", "nhdr", "nii"):
        plain, zipped = f"a.{suffix}", f"b.{suffix}"
        seeds = [written(plain, hu), written(zipped, hu, compress=True)]
        lying = {p.name: p.read_bytes() for p in scratch.glob("[ab].*raw*")}
        made[suffix] = Target(plain, seeds, read_volume, lying)
        seeds = [written(plain, labels), written(zipped, labels, compress=True)]
        lying = {p.name: p.read_bytes() for p in scratch.glob("[ab].*raw*")}
        made[f"{suffix}-mask"] = Target(plain, seeds, mask, lying)
    # By hand: fields that SimpleITK does not write, big-endian and scaled values.
    made["mhd"].seeds.append(scan_files.meta(scratch, name="a.mhd").read_bytes())
    made["nrrd"].seeds.append(scan_files.nrrd(scratch).read_bytes())
    made["nii"].seeds.append(scan_files.nifti(scratch, scale=(2.0, -5.0)).read_bytes())
    made["mhd"] = made["mhd"]._replace(
        beside={**made["mhd"].beside, "scan.raw": bytes(48)}
    )
    made["nii.gz"] = Target(
        "a.nii.gz", made["nii"].seeds, read_volume, sealed=mutations.within_gzip
    )
    folder = scan_files.series(scratch / "dicom", hu)
    first, *others = sorted(folder.iterdir())
    coded = scan_files.slice_bytes(hu[0], syntax="1.2.840.10008.1.2.4.70")
    tagged = scan_files.slice_bytes(
        hu[0], syntax="1.2.840.10008.1.2", RescaleType="HU", GantryDetectorTilt="0"
    )
    made["dicom"] = Target(
        first.name,
        [first.read_bytes(), tagged, coded],
        lambda path: read_volume(path.parent),
        {path.name: path.read_bytes() for path in others},
    )
    return made


def _images(scratch: Path) -> dict[str, Target]:

    def read(path: Path) -> Any:
        return read_header(path), read_image(path)

    rng, made = np.random.default_rng(0), {}
    grey = rng.integers(0, 255, (5, 6)).astype(np.uint8)
    colours = rng.integers(0, 255, (5, 6, 3)).astype(np.uint8)
    pictures = [Image.fromarray(grey), Image.fromarray(colours)]
    pictures += [Image.fromarray(grey.astype(np.uint16) * 256), pictures[1].quantize(9)]
    pictures += [pictures[0].convert("1"), pictures[1].convert("RGBA")]
    for suffix, chosen in (("png", pictures), ("jpg", pictures[:2])):
        seeds = []
        for picture in chosen:
            picture.save(scratch / f"a.{suffix}")
            seeds.append((scratch / f"a.{suffix}").read_bytes())
        sealed = mutations.resealed_png if suffix == "png" else None
        made[suffix] = Target(f"a.{suffix}", seeds, read, sealed=sealed)
    return made


VOC = b"""<?xml version="1.0"?>
<annotation><folder>x</folder><filename>a.png</filename>
<size><width>60</width><height>50</height><depth>1</depth></size>
<object><name>cac</name><difficult>0</difficult>
<bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>9</xmax><ymax>12</ymax></bndbox></object>
<object><name>other</name>
<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object>
</annotation>
"""
COCO: dict[str, Any] = {
    "info": {"stamp": "made up"},
    "images": [
        {"id": 1, "file_name": "a.png", "width": 60, "height": 50, "patient": "P"},
        {"id": 2, "file_name": "b.png", "width": 60, "height": 50, "z": 3},
    ],
    "categories": [{"id": 1, "name": "cac"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3.5, 4], "area": 14},
        {"id": 2, "image_id": 2, "category_id": 1, "bbox": [5, 6, 7, 8], "iscrowd": 1},
    ],
}
FOUND = [
    {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},
    {"image_id": 2, "category_id": 1, "bbox": [5, 6, 7.25, 8], "score": 1},
]


def _texts() -> dict[str, Target]:

    size, classes = (50, 60), {"cac": 0, "other": 1}

    def coco(path: Path) -> Any:
        return [
            check(label, size, classes, "clip") for label in read_coco(path).values()
        ]

    truth, found = (json.dumps(x, indent=1).encode() for x in (COCO, FOUND))
    return {
        "voc": Target(
            "a.xml", [VOC], lambda p: check(read_voc(p), size, classes, "drop")
        ),
        "yolo": Target(
            "a.txt",
            [b"0 0.5 0.5 0.1 0.2\n1 0.25 0.75 0.016667 0.02\n", b""],
            lambda p: check(read_yolo(p, ("cac", "other")), size, classes, "clip"),
        ),
        "coco": Target("a.json", [truth], coco),
        "truth": Target("a.json", [truth], lambda p: detections.read(p, None)),
        "detections": Target(
            "a.json",
            [found],
            lambda p: detections.read(p.with_name("truth.json"), p),
            {"truth.json": truth},
        ),
    }


def _tables(scratch: Path) -> dict[str, Target]:

    manifest = Manifest(
        folds=2,
        level="patient",
        seed=0,
        slices={"a": Entry("P", 1, "0" * 64), "b": Entry("Q", 2, "1" * 64)},
        summary=(Fold(1, 1, 1, 2.5, {"x": 1}), Fold(1, 1, 0, 0.0, {"y": 1})),
    )
    fold_manifest.write(manifest, scratch / "folds.json")
    file = scratch / "a.safetensors"
    weights.write(file, {"params": {"k": np.ones((2, 3), np.float32)}}, {"a": [1]})
    workdir.write_json(scratch / "config.json", {"config": asdict(Config()), "run": {}})
    settings = (scratch / "config.json").read_bytes()
    patients = b"image,patient,fold,threshold\na.png,P,1,0.5\nb.png,Q,2,0.25\n"
    return {
        "patients": Target("a.csv", [patients], patient_table.read),
        "boxes": Target(
            "a.csv",
            [b"z,x0,y0,x1,y1\n0,1,2,3,4\nmm:3.0,1.5,2,8,9\n"],
            lambda p: box_file.read_rows(p, (9, 50, 60), 0.0, 3.0),
        ),
        "folds": Target(
            "folds.json", [(scratch / "folds.json").read_bytes()], fold_manifest.read
        ),
        "weights": Target("a.safetensors", [file.read_bytes()], weights.read),
        "settings": Target("config.json", [settings], from_json),
        "run": Target("config.json", [settings], lambda p: workdir.read(p.parent)),
    }
