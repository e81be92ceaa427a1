"""Hounsfield units as codes of a page: what is kept, and what it costs."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tqgd_jax.prediction import encoding


def codes(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize("factor", sorted({f for f, _ in encoding.LADDER}))
def test_130_hu_is_the_edge_of_a_code_and_all_codes_have_8_bits(factor):
    edges = encoding.edges(factor)
    assert 130 in edges
    assert (np.diff(edges) > 0).all()
    assert len(edges) < 256
    assert edges[0] == -958


def test_a_pixel_lies_between_the_edges_of_its_code():
    hu = np.array(
        [[-1024, -959, -958, -1], [129, 130, 134, 135], [399, 400, 1499, 3000]]
    )
    stored = encoding.encoded(lambda _: hu.astype(np.int16), 1)
    got = codes(stored.png[0])
    assert got.dtype == np.uint8
    low = np.array([-(2**15), *stored.edges])[got]
    high = np.array([*stored.edges, 2**15])[got]
    assert (low <= hu).all()
    assert (hu < high).all()
    assert stored.binned == 1
    assert low[1].tolist() == [126, 130, 130, 135]  # steps of 4, then of 5


def test_what_is_too_large_is_stored_coarser():
    rng = np.random.default_rng(0)
    slices = rng.normal(40, 25, (3, 64, 64)).astype(np.int16)
    fine = encoding.encoded(slices.__getitem__, 3)
    total = sum(map(len, fine.png))
    coarse = encoding.encoded(slices.__getitem__, 3, int(total * 0.95))
    assert sum(map(len, coarse.png)) <= total * 0.95
    assert "steps of 8 HU in soft tissue" in coarse.text
    halved = encoding.encoded(slices.__getitem__, 3, total // 4)
    assert halved.binned > 1
    assert codes(halved.png[0]).shape == (32, 32)
    assert "2 x 2 pixels are shown as one" in halved.text
    assert len(encoding.encoded(slices.__getitem__, 3, 1).png) == 3


def test_means_of_pixels_cover_the_border():
    hu = np.array([[0, 2, 10], [4, 6, 20]], np.int16)
    stored = encoding._means(hu, 2)
    assert stored.tolist() == [[3, 15]]
