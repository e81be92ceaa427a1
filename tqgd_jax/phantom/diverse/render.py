"""One diverse patient through one of many scanners."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter

from tqgd_jax.phantom import arteries, lesions, observer, scanner, tubes
from tqgd_jax.phantom.diverse import body, branches, devices, sites
from tqgd_jax.phantom.diverse.heart import DiverseHeart
from tqgd_jax.phantom.diverse.negatives import Negatives
from tqgd_jax.phantom.diverse.patient import Person, draw_person
from tqgd_jax.phantom.diverse.protocol import Protocol, draw_protocol
from tqgd_jax.phantom.diverse.tissues import paint_body
from tqgd_jax.phantom.render import Scan
from tqgd_jax.phantom.shapes import upsample
from tqgd_jax.phantom.tissues import CELLS, Phases

DENSEST_HU = 1500.0  # where lesions overlap
SEEN = 2.2  # standard deviations of noise that a spot must rise above to be marked


def simulate_patient(
    seeds: np.random.SeedSequence, size: int, slices: int
) -> tuple[Protocol, Scan]:
    """Everything about the patient, the protocol and the scan follows from `seeds`."""
    person, plaque, tissue, grain, way, metal = (
        np.random.default_rng(s) for s in seeds.spawn(6)
    )
    p = draw_person(person)
    protocol = draw_protocol(way, p.arms)
    heart = DiverseHeart(p, person)
    mains = arteries.draw_arteries(heart, person)
    side = branches.draw_branches(heart, mains, person)
    veins = branches.veins(mains, p.blood, person)
    grid = scan_grid(protocol, size, slices, p.heart_at[2], way)
    coarse, path = draw_path(protocol.motion_mm, way)
    things = devices.draw_devices(heart, mains, _skin(heart), metal)
    solids = sites.coronary(mains, side, p, plaque)
    solids = branches.drop_stented(solids, things.stents)
    solids += Negatives(heart, plaque).draw()
    solids = [dataclasses.replace(s, hu=float(s.hu * protocol.mineral)) for s in solids]
    image, sac = paint_body(heart, mains + side, veins, protocol, grid, coarse, tissue)
    for segments in (things.still, things.beating, things.outside):
        tubes.paint(image, tubes.near(segments, grid), grid)
    # Beam hardening comes from what is dense before the blur.
    dense = np.stack(
        [scanner.mean_blocks(np.maximum(s - 150, 0), CELLS) for s in image]
    )
    for k in range(slices):
        image[k] = scanner.blur(image[k], protocol.fwhm_mm, grid.spacing[1])
    deposits = [lesions.deposit(s, grid, protocol.fwhm_mm, path) for s in solids]
    mineral, added, label = lesions.combine(solids, deposits, grid)
    image += np.minimum(mineral, DENSEST_HU)
    _detect(image, dense, grid, protocol, p, grain)
    hu = np.clip(np.rint(image), -1024, 3071).astype(np.int16)
    least = max(observer.CORE_HU, SEEN * protocol.noise_hu)
    mask = observer.observe(hu, added, label, grid.spacing[1], least, least / 2)
    facts: dict[str, Any] = observer.facts(solids, deposits, hu, mask)
    facts |= {"devices": things.names, "anatomy": dataclasses.asdict(p)}
    return protocol, Scan(hu, mask, grid, observer.heart_boxes(sac), facts)


def scan_grid(
    protocol: Protocol, size: int, slices: int, height: float, rng: np.random.Generator
) -> tubes.Grid:
    """The voxels: around the heart, or a part of it where slices are thin."""
    dz, pixel = protocol.spacing_mm, protocol.fov_mm / size
    # A long scan shows the whole chest; a short one the arteries, or now and then not.
    far = 95.0 if rng.random() < 0.15 else 45.0
    free = max(0.0, far - 0.35 * slices * dz)
    middle = height - 6 + rng.uniform(-free, free) + rng.normal(0, 5)
    cx, cy = protocol.centre_mm
    half = (size - 1) / 2 * pixel
    origin = (float(middle - (slices - 1) / 2 * dz), cy - half, cx - half)
    return tubes.Grid(origin, (dz, pixel, pixel), (slices, size, size))


def draw_path(length_mm: float, rng: np.random.Generator) -> tuple[Phases, Phases]:
    """Weights and displacements (mm) within a slice: few for chambers, more for calcium.

    The heart moves on a bent path and rests on a part of it.
    """
    a, b = rng.normal(size=(2, 3)) * (1.0, 0.8, 0.8)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    rest = rng.uniform(0.2, 0.7)
    if length_mm < 0.3:
        still = [(1.0, (0.0, 0.0, 0.0))]
        return still, still

    def at(t: float) -> tuple[float, float, float]:
        return tubes.xyz(length_mm * (t * a + 0.6 * t * t * b))

    steps = max(3, round(length_mm / 0.8))
    t = np.linspace(0, 1, steps + 1)[1:]
    path = [(float(rest), at(0.0))] + [(float((1 - rest) / steps), at(s)) for s in t]
    return [(float(rest), at(0.0)), (float(1 - rest), at(0.55))], path


def _skin(heart: DiverseHeart):
    """The distance inside the skin at points."""

    def inside(x, y, z):
        z = np.broadcast_to(z, np.shape(x))
        sac = heart.fields(x, y, z)["sac"]
        return body.fields(heart.person, x, y, z, sac)["body"]

    return inside


def _detect(
    image: Float32[np.ndarray, "z y x"],
    dense: Float32[np.ndarray, "z i j"],
    grid: tubes.Grid,
    protocol: Protocol,
    p: Person,
    rng: np.random.Generator,
) -> None:
    """Adds edge enhancement, streaks, cupping, calibration error and noise, in place."""
    _, size, _ = grid.shape
    _, pixel, _ = grid.spacing
    factor = size // dense.shape[1]
    y = grid.centres(1, slice(0, size))[:, None]
    x = grid.centres(2, slice(0, size))[None, :]
    r2 = (x / (150 * p.size)) ** 2 + (y / (105 * p.size)) ** 2
    level = (0.55 + 0.6 * np.exp(-1.1 * r2)) / 1.1  # 1 at the heart
    level = (level * protocol.noise_hu).astype(np.float32)
    cup = (rng.normal(-3, 4) * np.exp(-1.5 * r2)).astype(np.float32)
    texture = scanner.mixed_filter(
        size, pixel, protocol.cutoff_per_mm, protocol.lateral, protocol.smooth
    )
    for k, bone in enumerate(dense):
        one = image[k]
        if protocol.edge > 0.02:
            wide = gaussian_filter(one, 0.75 / pixel, mode="nearest", truncate=2.5)
            one += np.float32(protocol.edge) * (one - wide)
        bands = scanner.streaks(bone, pixel * factor, protocol.streaks)
        one += upsample(np.pad(bands, ((0, 1), (0, 1)), mode="edge"), factor)
        one += cup * (one > -500)
        one += level * scanner.shaped_noise(rng, size, texture)
        one += np.float32(protocol.offset_hu)
