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
