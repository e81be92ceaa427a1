"""What a prepared set depends on, as one hash: files and settings."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from tqgd_jax.config import Config
from tqgd_jax.data.discover.layout import Layout
from tqgd_jax.data.discover.scan_folder import ScanFolder
from tqgd_jax.data.prepared.index import prepared_settings

STORE = 6  # version of what `prepare` writes; raise it when that changes


def fingerprint(config: Config, layout: Layout, hashes: Mapping[Path, str]) -> str:
    """SHA-256 over the settings that matter and the SHA-256 of every file."""
    data, mode, root = config.data, layout.split.mode, layout.folder.root
    crop = dataclasses.asdict(data.crop)
    crop |= {"method": "csv"} if layout.hearts else {}  # its name does not matter
    cropped = isinstance(layout.folder, ScanFolder) or layout.hearts
    seeded = mode in ("ratio", "folds") or data.hold_out > 0
    settings = prepared_settings(data) | {
        "store": STORE,
        "format": layout.folder.format,
        "split": mode,
        "ratio": data.ratio if mode == "ratio" else None,
        "folds": data.folds if mode == "folds" else None,
        "fold": data.fold if mode in ("folds", "manifest") else None,
        "seed": config.seed if seeded else None,
        "boxes": bool(data.boxes),
        "crop": crop if cropped else None,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path, content in hashes.items():
        inside = path.is_relative_to(root)
        name = path.relative_to(root).as_posix() if inside else path.name
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()
