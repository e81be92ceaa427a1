"""The prepared set: records of pixels, and an index of everything else."""
