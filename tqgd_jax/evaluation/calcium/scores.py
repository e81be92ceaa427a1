"""What a score is made of: amounts, lesions and their sums."""

from collections.abc import Sequence
from typing import NamedTuple

from tqgd_jax.ct.lesions import ARTERIES

Spacing = tuple[float, float, float]  # dz, dy, dx in mm


class Amount(NamedTuple):
    """Calcium. `mass_mg` is None without a calibration factor."""

    agatston: float = 0.0
    volume_mm3: float = 0.0
    mass_mg: float | None = None


class LesionScore(NamedTuple):
    """One lesion, in 3-D.

    Attributes:
      artery: "LAD", "LCX", "RCA", another value of the mask, or "" for a mask of bools.
      amount: its part of the total.
      hu_max, hu_mean: of its voxels, HU.
      voxels: how many count.
      z: first and last slice.
      box: (x0, y0, x1, y1) around it in all its slices, px, x1 exclusive.
    """

    artery: str
    amount: Amount
    hu_max: int
    hu_mean: float
    voxels: int
    z: tuple[int, int]
    box: tuple[int, int, int, int]


class Score(NamedTuple):
    """A scan, its lesions from the feet up, and sums by artery (none for bools)."""

    amount: Amount
    lesions: tuple[LesionScore, ...]
    arteries: dict[str, Amount]

    @property
    def agatston(self) -> float:
        """Of the whole scan."""
        return self.amount.agatston


def total(lesions: Sequence[LesionScore], calibration: float | None) -> Amount:
    """The sum; its mass is None without a calibration factor."""
    amounts = [one.amount for one in lesions]
    mass = sum((a.mass_mg or 0.0 for a in amounts), 0.0)
    return Amount(
        sum((a.agatston for a in amounts), 0.0),
        sum((a.volume_mm3 for a in amounts), 0.0),
        None if calibration is None else mass,
    )


def by_artery(
    lesions: Sequence[LesionScore], calibration: float | None
) -> dict[str, Amount]:
    """Sums of orCaScore's arteries, and of other values of the mask."""
    names = [*ARTERIES.values()]
    names += sorted({one.artery for one in lesions} - {*names})
    return {
        name: total([one for one in lesions if one.artery == name], calibration)
        for name in names
    }
