"""Weights as one file."""

import numpy as np
import pytest

from tqgd_jax.io import weights


def test_a_network_without_batch_norm_comes_back_with_a_place_for_statistics(tmp_path):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    given = {"params": {"conv": {"kernel": kernel}}, "batch_stats": {}}
    weights.write(tmp_path / "a.safetensors", given, {"classes": ["calcium"]})
    variables, meta = weights.read(tmp_path / "a.safetensors")
    assert variables.keys() == given.keys()
    assert variables["batch_stats"] == {}
    np.testing.assert_array_equal(variables["params"]["conv"]["kernel"], kernel)
    assert meta == {"classes": ["calcium"]}


def test_a_rounded_kernel_takes_half_of_the_room(tmp_path):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(100, 100)).astype(np.float32)
    bias = rng.normal(size=100).astype(np.float32)
    given, files = {"params": {"kernel": kernel, "bias": bias}}, []
    for half in (False, True):
        files.append(tmp_path / f"{half}.safetensors")
        weights.write(files[-1], given, {}, half=half)
        again = weights.read(files[-1])[0]["params"]
        exact = 2**-11 if half else 0  # the last of 11 bits, rounded
        np.testing.assert_allclose(again["kernel"], kernel, rtol=exact)
        assert again["kernel"].dtype == np.float32
        np.testing.assert_array_equal(again["bias"], bias)
    assert files[0].stat().st_size - files[1].stat().st_size == 20_000


def test_what_half_precision_cannot_hold_is_not_rounded(tmp_path):
    large = {"params": {"kernel": np.full((2, 2), 70_000, np.float32)}}
    with pytest.raises(ValueError, match="a kernel reaches 70000"):
        weights.write(tmp_path / "a.safetensors", large, {}, half=True)
    assert not [*tmp_path.iterdir()]
