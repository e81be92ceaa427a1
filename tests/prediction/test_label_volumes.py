"""Labels lie where the voxels of the scan lie, in both files, however it was stored."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from tests import scan_files
from tqgd_jax.io.volumes import in_file, read_volume
from tqgd_jax.prediction import label_volumes

HU = scan_files.some_hu((4, 6, 7))
# Axes of the file in LPS: as it is read, flipped, rows and columns swapped, and sagittal.
DIRECTIONS = {
    "plain": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "flipped": (-1, 0, 0, 0, -1, 0, 0, 0, -1),
    "swapped": (0, 1, 0, -1, 0, 0, 0, 0, 1),
    "sagittal": (0, 0, -1, 1, 0, 0, 0, -1, 0),
}


@pytest.fixture(params=DIRECTIONS)
def scan(request, tmp_path):
    image = sitk.GetImageFromArray(HU)
    image.SetSpacing((0.4, 0.5, 3.0))
    image.SetOrigin((-10.0, 20.0, -300.0))
    image.SetDirection([float(v) for v in DIRECTIONS[request.param]])
    path = tmp_path / "scan.nrrd"
    sitk.WriteImage(image, str(path))
    return path, read_volume(path)


def positions(image, wanted):
    """LPS of the voxels with a label, mm, in order."""
    k, j, i = np.nonzero(sitk.GetArrayFromImage(image) == wanted)
    index = zip(i.tolist(), j.tolist(), k.tolist(), strict=True)
    return sorted(image.TransformIndexToPhysicalPoint(at) for at in index)


def test_physical_positions_are_one_in_both_files_and_in_the_volume(scan, tmp_path):
    path, volume = scan
    labels = np.zeros(volume.hu.shape, np.uint16)
    labels[1, 2:4, 1] = 1
    labels[2, 0, 3:5] = 300
    nifti, nrrd = tmp_path / "lesions.nii.gz", tmp_path / "lesions.seg.nrrd"
    label_volumes.write(volume, labels, {1: "one", 300: "two"}, nifti, nrrd)
    original = sitk.ReadImage(str(path))
    (dz, dy, dx), (x, y, z) = volume.spacing, volume.origin
    for number in (1, 300):
        expected = sorted(
            (x + i * dx, y + j * dy, z + k * dz)
            for k, j, i in np.argwhere(labels == number).tolist()
        )
        for file in (nifti, nrrd):
            image = sitk.ReadImage(str(file))
            assert image.GetPixelID() == sitk.sitkUInt16
            np.testing.assert_allclose(positions(image, number), expected, atol=1e-4)
            assert image.GetSize() == original.GetSize()
            for part in ("GetSpacing", "GetOrigin", "GetDirection"):
                values = [getattr(i, part)() for i in (image, original)]
                np.testing.assert_allclose(*values, atol=1e-5)


def test_the_order_of_the_file_is_that_of_its_own_voxels(scan):
    _, volume = scan
    np.testing.assert_array_equal(in_file(volume.hu, volume), HU)


def test_slices_of_dicom_stay_in_the_order_of_their_normal(tmp_path):
    volume = read_volume(
        scan_files.series(
            tmp_path, HU, ImageOrientationPatient="1\\0\\0\\0\\-1\\0"
        )  # the normal points to the feet
    )
    np.testing.assert_array_equal(in_file(volume.hu, volume), HU[::-1])


def test_the_header_has_the_fields_that_slicer_reads(tmp_path):
    volume = read_volume(scan_files.write(tmp_path / "a.nii.gz", HU))
    labels = np.zeros(HU.shape, np.uint16)
    labels[0, 0, 0] = 2
    label_volumes.write(volume, labels, {2: "Lesion 2"}, None, tmp_path / "s.seg.nrrd")
    assert not (tmp_path / "lesions.nii.gz").exists()
    head = (tmp_path / "s.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    fields = dict(line.split(":=", 1) for line in head.splitlines() if ":=" in line)
    assert fields["Segment0_ID"] == "Lesion_2"
    assert fields["Segment0_Name"] == "Lesion 2"
    assert fields["Segment0_LabelValue"] == "2"
    assert fields["Segment0_Layer"] == "0"
    assert fields["Note"] == "Not a medical device."
    assert fields["Segment0_Extent"] == "0 6 0 5 0 3"
    assert fields["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert "space: left-posterior-superior" in head


def test_neighbours_in_number_have_colours_that_differ():
    for a, b in itertools.pairwise(range(1, 12)):
        one, other = (np.array(label_volumes.colour(k)) for k in (a, b))
        assert np.abs(one - other).max() > 0.3
