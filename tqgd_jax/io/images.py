"""Reads PNG and JPEG exactly as they are stored.

Pillow refuses truncated files, where SimpleITK fills JPEGs up with grey; but Pillow
cuts 16-bit colour to 8 bits, so those PNGs are SimpleITK's, without the chunk (sBIT) by
which it would divide their values.
"""

import contextlib
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from jaxtyping import UInt

from tqgd_jax.structures.dataset_index import Header

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
UNSUPPORTED = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".dcm", ".jp2")
MAX_PIXELS = 2**26  # of one image, 8192 x 8192; Pillow takes over 1 GiB for more
ORIENTATION = 0x112  # EXIF
# What a chunk with EXIF begins with: its kind, or after that the keyword of a text
EXIF = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
PNG = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # PNG colour types


def read_header(path: Path) -> Header:
    """What the first bytes say. Raises ValueError naming the file."""
    with path.open("rb") as file:
        return _header(path, file)


def _header(path: Path, file: BinaryIO) -> Header:
    head = file.read(33)
    if head[:8] == PNG:
        if len(head) < 33 or head[12:16] != b"IHDR":
            raise ValueError(f"{path}: truncated PNG, its header is incomplete")
        w, h = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
        channels = 1 if head[25] in (GREY, GREY_ALPHA) else 3
        header = Header(h, w, channels, "uint16" if head[24] == 16 else "uint8")
        if head[24] == 16 and head[25] == GREY_ALPHA:
            raise ValueError(f"{path}: 16-bit grey with alpha; save it without alpha")
        starts = [start for start, _, _ in _chunks(path, file)]
        if any(
            start.startswith(EXIF) or start[4:].startswith(EXIF) for start in starts
        ):
            with _opened(path, file, "damaged") as image:
                _upright(path, image.getexif().get(ORIENTATION, 1))
    elif head[:2] == b"\xff\xd8":
        header = _jpeg_header(path, file)
    else:
        raise ValueError(
            f"{path}: neither PNG nor JPEG (it begins with {head[:4]!r}); convert it "
            "to 8- or 16-bit PNG"
        )
    if not 0 < header.height * header.width <= MAX_PIXELS:
        raise ValueError(
            f"{path}: claims {header.width}x{header.height} px; at most {MAX_PIXELS} "
            "pixels are read. Cut it into tiles, or replace a damaged file"
        )
    return header


@contextlib.contextmanager
def _opened(path: Path, file: BinaryIO, fault: str) -> Iterator["Image.Image"]:
    """The image by Pillow, whose errors become a ValueError that names the file."""
    from PIL import Image

    file.seek(0)
    try:
        with Image.open(file) as image:
            yield image
    except (
        *(OSError, SyntaxError, ValueError, MemoryError),  # a chunk may claim 4 GiB
        Image.DecompressionBombError,
    ) as error:
        text = f"{error}".replace(repr(file), repr(f"{path}"))
        raise ValueError(f"{path}: {fault}: {text}") from error


def _jpeg_header(path: Path, file: BinaryIO) -> Header:
    with _opened(path, file, "not a readable JPEG") as image:
        mode, (w, h) = image.mode, image.size
        turned = image.getexif().get(ORIENTATION, 1)
    if mode not in ("L", "RGB"):
        raise ValueError(f"{path}: JPEG of mode {mode}; convert it to grey or RGB")
    _upright(path, turned)
    return Header(h, w, 1 if mode == "L" else 3, "uint8")


def _upright(path: Path, turned: int) -> None:
    if turned not in (0, 1):
        raise ValueError(
            f"{path}: EXIF orientation {turned}: its boxes may mean the image before "
            "or after turning; save it upright without EXIF"
        )


def _chunks(path: Path, file: BinaryIO) -> list[tuple[bytes, int, int]]:
    """How each chunk of a PNG begins, its first byte and length, up to the end.

    What follows the end is no part of the image, as PNG 5.6 has it.
    """
    at, size, chunks = len(PNG), path.stat().st_size, []
    while not chunks or chunks[-1][0][:4] != b"IEND":
        file.seek(at)
        length, start = struct.unpack(">I32s", file.read(36).ljust(36, b"\0"))
        end = at + length + 12
        if end > size:
            raise ValueError(
                f"{path}: truncated PNG, its end is missing; copy it again"
            )
        chunks.append((start, at, length + 12))
        at = end
    return chunks


def read_image(path: Path) -> UInt[np.ndarray, "h w c"]:
    """uint8 or uint16, grey (c=1) or RGB (c=3).

    Palettes become RGB, 1 to 4 bits are spread over 0..255, an alpha channel must be
    fully opaque. Raises ValueError naming the file when it is truncated or damaged.
    """
    with path.open("rb") as file:
        header = _header(path, file)
        file.seek(0)
        head = file.read(33)
        if head[:8] == PNG and head[24] == 16 and head[25] != GREY:
            pixels = _colour_16(path, file)
        else:
            pixels = _pillow(path, file, header)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[2] in (2, 4):
        alpha = pixels[:, :, -1]
        if not (alpha == np.iinfo(alpha.dtype).max).all():
            raise ValueError(
                f"{path}: has transparent pixels, and what is behind them is unknown; "
                "save it without alpha channel"
            )
        pixels = pixels[:, :, :-1]
    if (*pixels.shape, pixels.dtype.name) != tuple(header):
        raise ValueError(
            f"{path}: decodes to {pixels.shape} {pixels.dtype}, but its header says "
            f"{header}"
        )
    return np.ascontiguousarray(pixels)


def _pillow(path: Path, file: BinaryIO, header: Header) -> np.ndarray:
    with _opened(path, file, "truncated or damaged") as image:
        if image.size != (header.width, header.height):  # before memory is taken
            raise ValueError(
                f"two headers: {header.width}x{header.height}, {image.size}"
            )
        clear = "transparency" in image.info
        if image.mode == "P":
            image = image.convert("RGBA" if clear else "RGB")
        elif image.mode == "1":
            image = image.convert("L")
        elif clear and image.mode in ("L", "RGB"):
            image = image.convert("LA" if image.mode == "L" else "RGBA")
        elif clear:
            raise ValueError("has a transparent grey value; save it without")
        return np.asarray(image)


def _colour_16(path: Path, file: BinaryIO) -> np.ndarray:
    """The stored values: with sBIT, SimpleITK would shift them."""
    chunks = _chunks(path, file)
    if not any(start.startswith(b"sBIT") for start, _, _ in chunks):
        return _simpleitk(path, path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "image.png")
        with copy.open("wb") as bare:
            bare.write(PNG)
            for start, at, length in chunks:
                if not start.startswith(b"sBIT"):
                    file.seek(at)
                    bare.write(file.read(length))
        return _simpleitk(path, copy)


def _simpleitk(path: Path, copy: Path) -> np.ndarray:
    import SimpleITK as sitk

    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(copy)))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"{path}: truncated or damaged: {reason}") from error


def same_kind(paths: list[Path], headers: list[Header]) -> None:
    """Raises ValueError when images differ in channels or depth."""
    for path, header in zip(paths, headers, strict=True):
        if header[2:] != headers[0][2:]:
            first = f"{paths[0]} is {_kind(headers[0])}"
            raise ValueError(
                f"one data set, two kinds of image: {first}, {path} is "
                f"{_kind(header)}. Convert all to one kind; no pixel is changed here"
            )


def _kind(header: Header) -> str:
    return f"{'grey' if header.channels == 1 else 'RGB'} {header.dtype}"
