"""Paints a patient's tissues slice by slice; no calcium, no scanner yet."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from tqgd_jax.phantom import torso, tubes
from tqgd_jax.phantom.anatomy import Patient
from tqgd_jax.phantom.arteries import Artery
from tqgd_jax.phantom.heart import Heart
from tqgd_jax.phantom.shapes import Coarse, Fine, Patch, coverage, upsample

Phases = list[tuple[float, tuple[float, float, float]]]  # weight, displacement (mm)
Inside = Callable[[str, float], Patch | None]

CELLS = 128  # a side of the coarse grid
SPECK_HU = 34.0


class Faces:
    """Distances at the faces between slices, on the coarse grid."""

    def __init__(self, heart: Heart, grid: tubes.Grid, phases: Phases) -> None:
        self.heart, self.phases = heart, phases
        self.factor = max(1, grid.shape[1] // CELLS)
        pixel = grid.spacing[1]
        # Nodes lie on the corners of blocks of factor x factor pixels.
        nodes = np.arange(grid.shape[1] // self.factor + 1, dtype=np.float32)
        step = nodes * np.float32(self.factor * pixel)
        self.y = (np.float32(grid.origin[1] - pixel / 2) + step)[:, None]
        self.x = (np.float32(grid.origin[2] - pixel / 2) + step)[None, :]

    def __call__(self, height: float) -> dict[str, Coarse]:
        """All shapes; those of the heart carry the number of their phase."""
        x, y, z = np.broadcast_arrays(self.x, self.y, np.float32(height))
        out = {}
        for k, (_, (sx, sy, sz)) in enumerate(self.phases):
            moved = self.heart.fields(x - sx, y - sy, z - sz)
            out |= {f"{name}{k}": field for name, field in moved.items()}
        out |= torso.fields(self.heart.p, x, y, z, out["sac0"])
        out["vessels"] = self.heart.outer_vessels(x, y, z)
        return {name: np.asarray(f, np.float32) for name, f in out.items()}


def paint_body(
    heart: Heart,
    curves: list[Artery],
    grid: tubes.Grid,
    phases: Phases,
    table: bool,
    rng: np.random.Generator,
) -> tuple[Float32[np.ndarray, "z y x"], Bool[np.ndarray, "z y x"]]:
    """HU without blur and noise, and the voxels inside the pericardial sac."""
    p = heart.p
    slices, size, _ = grid.shape
    dz, pixel, _ = grid.spacing
    faces = Faces(heart, grid, phases)
    image = np.empty(grid.shape, np.float32)
    sac = np.zeros(grid.shape, bool)
    trees = []
    for side in (-1, 1):
        trees += tubes.lung_tree(rng, side, p.size, p.blood - 5)
    # What is far thinner than a pixel shows nowhere and takes time in tiny images.
    trees = [s for s in tubes.near(trees, grid) if s.ra > 0.3 * pixel]
    nodes = faces.x.shape[1]
    grain = rng.standard_normal((5, nodes, nodes), dtype=np.float32)
    grain = ndimage.gaussian_filter(grain, (0, 1.2, 1.2)) * 4
    # Vessels too thin to draw: a skewed grain of about 2 mm, shifted in each slice.
    speck = rng.standard_normal((size, size), dtype=np.float32)
    speck = ndimage.gaussian_filter(speck, 0.9 / pixel, mode="wrap")
    speck = np.exp(0.7 * speck / speck.std())
    speck = np.float32(SPECK_HU) * (speck - speck.mean())
    vessels = [seg for a in curves for seg in a.segments(p.blood + 14)]
    heights = grid.centres(0, slice(0, slices))
    low = faces(float(heights[0]) - dz / 2)
    for k, z in enumerate(heights):
        high = faces(float(z) + dz / 2)

        def inside(name: str, offset: float = 0.0, low=low, high=high) -> Patch | None:
            more = np.float32(offset)
            return coverage(low[name] + more, high[name] + more, pixel, faces.factor)

        # Texture changes from slice to slice, but not all of it.
        mixed = np.float32(0.7) * grain[k % 5] + np.float32(0.3) * grain[(k + 1) % 5]
        texture = upsample(mixed, faces.factor)
        one = grid._replace(origin=(float(z), *grid.origin[1:]), shape=(1, size, size))
        canvas = Canvas(one, inside)
        if table:
            _couch(canvas.image, one, p)
        shift = tuple(rng.integers(0, size, 2).tolist())
        lung = np.roll(speck, shift, (0, 1)) + 12 * texture
        _wall_and_lungs(canvas, p, texture, lung, tubes.near(trees, one))
        _heart(canvas, p, texture, vessels, phases)
        _mediastinum_and_bone(canvas, p, texture)
        image[k] = canvas.image
        for n in range(len(phases)):  # wherever the heart is during the slice
            here = inside(f"sac{n}")
            if here is not None:
                sac[k][here.at] |= here.share >= 0.5
        low = high
    return image, sac


class Canvas:
    """One slice on which shapes are painted over each other."""

    def __init__(self, grid: tubes.Grid, inside: Inside) -> None:
        self.grid, self.inside = grid, inside
        self.image = np.full(grid.shape[1:], -1000, np.float32)

    def paint(self, name: str, hu: Fine | float, grow: float = 0.0) -> None:
        """Fills a shape, grown by some mm, with a value or an image of values."""
        patch = self.inside(name, grow)
        if patch is None:
            return
        view = self.image[patch.at]
        value = hu[patch.at] if isinstance(hu, np.ndarray) else np.float32(hu)
        view += patch.share * (value - view)


def _couch(image: Fine, one: tubes.Grid, p: Patient) -> None:
    """Two thin shells under the patient, foam between them."""
    y = one.centres(1, slice(0, one.shape[1]))[:, None]
    x = one.centres(2, slice(0, one.shape[2]))[None, :]
    _, depth = torso.cage_axes(p, np.float32(0))
    d = y - (depth + 26 + p.fat * 0.7 - (x / 30) ** 2 * 0.55)
    image += np.clip(1 - np.abs(d - 14) / 13, 0, 1) * 40
    for at in (2.0, 26.0):
        image += np.clip(1.3 - np.abs(d - at), 0, 1) * (-150 - image)


def _wall_and_lungs(
    canvas: Canvas, p: Patient, texture: Fine, lung: Fine, trees: list[tubes.Segment]
) -> None:
    paint, one = canvas.paint, canvas.grid
    fat = p.adipose + 2 * texture
    paint("body", 15.0)
    paint("body", fat, -2.0)  # skin is about 2 mm
    paint("muscle", p.muscle + 10 * texture)
    paint("seam", p.adipose + 60 + 40 * texture)
    paint("inner", fat, 1.5)
    y = one.centres(1, slice(0, one.shape[1]))[:, None]
    # Denser behind: blood and collapse follow gravity in a patient on the back.
    air = p.lung + np.float32(0.35) * y + lung
    tubes.paint(air[None], trees, one)
    paint("lung", air)
    paint("dome", p.muscle)
    paint("dome", fat, -1.6)
    paint("liver", 57 + 2 * texture)
    paint("spleen", 46 + 2 * texture)
    paint("gas", -960.0)


def _heart(
    canvas: Canvas,
    p: Patient,
    texture: Fine,
    vessels: list[tubes.Segment],
    phases: Phases,
) -> None:
    """Sac, fat, muscle, blood and arteries, averaged over the phases."""
    still, paint = canvas.image, canvas.paint
    mixed = np.zeros_like(still)
    for k, (weight, shift) in enumerate(phases):
        canvas.image = still.copy()
        paint(f"sac{k}", 18.0, 0.8)  # the pericardium: a line between two fats
        paint(f"sac{k}", p.adipose + 4 + 2 * texture, -0.8)
        paint(f"heart{k}", p.muscle + 2 * texture)
        paint(f"blood{k}", p.blood + texture)
        tubes.paint(canvas.image[None], moved(vessels, shift), canvas.grid)
        mixed += np.float32(weight) * canvas.image
    canvas.image = mixed


def moved(
    segments: list[tubes.Segment], shift: tuple[float, float, float]
) -> list[tubes.Segment]:
    """The segments displaced by (x, y, z) mm."""

    def add(point):
        return tuple(u + v for u, v in zip(point, shift, strict=True))

    return [dataclasses.replace(s, a=add(s.a), b=add(s.b)) for s in segments]


def _mediastinum_and_bone(canvas: Canvas, p: Patient, texture: Fine) -> None:
    paint = canvas.paint
    paint("vessels", p.blood + 6.0)
    paint("vessels", p.blood + texture, -1.6)
    paint("gullet", 34.0)
    if p.gas:
        paint("gullet", -700.0, -4.2)
    paint("trachea", 20.0, 1.2)
    paint("trachea", -985.0)
    # Cortex first, then marrow inside it.
    bone = p.bone
    paint("cartilage", 105 + 190 * p.cartilage * np.maximum(texture, 0))
    paint("cartilage", 88.0, -1.2)
    paint("rib", 640 * bone)
    paint("rib", 190 * bone + 25 * texture, -1.5)
    paint("sternum", 380 * bone + 60 * texture)
    paint("sternum", 95 * bone + 20 * texture, -1.4)
    paint("arch", 560 * bone)
    paint("arch", 260 * bone + 40 * texture, -1.6)
    paint("vertebra", 420 * bone + 40 * texture)
    marrow = 185 * bone + 55 * texture
    disc = canvas.inside("disc", 0.0)
    if disc is not None:
        marrow[disc.at] += disc.share * (85 - marrow[disc.at])
    paint("vertebra", marrow, -1.1)
    paint("canal", -20.0)
    paint("canal", 28.0, -2.2)
