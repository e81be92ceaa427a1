"""What surrounds the heart in a non-contrast CT: lungs, chest, spine and carina.

Each is found by its HU, its shape and its neighbours, slice by slice, on the coarse
grid of `heart`: HU [z, y, x] in LPS display orientation, `mm` between slices, rows and
columns. docs/design/0010-heart-crop.md has the reasons.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from tqgd_jax.ct import regions

RECESS_MM = 25.0  # the chest is as wide as this far above: covers lung-less fronts
BULGE_MM = 7.0  # of a heart in front of that hull; less than the chest's wall is thick
RIGHT_MM, LEFT_MM = 75.0, 125.0  # farthest heart borders from the spine's centre


def lungs(
    grid: np.ndarray, mm: tuple[float, float, float]
) -> Bool[np.ndarray, "z y x"]:
    """Aerated tissue inside the body, without trachea, outer air, table and bowel."""
    # in narrow views heart and wall are apart: more than one part may be body
    body = regions.large(regions.open3(grid > -500))
    inside = np.stack([regions.hull(b) for b in body])
    sides = np.stack(
        [s.any(1) for s in (body[:, 0], body[:, -1], body[:, :, 0], body[:, :, -1])]
    )
    # a body cut by two borders leaves lungs outside its hull
    inside |= (sides.sum(0) >= 2)[:, None, None]

    pools = regions.label((grid < -400) & (grid > -1023.5), regions.FLAT)
    pool_air = regions.means(pools, grid < -960)  # near 1 in outer air and in bowel gas
    parts = regions.label(regions.open3((grid < -400) & (grid > -975)), regions.FLAT)
    good = (
        (np.bincount(parts.ravel()) * mm[1] * mm[2] > 300)
        & (regions.means(parts, grid) < -600)
        & (regions.means(parts, pool_air[pools]) < 0.5)
        & (regions.means(parts, inside) > 0.8)
    )
    good[0] = False
    return regions.large(good[parts])


def chest(
    lungs: np.ndarray, mm: tuple[float, float, float]
) -> Bool[np.ndarray, "z y x"]:
    """Convex hull of the lungs of each slice and of those not far above it.

    A heart that touches the chest's wall bulges out of it by up to BULGE_MM in front.
    """
    up = 1 + round(RECESS_MM / mm[0])
    have = lungs.sum((1, 2)) * mm[1] * mm[2] > 300
    hulls = np.stack(
        [regions.hull(lungs[k : k + up].any(0) & have[k]) for k in range(len(lungs))]
    )
    for _ in range(round(BULGE_MM / mm[1])):
        hulls[:, :-1] |= hulls[:, 1:]
    return hulls


def spine(
    grid: np.ndarray,
    lungs: np.ndarray,
    chest: np.ndarray,
    mm: tuple[float, float, float],
) -> tuple[float, Float[np.ndarray, "z"]]:
    """Column of the spine's centre, and the row of its front in each slice; or NaN.

    The spine is the bone that reaches into the hull of the lungs from behind.
    """
    rows = lungs.sum(2).astype(float)
    middle = (rows * np.arange(grid.shape[1])).sum(1) / np.maximum(1, rows.sum(1))
    behind = np.arange(grid.shape[1])[None, :] > middle[:, None]
    behind &= (rows.sum(1) * mm[1] * mm[2] > 2000)[:, None]
    deep = np.stack(
        [ndimage.binary_erosion(c, iterations=2, border_value=1) for c in chest]
    )
    profile = ((grid > 120) & behind[:, :, None] & deep).sum((0, 1)).astype(float)
    half = max(1, round(15 / mm[2]))
    profile = ndimage.convolve1d(profile, np.ones(2 * half + 1), mode="constant")
    front = np.full(len(grid), np.nan)
    if profile.max() * mm[1] * mm[2] < 50 * behind.any(1).sum() or not profile.any():
        return np.nan, front  # the field of view ends before the spine
    column = int(profile.argmax())
    band = slice(max(0, column - half), column + half + 1)
    for k, share in enumerate((grid[:, :, band] > 100).mean(2) * behind):
        row = int(share.argmax())
        if share[row] >= 0.4:
            while row > 0 and share[row - 1] > 0.3:
                row -= 1
            front[k] = row
    known = np.flatnonzero(np.isfinite(front))
    if len(known):
        front = np.interp(np.arange(len(front)), known, front[known])
        front = ndimage.median_filter(front, 1 + 2 * round(12 / mm[0]), mode="nearest")
    return float(column), front


def before_spine(
    tissue: np.ndarray, column: float, front: np.ndarray, mm: tuple[float, float, float]
) -> Bool[np.ndarray, "z y x"]:
    """Leaves out the spine, what lies behind its front, and far-off sides."""
    y, x = np.ogrid[: tissue.shape[1], : tissue.shape[2]]
    y, x, behind = y[None], (x[None] - column) * mm[2], front[:, None, None]
    near = (y > behind - 6 / mm[1]) & (np.abs(x) < 25)  # false where front is NaN
    sides = (x < -RIGHT_MM) | (x > LEFT_MM)
    return tissue & ~near & ~(y > behind + 10 / mm[1]) & ~sides


def carina(
    air: np.ndarray, column: float, front: np.ndarray, mm: tuple[float, float, float]
) -> int:
    """Lowest slice with the trachea before the spine; the number of slices if none."""
    parts = regions.label(air, regions.FLAT)
    area = np.bincount(parts.ravel()) * mm[1] * mm[2]
    large = 1 + np.flatnonzero(area[1:] > 180)
    trachea = np.zeros(len(air), bool)
    for z, y, x in ndimage.center_of_mass(air, parts, large):
        ahead = (front[int(z)] - y) * mm[1]
        trachea[int(z)] |= abs(x - column) * mm[2] < 20 and 0 < ahead < 60
    twice = np.flatnonzero(trachea[:-1] & trachea[1:])  # a single one may be noise
    return int(twice[0]) if len(twice) else len(air)


def lean(grid: np.ndarray) -> Bool[np.ndarray, "z y x"]:
    """Muscle and blood by majority of 3x3 pixels, so that noise makes no holes."""
    votes = (grid > -20).astype(np.float32)
    for axis in (1, 2):
        votes = np.asarray(ndimage.uniform_filter1d(votes, 3, axis=axis))
    return votes > 0.5
