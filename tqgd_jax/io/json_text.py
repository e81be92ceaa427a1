"""Json files: text by `text`, and errors that name file and position."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqgd_jax.io.text import read_text

MAX_BYTES = 2**30  # COCO's own largest file is 448 MB
LARGEST = 2**53  # whole number that float64 holds too


def load(path: Path, parse: Callable[[str], Any] = json.loads) -> Any:
    """What a json file holds. Raises ValueError naming file and position."""
    text = read_text(path, MAX_BYTES)
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        cut = not text[error.pos :].strip() or error.msg.startswith("Unterminated")
        end = ", and the file ends" if cut else ""
        raise ValueError(
            f"{path}:{error.lineno}:{error.colno}: not json: {error.msg} (character "
            f"{error.pos} of {len(text)}){end}. Copy or export the file again"
        ) from error
    except RecursionError as error:
        raise ValueError(
            f"{path}: nested too deeply; copy or export the file again"
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise ValueError(f"{path}: {error}; copy or export the file again") from error


def is_number(value: Any) -> bool:
    """Whether a json value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond float64
        return False


def is_whole(value: Any) -> bool:
    """Whether a json value is a whole number, of any type."""
    return is_number(value) and value == int(value) and abs(value) <= LARGEST


def short(value: Any) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
