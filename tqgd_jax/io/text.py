"""Text files of users: one rule by which all are read.

UTF-8, with or without a byte order mark. Other encodings are refused, because a guess
would give names of classes and files that are not there.
"""

import codecs
import math
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

MAX_BYTES = 64 * 2**20
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def too_large(file: Path, most: int) -> str:
    """Why `file` is refused unread, or nothing."""
    size = file.stat().st_size
    return f"{size} bytes, at most {most} are read" if size > most else ""


def read_text(file: Path, most: int = MAX_BYTES) -> str:
    """The text of a file without its mark. Raises ValueError that names the file."""
    try:
        if why := too_large(file, most):
            raise ValueError(f"{file}: {why}")
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{file}: cannot be read ({error.strerror}); check its name and folder"
        ) from error
    if why := not_utf8(content, csv=file.suffix.lower() == ".csv"):
        raise ValueError(f"{file}: {why}")
    return content.decode("utf-8-sig")


def not_utf8(content: bytes, *, csv: bool = False) -> str:
    """Why a content is not read as text, and the way out; or nothing."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        way = f"save it as {'CSV ' * csv}UTF-8"
        if content[:2] in UTF16:
            return f"not UTF-8 but UTF-16; {way}, or: iconv -f UTF-16 -t UTF-8"
        return f"not UTF-8 at byte {error.start}; {way}"
    return ""


def last_place(numbers: Iterable[float | str]) -> float:
    """The unit of the last decimal that numbers are written with; whole ones: 0.

    A tool rounds to as many decimals everywhere, and some leave zeros at the end away,
    so the number with the most decimals tells: 0.001 of "1.5", "0.125". A whole float is
    a whole number: Python writes 10.0 for the 10 of a file.
    """
    texts = (
        f"{n:.0f}" if isinstance(n, float) and n.is_integer() else str(n)
        for n in numbers
    )
    places = (Decimal(text).as_tuple().exponent for text in texts)
    least = min((p for p in places if isinstance(p, int)), default=0)
    return 10.0**least if least < 0 else 0.0


def is_number(word: str) -> bool:
    """Whether a word is a finite number, with a decimal point."""
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False
