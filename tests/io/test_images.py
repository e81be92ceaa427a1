"""Pixels arrive exactly as they are stored, or an error names the file."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tqgd_jax.io.images import PNG, read_header, read_image, same_kind


def png(path: Path, rows: np.ndarray, depth: int, colour: int, *extra: bytes) -> Path:
    """Writes a PNG chunk by chunk, so no library decides what it means."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    h, w = rows.shape[:2]
    if depth < 8:
        w = rows.shape[1] * 8 // depth
    lines = b"".join(b"\0" + np.ascontiguousarray(row).tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0)
    body = [chunk(e[:4], e[4:]) for e in extra]
    parts = [chunk(b"IHDR", head), *body, chunk(b"IDAT", zlib.compress(lines))]
    path.write_bytes(PNG + b"".join(parts) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize(("colour", "c"), [(0, 1), (2, 3)])
@pytest.mark.parametrize("dtype", ["u1", ">u2"])
def test_grey_and_rgb_of_both_depths_are_exact(tmp_path, colour, c, dtype):
    size = np.dtype(dtype).itemsize
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256**size, (5, 7, c)).astype(dtype)
    path = png(tmp_path / "x.png", rows, 8 * size, colour)
    read = read_image(path)
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    assert read.shape == (5, 7, c)
    assert np.array_equal(read, rows)
    assert read_header(path) == (5, 7, c, read.dtype.name)


def test_one_bit_and_four_bit_grey_are_spread_over_the_range(tmp_path):
    bits = png(tmp_path / "1.png", np.array([[0b10100000]], np.uint8), 1, 0)
    assert read_image(bits)[0, :, 0].tolist() == [255, 0, 255, 0, 0, 0, 0, 0]
    nibbles = png(tmp_path / "4.png", np.array([[0x0F, 0x51]], np.uint8), 4, 0)
    assert read_image(nibbles)[0, :, 0].tolist() == [0, 255, 85, 17]


def test_a_palette_becomes_rgb(tmp_path):
    palette = b"PLTE" + bytes([1, 2, 3, 250, 251, 252])
    path = png(tmp_path / "p.png", np.array([[1, 0]], np.uint8), 8, 3, palette)
    assert read_image(path).tolist() == [[[250, 251, 252], [1, 2, 3]]]


@pytest.mark.parametrize(
    ("depth", "dtype", "colour", "c"),
    [(8, "u1", 4, 2), (8, "u1", 6, 4), (16, ">u2", 6, 4)],
)
def test_alpha_is_dropped_only_where_it_says_nothing(tmp_path, depth, dtype, colour, c):
    rows = np.full((2, 3, c), 9, dtype)
    rows[..., -1] = 2**depth - 1
    opaque = png(tmp_path / "o.png", rows, depth, colour)
    assert read_image(opaque).tolist() == np.full((2, 3, c - 1), 9).tolist()
    rows[1, 1, -1] -= 1
    clear = png(tmp_path / "c.png", rows, depth, colour)
    with pytest.raises(ValueError, match=r"c\.png: has transparent pixels"):
        read_image(clear)


def test_16_bit_grey_with_alpha_or_a_transparent_value_is_refused(tmp_path):
    rows = np.full((2, 3, 2), 9, ">u2")
    with pytest.raises(ValueError, match=r"a\.png: 16-bit grey with alpha"):
        read_image(png(tmp_path / "a.png", rows, 16, 4))
    clear = png(tmp_path / "t.png", rows[..., :1], 16, 0, b"tRNS" + bytes([0, 9]))
    with pytest.raises(ValueError, match=r"t\.png: .*transparent grey value"):
        read_image(clear)


def test_a_transparent_palette_is_refused(tmp_path):
    chunks = b"PLTE" + bytes(6), b"tRNS" + bytes([0])
    path = png(tmp_path / "p.png", np.array([[1, 0]], np.uint8), 8, 3, *chunks)
    with pytest.raises(ValueError, match="transparent"):
        read_image(path)


def test_jpeg_keeps_its_channels(tmp_path):
    Image.new("L", (6, 4), 100).save(tmp_path / "g.jpg")
    Image.new("RGB", (6, 4), (200, 100, 50)).save(tmp_path / "c.jpg", quality=95)
    grey, colour = read_image(tmp_path / "g.jpg"), read_image(tmp_path / "c.jpg")
    assert (grey == 100).all()
    assert grey.shape == (4, 6, 1)
    assert np.abs(colour.astype(int) - [[[200, 100, 50]]]).max() <= 3


