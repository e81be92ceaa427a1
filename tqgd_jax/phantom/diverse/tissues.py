"""Paints a diverse patient slice by slice; no calcium of arteries, no scanner yet."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from tqgd_jax.phantom import torso, tubes
from tqgd_jax.phantom.arteries import Artery
from tqgd_jax.phantom.diverse import body
from tqgd_jax.phantom.diverse.heart import DiverseHeart
from tqgd_jax.phantom.diverse.patient import Person
from tqgd_jax.phantom.diverse.protocol import Protocol
from tqgd_jax.phantom.shapes import Coarse, Fine, Patch, coverage, intersect, upsample
from tqgd_jax.phantom.tissues import Canvas, Faces, Phases, moved

GRAIN_MM = 4.0  # of the coarse textures


class DiverseFaces(Faces):
    """With the wider torso."""

    def __init__(self, heart: DiverseHeart, grid: tubes.Grid, phases: Phases) -> None:
        super().__init__(heart, grid, phases)
        self.person = heart.person

    def __call__(self, height: float) -> dict[str, Coarse]:
        """All shapes; those of the heart carry the number of their phase."""
        x, y, z = np.broadcast_arrays(self.x, self.y, np.float32(height))
        out = {}
        for k, (_, (sx, sy, sz)) in enumerate(self.phases):
            shapes = self.heart.fields(x - sx, y - sy, z - sz)
            out |= {f"{name}{k}": field for name, field in shapes.items()}
        vessels = self.heart.outer_vessels(x, y, z)
        out |= body.fields(self.person, x, y, z, out["sac0"])
        # The pleura follows the great vessels of the mediastinum.
        sheath = np.minimum(vessels + 3, 50 * self.person.size - np.abs(x))
        out["lung"] = intersect(out["lung"], -sheath, 8)
        out["vessels"] = vessels
        return {name: np.asarray(f, np.float32) for name, f in out.items()}


class Textures:
    """Random fields with unit deviation, different in each slice."""

    def __init__(self, faces: Faces, size: int, pixel: float, rng) -> None:
        nodes = faces.x.shape[1]
        sigma = max(GRAIN_MM / 2 / (faces.factor * pixel), 0.6)
        grain = rng.standard_normal((6, nodes, nodes), dtype=np.float32)
        grain = ndimage.gaussian_filter(grain, (0, sigma, sigma), mode="wrap")
        self.coarse = grain / grain.std()
        # A skewed grain of about 2 mm: vessels of the lung, trabeculae of bone.
        speck = rng.standard_normal((size, size), dtype=np.float32)
        speck = ndimage.gaussian_filter(speck, max(0.9 / pixel, 0.5), mode="wrap")
        speck = np.exp(0.7 * speck / speck.std())
        self.fine = np.float32(1) * ((speck - speck.mean()) / speck.std())
        self.factor, self.rng, self.size = faces.factor, rng, size

    def at(self, k: int) -> tuple[Fine, Fine, Fine]:
        """Two coarse textures and a fine one for slice k."""
        mix = np.float32(0.8) * self.coarse[k % 3] + np.float32(0.6) * self.coarse[3]
        other = (
            np.float32(0.7) * self.coarse[4] + np.float32(0.7) * self.coarse[5 - k % 2]
        )
        shift = tuple(self.rng.integers(0, self.size, 2).tolist())
        return (
            upsample(mix, self.factor),
            upsample(np.roll(other, k // 2, 0), self.factor),
            np.roll(self.fine, shift, (0, 1)),
        )


def paint_body(
    heart: DiverseHeart,
    curves: list[Artery],
    veins: list[tubes.Segment],
    protocol: Protocol,
    grid: tubes.Grid,
    phases: Phases,
    rng: np.random.Generator,
) -> tuple[Float32[np.ndarray, "z y x"], Bool[np.ndarray, "z y x"]]:
    """HU without blur and noise, and the voxels inside the pericardial sac."""
    p = heart.person
    slices, size, _ = grid.shape
    dz, pixel, _ = grid.spacing
    faces = DiverseFaces(heart, grid, phases)
    image = np.empty(grid.shape, np.float32)
    sac = np.zeros(grid.shape, bool)
    trees = [*tubes.lung_tree(rng, -1, p.size, p.blood - 5)]
    trees += tubes.lung_tree(rng, 1, p.size, p.blood - 5)
    trees += _nodules(p, rng)
    # What is far thinner than a pixel shows nowhere and takes time in tiny images.
    trees = [s for s in tubes.near(trees, grid) if s.ra > 0.35 * pixel]
    nodes = tubes.near(_nodes(p, rng), grid)
    textures = Textures(faces, size, pixel, rng)
    sleeves = [
        dataclasses.replace(s, ra=s.ra + 2, rb=s.rb + 2)
        for a in curves
        for s in a.segments(p.adipose)
    ]
    vessels = veins + [s for a in curves for s in a.segments(p.blood + 10)]
    heights = grid.centres(0, slice(0, slices))
    low = faces(float(heights[0]) - dz / 2)
    for k, z in enumerate(heights):
        high = faces(float(z) + dz / 2)

        def inside(name: str, offset: float = 0.0, low=low, high=high) -> Patch | None:
            more = np.float32(offset)
            return coverage(low[name] + more, high[name] + more, pixel, faces.factor)

        one = grid._replace(origin=(float(z), *grid.origin[1:]), shape=(1, size, size))
        painter = Painter(Canvas(one, inside), p, protocol, *textures.at(k))
        painter.couch()
        painter.wall(low.keys())
        painter.lungs(tubes.near(trees, one))
        painter.heart(tubes.near(sleeves, one), tubes.near(vessels, one), phases)
        tubes.paint(painter.canvas.image[None], tubes.near(nodes, one), one)
        painter.mediastinum()
        painter.bone()
        image[k] = painter.canvas.image
        for n in range(len(phases)):
            here = inside(f"sac{n}")
            if here is not None:
                sac[k][here.at] |= here.share >= 0.5
        low = high
    return image, sac


def _nodes(p: Person, rng: np.random.Generator) -> list[tubes.Segment]:
    """Small lymph nodes and strands in the fat of the mediastinum."""
    out = []
    for _ in range(14):
        at = np.array([rng.uniform(-30, 35), rng.uniform(-50, 40), rng.uniform(0, 100)])
        way = rng.normal(size=3) * rng.uniform(1, 5)
        r = rng.uniform(1.0, 4.0)
        a, b = tubes.xyz(at * p.size), tubes.xyz(at * p.size + way)
        out.append(tubes.Segment(a, b, r, r * 0.8, float(rng.uniform(15, 50))))
    return out


def _nodules(p: Person, rng: np.random.Generator) -> list[tubes.Segment]:
    """Solid nodules of the lung in one patient of five, now and then a mass."""
    if rng.random() > 0.2:
        return []
    out = []
    for _ in range(int(rng.integers(1, 6))):
        side = rng.choice((-1, 1))
        at = np.array([side * rng.uniform(45, 95), rng.uniform(-60, 60), 0]) * p.size
        at[2] = rng.uniform(-50, 90)
        r = float(np.clip(rng.lognormal(1.2, 0.7), 1.5, 22))
        way = rng.normal(size=3) * r * 0.4
        hu = float(rng.uniform(-100, 60))
        out.append(tubes.Segment(tubes.xyz(at), tubes.xyz(at + way), r, r * 0.8, hu))
    return out


class Painter:
    """Tissues of one slice, painted over each other."""

    def __init__(
        self,
        canvas: Canvas,
        p: Person,
        protocol: Protocol,
        texture: Fine,
        other: Fine,
        fine: Fine,
    ) -> None:
        self.canvas, self.p, self.protocol = canvas, p, protocol
        self.texture, self.other, self.fine = texture, other, fine
        self.fat = p.adipose + 3 * texture + 6 * np.maximum(other - 1, 0)
        # Streaks of fat between the fibres: lines where a smooth field is zero.
        share = np.clip(1.5 * p.muscle_fat * (1.1 - 2.5 * np.abs(other)), 0, 0.9)
        self.flesh = p.muscle + 5 * texture - share * np.float32(p.muscle - p.adipose)

    def couch(self) -> None:
        """One of four couches; the last is out of view."""
        image, one, p = self.canvas.image, self.canvas.grid, self.p
        kind = self.protocol.table
        if kind == 3:
            return
        y = one.centres(1, slice(0, one.shape[1]))[:, None]
        x = one.centres(2, slice(0, one.shape[2]))[None, :]
        _, depth = torso.cage_axes(p, np.float32(0))
        bend = ((x / 30) ** 2 * 0.55, (x / 40) ** 2 * 0.5, np.abs(x) * 0.02)[kind]
        d = y - (depth + (27, 34, 28)[kind] + p.fat * 0.75 - bend)
        if kind == 0:  # two shells with foam between
            image += np.clip(1 - np.abs(d - 14) / 13, 0, 1) * 40
            for at in (2.0, 26.0):
                image += np.clip(1.3 - np.abs(d - at), 0, 1) * (-150 - image)
            return
        mattress = np.clip(d + 12, 0, 1) * np.clip(0 - d, 0, 1)
        image += mattress * (-900 - image)
        hu = (0.0, 180.0, -250.0)[kind]
        image += np.clip(1.6 - np.abs(d), 0, 1) * (hu - image)
        lower = np.abs(d - 22 + np.abs(x) * 0.25)
        image += np.clip(0.9 - lower, 0, 1) * (hu - 200 - image)

    def wall(self, names) -> None:
        """Skin, fat, breasts, muscle, arms, ribs' inside and diaphragm."""
        paint, p = self.canvas.paint, self.p
        paint("body", 5.0)
        paint("body", self.fat, -1.8)
        if max(p.breast) > 0:
            strands = np.clip(1.2 * p.gland + 0.6 * self.texture, 0, 1)
            paint("gland", p.adipose + strands * np.float32(35 - p.adipose))
        paint("muscle", self.flesh)
        paint("seam", p.adipose + 40 + 30 * self.texture)
        if "humerus" in names:
            paint("humerus", 1100 * p.bone * self.protocol.mineral)
            paint("humerus", 10 + 60 * self.texture, -4.0)
        paint("inner", self.fat, 1.5)

    def lungs(self, trees: list[tubes.Segment]) -> None:
        """Parenchyma, vessels and bronchi; what lies under the diaphragm."""
        paint, p, one = self.canvas.paint, self.p, self.canvas.grid
        y = one.centres(1, slice(0, one.shape[1]))[:, None]
        depth = np.clip((y - 10) / (80 * p.size), 0, 1.2) ** 4
        air = p.lung + np.float32(0.35) * y + 30 * self.fine + 12 * self.texture
        air += np.float32(160 * p.collapse) * depth * np.clip(self.other, 0, 1.5)
        if p.emphysema:
            hole = np.clip(self.other - 1 + 4 * p.emphysema, 0, 1)
            air -= hole * (air + 975)
        tubes.paint(air[None], trees, one)
        paint("lung", air)
        paint("dome", p.muscle)
        if p.visceral:
            paint("dome", self.fat, -1.6)
        paint("liver", 57 + 2 * self.texture)
        paint("spleen", 44 + 4 * self.texture)
        paint("gas", -960.0)

    def heart(
        self, sleeves: list[tubes.Segment], vessels: list[tubes.Segment], phases: Phases
    ) -> None:
        """Sac, fat, muscle, blood, arteries and veins, averaged over the phases."""
        canvas, p = self.canvas, self.p
        still = canvas.image
        mixed = np.zeros_like(still)
        for k, (weight, shift) in enumerate(phases):
            canvas.image = still.copy()
            canvas.paint(f"sac{k}", p.pericardium, 0.7)
            canvas.paint(f"sac{k}", self.fat + 6, -0.7)
            # Where the sac is thin, an artery keeps its sleeve of fat against the lung.
            tubes.paint(canvas.image[None], moved(sleeves, shift), canvas.grid)
            canvas.paint(f"heart{k}", p.muscle + 2 * self.texture)
            canvas.paint(f"blood{k}", p.blood + self.texture)
            tubes.paint(canvas.image[None], moved(vessels, shift), canvas.grid)
            mixed += np.float32(weight) * canvas.image
        canvas.image = mixed

    def mediastinum(self) -> None:
        """Vessels outside the heart, oesophagus, trachea."""
        paint, p = self.canvas.paint, self.p
        paint("vessels", p.blood + 5.0)
        paint("vessels", p.blood + self.texture, -1.5)
        paint("gullet", 34.0)
        if p.gas:
            paint("gullet", -700.0, -4.2)
        paint("trachea", 20.0, 1.2)
        paint("trachea", -985.0)

    def bone(self) -> None:
        """Cortex first, then marrow inside it; cartilage with calcium in patches."""
        paint, p, texture = self.canvas.paint, self.p, self.texture
        bone = p.bone * self.protocol.mineral
        cortex = bone * p.cortex
        trabeculae = 45 * bone * self.fine
        patches = np.clip(0.9 * p.cartilage - 0.3 + 0.55 * self.other, 0, 1)
        lime = 480 * self.protocol.mineral * patches
        if p.sex == "M":  # calcium of the margin in men, of the middle in women
            paint("cartilage", 110 + lime)
            paint("cartilage", 92 + p.ossified * lime, -1.7)
        else:
            paint("cartilage", 105 + 0.15 * lime)
            paint("cartilage", 95 + lime, -2.6)
        marrow = 150 * bone + 30 * texture + trabeculae
        paint("rib", 680 * cortex)
        paint("rib", marrow + 30, -1.3)
        paint("scapula", 620 * cortex)
        paint("scapula", marrow, -1.6)
        paint("sternum", 270 * cortex + 90 * texture)
        paint("sternum", 0.55 * marrow + 25 * self.other, -1.2)
        paint("arch", 560 * cortex)
        paint("arch", marrow + 120 * bone, -1.6)
        if p.osteophyte > 0.3:
            paint("spur", 560 * cortex + 50 * texture)
        paint("vertebra", 420 * cortex + 40 * texture)
        body_marrow = 175 * bone + 35 * texture + 1.2 * trabeculae
        disc = self.canvas.inside("disc", 0.0)
        if disc is not None:
            soft = 85 - body_marrow[disc.at]
            body_marrow[disc.at] += disc.share * soft
        paint("vertebra", body_marrow, -1.1)
        paint("canal", -20.0)
        paint("canal", 28.0, -2.2)
