"""Chest wall, skeleton, lungs and upper abdomen as signed distances."""

import numpy as np

from tqgd_jax.phantom.anatomy import Patient
from tqgd_jax.phantom.shapes import (
    Array,
    capsule,
    ellipse,
    ellipsoid,
    intersect,
    rounded_box,
    superellipse,
    union,
)


def cage_axes(p: Patient, z: Array) -> tuple[Array, Array]:
    """Half-width and half-depth (mm) of the rib cage's outer surface at a height."""
    top = np.maximum(z - 5, 0) / 170
    a = 131 * p.size * (1 - 0.55 * top * top)
    b = 97 * p.size * p.chest * (1 - 0.4 * top * top)
    return a, b


def fields(p: Patient, x: Array, y: Array, z: Array, sac: Array) -> dict[str, Array]:
    """Everything but the heart. `sac` shapes the lungs, so it comes in."""
    z0 = z
    x, y, z = p.warp(x, y, z)
    s = p.size
    a, b = cage_axes(p, z)
    cage = superellipse(x, y, a, b, 2.25)
    front = np.clip(-y / b, 0, 1)
    back = np.clip(y / b, 0, 1)
    # Pectoral, latissimus and paraspinal muscles thicken the wall; arms are up.
    across = np.abs(x)
    pectoral = 10 * front * np.exp(-(((across - 62) / 40) ** 2))
    pectoral = pectoral * np.clip((z + 40) / 80, 0.15, 1)
    dorsal = 11 * back * np.exp(-(((across - 36) / 34) ** 2))
    flank = np.clip((z + 30) / 110, 0, 1.1) * 17
    flank = flank * np.exp(-(((across - 116 * s) / 48) ** 2))
    flank = flank * np.clip(y / 60 + 0.6, 0, 1)
    extra = pectoral + dorsal + flank
    muscle = cage + 5 + extra
    # Fat between the layers of the outer muscles, where there is more than one.
    seam = 1.1 - np.abs(cage + 2.5 + 0.45 * extra) - np.maximum(9 - extra, 0) * 0.5
    breast = 0.4 * front * np.exp(-(((across - 80) / 55) ** 2))
    fat = p.fat * (0.75 + breast + 0.3 * (across / a) ** 2 - 0.3 * back)
    body = muscle + fat + 2
    inner = cage - 9

    # Ribs: one distance for all, by the height above the nearest rib.
    phi = np.arctan2(np.abs(x), y) / np.pi  # 0 behind, 1 in front
    drop = 150 * phi - 190 * np.maximum(phi - 0.78, 0)
    phase = p.rib_phase[0] + np.where(x > 0, p.rib_phase[1], 0.0)
    height = (z + drop + phase) / p.rib_pitch
    height = (height - np.floor(height) - 0.5) * p.rib_pitch
    rib = 3.7 - np.sqrt((cage - 4.4) ** 2 + (height * 0.66) ** 2)
    rib = np.minimum(rib, (phi - 0.09) * 60)
    bony = (0.8 - phi) * 150
    cartilage = np.minimum(rib + 0.6, (phi - 0.79) * 150)
    rib = np.minimum(rib, bony)
    wide = 15 + 5 * np.clip((z + 10) / 60, -0.5, 1)
    sternum = rounded_box(x, y + b - 4.2 - x * x / 160, (wide, 5.6), 5.2)
    sternum = np.minimum(sternum, z + 42)

    # Spine.
    ys = 63 * s
    disc = (z + p.disc_phase) / 26
    disc = np.abs(disc - np.floor(disc) - 0.5) * 26  # 13 at a disc's middle
    waist = 1.4 * np.cos(disc / 13 * np.pi)
    vertebra = ellipse(x, y, (0, ys), (17.5 * s, 15 * s)) - np.maximum(waist, 0)
    vertebra = intersect(vertebra, ys + 10.5 - y, 4)
    canal = ellipse(x, y, (0, ys + 18.5), (9, 8))
    arch = np.minimum(ellipse(x, y, (0, ys + 19), (14, 13)), ys + 40 - y)
    swell = 1 - 0.45 * (disc / 13) ** 2
    process = capsule(across, y, 0 * y, (9, ys + 19, 0), (31, ys + 27, 0), 5, 4)
    process = process - 6 * (1 - swell)
    spine = capsule(x, y, 0 * y, (0, ys + 29, 0), (0, ys + 46, 0), 3.6, 3.2)
    arch = union(union(arch, process, 4), spine - 3 * (1 - swell), 4)
    arch = np.minimum(arch, -canal)

    # Lungs are the cage's inside without mediastinum and diaphragm.
    prevertebral = ellipse(x, y, (2, ys + 6), (22 * s, 31 * s))
    back_mid = ellipse(x, y, (9, 42 * s), (16, 22 * s))
    ligament = np.minimum(ellipse(x, y, (3, 20), (9, 30)), z + 60)
    strip = np.clip((z - 5) / 60, 0, 1)
    front_mid = ellipse(x, y, (6, -b + 12), (9, 22)) + 5 * strip
    mid = union(union(prevertebral, back_mid, 14), ligament, 10)
    mid = union(mid, front_mid, 14)
    upper = ellipsoid(x, y, z, (0, 4, 95), (36, 46 * s, 62))
    mid = union(mid, upper, 18)
    pointed = np.minimum(ellipse(x, y, (4, -44), (11, 54)), (z - 22) * 0.5)
    mid = union(mid, pointed, 10)
    hilum = ellipsoid(np.abs(x), y, z, (42 * s, 19 * s, 24), (6, 8, 22))
    mid = union(union(mid, hilum, 12), sac + 1.0, 24)
    right = ellipsoid(x, y, z, (-58 * s, 2, p.dome[0] - 66), (76 * s, 92 * s, 66))
    left = ellipsoid(x, y, z, (54 * s, 8, p.dome[1] - 62), (78 * s, 90 * s, 62))
    hx, hy, hz = p.heart_at
    middle = ellipsoid(x, y, z, (hx - 6, hy + 4, hz - 92), (72, 62, 48))
    dome = union(union(right, left, 22), middle, 18)
    lung = intersect(np.minimum(inner, -dome), -mid, 7)
    lung = intersect(lung, -ellipse(x, y, (0, ys + 3), (20 * s, 20 * s)), 12)
    lobe = ellipsoid(x, y, z, (2, hy - 6, hz - 92), (66, 50, 46))
    lobe = intersect(lobe, dome - 1.5, 4)
    liver = union(right - 1.5, lobe, 16)
    liver = np.minimum(liver, inner - 3)
    spleen = ellipsoid(x, y, z, (88 * s, 40, p.dome[1] - 52), (28, 42, 46))
    spleen = np.minimum(spleen, left - 4)
    stomach = ellipsoid(x, y, z, (50 * s, -18, p.dome[1] - 50), (34, 44, 44))
    stomach = np.minimum(stomach, left - 5)
    gas = np.minimum(stomach - 3.5, -24 - y)

    gullet = ellipse(x, y, (5, 33 * s), (9, 6))
    azygos = ellipse(x, y, (-7, 46 * s), (4, 4))
    cut = z0 - 46  # the trachea divides here
    trachea = np.minimum(ellipse(x, y, (-2, 13), (9.5, 8.5)), cut)
    return {
        "body": body,
        "muscle": muscle,
        "seam": seam,
        "inner": inner,
        "lung": lung,
        "dome": np.minimum(dome, inner),
        "liver": liver,
        "spleen": union(spleen, stomach),
        "gas": gas,
        "rib": rib,
        "cartilage": cartilage,
        "sternum": sternum,
        "vertebra": vertebra,
        "arch": arch,
        "canal": canal,
        "disc": disc - 10.5 + 0 * x,
        "gullet": union(gullet, azygos),
        "trachea": trachea,
    }
