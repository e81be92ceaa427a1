"""Measurements: speed, a PyTorch twin, studies, gates. Only here is torch imported."""

from tqgd_jax import heap

heap.keep()  # as the commands do; PyTorch gets the same
