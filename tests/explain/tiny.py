"""A detector that is as small as can be, with weights that nobody trained."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.tiny import config
from tests.weights import fresh, used
from tqgd_jax import detector as networks
from tqgd_jax.config import Model
from tqgd_jax.detector import Detector
from tqgd_jax.predictor import Predictor

SIDE = 64


@pytest.fixture(scope="module", autouse=True)
def shallow():
    """One bottleneck a block: it compiles quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.SIZES, "n", networks.Size(0.01, 0.25, 64))
        yield


def predictor(
    neck: Sequence[str] = ("fpn",),
    heads: Sequence[int] = (3, 4),
    classes: Sequence[str] = ("calcium",),
    *,
    trained: bool = True,
) -> Predictor:
    """Random batch statistics, as after training; or weights as at its start."""
    network = Model(size="n", stem="conv", neck=tuple(neck), heads=tuple(heads))
    settings = config(model=network)
    settings = dataclasses.replace(
        settings, eval=dataclasses.replace(settings.eval, max_detections=20)
    )
    image = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    draw = used if trained else fresh
    return Predictor(
        settings,
        tuple(classes),
        np.array([[[6, 6], [9, 12], [16, 10]]] * len(heads), np.float32),
        draw(Detector(network, len(classes)), image),
        threshold=0.0,
        chosen=False,
        provenance={"run": "tiny", "step": 1000},
    )


def spot(x: int = 24, y: int = 32) -> np.ndarray:
    """Grey with noise and a bright square; the border is that of the letterbox."""
    image = np.full((SIDE, SIDE), 114, np.uint8)
    noise = np.random.default_rng(0).integers(90, 138, (16, 16))
    image[y - 8 : y + 8, x - 8 : x + 8] = noise
    image[y - 3 : y + 3, x - 3 : x + 3] = 240
    return image
