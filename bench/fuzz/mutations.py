"""Small damage to a file, drawn from a generator: the same seed gives the same bytes."""

import gzip
import re
import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np

Mutation = Callable[[np.random.Generator, bytes], bytes]
NUMBERS = (
    *(b"0", b"-1", b"1", b"2", b"3", b"-0.0", b"0.5", b"1e-320", b"1e308", b"1e999"),
    *(b"nan", b"NaN", b"inf", b"-inf", b"255", b"256", b"65535", b"65536", b"32768"),
    *(b"2147483647", b"2147483648", b"-2147483648", b"4294967295", b"4294967296"),
    *(b"9223372036854775807", b"18446744073709551616", b"9" * 40, b"0x10", b"1_0"),
    *(b"", b" ", b"1,5", b"1 1", b"\xd9\xa3", b"\xc2\xb2", b"true", b"null", b'"1"'),
)  # fmt: skip
WORDS = (
    *(b"\0", b"\n", b"\r", b"\r\n", b"\t", b" ", b'"', b"'", b",", b";", b":", b"="),
    *(b"{", b"}", b"[", b"]", b"<", b">", b"/", b"\\", b"#", b"%d", b"\xff", b"\xfe"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"\xc3\xbc", b"&#0;"),
    *(b"../secret.raw", b"../secret.mhd", b"LIST", b"LISTE", b"LOCAL", b"secret.raw"),
    *(b"/etc/passwd", b"file:///etc/passwd", b"%s%s%s", b"$(id)", b"\\\\host\\share"),
)  # fmt: skip
INTEGERS = [0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24]
INTEGERS += [2**31 - 1, 2**31, 2**32 - 1, 2**32 - 2, 352, 348]
LARGEST = 64 * 1024  # bytes of a mutated file


def mutated(rng: np.random.Generator, data: bytes, others: Sequence[bytes]) -> bytes:
    """`data` with one to four changes.

    Args:
      rng: draws them.
      data: a whole file.
      others: whole files of the same reader, to take parts of.
    """
    for _ in range(int(rng.integers(1, 5))):
        change = KINDS[int(rng.integers(len(KINDS)))]
        if change is _spliced:
            data = _spliced(rng, data, others[int(rng.integers(len(others)))])
        else:
            data = change(rng, data)
        data = data[:LARGEST]
    return data


def resealed_png(rng: np.random.Generator, data: bytes) -> bytes:
    """Often with the checksums of its chunks made right, so that decoders read on."""
    if rng.random() < 0.3:
        return data
    at, made = 8, data[:8]
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + size]
        if at + 12 + size > len(data):
            break
        made += struct.pack(">I", size) + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return made + data[at:]


def within_gzip(rng: np.random.Generator, data: bytes) -> bytes:
    """Packs what was mutated unpacked; now and then the packed bytes are damaged too."""
    packed = gzip.compress(data, 1, mtime=0)
    return _bytes(rng, packed) if rng.random() < 0.2 else packed


def _at(rng: np.random.Generator, data: bytes) -> int:
    """A place; mostly near the beginning, where headers are."""
    most = len(data) if rng.random() < 0.4 else min(len(data), 512)
    return int(rng.integers(most + 1))


def _bits(rng: np.random.Generator, data: bytes) -> bytes:
    if not data:
        return data
    made = bytearray(data)
    made[min(_at(rng, data), len(data) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(made)


def _bytes(rng: np.random.Generator, data: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] + rng.bytes(int(rng.integers(1, 5))) + data[at + 1 :]


def _integer(rng: np.random.Generator, data: bytes) -> bytes:
    """A binary number, 1 to 8 bytes, of either byte order."""
    at, size = _at(rng, data), int(2 ** rng.integers(4))
    value = INTEGERS[int(rng.integers(len(INTEGERS)))] * int(rng.choice([1, -1]))
    order = "little" if rng.random() < 0.7 else "big"
    raw = (value % 2 ** (8 * size)).to_bytes(size, order)
    return data[:at] + raw + data[at + size :]


def _number(rng: np.random.Generator, data: bytes) -> bytes:
    """A number in letters takes the place of one."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data[: 4 * 1024]))
    if not found:
        return _word(rng, data)
    old = found[int(rng.integers(len(found)))]
    new = NUMBERS[int(rng.integers(len(NUMBERS)))]
    return data[: old.start()] + new + data[old.end() :]


def _word(rng: np.random.Generator, data: bytes) -> bytes:
    """A word is put in, or takes the place of one."""
    new = WORDS[int(rng.integers(len(WORDS)))]
    found = list(re.finditer(rb"[A-Za-z_.]{2,}", data[: 4 * 1024]))
    if not found or rng.random() < 0.4:
        at = _at(rng, data)
        return data[:at] + new + data[at:]
    old = found[int(rng.integers(len(found)))]
    if rng.random() < 0.3:  # a word of the file itself, such as another field's name
        new = found[int(rng.integers(len(found)))].group()
    return data[: old.start()] + new + data[old.end() :]


def _cut(rng: np.random.Generator, data: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] if rng.random() < 0.3 else data[:at] + data[at + _some(rng) :]


def _again(rng: np.random.Generator, data: bytes) -> bytes:
    """A part, or a line, stands there twice, or many times."""
    at, count = _at(rng, data), int(rng.choice([1, 1, 1, 50, 3000]))
    if rng.random() < 0.5 and (end := data.find(b"\n", at)) >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        part = data[start:end]
        return data[:end] + b"\n" + (part * min(count, _fits(part))) + data[end:]
    part = data[at : at + _some(rng)]
    return data[:at] + part * min(count, _fits(part)) + data[at:]


def _spliced(rng: np.random.Generator, data: bytes, other: bytes = b"") -> bytes:
    return data[: _at(rng, data)] + other[_at(rng, other) :]


def _fits(part: bytes) -> int:
    return LARGEST // max(1, len(part))


def _some(rng: np.random.Generator) -> int:
    """How many bytes: mostly few."""
    return int(2 ** rng.uniform(0, 7))


KINDS = [_bits, _bytes, _integer, _integer, _number, _number, _number, _word, _word]
KINDS += [_cut, _again, _spliced]
