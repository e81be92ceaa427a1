"""OUT/SERIES/ of one reading, whole or not there, and index.csv over all."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tqgd_jax.io import atomic
from tqgd_jax.io.coco_columns import xywh
from tqgd_jax.io.tables import write_table
from tqgd_jax.prediction import document, label_volumes, pictures, viewer
from tqgd_jax.prediction.document import OF_IMAGES, OF_SCAN
from tqgd_jax.prediction.inputs import DOCUMENT, Source
from tqgd_jax.prediction.models import Detectors
from tqgd_jax.prediction.reading import Reading
from tqgd_jax.structures.disclaimer import NOT_A_DEVICE

FORMATS = ("csv", "coco", "png", "nii", "nrrd", "html")  # beside predictions.json
INDEX = "index.csv"
COLUMNS = (
    *("name", "kind", "path", "series", "patient", "slices", "boxes", "lesions"),
    *("agatston", "category", "convention", "warnings", "error", "note"),
)


def write(
    out: Path,
    reading: Reading,
    detectors: Detectors,
    formats: Collection[str],
    dicom: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes the folder of a reading; returns its row of the index.

    Args:
      out: parent of the folder.
      reading: what was found.
      detectors: that found it.
      formats: of `FORMATS`.
      dicom: objects of `dicom.write.write`; only of a DICOM series.

    Raises:
      ValueError: the folder is there already, or cannot be written.
    """
    folder = out / reading.source.name
    if folder.exists():
        raise ValueError(f"{folder} is there already; name another --out")
    content = document.document(reading, detectors)
    with atomic.folder(folder) as partial:
        text = json.dumps(content, indent=1, allow_nan=False)
        (partial / DOCUMENT).write_text(f"{text}\n", "utf-8")
        if "csv" in formats:
            _boxes(partial / "boxes.csv", reading, content)
        if "coco" in formats:
            coco = json.dumps(_coco(reading, detectors, content), indent=1)
            (partial / "detections.json").write_text(coco, "utf-8")
        if "png" in formats:
            _pictures(partial, reading)
        if reading.scan and reading.calcium:
            label_volumes.write(
                reading.scan,
                reading.calcium.lesion_map,
                {x["lesion"]: _called(x) for x in content["lesions"]},
                partial / "lesions.nii.gz" if "nii" in formats else None,
                partial / "lesions.seg.nrrd" if "nrrd" in formats else None,
            )
            if dicom:
                _dicom(partial, reading, detectors, dicom)
        if "html" in formats:
            page = viewer.render(reading, content)
            (partial / "report.html").write_bytes(page.encode())
    return _row(reading, content)


def _dicom(
    folder: Path, reading: Reading, detectors: Detectors, kinds: Sequence[str]
) -> None:
    from tqgd_jax.prediction.dicom.source import source_files
    from tqgd_jax.prediction.dicom.write import write

    assert reading.scan
    assert reading.calcium
    write(
        folder,
        source_files(reading.source.path, reading.source.series),
        reading.scan,
        reading.lesions,
        reading.calcium.lesion_map,
        reading.calcium.score,
        detectors.algorithm,
        kinds,
    )


def _called(lesion: dict[str, Any]) -> str:
    """Of a segment in Slicer."""
    return f"Lesion {lesion['lesion']} (AI {lesion['score']:.2f}, unverified)"


def _boxes(path: Path, reading: Reading, content: dict[str, Any]) -> None:
    columns = OF_SCAN if reading.scan else OF_IMAGES
    names = {"z": "slice"}
    rows = [[b[names.get(c, c)] for c in columns] for b in content["boxes"]]
    write_table(path, columns, rows)


def _coco(
    reading: Reading, detectors: Detectors, content: dict[str, Any]
) -> dict[str, Any]:
    """COCO json: slices or images by their index, boxes that have a score."""
    of = reading.lesions
    return {
        "info": {
            "description": f"detections. {content['disclaimer']}",
            "model": content["model"],
        },
        "images": [
            {"id": i, "file_name": name, "height": int(h), "width": int(w)}
            for i, (name, (h, w)) in enumerate(
                zip(reading.names, reading.sizes, strict=True)
            )
        ],
        "categories": [{"id": c, "name": n} for c, n in enumerate(detectors.classes)],
        "annotations": [
            {
                "id": k + 1,
                "image_id": int(of.z[k]),
                "category_id": int(of.labels[k]),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "score": float(of.scores[k]),
            }
            for k, box in enumerate(xywh(of.boxes))
        ],
    }


def _pictures(folder: Path, reading: Reading) -> None:
    name = reading.source.name
    score = reading.calcium.score if reading.calcium else None
    title = name
    if score:
        title += f": Agatston {score.agatston:.1f} ({score.convention}), "
        title += f"category {score.category}"
    pictures.sheet(folder / "overlays.png", reading, title)
    with_boxes, _ = pictures.best(reading)
    if with_boxes:
        (folder / "slices").mkdir()
    digits = len(str(len(reading.names)))
    for k in with_boxes:
        # Names of images may be paths, so those stand inside the picture.
        pictures.alone(folder / "slices" / f"{k:0{digits}d}.png", reading, k, name)


def _row(reading: Reading, content: dict[str, Any]) -> dict[str, Any]:
    calcium = content["calcium"] or {}
    codes = " ".join(one["code"] for one in content["warnings"])
    return failed(reading.source, "") | {
        "patient": content["input"].get("patient", ""),
        "slices": len(reading.names),
        "boxes": len(content["boxes"]),
        "lesions": len(content["lesions"]) if reading.scan else "",
        **{k: calcium.get(k, "") for k in ("agatston", "category", "convention")},
        "warnings": codes,
    }


def failed(source: Source, error: str) -> dict[str, Any]:
    """The row of a source that could not be read, or that has no values yet."""
    row = dict.fromkeys(COLUMNS, "")
    return row | {
        "name": source.name,
        "kind": source.kind,
        "path": str(source.path),
        "series": source.series,
        "error": error,
        "note": NOT_A_DEVICE,
    }


def write_index(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """index.csv of all that was read so far, replaced in one go."""
    out.mkdir(parents=True, exist_ok=True)
    with atomic.file(out / INDEX) as partial:
        write_table(partial, COLUMNS, [[row[c] for c in COLUMNS] for row in rows])
