"""A slice of a scan as a detector sees it, for the examples: cropped, Hounsfield units.

python examples/slice.py RUN SCAN Z OUT.npy
"""

import sys

import numpy as np

import tqgd_jax as tq

run, scan, z, out = sys.argv[1:]
slices, _ = tq.load(run).slices_of(tq.read_scan(scan))
np.save(out, slices[int(z)][:, :, slices[int(z)].shape[2] // 2])
