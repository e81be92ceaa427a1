"""Settings of images, scans and boxes (§2.1)."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tqgd_jax.config.checks import at_least, finite, fraction, one_of

IMAGE_FORMATS = ("voc", "yolo", "coco")
CT_FORMATS = ("orcascore", "masks", "dicom")


@dataclass
class Crop:
    """Heart crop of CT scans and of images (§2.1.4, §3.1). docs/design/0010-heart-crop.md.

    Attributes:
      method: "anatomical" (body, lungs, mediastinum; needs no training, and leaves
        images whole), "none", or a csv file with the columns scan, z, x0, y0, x1, y1 or,
        for images, image, x0, y0, x1, y1 (`tqgd hearts` writes
        one with a trained heart detector).
      per: CT: "slice" (the paper) or "volume": one window for a whole scan.
      margin_mm: CT: added to the heart box on every side.
      margin_px: images, which know no mm: the same in px. 20 are 10 mm at the 0.5 mm of
        a cardiac scan.
      widen: whose windows are widened by the labels, so that they cut no labelled box:
        "train" (no label is lost in training; elsewhere a lesion outside the window is
        a missed lesion), "none", or "all": validation and test too, which hides what
        the crop misses and is stamped on every result.
    """

    method: str = "anatomical"
    per: str = "slice"
    margin_mm: float = 10.0
    margin_px: float = 20.0
    widen: str = "train"

    def __post_init__(self) -> None:
        if not self.by_file:
            one_of(
                "data.crop.method (or a csv file)", self.method, ("anatomical", "none")
            )
        one_of("data.crop.per", self.per, ("slice", "volume"))
        one_of("data.crop.widen", self.widen, ("train", "all", "none"))
        at_least("data.crop", self, 0, "margin_mm", "margin_px")

    @property
    def by_file(self) -> bool:
        """Whether a csv says where the hearts are."""
        return self.method.endswith(".csv")


@dataclass
class Data:
    """Images or CT scans, and boxes. docs/data.md tells how to get and prepare each.

    Attributes:
      dir: folder of the data set, or a packed `.npz` made by `tqgd pack`.
      format: "auto"; of images: "voc" (LabelImg XML), "yolo" (txt) or "coco" (json); of
        CT: "orcascore" (the challenge's layout), "masks" (volumes and label volumes) or
        "dicom" (DICOM series, VOC XML named by SOPInstanceUID).
      classes: names in the order of their index; empty means those found (VOC, COCO,
        classes.txt), sorted for VOC and COCO, by index for YOLO, and one class "calcium"
        for masks. ("LAD", "LCX", "RCA") tells the arteries of an orCaScore mask apart.
      split: "auto" (split.csv, ImageSets/Main, train/val/test folders, else "folds" for
        CT and "ratio" for images), a csv file with columns image and split, "ratio"
        (seeded, by patient), "folds" (`folds` and `fold`; by patient, balanced, seeded),
        or a json manifest of `tqgd folds`.
      folds: number of folds for split="folds"; a manifest says it itself.
      fold: the one that is the test part, counted from 1; the paper's 4:1 is fold 1 of 5.
      group: csv column or regular expression (first group matched against the file
        name) that gives the patient of an image or scan; empty means a csv column
        "group" if there is one, else what the format says of patients, else every image
        or scan its own.
      ratio: shares of train, val and test for split="ratio".
      hold_out: share of the training patients held back for validation when the split
        has no val part; 0 trains on all of them, and no threshold can be chosen.
      scan_pattern, mask_pattern: CT: regular expressions for file names without suffix;
        a scan and a mask belong together when their first groups agree, in any case.
        Empty means those of the format (`data/discover/scan_folder.py`).
      boxes: CT: csv file with the columns scan, z, x0, y0, x1, y1 and, for several
        classes, class; instead of masks or XML.
      lesion_hu: CT: mask voxels at or below are no lesion (§2.1.2).
      slices: "all", or "positive": of CT those with a box only, of images those of the
        training part (the paper; `configs/tqgdnet.py`). eval.py judges all, but of a
        packed set what was packed.
      backgrounds: training images without a box for each with one, drawn anew in each
        epoch, which is shorter then; 0 means all of them in each epoch.
      neighbours: CT: slices on either side that become channels; 1 gives z-1, z, z+1.
      neighbour_mm: CT: distance between these channels; the nearest slice is taken. 0
        means the next slice, whatever its distance.
      crop: to the heart.
      image_size: side of the square network input, px; a multiple of 32.
      batch_size: images per step over all devices.
      placement: "resident" (the whole set lies on the device; "stream" when it exceeds
        `resident_mib`) or "stream" (tf.data, any size). Both train the same bits.
      resident_mib: most MiB that a resident set may take; 0 means half of the memory
        that the device has.
      bad_labels: "error", "clip" (to the image, then drop what is empty) or "drop".
        Unreadable files and boxes made for another image size are errors always.
      window: values shown as 0 and 1; (0, 0) means the full range of unsigned images
        and `hu_window` for signed ones.
      hu_window: Hounsfield units (§2.1.4).
      pad_value: grey value (of 255) around images; YOLOv5's 114 is +141 HU in the
        paper's window. docs/design/0005-pad-value.md.
      prepared_dir: where prepared sets are kept; empty means $TQGD_CACHE, else
        ~/.cache/tqgd_jax.
      prefetch: batches that tf.data prepares ahead.
    """

    dir: str = ""
    format: str = "auto"
    classes: tuple[str, ...] = ()
    split: str = "auto"
    folds: int = 5
    fold: int = 1
    group: str = ""
    ratio: tuple[float, ...] = (0.7, 0.1, 0.2)
    hold_out: float = 0.0
    scan_pattern: str = ""
    mask_pattern: str = ""
    boxes: str = ""
    lesion_hu: float = 130.0
    slices: str = "all"
    backgrounds: float = 0.0
    neighbours: int = 0
    neighbour_mm: float = 0.0
    crop: Crop = field(default_factory=Crop)
    image_size: int = 640
    batch_size: int = 4
    placement: str = "resident"
    resident_mib: int = 0
    bad_labels: str = "error"
    window: tuple[float, ...] = (0.0, 0.0)
    hu_window: tuple[float, ...] = (-1200.0, 1800.0)
    pad_value: float = 114.0
    prepared_dir: str = ""
    prefetch: int = 4

    def __post_init__(self) -> None:
        one_of("data.format", self.format, ("auto", *IMAGE_FORMATS, *CT_FORMATS))
        one_of("data.placement", self.placement, ("stream", "resident"))
        one_of("data.bad_labels", self.bad_labels, ("error", "clip", "drop"))
        one_of("data.slices", self.slices, ("all", "positive"))
        if self.image_size < 32 or self.image_size % 32:
            raise ValueError(
                f"data.image_size must be a multiple of 32 (the coarsest stride), got "
                f"{self.image_size}; nearest: {max(32, round(self.image_size / 32) * 32)}"
            )
        at_least("data", self, 2, "folds")
        at_least("data", self, 1, "batch_size", "prefetch", "fold")
        at_least("data", self, 0, "resident_mib", "neighbours", "neighbour_mm")
        at_least("data", self, 0, "backgrounds")
        if self.backgrounds and self.slices == "positive":
            raise ValueError(
                f"data.backgrounds={self.backgrounds:g} does nothing with data.slices="
                "'positive', which trains on no image without a box; leave one out"
            )
        if self.fold > self.folds and not self.split.endswith(".json"):
            raise ValueError(
                f"data.fold must be 1 to data.folds={self.folds}, got {self.fold}"
            )
        finite("data", self, "lesion_hu", "pad_value", "window", "hu_window")
        for name in ("window", "hu_window"):
            window = getattr(self, name)
            empty = name == "window" and tuple(window) == (0, 0)
            if len(window) != 2 or not (window[0] < window[1] or empty):
                raise ValueError(f"data.{name} must increase, got {window}")
        sound = len(self.ratio) == 3 and min(self.ratio) >= 0
        if not (sound and abs(sum(self.ratio) - 1) <= 1e-6):
            raise ValueError(
                f"data.ratio must be three shares with sum 1, got {self.ratio}"
            )
        fraction("data", self, "hold_out", below_1=True)

    @property
    def channels(self) -> int:
        """Slices of a scan that one image holds."""
        return 2 * self.neighbours + 1

    def window_of(self, dtype: Any) -> tuple[float, float]:
        """The values of a stored image of that type that are shown as 0 and 1."""
        if any(self.window):
            return self.window[0], self.window[1]
        if np.issubdtype(dtype, np.signedinteger):
            return self.hu_window[0], self.hu_window[1]
        return 0.0, float(np.iinfo(dtype).max)
