"""A small study of simulated slices that the tests of the report share."""

import contextlib

import numpy as np
import pytest

from tqgd_jax.report import result_folder
from tqgd_jax.structures.evaluation_set import EvaluationSet, checked
from tqgd_jax.structures.image import Image, Lesion, Place


def study(patients=4, slices=3, threshold=0.4, fold="", seed=0, one_fold=""):
    """A study of CT, and its pixels: bright rectangles on noise, some found."""
    rng = np.random.default_rng(seed)
    images, pixels = [], []
    for p in range(patients):
        for z in range(slices):
            hu = rng.normal(40, 15, (64, 72)).clip(-100, 120).astype(np.int16)
            boxes, lesions = [], []
            # The first slice of every patient is empty, and so is all of patient 0.
            for k in range(0 if p == 0 or z == 0 else 2):
                x, y = (30 * k + rng.integers(4, 20), rng.integers(4, 50))
                w, h = rng.integers(2, 9, 2)
                hu[y : y + h, x : x + w] = rng.integers(150, 900)
                boxes.append((x, y, x + w, y + h))
                peak = int(hu[y : y + h, x : x + w].max())
                lesion = Lesion("LAD", k + 1, peak, int(w * h), float(w * h) / 4)
                lesions.append(lesion)
            b = np.array(boxes, float).reshape(-1, 4)
            near = b + rng.normal(0, 0.5, b.shape)
            dets = np.concatenate([near, [[60.5, 50, 66, 55]]])
            place = Place(
                *(f"{fold}P{p}", f"{fold}S{p}", z, (3.0, 0.5, 0.5)),
                *((10, 20, 82, 84), f"V{p % 2}", fold),
            )
            images.append(
                Image(
                    f"{fold}P{p}_z{z}",
                    b,
                    np.zeros(len(b), int),
                    dets,
                    rng.random(len(dets)),
                    np.zeros(len(dets), int),
                    place=place,
                    lesions=tuple(lesions),
                )
            )
            pixels.append(hu[..., None])
    made = EvaluationSet(
        images=tuple(images),
        classes=("calcium",),
        thresholds=(threshold,) * len(images),
        sizes=((64, 72),) * len(images),
        title="a study, simulated",
        source="none" if threshold is None else "validation",
        one_fold=one_fold,
    )
    return checked(made), pixels.__getitem__


def nothing(images=3):
    """Images without boxes and without detections."""
    none = np.zeros((0, 4))
    empty = np.zeros(0, int)
    made = EvaluationSet(
        images=tuple(
            Image(f"i{k}", none, empty, none, np.zeros(0), empty) for k in range(images)
        ),
        classes=("calcium",),
        thresholds=(None,) * images,
    )
    return checked(made)


@contextlib.contextmanager
def undrawn():
    """Results without page and pictures, which take seconds, where none is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result_folder.page, "render", lambda *_: "")
        patch.setattr(result_folder, "_pictures", lambda *_: None)
        yield
