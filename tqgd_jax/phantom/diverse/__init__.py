"""The preset `diverse`: patients, scanners and findings as wide as a hospital's.

docs/design/0036-diverse-phantom.md says what is drawn from what, and what was compared
with real CT. It builds on the modules of `tqgd_jax.phantom`, whose presets `gated` and
`nongated` it leaves as they are, bit for bit.
"""
