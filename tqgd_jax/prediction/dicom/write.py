"""Writes what was found in a scan as DICOM objects beside their source.

docs/design/0033-dicom-objects.md says what stands in which, docs/predict-dicom.md who
reads them.
"""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt16

from tqgd_jax.evaluation.calcium.agatston import CalciumScore
from tqgd_jax.io import atomic
from tqgd_jax.io.volumes import Volume
from tqgd_jax.prediction.dicom.findings import Findings, findings
from tqgd_jax.prediction.dicom.series import KINDS, Algorithm, Tracked, new_uid
from tqgd_jax.prediction.dicom.source import read_headers
from tqgd_jax.predictor import Lesions

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger("tqgd_jax")


def write(
    out: Path,
    files: Mapping[str, Path],
    scan: Volume,
    lesions: Lesions,
    lesion_map: UInt16[np.ndarray, "z y x"],
    score: CalciumScore,
    algorithm: Algorithm,
    kinds: Sequence[str] = tuple(KINDS),
) -> list[Path]:
    """Writes `seg.dcm`, `sr.dcm` and `gsps.dcm` into a folder.

    Objects are of the source's patient, study and frame of reference, on its rows,
    columns and slices, in explicit little endian. A segmentation needs a voxel that
    counts, a presentation state a box; without, they are left out, which is logged.

    Args:
      out: folder; made if missing.
      files: file of each SOPInstanceUID of the source; `source.source_files` has them.
      scan: read from these files.
      lesions: detections; box i is of lesion `lesions.lesion[i]` + 1 of the map.
      lesion_map: number of the lesion at each voxel that counts in the score, else 0.
      score: of these voxels.
      algorithm: what found them.
      kinds: which objects.

    Returns:
      The files written.

    Raises:
      ValueError: highdicom is not installed, the source is not axial DICOM slices, map
        and score disagree, or a file is there already. Nothing is written then.
    """
    check_kinds(kinds)
    paths = {kind: out / f"{kind}.dcm" for kind in kinds}
    for path in paths.values():
        if path.exists():
            raise ValueError(
                f"{path} is there already; name another folder, or move it"
            )
    with warnings.catch_warnings():
        # Of odd values that the source has, so that its objects have them too.
        warnings.filterwarnings("ignore", module="pydicom|highdicom")
        headers = read_headers(files, scan)
        calcium = findings(scan, lesions, lesion_map, score)
        objects = _objects(headers, scan, lesion_map, calcium, score, algorithm, kinds)
        out.mkdir(parents=True, exist_ok=True)
        for kind, content in objects.items():
            with atomic.file(paths[kind]) as partial:
                content.save_as(partial, enforce_file_format=True)
    return [paths[kind] for kind in objects]


def _objects(
    headers: "tuple[Dataset, ...]",
    scan: Volume,
    lesion_map: UInt16[np.ndarray, "z y x"],
    calcium: Findings,
    score: CalciumScore,
    algorithm: Algorithm,
    kinds: Sequence[str],
) -> "dict[str, Dataset]":
    """By kind, without those that would be empty."""
    from tqgd_jax.prediction.dicom.presentation import presentation, same_rescale
    from tqgd_jax.prediction.dicom.report import report
    from tqgd_jax.prediction.dicom.segmentation import segmentation

    tracked = {
        one.number: Tracked(f"lesion {one.number}", new_uid())
        for one in calcium.lesions
    }
    reasons: dict[str, str] = {}
    if not lesion_map.any():
        reasons["seg"] = "no voxel counts in the score"
    if not calcium.lesions:
        reasons["gsps"] = "there is no box"
    elif not same_rescale(headers):
        reasons["gsps"] = "its slices differ in RescaleSlope or RescaleIntercept"
    make: dict[str, Callable[[], Dataset]] = {
        "seg": lambda: segmentation(headers, scan, lesion_map, tracked, algorithm),
        "sr": lambda: report(headers, calcium.lesions, score, tracked, algorithm),
        "gsps": lambda: presentation(headers, calcium, score, tracked, algorithm),
    }
    for kind in kinds:
        if kind in reasons:
            logger.info("%s.dcm is not written: %s", kind, reasons[kind])
    return {kind: make[kind]() for kind in kinds if kind not in reasons}


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuses a kind that is not in `KINDS`, and all of them without highdicom."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(
            f"--dicom: unknown object {unknown[0] if unknown else ''!r}; there are: "
            f"{', '.join(KINDS)}"
        )
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "--dicom needs highdicom: pip install -r requirements-dicom.txt"
        ) from error
