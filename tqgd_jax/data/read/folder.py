"""One look at a whole data set, of images or of CT scans, and its fingerprint."""

import hashlib
import json

from tqgd_jax.config import Config
from tqgd_jax.data.discover import scan_folder
from tqgd_jax.data.read import image_set, scans
from tqgd_jax.structures.dataset_index import Item, Scan

__all__ = ["Item", "Scan", "fingerprint", "scan"]

STORE = 5  # version of what `prepare` writes; raise it when that changes


def scan(config: Config) -> Scan:
    """Collects problems instead of raising them; what is unreadable is left out."""
    found = scan_folder.find(config.data)
    return image_set.scan(config) if found is None else scans.scan(config, found)


def fingerprint(config: Config) -> str:
    """SHA-256 over the settings that matter and the contents of every file read."""
    found = scan_folder.find(config.data)
    settings, root, files = (
        image_set.marks(config) if found is None else scans.marks(config, found)
    )
    settings = {"store": STORE, **settings}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in files:
        inside = path.is_relative_to(root)
        name = path.relative_to(root).as_posix() if inside else path.name
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()
