"""What a prepared set and its parts depend on, as hashes: files and settings."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqgd_jax.config import Config
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.discover.scan_folder import ScanFolder
from tqgd_jax.data.prepared.packed import prepared_settings

STORE = 10  # version of what `prepare` writes; raise it when that changes
CONTENT = (
    9  # of pixels, boxes and parts: what a run was trained on; raise it with these
)
# Settings that decide its pixels and boxes; those that split it change no file
STORED = (
    *("classes", "bad_labels", "scan_pattern", "mask_pattern", "lesion_hu"),
    *("neighbours", "neighbour_mm"),
)


def fingerprints(
    config: Config, layout: Layout, hashes: Mapping[Path, str]
) -> tuple[str, str]:
    """SHA-256 over the settings that matter and the SHA-256 of every file.

    First that of the prepared set, the same for every split; then that of its parts too,
    which says what a run was trained on.
    """
    data, mode, root = config.data, layout.split.mode, layout.folder.root
    settings = prepared_settings(data)
    crop = dataclasses.asdict(data.crop)
    crop |= {"method": "csv"} if layout.hearts else {}  # its name does not matter
    widen = crop.pop("widen")
    cropped = isinstance(layout.folder, ScanFolder) or layout.hearts
    seeded = mode in ("ratio", "folds") or data.hold_out > 0
    stored = {name: settings[name] for name in STORED} | {
        "store": STORE,
        "format": layout.folder.format,
        "boxes": bool(data.boxes),
        "crop": crop if cropped else None,
    }
    split = {
        "split": mode,
        "ratio": data.ratio if mode == "ratio" else None,
        "folds": data.folds if mode == "folds" else None,
        "fold": data.fold if mode in ("folds", "manifest") else None,
        "seed": config.seed if seeded else None,
        "widen": widen if cropped else None,
    }
    of_split = {*layout.split.files} - {layout.hearts}  # one csv may be both
    of_store = {f: h for f, h in hashes.items() if f not in of_split}
    whole = settings | stored | split | {"store": CONTENT}
    return _digest(stored, of_store, root), _digest(whole, hashes, root)


def _digest(settings: dict[str, Any], hashes: Mapping[Path, str], root: Path) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path, content in hashes.items():
        inside = path.is_relative_to(root)
        name = path.relative_to(root).as_posix() if inside else path.name
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()
