"""A data set to convert."""

import pytest

from tests.commands.datasets import noise, source
from tqgd_jax.data.dataset import Dataset


@pytest.fixture
def splits() -> dict[str, Dataset]:
    """Three images of two patients to train, two of one to test, of several sizes.

    P1_2 and P3_1 have no boxes.
    """
    images = {
        "train": {
            "P1_1": noise(1, 33, 47),
            "P1_2": noise(2, 64, 64),
            "P2_1": noise(3, 36, 59),
        },
        "test": {"P3_1": noise(4, 30, 41), "P3_2": noise(5, 31, 40)},
    }
    boxes = {
        "P1_1": [(0, 1.25, 2.0, 5.1, 9.7), (1, 46.0, 32.0, 47.0, 33.0)],
        "P2_1": [(1, 0.0, 0.0, 59.0, 36.0)],
        "P3_2": [(0, 3.0, 4.0, 4.0, 5.0)],  # one pixel
    }
    return {part: source(of, boxes) for part, of in images.items()}
