"""Measures of detection quality. NumPy only: the evaluator shares no code with JAX."""
