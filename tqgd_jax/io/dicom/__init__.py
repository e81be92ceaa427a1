"""Folders of DICOM files to volumes in HU."""
