"""Pixels of judged images from a folder of PNG or JPEG, or of CT scans.

For the gallery and the calcium score of results that came without their data set. A
file is taken only when its name leaves no doubt.
"""

import functools
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int16, Shaped

from tqgd_jax.config import Data
from tqgd_jax.data.discover import scan_folder
from tqgd_jax.evaluation.calcium.boxes import Crop
from tqgd_jax.io import images, volumes, walk
from tqgd_jax.overlap import beyond
from tqgd_jax.structures.image import Image, Place

logger = logging.getLogger("tqgd_jax")

LISTED = 5  # names in a message


class Pixels:
    """Pixels by index of the image: `pixels(i)` is [h, w, c], or None without a file.

    Values are those of the file: grey or RGB, or HU (c=1) cropped to `Place.crop`.

    Attributes:
      missing: names of the images without a file.
    """

    def __init__(
        self,
        judged: Sequence[Image],
        sizes: Sequence[tuple[int, int]],
        files: Sequence[Path | None],
        scans: dict[str, scan_folder.ScanFiles],
    ):
        """Files by image; scans by name are for images without a file."""
        self._judged, self._sizes, self._files = judged, sizes, files
        self._scans = scans
        # Slices of a scan come one after the other.
        self._volume = functools.lru_cache(maxsize=1)(volumes.read_volume)
        self.missing = tuple(
            image.name
            for image, file in zip(judged, files, strict=True)
            if file is None and self._scan(image.place) is None
        )

    def __call__(self, i: int) -> Shaped[np.ndarray, "h w c"] | None:
        """Raises ValueError when a file is damaged, or is not what was judged."""
        image, file = self._judged[i], self._files[i]
        scan = self._scan(image.place)
        if file is not None:
            path, pixels = file, images.read_image(file)
            if image.place.crop:
                x0, y0, x1, y1 = image.place.crop  # of the whole image
                if pixels.shape[:2] != (y1 - y0, x1 - x0):
                    pixels = pixels[y0:y1, x0:x1]
        elif scan is not None:
            path, pixels = scan.path, self._slice(scan, image.place)
        else:
            return None
        if self._sizes and pixels.shape[:2] != tuple(self._sizes[i]):
            h, w = self._sizes[i]
            raise ValueError(
                f"{path}: {image.name} has {pixels.shape[1]}x{pixels.shape[0]} px here "
                f"and {w}x{h} px in the ground truth; its boxes would be drawn in wrong "
                "places. Take the images that were judged, or correct width and height"
            )
        return pixels

    def beyond(self, i: int) -> list[tuple[Crop, Int16[np.ndarray, "_ _"]]]:
        """HU of the labelled boxes that the crop cuts or leaves out.

        Each with its place in the whole slice, px. Raises LookupError without the scan.
        """
        place = self._judged[i].place
        counting = self._judged[i].boxes[self._judged[i].counting]
        x0, y0, x1, y1 = place.crop or (0, 0, 0, 0)
        lost = np.logical_or(*beyond(counting, (0, 0, x1 - x0, y1 - y0)))
        if not place.crop or not lost.any():
            return []
        if (scan := self._scan(place)) is None:
            raise LookupError(f"{self._judged[i].name}: its scan is not there")
        whole = self._whole(scan, place)
        size = whole.shape[::-1] * 2
        pieces = []
        for box in (counting[lost] + [x0, y0, x0, y0]).tolist():
            edges = [*map(math.floor, box[:2]), *map(math.ceil, box[2:])]
            a, b, c, d = np.clip(edges, 0, size).tolist()
            pieces.append(((a, b, c, d), whole[b:d, a:c]))
        return pieces

    def _scan(self, place: Place) -> scan_folder.ScanFiles | None:
        known = place.scan and place.z is not None
        return self._scans.get(place.scan) if known else None

    def _whole(
        self, scan: scan_folder.ScanFiles, place: Place
    ) -> Int16[np.ndarray, "h w"]:
        hu = self._volume(scan.path, series=scan.series).hu
        depth, height, width = hu.shape
        x0, y0, x1, y1 = place.crop or (0, 0, width, height)
        assert place.z is not None
        inside = 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        if not (0 <= place.z < depth and inside):
            raise ValueError(
                f"{scan.path}: has {depth} slices of {width}x{height} px, and the "
                f"ground truth speaks of slice {place.z}, px {x0},{y0} to {x1},{y1}; "
                "give the folder of the scans that were judged"
            )
        return hu[place.z]

    def _slice(self, scan: scan_folder.ScanFiles, place: Place) -> np.ndarray:
        whole = self._whole(scan, place)
        x0, y0, x1, y1 = place.crop or (0, 0, *whole.shape[::-1])
        return whole[y0:y1, x0:x1, None]


