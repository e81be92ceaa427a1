"""Why a figure of detection has no value."""

import numpy as np

from tqgd_jax.metrics.view import View

NOTHING = "no ground-truth boxes: nothing to find"
# Keys, by their ends, whose figures divide by detections.
OF_DETECTIONS = ("precision", "ppv", "lesion3d.f1", "lesion3d.volume_f1")
GROUPS = ("size.", "artery.", "scanner.", "class.")


def why(of: View, key: str) -> str:
    """A sentence for a key of `Judge.figures` whose value is NaN."""
    boxes = of.cohort.boxes
    if not len(of.owner):
        return "there are no images"
    per_scan = key.startswith(("froc.scan", "froc.lesion")) or "per_scan" in key
    if per_scan and not of.scans_known:
        return "the images are not known to be slices of scans"
    if _frozen(key) and of.cohort.blind.any():
        return "no threshold was chosen on validation images"
    if not boxes.counting.any():
        return NOTHING
    if key.startswith("size.mm2") and np.isnan(boxes.area_mm2).all():
        return "no image has a known spacing"
    if key.startswith("optimistic."):
        return "no detection finds a box"
    if key.endswith(OF_DETECTIONS):
        return "no detection reaches the threshold"
    if key.startswith(GROUPS):
        return "no ground-truth box is of this group"
    return NOTHING


def _frozen(key: str) -> bool:
    """Whether the figure is made at the frozen threshold."""
    if key.endswith((".boxes", ".ap50", ".reference")):
        return False
    start = ("point.", "optimistic.gain", "lesion3d.", *GROUPS)
    return key.startswith(start)
