"""What of a scan makes its boxes or its score less certain: said, never silent.

The score was defined for 120 kVp, slices of 3 mm without gap, no contrast agent and a
soft kernel. docs/design/0034-predict.md has the rules and where they are from.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tqgd_jax.config import Data
from tqgd_jax.ct import crop
from tqgd_jax.evaluation.calcium.agatston import KVP
from tqgd_jax.evaluation.calcium.conventions import CONVENTIONS, REFERENCE_MM
from tqgd_jax.io.volumes import Volume

SAME_MM = 0.01  # of the spacing: thickness and spacing that are one
UNSCALED = [c.name for c in CONVENTIONS.values() if not c.thickness]
NO_CONTRAST = ("", "none", "no", "n", "no contrast", "without", "0")
# Of a result: a fifth of a heart's slice (in simulated patients 625 mm² at most), and a
# score that next to no patient has.
MOST_MM2, MOST_AGATSTON = 2000, 10_000
# Of a model: less than AP50 in its validation, or fewer steps (the shortest warm-up), is
# nothing learnt.
LEAST_AP50, LEAST_STEPS = 0.01, 100
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
    limit_mm: float = 0.0,
) -> tuple[list[Caution], list[str]]:
    """What to be careful with, and what the file does not say.

    Args:
      scan: as it was read.
      hearts: heart box of each slice, NaN where there is none; None: no crop.
      boxes_z: slice of each detection.
      limit_mm: how far beyond the heart detections count (`eval.beyond_heart_mm`); 0:
        everywhere.
    """
    cautions = [*_acquisition(scan), *_slices(scan)]
    if hearts is not None:
        cautions += _heart(
            hearts, boxes_z, crop.beyond(hearts, scan.spacing[0]), limit_mm
        )
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


def of_model(name: str, provenance: Mapping[str, Any]) -> list[Caution]:
    """Whether a model has learnt nothing, as far as it knows itself."""
    ap50, steps = provenance.get("validated_ap50"), provenance.get("step")
    if ap50 is not None and ap50 < LEAST_AP50:
        why = f"its validation gave an AP50 of {ap50:.3f}"
    elif steps is not None and steps < LEAST_STEPS:
        why = f"it was trained for {steps} steps"
    else:
        return []
    text = (
        f"{name} has learnt next to nothing: {why}. Its boxes, and a score of them, mean "
        "nothing; train it on, or name another --model."
    )
    return [Caution("unlearnt", text)]


def of_images(name: str, provenance: Mapping[str, Any], data: Data) -> str:
    """What a model of scans says to images; empty for one of images."""
    if provenance.get("dtype") != "int16":
        return ""
    low, high = data.window_of(np.int16)
    return (
        f" {name} was trained on Hounsfield units: its boxes are worth nothing unless "
        f"black is {low:g} HU and white {high:g} HU; give it the scan."
    )


def of_result(
    scan: Volume, marked: Bool[np.ndarray, "z y x"], agatston: float
) -> list[Caution]:
    """Whether a result can be that of a patient.

    Args:
      scan: as it was read.
      marked: voxels in boxes.
      agatston: the score that stands first.
    """
    areas = marked.sum(axis=(1, 2)) * scan.spacing[1] * scan.spacing[2]
    result = []
    if (area := areas.max()) > MOST_MM2:
        text = (
            f"Boxes cover {area:.0f} mm² of slice {areas.argmax()}, and calcium hardly "
            f"ever more than {MOST_MM2}: the model marks what is none, and the score is "
            "not to be believed."
        )
        result.append(Caution("implausible_area", text))
    if agatston > MOST_AGATSTON:
        text = (
            f"A score of {agatston:,.0f} is above {MOST_AGATSTON:,}, which next to no "
            "patient has: look at the boxes before it is believed."
        )
        result.append(Caution("implausible_score", text))
    return result


def _heart(
    hearts: Float[np.ndarray, "z 4"],
    boxes_z: Int[np.ndarray, "n"],
    beyond_mm: Float[np.ndarray, "z"],
    limit_mm: float,
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
    where = f"the heart, which was found in slices {known[0]} to {known[-1]}"
    result = []
    if 0 < limit_mm < beyond_mm.max():
        result.append(
            Caution(
                "not_counted",
                f"{(beyond_mm > limit_mm).sum()} of {len(hearts)} slices lie more than "
                f"{limit_mm:g} mm below or above {where}: nothing in them counts.",
            )
        )
    if beyond := int((beyond_mm[boxes_z] > 0).sum()):
        result.append(
            Caution(
                "beyond_heart",
                f"{beyond} of {len(boxes_z)} boxes lie in slices below or above {where}; "
                "they count in the score.",
            )
        )
    return result


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
