"""Chambers, great vessels and the pericardial sac as signed distances."""

import numpy as np

from tqgd_jax.phantom.anatomy import Patient
from tqgd_jax.phantom.shapes import Array, capsule, ellipsoid, tube, union


class Heart:
    """The shapes of one patient's heart, evaluated at points of the patient's frame."""

    def __init__(self, p: Patient) -> None:
        self.p = p
        self.c = p.heart_at
        s, t = p.turn, p.tilt
        # Rows: to the apex, across to the left and back, up along the chambers.
        u = np.array([np.cos(t) * np.cos(s), -np.cos(t) * np.sin(s), -np.sin(t)])
        v = np.cross(np.array([0.0, 0.0, 1.0]), u)
        v /= np.linalg.norm(v)
        self.axes = tuple(
            tuple(float(a) for a in row) for row in (u, v, np.cross(u, v))
        )

    def at(self, *offset: float) -> tuple[float, float, float]:
        """A point of the mean heart, in the patient's frame."""
        x, y, z = (c + o * self.p.heart for c, o in zip(self.c, offset, strict=True))
        return x, y, z

    def chambers(self, x: Array, y: Array, z: Array) -> dict[str, Array]:
        """LV, RV, RA, LA (with walls) and the great vessels, warped."""
        x, y, z = self.p.warp(x, y, z)
        h = self.p.heart

        def body(centre, radii, axes=None):
            return ellipsoid(x, y, z, self.at(*centre), [r * h for r in radii], axes)

        lv = body((17, 4, -14), (49, 32, 33), self.axes)
        rv = body((-1, -25, -16), (45, 22, 34), self.axes)
        ra = body((-35, -2, -12), (21, 27, 33))
        la = body((-4, 29, 9), (34, 19, 23))
        laa = body((31, 3, 20), (13, 9, 13))
        la = union(la, laa, 6)
        rv = union(rv, body((12, -33, 10), (16, 15, 22)), 10)
        r = self.p.aorta
        aorta = tube(
            x,
            y,
            z,
            [self.at(*q) for q in ((2, 0, -4), (-9, -8, 12), (-18, -14, 40))],
            [r * 0.95, r * 1.1, r],
        )
        trunk = tube(
            x,
            y,
            z,
            [self.at(*q) for q in ((12, -30, 14), (13, -24, 32), (10, -4, 48))],
            [13.5, 14, 12.5],
        )
        return {"lv": lv, "rv": rv, "ra": ra, "la": la, "aorta": aorta, "trunk": trunk}

    def fields(self, x: Array, y: Array, z: Array) -> dict[str, Array]:
        """`heart` (muscle and vessels), `blood`, `myo` (left wall) and `sac`."""
        c = self.chambers(x, y, z)
        atria = union(c["ra"], c["la"], 2)
        roots = union(c["aorta"], c["trunk"])
        heart = union(union(union(c["lv"], c["rv"], 2.5), atria, 2), roots, 2)
        blood = union(c["lv"] - 11, c["rv"] - 3.5)
        blood = union(union(blood, atria - 2), roots - 1.5)
        sac = union(union(c["lv"], c["rv"], 22), union(c["ra"], c["la"], 14), 20)
        # The sac ends on the great vessels a few centimetres above the valves.
        reach = self.at(0, 0, 40)[2] - z
        sac = union(sac, np.minimum(roots, reach), 16) + self.p.epicardial
        return {"heart": heart, "blood": blood, "sac": sac}

    def outer_vessels(self, x: Array, y: Array, z: Array) -> Array:
        """Aortic arch, descending aorta, pulmonary arteries and veins, venae cavae."""
        x, y, z = self.p.warp(x, y, z)
        r, s = self.p.aorta, self.p.size
        out = tube(
            x,
            y,
            z,
            [
                self.at(-18, -14, 36),
                (-4.0, -12 * s, 72.0),
                (2.0, 2 * s, 86.0),
                (14.0, 28 * s, 82.0),
                (21.0, 44 * s, 60.0),
                (18.0, 47 * s, -30.0),
                (8.0, 50 * s, -110.0),
            ],
            [r, r, r * 0.95, r * 0.9, r * 0.82, r * 0.76, r * 0.74],
        )
        top = self.at(10, -4, 48)
        right = [top, self.at(2, 9, 46), self.at(-20, 16, 44)]
        right += [(-36.0, 17 * s, 37.0), (-44.0, 20 * s, 22.0)]
        out = union(out, tube(x, y, z, right, [12.5, 11.5, 10.5, 9, 7]))
        left = [top, self.at(14, 14, 53), (32.0, 17 * s, 52.0)]
        left += [(42.0, 26 * s, 42.0), (46.0, 30 * s, 20.0)]
        out = union(out, tube(x, y, z, left, [12.5, 11.5, 10.5, 9, 7]))
        cava = [self.at(-36, -4, -2), self.at(-36, -10, 45), (-24.0, -14 * s, 95.0)]
        out = union(out, tube(x, y, z, cava, [10, 9, 8]))
        below = [self.at(-36, 8, -30), self.at(-38, 18, -55), (-26.0, 28 * s, -110.0)]
        out = union(out, tube(x, y, z, below, [12, 12, 12]))
        for x1, z0, z1 in ((-44, 14, 24), (-46, 0, -6), (56, 18, 26), (54, 2, -4)):
            side = -26 if x1 < 0 else 22
            vein = capsule(
                x, y, z, self.at(side, 30, z0), (x1 * s, 22.0 * s, z1), 6.5, 4.0
            )
            out = union(out, vein, 3)
        return out
