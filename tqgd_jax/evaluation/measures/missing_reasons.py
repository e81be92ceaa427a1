"""Why a figure of detection has no value."""

import numpy as np

from tqgd_jax.evaluation.statistics.by_patient import ByPatient

NOTHING = "no ground-truth boxes: nothing to find"
# Keys, by their ends, whose figures divide by detections.
OF_DETECTIONS = ("precision", "ppv", "lesion3d.f1", "lesion3d.volume_f1")
GROUPS = ("size.", "artery.", "scanner.", "class.")


def why(of: ByPatient, key: str, sought: int) -> str:
    """A sentence for a key of `Evaluator.figures` whose value is NaN.

    Args:
      of: the matches.
      key: of the figure.
      sought: boxes that the figure looks for.
    """
    boxes = of.matches.boxes
    if not len(of.owner):
        return "there are no images"
    per_scan = key.startswith(("froc.scan", "froc.lesion")) or "per_scan" in key
    if key.startswith(("froc.lesion", "lesion3d.")) and not of.slices_known:
        return "no image says which slice it is, so boxes are not linked in 3-D"
    if per_scan and not of.scans_known:
        return "the images are not known to be slices of scans"
    if _frozen(key) and of.matches.blind.any():
        return "no threshold was chosen on validation images"
    if not boxes.counting.any():
        return NOTHING
    if key.startswith("size.mm2") and np.isnan(boxes.area_mm2).all():
        return "no image has a known spacing"
    if key.startswith("optimistic."):
        return "no detection finds a box"
    if key.startswith(GROUPS) and not sought:
        return "no ground-truth box is of this group"
    if key.endswith(OF_DETECTIONS):
        return "no detection reaches the threshold"
    return NOTHING


def _frozen(key: str) -> bool:
    """Whether the figure is made at the frozen threshold."""
    if key.endswith((".boxes", ".ap50", ".reference")):
        return False
    start = ("point.", "optimistic.gain", "lesion3d.", *GROUPS)
    return key.startswith(start)
