"""A heart whose chambers and vessels differ in size, with fat between the vessels."""

import numpy as np

from tqgd_jax.phantom.diverse.patient import Person
from tqgd_jax.phantom.heart import Heart
from tqgd_jax.phantom.shapes import Array, ellipsoid, intersect, union


class DiverseHeart(Heart):
    """Chambers of their own size (mm more or less), the right atrium's appendage."""

    def __init__(self, p: Person, rng: np.random.Generator) -> None:
        super().__init__(p)
        self.person = p
        self.more = {
            name: float(rng.normal(0, sd))
            for name, sd in (("lv", 2.5), ("rv", 2.5), ("ra", 3.0), ("la", 3.5))
        }
        self.wall = float(np.clip(rng.normal(11, 2), 7, 16))
        self.trunk = float(rng.normal(0, 1.2))
        # The fat's thickness varies around the heart.
        self.lobes = (
            rng.normal(0, 0.05, 3),
            float(rng.uniform(0, 2 * np.pi)),
            float(rng.uniform(0, 1.8)),
        )
        self.ear = tuple(rng.normal((-20, -24, 18), (3, 3, 5)))

    def chambers(self, x: Array, y: Array, z: Array) -> dict[str, Array]:
        """As the mean heart's, each grown by its own length."""
        out = super().chambers(x, y, z)
        out = {n: d + self.more.get(n, 0.0) for n, d in out.items()}
        out["trunk"] = out["trunk"] + self.trunk
        wx, wy, wz = self.p.warp(x, y, z)
        h = self.p.heart
        ear = ellipsoid(wx, wy, wz, self.at(*self.ear), (11 * h, 8 * h, 14 * h))
        out["ra"] = union(out["ra"], ear, 8)
        return out

    def fields(self, x: Array, y: Array, z: Array) -> dict[str, Array]:
        """`heart`, `blood`, `sac` and the shape `lv` of the left ventricle's wall."""
        c = self.chambers(x, y, z)
        gap = self.person.gap
        # The great vessels touch neither each other nor the atria: fat fills the seams.
        atria = union(c["ra"], c["la"], 2)
        vessels = _apart(c["aorta"], c["trunk"], gap)
        ventricles = union(c["lv"], c["rv"], 2.5)
        high = _apart(atria, vessels, gap)
        heart = union(ventricles, high, 1)
        blood = union(c["lv"] - self.wall, c["rv"] - 3.5)
        roots = union(c["aorta"], c["trunk"])
        blood = union(union(blood, atria - 2), roots - 1.5)
        blood = intersect(blood, heart)
        sac = union(union(c["lv"], c["rv"], 22), union(c["ra"], c["la"], 14), 20)
        reach = self.at(0, 0, 40)[2] - z
        sac = union(sac, np.minimum(roots, reach), 16) + self.p.epicardial
        k, phase, depth = self.lobes
        sac = sac + depth * np.sin(k[0] * x + k[1] * y + k[2] * z + phase)
        return {"heart": heart, "blood": blood, "sac": sac}


def _apart(a: Array, b: Array, gap: float) -> Array:
    """Both shapes, with `gap` mm between them where they would touch."""
    seam = np.abs(a - b) - gap
    return np.minimum(np.maximum(a, b), seam)
