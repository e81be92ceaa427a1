"""Where prepared sets and compiled programs are kept, unless a setting says otherwise."""

import os
from pathlib import Path


def home() -> Path:
    """$TQGD_CACHE, else ~/.cache/tqgd_jax. Raises ValueError where there is no home."""
    named = os.environ.get("TQGD_CACHE") or "~/.cache/tqgd_jax"
    try:
        return Path(named).expanduser()
    except RuntimeError as error:  # a container whose user is in no list
        raise ValueError(
            f"{named}: {error}; set $TQGD_CACHE to a folder that can be written"
        ) from error
