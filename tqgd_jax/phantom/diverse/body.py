"""Breasts, arms, shoulder blades, cartilage and spurs, added to the fixed torso."""

import numpy as np

from tqgd_jax.phantom import torso
from tqgd_jax.phantom.diverse.patient import Person
from tqgd_jax.phantom.shapes import Array, capsule, ellipse, ellipsoid, union


def fields(p: Person, x: Array, y: Array, z: Array, sac: Array) -> dict[str, Array]:
    """As `torso.fields`, with more shapes; distances in mm."""
    out = torso.fields(p, x, y, z, sac)
    wx, wy, wz = p.warp(x, y, z)
    a, _ = torso.cage_axes(p, wz)
    cage = out["inner"] + 9
    phi = np.arctan2(np.abs(wx), wy) / np.pi  # 0 behind, 1 in front
    _ribs(p, out, cage, phi, wx, wz)
    _shoulders(p, out, cage, phi, wz)
    _breasts(p, out, wx, wy, wz)
    ys = 63 * p.size
    out["vertebra"] = out["vertebra"] + p.spine
    near = np.clip(1 + (out["disc"] + 10.5 - 13) / 7, 0, 1)  # 1 at a disc's middle
    spur = ellipse(np.abs(wx), wy, (13 * p.size, ys - 10 * p.size), (7, 6))
    out["spur"] = spur + p.osteophyte - 9 + 6 * near
    if p.arms:
        _arms(p, out, x, y, z, float(np.max(a)))
    return out


def _ribs(
    p: Person, out: dict[str, Array], cage: Array, phi: Array, x: Array, z: Array
) -> None:
    """Ribs of this patient's thickness; cartilages that rise to the sternum."""
    out["rib"] = out["rib"] + (p.rib - 3.7)
    drop = 150 * phi - 330 * np.maximum(phi - 0.78, 0)
    phase = p.rib_phase[0] + np.where(x > 0, p.rib_phase[1], 0.0)
    height = (z + drop + phase) / p.rib_pitch
    height = (height - np.floor(height) - 0.5) * p.rib_pitch
    bar = p.cartilage_mm - np.sqrt((cage - 5.0) ** 2 + (height * 0.75) ** 2)
    out["cartilage"] = np.minimum(bar, (phi - 0.765) * 150)
    out["rib"] = np.minimum(out["rib"], (0.79 - phi) * 150)


def _shoulders(
    p: Person, out: dict[str, Array], cage: Array, phi: Array, z: Array
) -> None:
    """The blade and the muscles before and behind it, above its lower end."""
    up = np.clip((z - p.scapula) / 65, 0, 1)
    centre = 0.30 + (0.10 if not p.arms else 0.02)
    beside = np.exp(-(((phi - centre) / 0.17) ** 2))
    muscle = np.maximum(out["muscle"], cage + 5 + 30 * np.sqrt(up) * beside)
    out["body"] = np.maximum(out["body"], muscle + 0.55 * p.fat + 2)
    out["muscle"] = muscle
    half = 0.15 * up - np.abs(phi - centre)
    border = np.clip((phi - centre) / 0.15, 0, 1) * up
    blade = 1.9 + 3.2 * border - np.abs(cage + 17 + 5 * np.sin(9 * phi))
    out["scapula"] = np.minimum(blade, half * 260)
    # Fat between the shoulder's muscles.
    seam = 1.5 - np.abs(cage + 11) - 12 * (1 - up * beside)
    out["seam"] = np.maximum(out["seam"], seam)


def _breasts(p: Person, out: dict[str, Array], x: Array, y: Array, z: Array) -> None:
    _, b = torso.cage_axes(p, np.float32(0))
    wall = b + 10 + 0.5 * p.fat
    gland = np.full_like(out["body"], -100.0)
    for side, depth in zip((-1, 1), p.breast, strict=True):
        if not depth:
            continue
        # On the back a breast flattens and falls to the side.
        at = (side * (78 + 0.25 * depth) * p.size, -0.80 * wall, 2.0)
        radii = (50 + 0.35 * depth, 0.22 * wall + depth, 55 + 0.4 * depth)
        mound = ellipsoid(x, y, z, at, radii)
        out["body"] = union(out["body"], mound, 22)
        nipple = (at[0] + side * 8, at[1] - 0.35 * radii[1], at[2])
        inner = tuple(r * (0.35 + 0.35 * p.gland) for r in radii)
        gland = np.maximum(gland, ellipsoid(x, y, z, nipple, inner))
    # A breast lies on the chest's muscles.
    out["gland"] = np.minimum(gland, -out["muscle"] - 3)


def _arms(
    p: Person, out: dict[str, Array], x: Array, y: Array, z: Array, a: float
) -> None:
    r = 34 * p.size + 0.5 * p.fat
    side = a + 14 + p.fat + r
    top, low = (side - 6, 12.0, 160.0), (side + 4, 2.0, -180.0)
    arm = capsule(np.abs(x), y, z, top, low, r + 5, r - 4)
    out["body"] = np.maximum(out["body"], arm)
    out["muscle"] = np.maximum(out["muscle"], arm - 3 - 0.35 * p.fat)
    out["humerus"] = capsule(np.abs(x), y, z, top, low, 12, 10.5)
