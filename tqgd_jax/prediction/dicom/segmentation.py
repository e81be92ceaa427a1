"""Segmentation (SEG): the voxels that count in the score, a segment for each lesion."""

from collections.abc import Mapping, Sequence

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues as AlgorithmType
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.seg import SegmentationTypeValues as SegmentationType
from jaxtyping import UInt16
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from tqgd_jax.io.volumes import Volume
from tqgd_jax.prediction.dicom.series import (
    CALCIFICATION,
    MANUFACTURER,
    Algorithm,
    Tracked,
    arguments,
)
from tqgd_jax.prediction.file_grid import slice_in_file
from tqgd_jax.structures.disclaimer import NOT_A_DEVICE


def segmentation(
    headers: Sequence[Dataset],
    scan: Volume,
    lesion_map: UInt16[np.ndarray, "z y x"],
    tracked: Mapping[int, Tracked],
    algorithm: Algorithm,
) -> Segmentation:
    """BINARY, frames with pixels only, on the grid of the source.

    Args:
      headers: of the source, a slice each.
      scan: what was read from it.
      lesion_map: number of the lesion at each voxel, 0 background; not empty.
      tracked: by number.
      algorithm: what made it.
    """
    numbers = np.unique(lesion_map)
    numbers = numbers[numbers > 0]
    segment = np.zeros(int(numbers[-1]) + 1, np.uint16)  # without gaps, PS3.3 C.8.20.2
    segment[numbers] = np.arange(1, len(numbers) + 1)
    identification = AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=codes.DCM.ArtificialIntelligence,
        version=algorithm.version,
        source=MANUFACTURER,
        parameters={"weights_sha256": algorithm.weights_sha256},
    )
    return Segmentation(
        source_images=headers,
        pixel_array=np.stack([slice_in_file(segment[s], scan) for s in lesion_map]),
        segmentation_type=SegmentationType.BINARY,
        segment_descriptions=[
            SegmentDescription(
                segment_number=k,
                segment_label=tracked[n].name,
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=Code(*CALCIFICATION),
                algorithm_type=AlgorithmType.AUTOMATIC,
                algorithm_identification=identification,
                tracking_uid=tracked[n].uid,
                tracking_id=tracked[n].name,
                anatomic_regions=[codes.SCT.CoronaryArtery],
            )
            for k, n in enumerate(numbers.tolist(), 1)
        ],
        content_label="CALCIUM",
        content_description=f"Counted in the score. {NOT_A_DEVICE}",
        **arguments("seg", headers[0], algorithm),
    )
