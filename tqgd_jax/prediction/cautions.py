"""What of a scan makes its boxes or its score less certain: said, never silent.

The score was defined for 120 kVp, slices of 3 mm without gap, no contrast agent and a
soft kernel. docs/design/0034-predict.md has the rules and where they are from.
"""

import math
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tqgd_jax.evaluation.calcium.agatston import KVP
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS, REFERENCE_MM
from tqgd_jax.io.volumes import Volume

SAME_MM = 0.01  # of the spacing: thickness and spacing that are one
UNSCALED = [c.name for c in CONVENTIONS.values() if not c.thickness]
NO_CONTRAST = ("", "none", "no", "n", "no contrast", "without", "0")
# Of headers: what was not checked where a file does not have it.
CHECKED = {"kvp": "tube voltage", "kernel": "kernel", "contrast": "contrast agent"}

# Kernels that sharpen edges and raise noise, by maker's naming.
SIEMENS = re.compile(r"([a-z]{1,2})(\d\d)[a-z]?\b", re.IGNORECASE)  # B31f, Br64, Qr36d
SIEMENS_SHARP = 45
CANON = re.compile(r"FC(\d\d)", re.IGNORECASE)
GE_SHARP = ("LUNG", "BONE", "BONEPLUS", "EDGE", "DETAIL", "ULTRA", "CHEST")
PHILIPS_SHARP = ("C", "CC", "D", "E", "EA", "EB", "EC", "L", "YA", "YB", "YC", "YD")


class Caution(NamedTuple):
    """A fact under a name that does not change, and a sentence for a reader."""

    code: str
    text: str


def of_scan(
    scan: Volume,
    hearts: Float[np.ndarray, "z 4"] | None,
    boxes_z: Int[np.ndarray, "n"],
) -> tuple[list[Caution], list[str]]:
    """What to be careful with, and what the file does not say.

    Args:
      scan: as it was read.
      hearts: heart box of each slice, NaN where there is none; None: no crop.
      boxes_z: slice of each detection.
    """
    cautions = [*_acquisition(scan), *_slices(scan)]
    if hearts is not None:
        cautions += _heart(hearts, boxes_z)
    if scan.hu.min() >= 0:
        cautions.append(
            Caution(
                "no_air",
                "No voxel is below 0, and air has -1000 HU: the values may be no "
                "Hounsfield units.",
            )
        )
    # Empty is unknown: who removes a patient's name often empties other tags too.
    missing = [what for name, what in CHECKED.items() if not scan.ids.get(name)]
    return cautions, missing


def _heart(
    hearts: Float[np.ndarray, "z 4"], boxes_z: Int[np.ndarray, "n"]
) -> list[Caution]:
    known = np.flatnonzero(np.isfinite(hearts).all(axis=1))
    if not len(known):
        return [
            Caution(
                "crop_fallback",
                "No heart was found, so the whole field of view was looked at: bone, "
                "lung vessels and devices may be marked.",
            )
        ]
    beyond = int(((boxes_z < known[0]) | (boxes_z > known[-1])).sum())
    if not beyond:
        return []
    return [
        Caution(
            "beyond_heart",
            f"{beyond} of {len(boxes_z)} boxes lie in slices below or above the heart, "
            f"which was found in slices {known[0]} to {known[-1]}; they count in the "
            "score.",
        )
    ]


def _acquisition(scan: Volume) -> list[Caution]:
    kvp, kernel, contrast = (scan.ids.get(k, "") for k in CHECKED)
    result = []
    if kvp and not _is(kvp, float(KVP)):
        result.append(
            Caution(
                "kvp",
                f"{kvp} kVp: the weights of the Agatston score are those of {KVP} kVp, "
                "so the score is not comparable with others.",
            )
        )
    if contrast.strip().lower() not in NO_CONTRAST:
        result.append(
            Caution(
                "contrast",
                f"Contrast agent ({contrast}): vessels may be as bright as calcium, so "
                "there is no valid score.",
            )
        )
    if sharp(kernel):
        result.append(
            Caution(
                "sharp_kernel",
                f"Kernel {kernel} is a sharp one: noise and edges above 130 HU raise "
                "the score.",
            )
        )
    return result


def _slices(scan: Volume) -> list[Caution]:
    spacing, thickness = scan.spacing[0], scan.thickness
    result = []
    if spacing > REFERENCE_MM * (1 + SAME_MM):
        result.append(
            Caution(
                "thick_slices",
                f"Slices lie {spacing:.2f} mm apart; the score is defined for "
                f"{REFERENCE_MM:g} mm, and small lesions are averaged away in thicker "
                "ones.",
            )
        )
    if len(scan.hu) == 1:
        result.append(Caution("one_slice", "One slice: this is no score of a heart."))
    elif thickness is not None and abs(thickness - spacing) > SAME_MM * spacing:
        over = thickness > spacing
        result.append(
            Caution(
                "overlap" if over else "gaps",
                f"Slices are {thickness:.2f} mm thick and lie {spacing:.2f} mm apart: "
                + (
                    "they overlap. Scores are scaled by their distance, but not those "
                    f"of {', '.join(UNSCALED)}, where calcium in an overlap counts more "
                    "than once."
                    if over
                    else "what lies between them was not seen."
                ),
            )
        )
    return result


def sharp(kernel: str) -> bool:
    """Whether a convolution kernel is known as a sharp one; False for unknown names.

    Args:
      kernel: ConvolutionKernel, the first of several values counts.
    """
    name = kernel.split("\\")[0].strip()
    if match := CANON.match(name):
        return 30 <= int(match[1]) <= 39 or int(match[1]) >= 50
    if match := SIEMENS.match(name):
        return int(match[2]) >= SIEMENS_SHARP
    return name.upper() in (*GE_SHARP, *PHILIPS_SHARP)


def _is(text: str, value: float) -> bool:
    try:
        return math.isclose(float(text), value)
    except ValueError:
        return False
