"""Slices of a scan with boxes, labelled and detected."""

import numpy as np

from tqgd_jax.structures.image import Image, Place

BOX = (10.0, 10.0, 14.0, 14.0)
FAR = (50.0, 50.0, 54.0, 54.0)


def image(z, boxes=(), dets=(), *, patient="p", scan="s", labels=None, **more):
    """A slice; dets are (x0, y0, x1, y1) of confidence 0.9, or with their own."""
    scores = [d[4] if len(d) > 4 else 0.9 for d in dets]
    place = {k: more.pop(k) for k in ("spacing", "crop") if k in more}
    return Image(
        name=f"{patient}-{scan}-{z}-{more.pop('name', '')}",
        boxes=np.array(boxes, float).reshape(-1, 4),
        labels=np.array(labels or [0] * len(boxes), int),
        det_boxes=np.array([d[:4] for d in dets], float).reshape(-1, 4),
        det_scores=np.array(scores, float),
        det_labels=np.zeros(len(dets), int),
        place=Place(patient=patient, scan=scan, z=z, **place),
        **more,
    )
