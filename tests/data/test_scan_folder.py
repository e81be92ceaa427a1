"""Scans and masks are found as users have them on disk."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.ct_sets import LAD, config, orcascore, patient, scan, write
from tests.image_sets import small
from tqgd_jax.data.discover.scan_folder import find


def folder_of(root: Path, **data: object):
    cohort = find(config(root, **data).data)
    assert cohort is not None
    return cohort


def pairs(root: Path, **data: object) -> dict[str, str]:
    return {
        s.path.name: s.mask.name if s.mask else ""
        for s in folder_of(root, **data).scans
    }


def test_the_layout_of_the_challenge(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    cohort = folder_of(root)
    assert cohort.format == "orcascore"
    assert [(s.name, s.key, s.scanner) for s in cohort.scans] == [
        ("TRV1P1CTI", "TRV1P1", "TRV1"),
        ("TRV2P2CTI", "TRV2P2", "TRV2"),
    ]
    assert pairs(root) == {
        "TRV1P1CTI.mhd": "TRV1P1R.mhd",
        "TRV2P2CTI.mhd": "TRV2P2R.mhd",
    }


@pytest.mark.parametrize(
    "folders",
    [
        ("Data/Training_set/Images", "Data/Training_set/Reference_standard"),
        ("Training_Set/Images", "Training_Set/Reference standard"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("lower", [False, True])
def test_other_layouts_of_the_same_files(tmp_path, folders, lower):
    root = tmp_path / "set"
    hu, mask = scan([LAD])
    names = [n.lower() if lower else n for n in ("TRV1P1CTI", "TRV1P1R", "TRV1P1CTAI")]
    write(root / folders[0] / f"{names[0]}.mhd", hu)
    write(root / folders[1] / f"{names[1]}.mhd", mask)
    write(root / folders[0] / f"{names[2]}.mhd", hu)  # contrast: ignored
    assert folder_of(root).format == "orcascore"
    assert pairs(root) == {f"{names[0]}.mhd": f"{names[1]}.mhd"}
    assert folder_of(root).scans[0].key == "TRV1P1"


@pytest.mark.parametrize(
    ("gone", "file", "kind"),
    [
        ("Reference standard/TRV1P1R.mhd", "TRV1P1CTI.mhd", "no_mask"),
        ("Images/TRV1P1CTI.mhd", "TRV1P1R.mhd", "missing_image"),
    ],
)
def test_half_a_pair_is_a_problem_and_left_out(tmp_path, gone, file, kind):
    root = orcascore(tmp_path / "set", 2)
    (root / "Training Set" / gone).unlink()
    cohort = folder_of(root)
    assert [s.name for s in cohort.scans] == ["TRV2P2CTI"]
    assert [(p.file.name, p.kind) for p in cohort.problems] == [(file, kind)]


def test_scans_alone_need_no_mask(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    (root / "Training Set" / "Reference standard" / "TRV1P1R.mhd").unlink()
    everything = find(config(root).data, masks=False)
    assert everything is not None
    assert everything.scans[0].mask is None
    assert everything.problems == ()


def test_a_name_twice_is_refused(tmp_path):
    root = orcascore(tmp_path / "set", 2)
    shutil.copytree(root / "Training Set", root / "copy")
    with pytest.raises(
        ValueError,
        match=r"two scans of 'TRV1P1': .*Training Set.*copy|copy.*Training Set",
    ):
        folder_of(root)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a{}", "masks/a{}"),
        ("imagesTr/a_0000{}", "labelsTr/a{}"),
        ("a{}", "a_mask{}"),
        ("case/a_ct{}", "case/a-seg{}"),
    ],
)
def test_volumes_and_masks(tmp_path, image, mask, suffix):
    root = tmp_path / "set"
    hu, label = scan([LAD])
    write(root / image.format(suffix), hu)
    write(root / mask.format(suffix), label)
    cohort = folder_of(root)
    assert cohort.format == "masks"
    assert pairs(root) == {
        Path(image.format(suffix)).name: Path(mask.format(suffix)).name
    }
    assert cohort.scans[0].key == "A"


def test_patterns_are_settings(tmp_path):
    root = tmp_path / "set"
    hu, label = scan([LAD])
    write(root / "p7_native.nii.gz", hu)
    write(root / "p7_truth.nii.gz", label)
    write(root / "p7_contrast.nii.gz", hu)
    patterns = {"scan_pattern": r"p(\d+)_native", "mask_pattern": r"p(\d+)_truth"}
    assert pairs(root, **patterns) == {"p7_native.nii.gz": "p7_truth.nii.gz"}
    with pytest.raises(ValueError, match=r"data\.scan_pattern.*no regular expression"):
        folder_of(root, scan_pattern="(")
    with pytest.raises(ValueError, match="no group in parentheses"):
        folder_of(root, scan_pattern="p7_native")
    with pytest.raises(ValueError, match="no file name fits a scan"):
        folder_of(root, format="orcascore")


def test_folders_of_images_are_not_ct(tmp_path):
    assert find(config(small(tmp_path / "set")).data) is None
    assert find(config(tmp_path / "nowhere").data) is None


def test_dicom_is_found_by_its_content(tmp_path):
    from tests.scan_files import series

    root = tmp_path / "set"
    hu, _ = scan([LAD])
    series(root / "one", hu)
    cohort = folder_of(root)
    assert cohort.format == "dicom"
    assert [s.name for s in cohort.scans] == ["one"]
    assert cohort.scans[0].series


def test_patients_with_one_name_apart_by_case_are_one(tmp_path):
    root = tmp_path / "set"
    patient(root, "TRV1P1", [LAD])
    hu, _ = scan([])
    write(root / "trv1p1cti.mhd", np.asarray(hu))
    with pytest.raises(ValueError, match="two scans of"):
        folder_of(root)


def test_a_mask_pattern_alone_leaves_the_usual_scans(tmp_path):
    root = tmp_path / "set"
    hu, label = scan([LAD])
    write(root / "p1.nii.gz", hu)
    write(root / "p1_lesions.nii.gz", label)
    got = pairs(root, mask_pattern=r"(.+)_lesions")
    assert got == {"p1.nii.gz": "p1_lesions.nii.gz"}


def test_a_folder_for_each_patient(tmp_path):
    root = tmp_path / "set"
    hu, label = scan([LAD])
    for name in ("pat1", "pat2"):
        write(root / name / "ct.nii.gz", hu)
        write(root / name / "mask.nii.gz", label)
    assert [(s.name, s.key) for s in folder_of(root).scans] == [
        ("PAT1", "PAT1"),
        ("PAT2", "PAT2"),
    ]
    write(root / "pat1" / "second.nii.gz", hu)
    with pytest.raises(ValueError, match=r"two scans of 'PAT1'.*second\.nii\.gz"):
        folder_of(root)


def test_dicom_beside_a_picture_must_be_told_apart(tmp_path):
    from tests.image_sets import picture
    from tests.scan_files import series

    root = tmp_path / "set"
    hu, _ = scan([LAD])
    series(root / "one", hu)
    picture(root / "preview.png")
    with pytest.raises(ValueError, match=r"DICOM files and images .*preview\.png"):
        folder_of(root)
    assert folder_of(root, format="dicom").format == "dicom"


def test_a_linked_folder_is_followed_once(tmp_path):
    root = orcascore(tmp_path / "real", 2)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "set").symlink_to(root, target_is_directory=True)
    (root / "back").symlink_to(linked, target_is_directory=True)
    assert len(folder_of(linked).scans) == 2
