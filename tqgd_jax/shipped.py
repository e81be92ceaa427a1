"""The detector that ships with the package: trained on simulated CT (docs/shipped.md)."""

from pathlib import Path

NAME = "shipped with tqgd_jax"
FILE = Path(__file__).parent / "weights" / "shipped.safetensors"
