"""Lesion masks to boxes: per slice for the detector, per 3-D lesion for the patient.

orCaScore's rule (§2.1.2): a lesion is made of voxels above 130 HU that touch by faces.
docs/design/0009-ct.md.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int16, UInt8
from scipy import ndimage

ARTERIES = {1: "LAD", 2: "LCX", 3: "RCA"}  # orCaScore; 1 includes the left main
FACES = ndimage.generate_binary_structure(3, 1)  # 6 neighbours in 3-D
PIXELS = np.ones((3, 3), bool)  # 8 neighbours in a slice


class LesionBox(NamedTuple):
    """What one slice shows of a lesion.

    Attributes:
      z: slice.
      box: (x0, y0, x1, y1), px of the whole slice, tight, x1 exclusive.
      label: value in the mask.
      lesion: number of the 3-D lesion in the scan, from 1; where a component of a slice
        touches two lesions by corners only, the one with more pixels in it.
      hu_max: highest value, HU.
      area_px, area_mm2: of the component, not of its box.
      pixels: which of the box are the component's.
    """

    z: int
    box: tuple[int, int, int, int]
    label: int
    lesion: int
    hu_max: int
    area_px: int
    area_mm2: float
    pixels: Bool[np.ndarray, "h w"]


def lesion_boxes(
    mask: UInt8[np.ndarray, "z y x"],
    hu: Int16[np.ndarray, "z y x"],
    spacing: tuple[float, float, float],
    above: float,
) -> tuple[list[LesionBox], int]:
    """Boxes of every slice by z, and the mask voxels at or below `above` HU, left out.

    Components are 8-connected in a slice and of one label: nothing is merged
    (docs/design/0009-ct.md).
    """
    labelled = mask > 0
    calcium = labelled & (hu > above)
    left_out = int(np.count_nonzero(labelled)) - int(np.count_nonzero(calcium))
    where = ndimage.find_objects(calcium.astype(np.uint8))
    if not where:
        return [], left_out
    inside = where[0]
    z0, y0, x0 = (s.start for s in inside)
    mask, hu, calcium = mask[inside], hu[inside], calcium[inside]
    boxes: list[LesionBox] = []
    numbered = 0
    for label in np.unique(mask[calcium]).tolist():
        lesions, count = _components(calcium & (mask == label), FACES)
        for z in np.flatnonzero((lesions > 0).any(axis=(1, 2))).tolist():
            parts, _ = _components(lesions[z] > 0, PIXELS)
            for k, (ys, xs) in enumerate(ndimage.find_objects(parts), 1):
                part = parts[ys, xs] == k
                numbers = lesions[z, ys, xs][part]
                area = int(np.count_nonzero(part))
                boxes.append(
                    LesionBox(
                        z=z + z0,
                        box=(xs.start + x0, ys.start + y0, xs.stop + x0, ys.stop + y0),
                        label=label,
                        lesion=numbered + int(np.bincount(numbers).argmax()),
                        hu_max=int(hu[z, ys, xs][part].max()),
                        area_px=area,
                        area_mm2=area * spacing[1] * spacing[2],
                        pixels=part,
                    )
                )
        numbered += count
    return sorted(boxes, key=lambda b: (b.z, b.box, b.label)), left_out


def _components(
    of: Bool[np.ndarray, "*n"], touching: Bool[np.ndarray, "*m"]
) -> tuple[Int[np.ndarray, "*n"], int]:
    labelled: Any = ndimage.label(of, touching)
    return labelled[0], labelled[1]
