"""The JSON manifest of folds: who is tested where, so that every run has the same folds.

What is read is checked whole: a field missing, a count that is off, a patient in two
folds. `folds` makes manifests and holds them against the data.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tqgd_jax.io import atomic
from tqgd_jax.io.text import read_text

KIND, VERSION = "tqgd_jax folds", 1
LEVELS = ("patient", "slice")


class Entry(NamedTuple):
    """Where a slice belongs; `fold` counts from 1 and is the one that tests it."""

    patient: str
    fold: int
    sha256: str


@dataclass(frozen=True)
class Fold:
    """What one fold tests: counts, calcium in mm2, slices by scanner."""

    patients: int
    slices: int
    positive_slices: int
    load: float
    scanners: dict[str, int]


@dataclass(frozen=True)
class Manifest:
    """Folds 1..`folds` of the slices by name; `summary[0]` describes fold 1."""

    folds: int
    level: str
    seed: int
    slices: dict[str, Entry]
    summary: tuple[Fold, ...]


def write(manifest: Manifest, path: Path) -> None:
    """As JSON with a line for each slice, in name order; replaces `path` when whole."""
    head = {"kind": KIND, "version": VERSION, "folds": manifest.folds}
    head |= {"level": manifest.level, "seed": manifest.seed}
    rows = [
        json.dumps({"fold": k} | asdict(f)) for k, f in enumerate(manifest.summary, 1)
    ]
    entries = [
        f"{json.dumps(name)}: {json.dumps(entry._asdict())}"
        for name, entry in sorted(manifest.slices.items())
    ]
    text = "{\n" + "".join(
        f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in head.items()
    )
    text += ' "summary": [\n  ' + ",\n  ".join(rows) + "\n ],\n"
    text += ' "slices": {\n  ' + ",\n  ".join(entries) + "\n }\n}\n"
    with atomic.file(path) as partial:
        partial.write_text(text, "utf-8")


def read(path: Path) -> Manifest:
    """Raises ValueError when `path` is no whole manifest or leaks a patient."""
    try:
        content = json.loads(read_text(path, 2**28), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: no manifest of folds ({error}); make one with folds.write"
        ) from error
    fail = f"{path}: damaged or edited manifest of folds: "
    kind = [
        content.get(k) if isinstance(content, dict) else None
        for k in ("kind", "version")
    ]
    if kind != [KIND, VERSION]:
        raise ValueError(
            f"{path}: kind and version are {kind}, this program reads {[KIND, VERSION]}; "
            "make the folds again"
        )
    what = {"kind": str, "version": int, "folds": int, "level": str, "seed": int}
    _typed(content, what | {"summary": list, "slices": dict}, fail)
    folds, level = content["folds"], content["level"]
    if folds < 2 or content["seed"] < 0 or level not in LEVELS:
        raise ValueError(
            f"{fail}folds must be at least 2, seed at least 0 and level one of {LEVELS}, "
            f"got {folds}, {content['seed']}, {level!r}"
        )
    entries = {}
    for name, entry in content["slices"].items():
        here = f"{fail}slice {name!r}: "
        _typed(entry, {"patient": str, "fold": int, "sha256": str}, here)
        if not 1 <= entry["fold"] <= folds or not entry["patient"]:
            raise ValueError(
                f"{here}fold must be in 1..{folds} and patient not empty, got fold "
                f"{entry['fold']} of patient {entry['patient']!r}"
            )
        entries[name] = Entry(**entry)
    if level == "patient":
        _refuse_overlap(entries, fail)
    rows = []
    for k, row in enumerate(content["summary"], 1):
        here = f"{fail}summary row {k}: "
        what = {"fold": int, "patients": int, "slices": int, "positive_slices": int}
        _typed(row, what | {"load": float, "scanners": dict}, here)
        _typed(row["scanners"], dict.fromkeys(row["scanners"], int), here)
        of = [e for e in entries.values() if e.fold == k]
        count = (k, len({e.patient for e in of}), len(of))
        if (row.pop("fold"), row["patients"], row["slices"]) != count or not of:
            raise ValueError(
                f"{here}fold {k} has {count[1]} patients and {count[2]} slices, the row "
                f"says {row}; every fold needs a slice, and its row"
            )
        rows.append(Fold(**row))
    if len(rows) != folds:
        raise ValueError(f"{fail}{folds} folds, but {len(rows)} rows of summary")
    return Manifest(folds, level, content["seed"], entries, tuple(rows))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ValueError(f"{name!r} is there {count} times, once is allowed")
    return dict(pairs)


def _typed(content: Any, fields: Mapping[str, type], fail: str) -> None:
    if not isinstance(content, dict) or content.keys() != fields.keys():
        keys = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{fail}must have the fields {sorted(fields)}, has {keys}")
    for name, kind in fields.items():
        value = content[name]
        if type(value) is not kind:  # a bool is no int here
            raise ValueError(
                f"{fail}{name} must be of type {kind.__name__}, got {value!r} "
                f"(patient {content.get('patient', 'unknown')!r})"
            )


def _refuse_overlap(entries: Mapping[str, Entry], fail: str) -> None:
    seen: dict[str, tuple[str, int]] = {}
    for name, entry in sorted(entries.items()):
        first, fold = seen.setdefault(entry.patient, (name, entry.fold))
        if fold != entry.fold:
            raise ValueError(
                f"{fail}patient {entry.patient!r} is in two folds, {first!r} in {fold} "
                f"and {name!r} in {entry.fold}: results would flatter. Make the folds "
                'again with level "patient"'
            )
