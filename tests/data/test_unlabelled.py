"""Images without labels, from arrays and from a folder."""

import numpy as np
import pytest

from tests.image_sets import picture
from tqgd_jax.config import Data
from tqgd_jax.data.dataset import in_order
from tqgd_jax.data.unlabelled import of_arrays, of_folder


def test_slices_of_a_scan_are_images_without_labels():
    hu = np.arange(5 * 3 * 4).reshape(5, 3, 4).astype(np.int16)
    source = of_arrays([*hu[..., None]])
    assert source.names == list("01234")
    made = list(in_order(source, 2))
    assert [b.index[:, 0].tolist() for b in made] == [[0, 1], [2, 3], [4, -1]]
    pixels = np.concatenate([b.image[:, 0, :, :, 0] for b in made])
    assert np.array_equal(pixels[:5], hu)
    assert not pixels[5].any()
    assert made[0].size.tolist() == [[[3, 4]], [[3, 4]]]


def test_images_of_several_sizes_and_folders_need_no_labels(tmp_path):
    picture(tmp_path / "p1" / "a.png", h=20, w=30, value=3)
    picture(tmp_path / "p2" / "a.png", h=24, w=26, value=4)
    source = of_folder(tmp_path, Data())
    assert source.names == ["p1/a", "p2/a"]
    (batch,) = in_order(source, 2)
    assert batch.image.shape == (2, 1, 24, 30, 1)
    assert batch.size[:, 0].tolist() == [[20, 30], [24, 26]]
    assert batch.image[:, 0, 0, 0, 0].tolist() == [3, 4]
    with pytest.raises(ValueError, match=r"uint8 images .* data\.window=\(-150, 750\)"):
        of_folder(tmp_path, Data(window=(-150.0, 750.0)))


def test_sides_are_padded_and_kinds_are_not_mixed():
    images = [np.ones((3, 70, 1), np.uint8), np.ones((5, 64, 1), np.uint8)]
    assert of_arrays(images, 64).shape == (64, 128, 1)
    with pytest.raises(ValueError, match="one number of channels and one type"):
        of_arrays([images[0], images[1].astype(np.int16)])
