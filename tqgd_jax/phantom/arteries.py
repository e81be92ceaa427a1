"""Coronary arteries: curves in the fat of the grooves between the chambers."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.ndimage import gaussian_filter1d

from tqgd_jax.phantom.heart import Heart
from tqgd_jax.phantom.tubes import Segment, xyz

Points = Float64[np.ndarray, "n 3"]
Shapes = Callable[..., dict[str, Any]]


class Slope(NamedTuple):
    """A distance and its gradient at points."""

    value: Float64[np.ndarray, "n"]
    gradient: Points


LABELS = {"LAD": 1, "LCX": 2, "RCA": 3}  # orCaScore's; the left main counts as LAD

# Control points of a mean heart (mm from its centre) and the two chambers whose groove
# the artery follows from the given point on.
COURSES = {
    "LAD": (
        ((9, -2, 12), (18, -6, 15), (26, -14, 14), (33, -26, 6), (40, -34, -8)),
        ((47, -40, -22), (53, -42, -36)),
        ("lv", "rv"),
        2,
    ),
    "LCX": (
        ((20, -6, 12), (33, -4, 8), (43, 8, 4), (42, 25, -2), (34, 35, -11)),
        ((24, 41, -18), (12, 43, -22)),
        ("lv", "la"),
        1,
    ),
    "RCA": (
        ((-15, -14, 12), (-24, -25, 8), (-30, -32, 0), (-34, -30, -16)),
        ((-33, -22, -30), (-27, -8, -41), (-16, 6, -45), (-4, 16, -44)),
        ("rv", "ra"),
        1,
    ),
}


@dataclasses.dataclass(frozen=True)
class Artery:
    """A centreline with points about 1 mm apart (x, y, z in mm) and radii (mm)."""

    name: str
    points: Points
    radii: Float64[np.ndarray, "n"]

    def segments(self, hu: float) -> list[Segment]:
        """The artery as capsules of about 3 mm."""
        keep = [*range(0, len(self.points) - 1, 3), len(self.points) - 1]
        p = [xyz(self.points[k]) for k in keep]
        r = [float(self.radii[k]) for k in keep]
        return [
            Segment(a, b, ra, rb, hu)
            for a, b, ra, rb in zip(p, p[1:], r, r[1:], strict=False)
        ]


def _resample(points: Points, step: float) -> Float64[np.ndarray, "m 3"]:
    lengths = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    count = max(int(lengths[-1] / step), 2) + 1
    at = np.linspace(0, lengths[-1], count)
    return np.stack([np.interp(at, lengths, points[:, k]) for k in range(3)], axis=1)


STEPS = np.concatenate([np.zeros((1, 3)), -np.eye(3), np.eye(3)]) / 2  # mm


def _gradient(f: Shapes, p: Points, names: tuple[str, ...]) -> dict[str, Slope]:
    """Values and gradients of the named distances at points, by central differences."""
    at = f(*np.moveaxis(p + STEPS[:, None, :], 2, 0))
    return {n: Slope(at[n][0], (at[n][4:] - at[n][1:4]).T) for n in names}


def _settle(
    heart: Heart, p: Points, pair: tuple[str, str], start: int, gap: float
) -> Points:
    """Moves the points into the groove of two chambers and clear of the muscle."""
    for _ in range(12):
        slopes = _gradient(heart.chambers, p[start:], pair)
        step = np.zeros_like(p[start:])
        for value, g in slopes.values():
            norm = (g**2).sum(axis=1) + 0.05
            step += 0.5 * ((-gap - value) / norm)[:, None] * g
        step *= np.minimum(1, 2.5 / (np.linalg.norm(step, axis=1) + 1e-6))[:, None]
        p[start:] += step
        p = gaussian_filter1d(p, 2.0, axis=0, mode="nearest")
    for _ in range(18):
        value, g = _gradient(heart.fields, p, ("heart",))["heart"]
        wrong = -gap - value  # below 0: too close, or inside
        push = np.clip(np.minimum(wrong, 0), -3, 0) + 0.3 * np.clip(wrong, 0, 2)
        p = p + (push / ((g**2).sum(axis=1) + 0.05))[:, None] * g
        p = gaussian_filter1d(p, 0.8, axis=0, mode="nearest")
    return p


def draw_arteries(heart: Heart, rng: np.random.Generator) -> list[Artery]:
    """LAD with the left main, LCX and RCA of one patient.

    Radii taper from 1.75 mm to 0.75 mm (Dodge et al., Circulation 1992, lumen
    diameters of 3 to 4.5 mm proximally in both sexes).
    """
    arteries = []
    for name, (first, second, pair, free) in COURSES.items():
        control = np.array([heart.at(*q) for q in (*first, *second)], np.float64)
        control[1:] += rng.normal(0, 1.5, control[1:].shape)
        # Two smooth passes over a dense polyline stand for a spline.
        dense = _resample(control, 1.5)
        dense = gaussian_filter1d(dense, 3.0, axis=0, mode="nearest")
        share = free / (len(control) - 1)
        dense = _settle(heart, dense, pair, int(len(dense) * share), 2.6)
        points = _resample(dense, 1.0)
        wiggle = gaussian_filter1d(rng.normal(0, 1, points.shape), 4.0, axis=0)
        points = points + wiggle * 1.6
        width = rng.normal(1.0, 0.1)
        radii = np.linspace(1.75, 0.75, len(points)) * width
        arteries.append(Artery(name, points, radii))
    return arteries
