"""CT series as scanners write them, in any orientation, by pydicom."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.8.498"
SPACING = (3.0, 0.5, 0.4)  # of slices, rows, columns, mm; all different
FIRST = (-10.0, 20.0, -300.0)  # mm, centre of the first pixel of the first file
PATIENT = {
    "PatientName": "Phantom^One",
    "PatientID": "P1",
    "PatientBirthDate": "19500101",
    "PatientSex": "M",
}


def ct_series(
    folder: Path,
    hu: np.ndarray,
    across: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    **tags: Any,
) -> Path:
    """One file for each of the slices [k, row, column], which lie along the normal.

    Args:
      folder: made.
      hu: values.
      across: ImageOrientationPatient.
      tags: replace the usual ones; None removes.
    """
    folder.mkdir()
    normal = np.cross(across[:3], across[3:])
    for k, pixels in enumerate(hu):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = CTImageStorage
        image.SOPInstanceUID = f"{ROOT}.4.{k + 1}"
        values = PATIENT | {
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "StudyInstanceUID": f"{ROOT}.1",
            "SeriesInstanceUID": f"{ROOT}.2",
            "FrameOfReferenceUID": f"{ROOT}.3",
            "PositionReferenceIndicator": "",
            "StudyID": "S1",
            "StudyDate": "20260102",
            "StudyTime": "101112",
            "AccessionNumber": "A1",
            "ReferringPhysicianName": "",
            "Modality": "CT",
            "Manufacturer": "tests",
            "SeriesNumber": 3,
            "InstanceNumber": k + 1,
            "AcquisitionNumber": 1,
            "BodyPartExamined": "HEART",
            "PatientPosition": "HFS",
            "KVP": 120,
            "SliceThickness": SPACING[0],
            "PixelSpacing": list(SPACING[1:]),
            "ImageOrientationPatient": list(across),
            "ImagePositionPatient": list(FIRST + k * SPACING[0] * normal),
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 1,
            "RescaleIntercept": 0,
            "RescaleSlope": 1,
            "PixelData": pixels.astype("<i2").tobytes(),
        }
        for name, value in (values | tags).items():
            if value is not None:
                setattr(image, name, value)
        # Names in another order than the slices.
        name = folder / f"{(k * 7 + 3) % 11:02d}{k:02d}.dcm"
        image.save_as(name, enforce_file_format=True)
    return folder
