"""A slow calcium score: sets of coordinates instead of SciPy's labels."""

import itertools

import numpy as np


def steps(connected):
    """From a voxel to those that belong to its component."""
    out = []
    for step in itertools.product((-1, 0, 1), repeat=3):
        apart = sum(map(abs, step))
        if connected.startswith("2d") and step[0]:
            continue
        if apart == 1 or (apart > 1 and connected in ("2d-8", "3d-26")):
            out.append(step)
    return out


def flood(bright, connected):
    """Sets of voxels that touch, from one to the next."""
    left, parts = set(map(tuple, np.argwhere(bright).tolist())), []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            at = edge.pop()
            part.add(at)
            for step in steps(connected):
                voxel = tuple(a + b for a, b in zip(at, step, strict=True))
                if voxel in left:
                    left.remove(voxel)
                    edge.append(voxel)
        parts.append(part)
    return parts


def slowly(hu, mask, spacing, rule):
    """Agatston score by sets of coordinates, and the voxels that count."""
    dz, dy, dx = spacing
    bright = {"above": hu > 130, "from": hu >= 130, "mask": mask}[rule.pixels] & mask
    points, counted = 0.0, np.zeros(hu.shape, bool)
    for part in flood(bright, rule.connected):
        area = len(part) * dy * dx
        size = {"mm2": area, "mm3": area * dz}.get(rule.unit, len(part))
        if size < rule.smallest - 1e-9:
            continue
        spots = [part]
        if rule.weigh == "slice":
            depths = {v[0] for v in part}
            spots = [{v for v in part if v[0] == z} for z in depths]
        for spot in spots:
            top = max(hu[v] for v in spot)
            weight = sum(top >= step for step in (130, 200, 300, 400))
            one = weight * len(spot) * dy * dx * (dz / 3 if rule.thickness else 1)
            one = round(one) if rule.whole else one
            points += one
            for v in spot if one else ():
                counted[v] = True
    return points, counted
