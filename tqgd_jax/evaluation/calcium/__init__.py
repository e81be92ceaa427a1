"""Calcium scores from HU and masks or boxes, under named conventions. NumPy, SciPy."""
