"""One scan in memory: anatomy, heart, crop, lesions. NumPy and SciPy."""
