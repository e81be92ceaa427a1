"""Random cohorts, and cohorts in which patients stand several times."""

import numpy as np

from tqgd_jax.structures.image import Image, Place

NOWHERE = Place()


def image(name, boxes, dets, scores, place=NOWHERE, **more):
    """One image of one class; `more` are further fields of `Image`."""
    return Image(
        name,
        np.array(boxes, float).reshape(-1, 4),
        np.zeros(len(boxes), int),
        np.array(dets, float).reshape(-1, 4),
        np.array(scores, float),
        np.zeros(len(dets), int),
        place=place,
        **more,
    )


def cohort(seed, patients=6, slices=4, classes=2, regions=True, ties=False):
    """Boxes of 2 to 12 px in a field of 40, detections near them or anywhere.

    Every confidence is there once, or, with `ties`, is one of twelve.
    """
    rng = np.random.default_rng(seed)
    scores = rng.permutation(np.arange(1, 2001)) / 2001
    images = []
    for i in range(patients * slices):
        n, k = rng.integers(0, 5), rng.integers(0, 10)
        if i % slices == 0:
            n = 0
        corner = rng.integers(0, 30, (n, 2))
        boxes = np.concatenate([corner, corner + rng.integers(2, 13, (n, 2))], 1)
        corner = rng.integers(0, 30, (k, 2))
        dets = np.concatenate([corner, corner + rng.integers(2, 13, (k, 2))], 1)
        labels, det_labels = rng.integers(0, classes, n), rng.integers(0, classes, k)
        if n:
            source, pick = rng.integers(0, n, k), rng.random(k) < 0.7
            near = boxes[source] + rng.integers(-1, 2, (k, 4))
            dets = np.where(pick[:, None], near, dets)
            dets[:, 2:] = np.maximum(dets[:, 2:], dets[:, :2] + 1)
            det_labels = np.where(pick, labels[source], det_labels)
        mine, scores = scores[:k], scores[k:]
        place = Place(
            patient=f"p{i // slices}",
            scan=f"s{i % 2}",
            z=i % slices,
            spacing=(3.0, 0.5, 0.5),
            scanner="AB"[i // slices % 2],
        )
        images.append(
            Image(
                f"image {i}",
                boxes.astype(float),
                labels,
                dets.astype(float),
                np.ceil(12 * mine) / 12 if ties else mine,
                det_labels,
                place=place,
                iscrowd=rng.random(n) < 0.1 if regions else None,
            )
        )
    return images


def figures(evaluator, keys=None):
    """Those of the cohort itself, each patient once."""
    values = evaluator.figures(np.ones((1, len(evaluator.clusters))), keys)
    return {key: value[0] for key, value in values.items()}


def copied(images, patients, times):
    """Each patient's images as often as `times` says, as patients of their own."""
    copies = []
    for patient, count in zip(patients, times, strict=True):
        for copy in range(int(count)):
            for image in images:
                if image.patient == patient:
                    place = image.place._replace(patient=f"{patient} {copy}")
                    name = f"{image.name} {copy}"
                    copies.append(image._replace(name=name, place=place))
    return copies
