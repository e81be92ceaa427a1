"""What a calcium score counts, rule by rule, under the names of those who use it.

docs/design/0013-calcium-conventions.md says where each rule is from, and what of it had
to be assumed.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

Connected = Literal["2d-4", "2d-8", "3d-6", "3d-26"]

# HU from which a component weighs 1, 2, 3 and 4: Agatston et al., J. Am. Coll. Cardiol.
# 1990, for 120 kVp.
WEIGHTS = (130, 200, 300, 400)
LOWEST = WEIGHTS[0]
REFERENCE_MM = 3.0  # the slices that the score was defined for


@dataclass(frozen=True)
class Convention:
    """The choices that make a score.

    Attributes:
      name: as users call it.
      connected: which pixels or voxels make one component.
      pixels: of the mask's voxels, those "above" 130 HU, those of 130 HU too ("from"),
        or all of them, whatever their HU ("mask").
      smallest: a component of this size counts, a smaller one does not.
      unit: of `smallest`: px, voxels, mm2 or mm3.
      weigh: whose highest HU gives the weight: that of the component in each "slice", or
        of the whole "component".
      thickness: whether areas are scaled by slice spacing / 3 mm, so that thin slices do
        not count more often.
      whole: whether each component's score is rounded to a whole number.
    """

    name: str
    connected: Connected
    pixels: Literal["above", "from", "mask"] = "above"
    smallest: float = 1
    unit: Literal["px", "voxels", "mm2", "mm3"] = "voxels"
    weigh: Literal["slice", "component"] = "slice"
    thickness: bool = True
    whole: bool = False


CONVENTIONS = {
    c.name: c
    for c in (
        Convention("orcascore", "3d-6"),
        Convention("clinical", "2d-8", pixels="from", unit="mm2"),
        Convention("inplane8", "2d-8", smallest=4, unit="px", thickness=False),
        Convention("deepcac", "2d-8", pixels="mask", smallest=4, unit="px"),
        Convention(
            "aicac", "3d-6", pixels="mask", smallest=2, weigh="component", whole=True
        ),
    )
}


def convention(name: str) -> Convention:
    """Of `CONVENTIONS`. ValueError lists the names when there is none of this one."""
    if name not in CONVENTIONS:
        raise ValueError(
            f"unknown convention {name!r}; there are: {', '.join(CONVENTIONS)}"
        )
    return CONVENTIONS[name]


def neighbours(connected: Connected) -> Bool[np.ndarray, "3 3 3"]:
    """Which of the 26 voxels around one belong to its component."""
    steps = {"2d-4": 1, "2d-8": 2, "3d-6": 1, "3d-26": 3}[connected]
    touching = np.abs(np.indices((3, 3, 3)) - 1).sum(axis=0) <= steps
    if connected.startswith("2d"):
        touching[[0, 2]] = False
    return touching
