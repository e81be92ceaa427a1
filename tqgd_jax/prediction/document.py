"""predictions.json and the tables: what was found, in plain data.

predictions.schema.json describes it; docs/predict.md says what a reader takes from it.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

import tqgd_jax
from tqgd_jax.evaluation.calcium.boxes import whole_pixels
from tqgd_jax.evaluation.calcium.conventions import LOWEST
from tqgd_jax.io.tables import BOX
from tqgd_jax.io.volumes import Volume
from tqgd_jax.prediction.file_grid import boxes_in_file
from tqgd_jax.prediction.inputs import FAMILY
from tqgd_jax.prediction.models import Detectors
from tqgd_jax.prediction.reading import Calcium, Reading, categories
from tqgd_jax.structures.disclaimer import NOT_A_DEVICE

SCHEMA = f"{FAMILY}1"
DISCLAIMER = (
    f"{NOT_A_DEVICE} For research: not verified by a physician, not for diagnosis or "
    "treatment."
)
OF_SCAN = ("z", *BOX, "score", "class", "lesion", "z_mm", "hu_max", "area_mm2")
OF_IMAGES = ("image", *BOX, "score", "class")


def document(reading: Reading, detectors: Detectors) -> dict[str, Any]:
    """The whole of predictions.json."""
    scan, source = reading.scan, reading.source
    return {
        "schema": SCHEMA,
        "disclaimer": DISCLAIMER,
        "software": f"tqgd_jax {tqgd_jax.__version__}",
        "input": {
            "kind": source.kind,
            "name": source.name,
            "path": str(source.path),
            **(_header(scan) if scan else {"images": list(reading.names)}),
        },
        "grid": _grid(scan) if scan else None,
        "model": detectors.description,
        "threshold": detectors.threshold._asdict(),
        "classes": list(detectors.classes),
        "boxes": boxes(reading, detectors.classes),
        "lesions": lesions(reading) if scan else [],
        "calcium": _calcium(reading.calcium) if reading.calcium else None,
        "warnings": [caution._asdict() for caution in reading.cautions],
        "unchecked": list(reading.unchecked),
    }


def _header(scan: Volume) -> dict[str, Any]:
    return {
        **scan.ids,
        "thickness_mm": scan.thickness,
        "sop_instance_uids": list(scan.sop),
    }


def _grid(scan: Volume) -> dict[str, Any]:
    return {
        "shape_zyx": list(scan.hu.shape),
        "spacing_zyx_mm": list(scan.spacing),
        "origin_xyz_mm": list(scan.origin),
        "file": scan.grid
        and {name: list(value) for name, value in scan.grid._asdict().items()},
        "axial": scan.axial,
        "swapped": scan.swapped,
        "flipped": list(scan.flipped),
    }


def boxes(reading: Reading, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every detection: place, confidence, and of scans the calcium inside it."""
    of, scan = reading.lesions, reading.scan
    own = (
        boxes_in_file(of.boxes.astype(np.float64), scan)
        if scan and scan.axial
        else None
    )
    result = []
    for i, (z, box) in enumerate(zip(of.z.tolist(), _exact(of.boxes), strict=True)):
        row: dict[str, Any] = {"slice": z, "image": reading.names[z]}
        row |= dict(zip(BOX, box, strict=True))
        row |= {
            "score": float(str(of.scores[i])),
            "class": classes[of.labels[i]],
        }
        if scan and reading.calcium:
            hu = _inside(scan, reading.calcium, int(of.lesion[i]) + 1, z, box)
            row |= {
                "z_mm": scan.origin[2] + z * scan.spacing[0],
                "lesion": int(of.lesion[i]) + 1,
                "hu_max": int(hu.max()) if len(hu) else None,
                "area_mm2": len(hu) * scan.spacing[1] * scan.spacing[2],
                "sop": scan.sop[z] if scan.sop else None,
                "file": None,
            }
            if own is not None:
                row["file"] = {
                    "slice": _file_slice(scan, z),
                    **dict(zip(BOX, own[i].tolist(), strict=True)),
                }
        result.append(row)
    return result


def _exact(of: Float[np.ndarray, "n 4"]) -> list[list[float]]:
    """The shortest decimals that are these very numbers in single precision."""
    return [[float(str(value)) for value in box] for box in of]


def _inside(
    scan: Volume, calcium: Calcium, lesion: int, z: int, box: list[float]
) -> np.ndarray:
    """HU of what counts in the score of a box, of its lesion."""
    x0, y0, x1, y1 = whole_pixels(np.array(box), scan.hu.shape[1:])
    counted = calcium.lesion_map[z, y0:y1, x0:x1] == lesion
    return scan.hu[z, y0:y1, x0:x1][counted]


def _file_slice(scan: Volume, z: int) -> int:
    flip = scan.grid is not None and scan.grid.direction[8] < 0
    return len(scan.hu) - 1 - z if flip else z


def lesions(reading: Reading) -> list[dict[str, Any]]:
    """Each lesion in 3-D, by number."""
    of, scan, calcium = reading.lesions, reading.scan, reading.calcium
    assert scan
    assert calcium
    at = np.flatnonzero(calcium.lesion_map)
    number, hu = calcium.lesion_map.ravel()[at], scan.hu.ravel()[at]
    volume = float(np.prod(scan.spacing))
    result = []
    for k in range(len(calcium.agatston)):
        mine = of.lesion == k
        best = int(np.flatnonzero(mine)[of.scores[mine].argmax()])
        own = hu[number == k + 1]
        result.append(
            {
                "lesion": k + 1,
                "slices": [int(of.z[mine].min()), int(of.z[mine].max())],
                "boxes": int(mine.sum()),
                "score": float(str(of.scores[best])),
                "best_slice": int(of.z[best]),
                "best_box": _exact(of.boxes[best : best + 1])[0],
                "agatston": float(calcium.agatston[k]),
                "voxels": len(own),
                "volume_mm3": len(own) * volume,
                "hu_max": int(own.max()) if len(own) else None,
                "hu_mean": float(own.mean()) if len(own) else None,
            }
        )
    return result


def _calcium(calcium: Calcium) -> dict[str, Any]:
    first = calcium.score
    return {
        "convention": first.convention,
        "scheme": first.scheme,
        "agatston": first.agatston,
        "category": first.category,
        "lowest_hu": LOWEST,
        "conventions": {
            name: {
                "agatston": score.agatston,
                "volume_mm3": score.amount.volume_mm3,
                "lesions": len(score.lesions),
                "category": categories(score.agatston),
            }
            for name, score in calcium.scores.items()
        },
    }
