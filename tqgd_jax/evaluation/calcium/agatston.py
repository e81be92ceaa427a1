"""Agatston score of a scan, from boxes or a mask. docs/calcium.md."""

import logging
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from tqgd_jax.evaluation.calcium.boxes import calcium_mask
from tqgd_jax.evaluation.calcium.conventions import convention as convention_named
from tqgd_jax.evaluation.calcium.risk_categories import category
from tqgd_jax.evaluation.calcium.risk_categories import scheme as scheme_named
from tqgd_jax.evaluation.calcium.score import score
from tqgd_jax.evaluation.calcium.scores import Amount, LesionScore
from tqgd_jax.io.volumes import Volume

logger = logging.getLogger("tqgd_jax")

KVP = "120"  # tube voltage that the weights of the score are for


@runtime_checkable
class InSlices(Protocol):
    """Boxes of a scan: slice and (x0, y0, x1, y1) in px of the whole slice."""

    @property
    def z(self) -> Int[np.ndarray, "n"]: ...
    @property
    def boxes(self) -> Float[np.ndarray, "n 4"]: ...


class CalciumScore(NamedTuple):
    """Calcium of a scan under one convention.

    Attributes:
      agatston: of the whole scan.
      category: risk category, such as "101-400".
      convention: what counts.
      scheme: of the category.
      amount: Agatston score, volume (mm3) and mass (mg, None without calibration).
      lesions: each lesion in 3-D, from the feet up.
    """

    agatston: float
    category: str
    convention: str
    scheme: str
    amount: Amount
    lesions: tuple[LesionScore, ...]


def agatston(
    scan: Volume,
    calcium: InSlices | Bool[np.ndarray, "z y x"] | UInt8[np.ndarray, "z y x"],
    convention: str = "clinical",
    scheme: str = "standard",
    calibration: float | None = None,
) -> CalciumScore:
    """The score of what is bright inside boxes, or of what a mask marks.

    Args:
      scan: as `read_scan` gives it.
      calcium: what `Predictor.scan` found, or a mask of the scan's shape; values 1, 2
        and 3 are the arteries LAD, LCX and RCA.
      convention: of docs/calcium.md: "clinical", "orcascore" and others.
      scheme: of risk categories.
      calibration: mg/mL per HU, for the mass.

    Raises:
      ValueError: an unknown name, or a mask of another shape.
    """
    rules, steps = convention_named(convention), scheme_named(scheme)
    warn_of_voltage(scan, "this scan")
    if isinstance(calcium, np.ndarray):
        mask = calcium
        if mask.shape != scan.hu.shape:
            raise ValueError(f"the mask is {mask.shape}, the scan {scan.hu.shape}")
    else:
        rows = np.column_stack([calcium.z, calcium.boxes]).tolist()
        mask = calcium_mask(scan.hu, [(int(z), *box) for z, *box in rows])
    whole = score(scan.hu, mask, scan.spacing, rules, calibration)
    return CalciumScore(
        whole.agatston,
        steps.labels[category(whole.agatston, steps)],
        rules.name,
        scheme,
        whole.amount,
        whole.lesions,
    )


def warn_of_voltage(scan: Volume, name: object) -> None:
    """Warns when the scan says another tube voltage than the score is made for."""
    kvp = scan.ids.get("kvp", "")
    if kvp and kvp.removesuffix(".0") != KVP:
        logger.warning(
            "%s: %s kVp; the weights are those of %s kVp, so this score is not "
            "comparable with others",
            name,
            kvp,
            KVP,
        )