def hounsfield(
    pixels: Callable[[int], np.ndarray | None] | None, k: int
) -> Int16[np.ndarray, "h w"] | None:
    """HU of image k, of neighbouring slices the middle one; None where there are none."""
    values = None if pixels is None else pixels(k)
    if values is None or values.dtype != np.int16:
        return None
    return values if values.ndim == 2 else values[:, :, values.shape[2] // 2]


def from_folder(
    root: Path, judged: Sequence[Image], sizes: Sequence[tuple[int, int]] = ()
) -> Pixels:
    """Finds the file of each image, reads none.

    A PNG or JPEG whose path below `root`, with or without suffix, or whose name alone
    is the image's; else slice `z` of the scan called `scan`, named like its file or
    DICOM folder.

    Args:
      root: folder, looked through with the folders in it.
      judged: images with names and places.
      sizes: (height, width) of each, px; a file of another size is refused.

    Raises:
      ValueError: when the folder holds no file of any image.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; give the one of images or scans")
    every = walk.files(root)
    pictures = [f for f in every if f.suffix.lower() in images.SUFFIXES]
    files = _files_of(root, pictures, [image.name for image in judged])
    scans = _scans(root, every) if None in files else {}
    pixels = Pixels(judged, sizes, files, scans)
    if judged and len(pixels.missing) == len(judged):
        volume = sum(map(volumes.is_volume, every))
        raise ValueError(
            f"{root}: none of the {len(judged)} images is here, such as "
            f"{', '.join(map(repr, pixels.missing[:LISTED]))}. There are {len(pictures)} "
            f"PNG or JPEG and {volume} volumes: a picture is found by its name, a slice "
            "by 'scan' and 'z' in the ground truth"
        )
    if pixels.missing:
        logger.warning(
            "%s: no pixels of %d of %d images, such as %s",
            root,
            len(pixels.missing),
            len(judged),
            ", ".join(pixels.missing[:LISTED]),
        )
    return pixels


def _files_of(
    root: Path, files: Sequence[Path], names: Sequence[str]
) -> list[Path | None]:
    """The file of each name: by its path below `root`, else by its name alone.

    Suffixes may be left out. None when no file fits, or several do.
    """
    by_path: dict[str, list[Path]] = defaultdict(list)
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        inside = file.relative_to(root)
        for table, path in ((by_path, inside), (by_name, Path(inside.name))):
            table[path.as_posix()].append(file)
            table[path.with_suffix("").as_posix()].append(file)

    def find(name: str) -> Path | None:
        wanted = Path(name.replace("\\", "/"))
        # "a.tif" may be "a.png" here; "a.2" is a name without suffix
        known = wanted.suffix.lower() in (*images.SUFFIXES, *images.UNSUPPORTED)
        for path in (wanted, wanted.with_suffix("")) if known else (wanted,):
            fits = by_path.get(path.as_posix()) or by_name.get(path.name, [])
            if len(fits) == 1:
                return fits[0]
        return None

    return [find(name) for name in names]


def _scans(root: Path, every: Sequence[Path]) -> dict[str, scan_folder.ScanFiles]:
    """Scans by name: as `data.discover` calls them, else by the name of their file."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for file in every:
        if volumes.is_volume(file):
            by_stem[scan_folder.stem(file)].append(file)
    # a scan and its mask may have one name, and every patient's file may be "ct"
    scans = {
        name: scan_folder.ScanFiles(name, name, files[0])
        for name, files in by_stem.items()
        if len(files) == 1
    }
    if by_stem or any(f.suffix.lower() not in scan_folder.NO_DICOM for f in every):
        format = "auto" if by_stem else "dicom"
        try:
            folder = scan_folder.find(Data(dir=str(root), format=format), masks=False)
        except ValueError as error:
            logger.warning("%s", error)  # names of files may do
        else:
            scans |= {s.name: s for s in folder.scans} if folder else {}
    return scans
