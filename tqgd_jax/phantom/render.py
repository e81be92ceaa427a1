"""One patient through the scanner: scan, reference mask, heart boxes and facts."""

import dataclasses
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int16, UInt8

from tqgd_jax.phantom import (
    anatomy,
    arteries,
    lesion_sites,
    lesions,
    observer,
    scanner,
    tubes,
)
from tqgd_jax.phantom.heart import Heart
from tqgd_jax.phantom.presets import Preset, Vendor
from tqgd_jax.phantom.shapes import upsample
from tqgd_jax.phantom.tissues import CELLS, Phases, paint_body


class Scan(NamedTuple):
    """What a patient's files hold."""

    hu: Int16[np.ndarray, "z y x"]
    mask: UInt8[np.ndarray, "z y x"]
    grid: tubes.Grid
    boxes: list[tuple[int, int, int, int, int]]  # z, x0, y0, x1, y1
    facts: dict[str, Any]


def scan_grid(
    preset: Preset, vendor: Vendor, size: int, slices: int, height: float
) -> tubes.Grid:
    """The voxels of a scan, centred on a height (mm)."""
    pixel = preset.fov_mm * vendor.fov / size
    dz = max(round(preset.spacing_mm * vendor.spacing * 2) / 2, 0.5)
    cx, cy = preset.centre_mm
    half = (size - 1) / 2 * pixel
    return tubes.Grid(
        (height - (slices - 1) / 2 * dz, cy - half, cx - half),
        (dz, pixel, pixel),
        (slices, size, size),
    )


def simulate_patient(
    preset: Preset,
    vendor: Vendor,
    seeds: np.random.SeedSequence,
    size: int,
    slices: int,
) -> Scan:
    """Everything about one patient follows from `seeds`."""
    body, plaque, tissue, grain = (np.random.default_rng(s) for s in seeds.spawn(4))
    p = anatomy.draw_patient(body)
    heart = Heart(p)
    curves = arteries.draw_arteries(heart, body)
    solids = lesion_sites.coronary(curves, preset, plaque)
    solids += lesion_sites.elsewhere(p, heart, plaque)
    grid = scan_grid(preset, vendor, size, slices, p.heart_at[2] + 2)
    phases = draw_phases(preset, body)
    in_air = preset.name == "nongated"  # else the couch is outside the field of view
    image, sac = paint_body(heart, curves, grid, phases, in_air, tissue)
    lead = pacing_lead(heart, body)
    tubes.paint(image, lead, grid)
    # Beam hardening comes from what is dense before the blur.
    dense = np.stack(
        [scanner.mean_blocks(np.maximum(s - 150, 0), CELLS) for s in image]
    )
    for k in range(slices):
        image[k] = scanner.blur(image[k], vendor.fwhm_mm, grid.spacing[1])
    deposits = [lesions.deposit(s, grid, vendor.fwhm_mm, phases) for s in solids]
    mineral, added, label = lesions.combine(solids, deposits, grid)
    # Where lesions overlap there is not more than dense calcium.
    image += np.minimum(mineral, lesion_sites.DENSEST_HU)
    _detect(image, dense, grid, preset, vendor, grain, p.size)
    hu = np.clip(np.rint(image), -1024, 3071).astype(np.int16)
    mask = observer.observe(hu, added, label, grid.spacing[1])
    facts: dict[str, Any] = observer.facts(solids, deposits, hu, mask)
    facts |= {"pacing_lead": bool(lead), "anatomy": dataclasses.asdict(p)}
    return Scan(hu, mask, grid, observer.heart_boxes(sac), facts)


def draw_phases(preset: Preset, rng: np.random.Generator) -> Phases:
    """Weights and displacements (x, y, z in mm) of the heart within one slice."""
    direction = rng.normal(size=(len(preset.phases), 3)) * (1.0, 0.8, 0.8)
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    shift = direction / length * preset.motion_mm * rng.uniform(0.6, 1.3)
    shift[0] = 0
    return [
        (w, (float(x), float(y), float(z)))
        for w, (x, y, z) in zip(preset.phases, shift, strict=True)
    ]


METAL_HU = 16000.0  # files hold 3071 at most, but rays see what is there
LEAD = ((-34, -12, 100), (-36, -10, 45), (-37, -4, 0), (-26, -10, -26), (0, -26, -32))


def pacing_lead(heart: Heart, rng: np.random.Generator) -> list[tubes.Segment]:
    """In 4 % of the patients: from the vena cava to the right ventricle's apex."""
    if rng.random() >= 0.04:
        return []
    points = [heart.at(*q) for q in (*LEAD, (26, -38, -38))]
    return [tubes.Segment(a, b, 0.9, 0.9, METAL_HU) for a, b in pairwise(points)]


def _detect(
    image: Float32[np.ndarray, "z y x"],
    dense: Float32[np.ndarray, "z i j"],
    grid: tubes.Grid,
    preset: Preset,
    vendor: Vendor,
    rng: np.random.Generator,
    size_factor: float,
) -> None:
    """Adds streaks, cupping and noise, in place."""
    _, size, _ = grid.shape
    dz, pixel, _ = grid.spacing
    factor = size // dense.shape[1]
    y = grid.centres(1, slice(0, size))[:, None]
    x = grid.centres(2, slice(0, size))[None, :]
    r2 = (x / (150 * size_factor)) ** 2 + (y / (105 * size_factor)) ** 2
    # Rays through the middle of the body are starved most; 1 at the heart.
    level = (0.55 + 0.6 * np.exp(-1.1 * r2)) / 1.1
    level = level * preset.noise_hu * vendor.noise * size_factor**2
    level = (level * np.sqrt(preset.spacing_mm / dz)).astype(np.float32)
    cup = (-6 * np.exp(-1.5 * r2)).astype(np.float32)
    for k, bone in enumerate(dense):
        bands = scanner.streaks(bone, pixel * factor, preset.streaks)
        image[k] += upsample(np.pad(bands, ((0, 1), (0, 1)), mode="edge"), factor)
        image[k] += cup * (image[k] > -500)
        image[k] += level * scanner.noise(rng, size, pixel, vendor.cutoff_per_mm)
