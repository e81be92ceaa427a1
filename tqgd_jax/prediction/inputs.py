"""What there is to read in files and folders: series, volumes, groups of images."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tqgd_jax.data.discover.scan_folder import stem
from tqgd_jax.io import images, walk
from tqgd_jax.io.dicom.series import listed_series
from tqgd_jax.io.text import read_text
from tqgd_jax.io.volumes import is_volume

DOCUMENT = "predictions.json"  # a folder that has ours holds a result, nothing to read
FAMILY = "tqgd_jax.predictions/"  # its schema, of any version
NAME = 80  # characters of a folder's name, at most
LISTED = 3  # files that a message names


class Source(NamedTuple):
    """One scan to read, or images that are read together.

    Attributes:
      kind: "dicom", "volume" or "images".
      name: of the folder of its result; unique.
      path: file, or the folder that holds the series or images.
      series: SeriesInstanceUID, for DICOM.
      files: for images.
      elsewhere: other folders that hold slices of this series; each is a source.
    """

    kind: Literal["dicom", "volume", "images"]
    name: str
    path: Path
    series: str = ""
    files: tuple[Path, ...] = ()
    elsewhere: tuple[Path, ...] = ()


class Inputs(NamedTuple):
    """What was asked for, in order, and what of it is nothing to read, and why."""

    sources: tuple[Source, ...]
    skipped: tuple[tuple[Path, str], ...]


def find(paths: Sequence[Path], series: str = "") -> Inputs:
    """Every CT series, volume and image among files and below folders.

    Args:
      paths: files or folders.
      series: of DICOM, only series whose UID begins so.

    Raises:
      ValueError: a path that is not there or cannot be read, or nothing to read.
    """
    sources: list[Source] = []
    skipped: list[tuple[Path, str]] = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"--input: no file or folder {str(path)!r}")
        if path.is_dir():
            _of_folder(path, series, sources, skipped)
        elif is_volume(path):
            sources.append(Source("volume", stem(path), path))
        elif path.suffix.lower() in images.SUFFIXES:
            sources.append(Source("images", path.stem, path, files=(path,)))
        else:
            raise ValueError(
                f"--input: {path} is no volume (NIfTI, NRRD, MetaImage), PNG or JPEG; of "
                "DICOM give the folder that holds the slices"
            )
    if not sources:
        what = f"no CT series whose UID begins with {series!r}" if series else (
            "no CT series, volume (NIfTI, NRRD, MetaImage), PNG or JPEG"
        )  # fmt: skip
        seen = f"; skipped: {'; '.join(summary(skipped))}" if skipped else ""
        raise ValueError(f"--input: {', '.join(map(str, paths))}: {what}{seen}")
    return Inputs(_unique(_split(sources)), tuple(skipped))


def summary(skipped: Sequence[tuple[Path, str]]) -> list[str]:
    """A line for each reason: how many files, and the first of them."""
    by_reason: dict[str, list[Path]] = defaultdict(list)
    for path, reason in skipped:
        by_reason[reason].append(path)
    return [
        f"{len(paths)} x {reason} ({', '.join(map(str, paths[:LISTED]))}"
        f"{', ...' if len(paths) > LISTED else ''})"
        for reason, paths in by_reason.items()
    ]


def _of_folder(
    root: Path,
    series: str,
    sources: list[Source],
    skipped: list[tuple[Path, str]],
) -> None:
    every = walk.files(root)
    results = {file.parent for file in every if _is_result(file)}
    skipped += [(folder, "result of tqgd predict") for folder in sorted(results)]
    files = [f for f in every if not results & {f.parent, *f.parents}]
    pictures = [f for f in files if f.suffix.lower() in images.SUFFIXES]
    volumes = [f for f in files if is_volume(f)]
    rest = sorted({*files} - {*pictures, *volumes})
    listed, no_slices = listed_series(rest)
    skipped += no_slices
    for one in listed:
        if one.uid.startswith(series):
            words = (one.ids.get("patient", ""), one.ids.get("description", ""))
            name = "_".join(filter(None, words)) or one.folder.resolve().name
            sources.append(Source("dicom", name, one.folder, one.uid))
    if series:
        return
    sources += [Source("volume", stem(file), file) for file in volumes]
    if listed or volumes:  # icons of a viewer, photographs of a screen
        skipped += [(f, "picture beside scans; name it to read it") for f in pictures]
        return
    kinds: dict[tuple[int, str], list[Path]] = defaultdict(list)
    for file in pictures:
        try:
            kinds[images.read_header(file)[2:]].append(file)
        except ValueError as error:
            skipped.append((file, str(error).removeprefix(f"{file}: ")))
    for (channels, dtype), group in kinds.items():
        colour = "grey" if channels == 1 else "rgb"
        name = root.resolve().name
        name += f"_{colour}_{dtype}" if len(kinds) > 1 else ""
        sources.append(Source("images", name, root, files=tuple(group)))


def _is_result(file: Path) -> bool:
    if file.name != DOCUMENT:
        return False
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and str(content.get("schema")).startswith(FAMILY)


def _split(sources: Sequence[Source]) -> list[Source]:
    """With the other folders of each DICOM series."""
    folders: dict[str, set[Path]] = defaultdict(set)
    for source in sources:
        if source.series:
            folders[source.series].add(source.path.resolve())
    return [
        one._replace(
            elsewhere=tuple(sorted(folders[one.series] - {one.path.resolve()}))
        )
        for one in sources
    ]


def _unique(sources: Sequence[Source]) -> tuple[Source, ...]:
    """With names that are folders anywhere and of which no two are one."""
    taken: set[str] = set()
    result = []
    for source in sources:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", source.name).strip("._-")[:NAME]
        plain = plain or "scan"
        name, number = plain, 1
        while name.casefold() in taken:  # some disks do not tell A from a
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        result.append(source._replace(name=name))
    return tuple(result)
