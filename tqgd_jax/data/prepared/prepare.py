"""Makes the prepared set of a folder once, and notices when it is out of date.

Written under a lock to a folder beside, then renamed: a killed preparation leaves
nothing that is later read, and two processes do not disturb each other. One set serves
every split, which is made anew, in milliseconds, each time that the set is opened.
"""

import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.config import Config
from tqgd_jax.data import masks
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.discover.layout import Layout, discover
from tqgd_jax.data.index_dataset import cut, hash_file, read, split
from tqgd_jax.data.prepared import scan_tables, store
from tqgd_jax.data.prepared.fingerprint import fingerprints
from tqgd_jax.data.read import validation
from tqgd_jax.io import atomic, cache, images
from tqgd_jax.structures.annotation import Problem
from tqgd_jax.structures.dataset_index import Sample

logger = logging.getLogger("tqgd_jax")

WAITING = "waiting for another process that prepares the same data"
ELSEWHERE = "free some space, or set data.prepared_dir or $TQGD_CACHE to another disk"


def prepare(config: Config) -> Path:
    """The folder of the prepared set: found if it fits, else made.

    Raises ValueError with the list of problems that `data.bad_labels` does not settle.
    """
    return _prepared(config)[0]


def open_prepared(config: Config) -> tuple[dict[str, Dataset], bool]:
    """The splits of a folder of data, and whether the seed had a say in them.

    Raises ValueError as `prepare`, and for a split that cannot be.
    """
    folder, layout, mark = _prepared(config)
    rows = store.read(folder, layout.folder.root)
    index = split(config, layout, rows)
    _tell(index.problems, index.notes, config)
    if index.disclaimer:
        logger.warning("%s", index.disclaimer)
    if not index.parts:
        raise ValueError(
            f"{index.root.resolve()}: no image is left in any part of the split"
        )
    every = [*rows.records.values()]
    wide = np.array([record.widest for record in every])
    height, width = (wide[:, [3, 2]] - wide[:, [1, 0]]).max(axis=0).tolist()
    *_, channels, dtype = every[0].header
    common = {
        "classes": index.classes,
        "shape": (height, width, channels),
        "max_boxes": max(1, *(len(record.labels) for record in every)),
        "capacity": index.capacity,
        "dtype": np.dtype(dtype),
        "fingerprint": mark,
        "disclaimer": index.disclaimer,
        "fold": index.fold,
        "calcium": masks.least_calcium(config.data, config.data.lesion_hu, dtype),
    }
    splits = {part: _source(of, config, common) for part, of in index.parts.items()}
    window = config.data.window_of(np.dtype(dtype))
    if np.issubdtype(np.dtype(dtype), np.unsignedinteger):
        one = next(iter(splits.values()))
        some = {0, len(one.names) // 2, len(one.names) - 1}
        highest = max(one.image(i).max().item() for i in some)
        for problem in validation.dark(index.root, highest, window):
            logger.warning("%s", problem)
    return splits, index.seeded


def _source(
    samples: Sequence[Sample], config: Config, common: Mapping[str, Any]
) -> Dataset:
    slices = [i.slice for i in samples if i.slice is not None]
    parts = [i.parts for i in samples if i.parts is not None]
    masked = len(parts) == len(samples)
    return Dataset(
        names=[i.name for i in samples],
        patients=[i.patient for i in samples],
        sizes=np.array([i.header[:2] for i in samples], np.int32),
        boxes=[i.boxes for i in samples],
        labels=[i.labels for i in samples],
        image=lambda i: samples[i].pixels(),
        positive_only=bool(slices) and config.data.slices == "positive",
        slices=slices,
        lesions=[[*i.lesions] for i in samples if slices],
        crops=[i.crop for i in samples if i.crop is not None],
        parts=parts if masked else None,
        no_masks="" if masked else masks.no_masks(config.data.boxes),
        **common,
    )


def _prepared(config: Config) -> tuple[Path, Layout, str]:
    """The folder of the set, what it was found for, and the mark of its parts."""
    layout = discover(config.data)
    hashes = {file: hash_file(file) for file in layout.files}
    mark, mark_of_parts = fingerprints(config, layout, hashes)
    root = layout.folder.root.resolve()
    home = _home(config)
    atomic.made(home, "set data.prepared_dir or $TQGD_CACHE to another folder")
    name = re.sub(r"[^\w.-]", "_", root.name) or "data"
    folder = home / f"{name}-{mark[:16]}"
    if _whole(folder):
        return folder, layout, mark_of_parts
    with atomic.lock(home / f".{folder.name}.lock", WAITING):
        if _whole(folder):  # another process was faster
            return folder, layout, mark_of_parts
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
            _write(partial, config, layout, hashes)
            # what was read is what was hashed only if nothing has changed since
            if discover(config.data) != layout or hashes != {
                file: hash_file(file) for file in layout.files
            }:
                raise ValueError(f"{root}: changed while it was read; start again")
    return folder, layout, mark_of_parts


def _home(config: Config) -> Path:
    named = config.data.prepared_dir
    return Path(named).expanduser() if named else cache.home()


def _tell(problems: Sequence[Problem], notes: Sequence[str], config: Config) -> None:
    """Raises ValueError for what `data.bad_labels` does not settle, and logs the rest."""
    validation.enforce(problems, config.data.bad_labels)
    known = validation.noted(problems)
    for problem in known[: validation.LISTED]:
        level = logging.WARNING if problem.kind in validation.FOREMOST else logging.INFO
        logger.log(level, "%s", problem)
    if len(known) > validation.LISTED:
        logger.info("%s in all", validation.counts(known))
    for note in notes:
        logger.info("%s", note)


def _write(
    folder: Path, config: Config, layout: Layout, hashes: Mapping[Path, str]
) -> None:
    rows, root = read(layout, config.data, hashes.__getitem__), layout.folder.root
    _tell(rows.problems, rows.notes, config)
    if not rows.records:
        raise ValueError(f"{root.resolve()}: no image is left")
    records = [rows.records[s.name] for s in rows.slices]
    samples = [
        cut(s, record, record.widest)
        for s, record in zip(rows.slices, records, strict=True)
    ]
    images.same_kind([i.path for i in samples], [i.header for i in samples])
    logger.info("preparing %d images of %s", len(samples), root.resolve())
    _write_records(folder / "records", layout.folder.format, samples)
    store.write_index(folder, rows, root)
    if samples[0].slice is not None:
        scan_tables.write(folder, samples, rows.classes)
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    manifest = {
        "origin": str(root.resolve()),
        "files": {f.relative_to(folder).as_posix(): f.stat().st_size for f in files},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _write_records(folder: Path, format: str, samples: list[Sample]) -> None:
    import tensorflow_datasets as tfds

    from tqgd_jax.data.prepared.builder import BUILDERS, Slices

    tfds.disable_progress_bar()  # ours counts images
    folder.mkdir()
    builder = BUILDERS.get(format, Slices)
    # tfds prints its own story to stdout, where `--dry_run` promises one json object
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        builder({store.PART: samples}, folder).download_and_prepare()


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError, RecursionError):
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
