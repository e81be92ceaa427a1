"""TQGDNet in JAX/Flax: detection of coronary artery calcium in CT."""

__version__ = "0.1.0"