def noise(path: Path) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(tmp_path, name, share):
    path = noise(tmp_path / name)
    whole = path.read_bytes()
    read_image(path)
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        read_image(path)


def test_a_png_without_its_end_is_refused_though_its_pixels_are_there(tmp_path):
    path = noise(tmp_path / "x.png")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"x\.png: truncated PNG, its end is missing"):
        read_image(path)


def test_a_truncated_16_bit_colour_png_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2**16, (40, 40, 3)).astype(">u2")
    path = png(tmp_path / "deep.png", rows, 16, 2)
    whole = path.read_bytes()
    for cut in (len(whole) // 2, len(whole) - 12):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"deep\.png: truncated"):
            read_image(path)


def test_a_flipped_bit_in_a_png_is_refused(tmp_path):
    path = noise(tmp_path / "x.png")
    spoilt = bytearray(path.read_bytes())
    spoilt[2000] ^= 1
    path.write_bytes(spoilt)
    with pytest.raises(ValueError, match=r"x\.png: truncated or damaged"):
        read_image(path)


def test_what_is_no_image_is_refused(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"GIF89a" + bytes(100))
    with pytest.raises(ValueError, match="neither PNG nor JPEG"):
        read_image(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="neither PNG nor JPEG"):
        read_image(path)


def test_a_header_that_claims_a_huge_image_is_refused_before_reading(tmp_path):
    path = png(tmp_path / "bomb.png", np.zeros((1, 1), np.uint8), 8, 0)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="claims 100000x100000 px"):
        read_image(path)


def test_cmyk_and_turned_jpegs_are_refused(tmp_path):
    Image.new("CMYK", (6, 4)).save(tmp_path / "k.jpg")
    with pytest.raises(ValueError, match="mode CMYK"):
        read_image(tmp_path / "k.jpg")
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("L", (6, 4)).save(tmp_path / "t.jpg", exif=exif)
    with pytest.raises(ValueError, match="EXIF orientation 6"):
        read_image(tmp_path / "t.jpg")


def test_one_set_has_one_kind_of_image(tmp_path):
    Image.new("L", (6, 4)).save(tmp_path / "g.png")
    Image.new("RGB", (6, 4)).save(tmp_path / "c.png")
    paths = [tmp_path / "g.png", tmp_path / "c.png"]
    with pytest.raises(
        ValueError, match=r"g\.png is grey uint8, .*c\.png is RGB uint8"
    ):
        same_kind(paths, [read_header(p) for p in paths])


@pytest.mark.parametrize(("colour", "c"), [(0, 1), (2, 3)])
def test_significant_bits_change_no_stored_value(tmp_path, colour, c):
    # PNG 11.3.3.4: sBIT says how many bits are meant; the samples stay as they are
    rows = (np.arange(35 * c).reshape(5, 7, c) * 600).astype(">u2")
    path = png(tmp_path / "x.png", rows, 16, colour, b"sBIT" + bytes([12] * c))
    assert np.array_equal(read_image(path), rows)


def test_what_follows_the_end_of_a_png_is_no_part_of_it(tmp_path):
    rows = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)
    path = png(tmp_path / "x.png", rows, 8, 0)
    path.write_bytes(path.read_bytes() + bytes(4096))
    assert np.array_equal(read_image(path), rows)


def exif(turned: int) -> bytes:
    """One entry, Orientation, of one short; TIFF 6.0."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, turned, 0, 0)


def test_orientation_in_a_png_is_refused_as_in_a_jpeg(tmp_path):
    rows = np.zeros((5, 7), np.uint8)
    hexed = exif(6).hex()
    old = b"tEXtRaw profile type exif\0\nexif\n%8d\n" % len(exif(6)) + hexed.encode()
    for extra in (b"eXIf" + exif(6), old):
        path = png(tmp_path / "x.png", rows, 8, 0, extra)
        with pytest.raises(ValueError, match=r"x\.png: EXIF orientation 6"):
            read_header(path)
    upright = png(tmp_path / "y.png", rows, 8, 0, b"eXIf" + exif(1), b"tEXtA\0b")
    assert read_header(upright) == (5, 7, 1, "uint8")
