"""Findings as DICOM objects: segmentation, structured report, presentation state."""
