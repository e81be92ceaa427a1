"""Probabilities from which a pixel of a segmentation is lesion."""

CURVE_TAU = 0.05  # for AP and FROC
POINT_TAU = 0.5  # for precision, recall and F1
