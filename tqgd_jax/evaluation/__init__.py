"""Measures of detection quality. NumPy only: the referee shares no code with JAX."""
