"""Makes the prepared set of a folder once, and notices when it is out of date.

Written under a lock to a folder beside, then renamed: a killed preparation leaves
nothing that is later read, and two processes do not disturb each other.
"""

import contextlib
import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.config import Config
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.index_dataset import hash_file, index_dataset
from tqgd_jax.data.prepared import scan_tables
from tqgd_jax.data.prepared.fingerprint import fingerprint
from tqgd_jax.data.prepared.index import prepared_settings
from tqgd_jax.data.read import validation
from tqgd_jax.io import atomic, images
from tqgd_jax.structures.dataset_index import DatasetIndex, Sample

logger = logging.getLogger("tqgd_jax")

WAITING = "waiting for another process that prepares the same data"
ELSEWHERE = "free some space, or set data.prepared_dir or $TQGD_CACHE to another disk"


def prepare(config: Config) -> Path:
    """The folder of the prepared set: found if it fits, else made.

    Raises ValueError with the list of problems that `data.bad_labels` does not settle.
    """
    layout = discover(config.data)
    hashes = {file: hash_file(file) for file in layout.files}
    mark = fingerprint(config, layout, hashes)
    root = layout.folder.root.resolve()
    home = _home(config)
    home.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]", "_", root.name) or "data"
    folder = home / f"{name}-{mark[:16]}"
    if _whole(folder):
        return folder
    with atomic.lock(home / f".{folder.name}.lock", WAITING):
        if _whole(folder):  # another process was faster
            return folder
        if folder.exists():
            logger.warning("%s is damaged and is made again", folder)
            shutil.rmtree(folder)
        if others := _others(home, folder, root):
            logger.info(
                "preparing anew: no prepared set fits these files and settings (others "
                "of this folder, kept: %d)",
                len(others),
            )
        with atomic.folder(folder, ELSEWHERE) as partial:
            dataset = index_dataset(config, layout, hashes.__getitem__)
            _write(partial, dataset, config, root, mark)
            # what was read is what was hashed only if nothing has changed since
            if discover(config.data) != layout or hashes != {
                file: hash_file(file) for file in layout.files
            }:
                raise ValueError(f"{root}: changed while it was read; start again")
    return folder


def _home(config: Config) -> Path:
    home = config.data.prepared_dir or os.environ.get("TQGD_CACHE", "")
    return Path(home or "~/.cache/tqgd_jax").expanduser()


def _write(
    folder: Path, dataset: DatasetIndex, config: Config, root: Path, mark: str
) -> None:
    validation.enforce(dataset.problems, config.data.bad_labels)
    samples = [sample for samples in dataset.parts.values() for sample in samples]
    if not samples:
        raise ValueError(f"{root}: no image is left in any part of the split")
    images.same_kind([i.path for i in samples], [i.header for i in samples])
    known = validation.noted(dataset.problems)
    for problem in known[: validation.LISTED]:
        logger.info("%s", problem)
    more = (
        [f"{validation.counts(known)} in all"] if len(known) > validation.LISTED else []
    )
    for note in (*more, *dataset.notes):
        logger.info("%s", note)
    if dataset.disclaimer:
        logger.warning("%s", dataset.disclaimer)
    logger.info("preparing %d images of %s", len(samples), root)
    _write_records(folder / "records", dataset)
    np.savez_compressed(folder / "index.npz", **_index(dataset, config, mark))
    if samples[0].slice is not None:
        scan_tables.write(folder, dataset)
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    manifest = {
        "origin": str(root),
        "files": {f.relative_to(folder).as_posix(): f.stat().st_size for f in files},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _write_records(folder: Path, dataset: DatasetIndex) -> None:
    import tensorflow_datasets as tfds

    from tqgd_jax.data.prepared.builder import BUILDERS, Slices

    tfds.disable_progress_bar()  # ours counts images
    folder.mkdir()
    # tfds prints its own story to stdout, where `--dry_run` promises one json object
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        BUILDERS.get(dataset.format, Slices)(
            dataset.parts, folder
        ).download_and_prepare()


def _index(dataset: DatasetIndex, config: Config, mark: str) -> dict[str, Any]:
    samples = [sample for samples in dataset.parts.values() for sample in samples]
    header = samples[0].header
    shape = [max(i.header[axis] for i in samples) for axis in (0, 1)]
    meta = {
        "kind": "tqgd_jax",
        "fingerprint": mark,
        "settings": prepared_settings(config.data),
        "seed": config.seed if dataset.seeded else None,
        "classes": dataset.classes,
        "dtype": header.dtype,
        "shape": [*shape, header.channels],
        "max_boxes": max(1, *(len(i.labels) for i in samples)),
        "stamp": dataset.disclaimer,
        "fold": dataset.fold,
        "parts": {part: _rows(of) for part, of in dataset.parts.items()},
    }
    arrays: dict[str, Any] = {"meta": np.array(json.dumps(meta))}
    for part, of in dataset.parts.items():
        arrays[f"{part}/sizes"] = np.array([i.header[:2] for i in of], np.int32)
        arrays[f"{part}/counts"] = np.array([len(i.labels) for i in of], np.int32)
        arrays[f"{part}/boxes"] = np.concatenate([i.boxes for i in of])
        arrays[f"{part}/labels"] = np.concatenate([i.labels for i in of])
    return arrays


def _rows(samples: list[Sample]) -> dict[str, Any]:
    rows: dict[str, Any] = {
        "names": [i.name for i in samples],
        "groups": [i.patient for i in samples],
    }
    if samples[0].slice is not None:
        rows |= {
            "slices": [i.slice for i in samples],
            "lesions": [i.lesions for i in samples],
        }
    if samples[0].crop is not None:
        rows["crops"] = [i.crop for i in samples]
    return rows


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return {"origin": "", "files": {"manifest.json": -1}}


def _whole(folder: Path) -> bool:
    """Every file is there at the size it was written with."""
    for name, size in _manifest(folder)["files"].items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size:
            return False
    return True


def _others(home: Path, folder: Path, root: Path) -> list[Path]:
    return [
        f
        for f in sorted(home.glob("*-*"))
        if f != folder and _manifest(f)["origin"] == str(root)
    ]
