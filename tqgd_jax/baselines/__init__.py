"""The competitors of Table 1. A family is a folder here, which is its own registry.

Its name is a value of `baseline.family`; its `build(config, num_classes, axis_name)` gives
a `tqgd_jax.network.Network`. docs/baselines.md tells how to add one.
"""
