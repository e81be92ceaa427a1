"""A reading whose every voxel and box is chosen by hand; nothing is compiled."""

from functools import cache
from pathlib import Path

import numpy as np

from tests.explain.tiny import predictor
from tqgd_jax.io.volumes import Volume
from tqgd_jax.prediction.cautions import Caution
from tqgd_jax.prediction.inputs import Source
from tqgd_jax.prediction.models import Detectors, Member
from tqgd_jax.prediction.reading import Reading, calcium_of
from tqgd_jax.predictor import Lesions
from tqgd_jax.report.html.pixels import HU_WINDOW

SHAPE = (6, 40, 60)
SPACING = (3.0, 0.5, 0.5)
VILE = "a<b>\"'</script><script>alert(1)</script>"


def volume(**changes) -> Volume:
    """Tissue of 40 HU, a block of 140 HU in slices 1 and 2, one of 420 HU in slice 4."""
    hu = np.full(SHAPE, 40, np.int16)
    hu[:, :, :4] = -1000
    hu[1:3, 10:16, 20:28] = 140
    hu[4, 30:34, 40:46] = 420
    values = {"patient": VILE, "modality": "CT", "kvp": "120", "description": "thin"}
    return Volume(hu, SPACING, (-15.0, -10.0, 100.0), values, **changes)


def lesions(z, boxes, scores, number) -> Lesions:
    return Lesions(
        np.array(z, int),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.zeros(len(z), int),
        np.array(number, int),
        np.tile([10, 5, 55, 38], (SHAPE[0], 1)),
    )


FOUND = lesions(
    [1, 2, 4, 4],
    # the last box overlaps the third, and is of a lesion of its own
    [[19, 9, 29, 17], [19, 9, 29, 17], [39, 29, 47, 35], [43, 29, 52, 35]],
    [0.5, 0.75, 0.9, 0.25],
    [0, 0, 1, 2],
)
NOTHING = lesions([], [], [], [])


def reading(of: Lesions = FOUND, scan: Volume | None = None) -> Reading:
    scan = scan or volume()
    return Reading(
        Source("volume", "scan", Path("scan.nii.gz")),
        tuple(f"slice {z}" for z in range(SHAPE[0])),
        scan.hu.__getitem__,
        np.tile(SHAPE[1:], (SHAPE[0], 1)),
        of,
        HU_WINDOW,
        (Caution("kvp", "80 kVp: <b>careful</b>."),),
        ("kernel",),
        scan,
        calcium_of(scan, of, "clinical", "standard"),
    )


@cache
def detectors() -> Detectors:
    """Of weights that nobody trained."""
    return Detectors([Member("tiny", predictor())], 0.25)
