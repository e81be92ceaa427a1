"""Calcium that is not coronary: what a detector must leave alone."""

import numpy as np

from tqgd_jax.phantom.diverse.heart import DiverseHeart
from tqgd_jax.phantom.diverse.patient import Person
from tqgd_jax.phantom.diverse.surfaces import Field, Point, leaves
from tqgd_jax.phantom.lesion_sites import lump
from tqgd_jax.phantom.lesions import Lesion, Lobe
from tqgd_jax.phantom.shapes import tube


class Negatives:
    """Draws them for one patient; older ones have more."""

    def __init__(self, heart: DiverseHeart, rng: np.random.Generator) -> None:
        self.heart, self.rng = heart, rng
        self.p: Person = heart.person
        self.lesions: list[Lesion] = []
        # Calcium comes with age in all places together.
        self.much = float(np.exp(0.5 * (self.p.age - 62) / 12) * rng.lognormal(0, 0.4))

    def chance(self, share: float) -> bool:
        """Whether something that a share of patients of 62 years has is there."""
        return bool(self.rng.random() < min(share * self.much, 0.95))

    def add(self, kind: str, at: Point, half: float, hu: float, **more) -> None:
        """A lump of some lobes around a point of the patient."""
        moves = more.pop("moves", True)
        along = np.asarray(more.pop("along", self.rng.normal(size=3)))
        body = lump(
            self.rng,
            np.asarray(at, float),
            along,
            half,
            more.pop("aspect", 1.4),
            more.pop("lobes", 2),
        )
        self.lesions.append(Lesion(kind, body, hu, moves))

    def hu(self, low: float = 250, high: float = 1000) -> float:
        """A density; few are dense."""
        return float(low + (high - low) * self.rng.beta(1.2, 2.0))

    def plates(
        self, kind: str, field: Field, centre: Point, flat: bool, moves: bool
    ) -> None:
        """A row of lumps along a surface around a centre: a plaque, or a rind."""
        rng = self.rng
        angle, height = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.15 if flat else 0.5)
        half = rng.lognormal(np.log(1.1), 0.4)
        hu = self.hu()
        lobes: tuple[Lobe, ...] = ()
        for k in range(int(rng.geometric(0.35))):
            turn = angle + 0.16 * k
            way = (np.cos(turn), np.sin(turn), height + rng.normal(0, 0.03))
            at = leaves(field, centre, way, 110)
            if at is None:
                break
            along = np.array([-np.sin(turn), np.cos(turn), rng.normal(0, 0.3)])
            lobes += lump(rng, np.array(at), along, half, 1.8, 1)
        if lobes:
            self.lesions.append(Lesion(kind, lobes, hu, moves))

    def aorta(self) -> None:
        """Root, ascending part, arch and descending part."""
        h, p, rng = self.heart, self.p, self.rng

        def root(x, y, z):
            return h.chambers(x, y, z)["aorta"]

        for kind, share, most in (
            ("aortic root", 0.3, 4),
            ("ascending aorta", 0.25, 4),
            ("aortic arch", 0.5, 5),
            ("descending aorta", 0.45, 7),
        ):
            if not self.chance(share):
                continue
            for _ in range(int(rng.integers(1, most + 1))):
                if kind == "aortic root":
                    k = rng.uniform(0, 1)
                    at = p.place(h.at(2 - 11 * k, -8 * k, -2 + 14 * k))
                    self.plates(kind, root, at, True, True)
                elif kind == "ascending aorta":
                    k = rng.uniform(0, 1)
                    at = p.place(h.at(-9 - 9 * k, -8 - 6 * k, 12 + 28 * k))
                    self.plates(kind, root, at, True, True)
                elif kind == "aortic arch":
                    k = rng.uniform(0, 1)
                    at = p.place((2 + 16 * k, (2 + 36 * k) * p.size, 86 - 16 * k))
                    self.plates(kind, h.outer_vessels, at, False, False)
                else:
                    z = rng.uniform(-100, 60)
                    low = np.interp(z, (-110, -30, 60), (8, 18, 21))
                    y = np.interp(z, (-110, -30, 60), (50, 47, 44)) * p.size
                    at = p.place((float(low), float(y), float(z)))

                    def trunk(x, y, z):  # without the veins that lie against it
                        return _descending(p, x, y, z)

                    self.plates(kind, trunk, at, True, False)

    def valves(self) -> None:
        """Leaflets of the aortic valve; the mitral annulus, a C behind the ventricle."""
        h, p, rng = self.heart, self.p, self.rng
        if self.chance(0.28):
            for _ in range(int(rng.integers(1, 7))):
                x, y, z = h.at(-3, -3, 3)
                dx, dy, dz = rng.normal(0, (5, 5, 3))
                at = p.place((x + dx, y + dy, z + dz))
                self.add(
                    "aortic valve", at, rng.lognormal(0.2, 0.4), self.hu(250, 1100)
                )
        if self.chance(0.2):
            start, half = rng.uniform(0, 2 * np.pi), rng.lognormal(0.35, 0.4)
            hu, tall = self.hu(300, 1300), rng.uniform(9, 15)
            for k in range(int(rng.integers(1, 12))):
                angle = start + k * 0.25
                at = h.at(12 + 15 * np.cos(angle), 24, -6 + tall * np.sin(angle))
                along = (-np.sin(angle), 0.0, np.cos(angle))
                self.add("mitral annulus", p.place(at), half, hu, along=along)
        if self.chance(0.04):  # papillary muscle, scar of an infarct
            at = p.place(h.at(*(np.array((32, 2, -26)) + rng.normal(0, 6, 3))))
            self.add("myocardium", at, rng.uniform(0.8, 2.0), self.hu(), aspect=2.5)

    def sac(self) -> None:
        """Plates in the pericardium."""
        h = self.heart
        if self.chance(0.07):

            def sac(x, y, z):
                return h.fields(x, y, z)["sac"]

            for _ in range(int(self.rng.integers(1, 6))):
                x, y, z = self.rng.normal(0, (10, 8, 14))
                centre = h.at(10 + x, y, -14 + z)
                self.plates("pericardium", sac, self.p.place(centre), False, True)

    def lungs_and_nodes(self) -> None:
        """Granulomas, pleural plaques, calcified nodes, walls of the airways."""
        rng, p = self.rng, self.p
        for kind, share, most, x, y, z, half, hu, lobes in (
            ("granuloma", 0.35, 4, (50, 105), (-50, 65), (-40, 80), (0.8, 3), 1700, 1),
            ("hilar node", 0.3, 5, (24, 48), (10, 32), (-5, 55), (1, 4), 1000, 4),
            (
                "mediastinal node",
                0.25,
                4,
                (-28, 16),
                (4, 38),
                (20, 90),
                (1, 4),
                1000,
                4,
            ),
            ("airway", 0.12, 6, (8, 20), (6, 22), (30, 80), (0.5, 0.9), 500, 1),
            ("breast", 0.1, 4, (60, 95), (-145, -105), (-30, 40), (0.5, 2), 1500, 1),
            ("liver", 0.06, 2, (-90, -20), (-40, 40), (-90, -50), (0.8, 3), 900, 2),
        ):
            if not self.chance(share):
                continue
            for _ in range(int(rng.integers(1, most + 1))):
                side = (
                    1 if kind in ("mediastinal node", "liver") else rng.choice((-1, 1))
                )
                at = (side * rng.uniform(*x), rng.uniform(*y), rng.uniform(*z))
                at = (at[0] * p.size, at[1] * p.size, at[2])
                size, dense = rng.uniform(*half), self.hu(250, hu)
                self.add(kind, at, size, dense, lobes=lobes, aspect=1.2, moves=False)

    def draw(self) -> list[Lesion]:
        """All of them."""
        self.aorta()
        self.valves()
        self.sac()
        self.lungs_and_nodes()
        return self.lesions


def _descending(p: Person, x, y, z):
    """Distance of the descending aorta alone, as in `Heart.outer_vessels`."""
    x, y, z = p.warp(x, y, z)
    s, r = p.size, p.aorta
    points = [(21.0, 44 * s, 60.0), (18.0, 47 * s, -30.0), (8.0, 50 * s, -110.0)]
    return tube(x, y, z, points, [r * 0.82, r * 0.76, r * 0.74])
