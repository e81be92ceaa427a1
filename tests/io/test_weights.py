"""Weights as one file."""

import numpy as np

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


def test_a_rounded_kernel_takes_half_of_the_room_and_comes_back_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(100, 100)).astype(np.float32)
    bias = rng.normal(size=100).astype(np.float32)
    rounded = weights.rounded(kernel)
    np.testing.assert_allclose(rounded, kernel, rtol=2**-11)
    np.testing.assert_array_equal(weights.rounded(bias), bias)
    for name, value in (("a", kernel), ("b", rounded)):
        given = {"params": {"kernel": value, "bias": bias}}
        weights.write(tmp_path / f"{name}.safetensors", given, {})
        again = weights.read(tmp_path / f"{name}.safetensors")[0]["params"]
        np.testing.assert_array_equal(again["kernel"], value)
        assert again["kernel"].dtype == np.float32
        np.testing.assert_array_equal(again["bias"], bias)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in "ab"]
    assert sizes[0] - sizes[1] == 20_000
