"""Patients to files in orCaScore's layout, complete or resumable."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tqgd_jax.phantom.diverse import render as diverse
from tqgd_jax.phantom.diverse.protocol import RANGES
from tqgd_jax.phantom.presets import PRESETS, VENDORS
from tqgd_jax.phantom.render import Scan, simulate_patient

# Of each preset: raise it when the same seed gives other bits.
VERSIONS = {"gated": 2, "nongated": 2, "diverse": 1}
IMAGES = Path("Training Set/Images")
MASKS = Path("Training Set/Reference standard")
DONE = "phantom.json"
BEGUN = "phantom.partial"  # a folder: the parameters and each finished patient's facts


def simulated(folder: Path) -> bool:
    """Whether the patients of a folder are those that `simulate` wrote."""
    return (folder / DONE).is_file()


def simulate(
    out: Path,
    *,
    patients: int = 32,
    slices: int = 40,
    preset: str = "gated",
    seed: int = 0,
    size: int = 512,
    workers: int = 0,
) -> None:
    """Writes a cohort to `out`; does only what is missing there.

    Patient i depends on (preset, seed, i, slices, size) alone, not on `workers` (0: one
    per core) or `patients`. Raises ValueError for parameters that make no scan, and for
    a folder that holds something else.
    """
    params = _parameters(patients, slices, preset, seed, size, workers)
    out = Path(out)
    facts = _resume(out, params)
    missing = [i for i in range(patients) if not _complete(out, i, facts)]
    ends = [(out / DONE).exists(), (out / "heart_boxes.csv").exists()]
    if not missing and all(ends) and not (out / BEGUN).exists():
        return
    (out / BEGUN).mkdir(parents=True, exist_ok=True)
    _write(out / BEGUN / "parameters.json", json.dumps(params))
    for folder in (IMAGES, MASKS):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for name, known in facts.items():
        _write(out / BEGUN / f"{name}.json", json.dumps(known))
    (out / DONE).unlink(missing_ok=True)  # it says that all is there
    for name, known in _run(out, params, missing, workers):
        facts[name] = known
    _finish(out, params, facts)


def _parameters(
    patients: int, slices: int, preset: str, seed: int, size: int, workers: int
) -> dict[str, Any]:
    if preset not in VERSIONS:
        raise ValueError(f"unknown preset {preset!r}; there are: {', '.join(VERSIONS)}")
    for name, value in (("patients", patients), ("slices", slices)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if workers < 0:
        raise ValueError(f"workers must be at least 0, got {workers}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    if size < 128 or size % 128:
        raise ValueError(
            f"size must be a multiple of 128 px, got {size}; 256 is quick, 512 is real"
        )
    return {
        "version": VERSIONS[preset],
        "preset": preset,
        "seed": seed,
        "size": size,
        "slices": slices,
        "patients": patients,
    }


def patient_name(i: int) -> str:
    """Patient i (from 0) as orCaScore counts: eight to a scanner."""
    return f"TRV{1 + i // 8}P{1 + i % 8}"


def _files(out: Path, i: int) -> list[Path]:
    name = patient_name(i)
    return [
        out / folder / f"{name}{kind}.{suffix}"
        for folder, kind in ((IMAGES, "CTI"), (MASKS, "R"))
        for suffix in ("zraw", "mhd")
    ]


def _complete(out: Path, i: int, facts: dict[str, Any]) -> bool:
    return patient_name(i) in facts and all(f.exists() for f in _files(out, i))


def _resume(out: Path, params: dict[str, Any]) -> dict[str, Any]:
    """Facts of the patients that are there. Refuses what is not this phantom."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file; name a folder")
    if not out.exists() or not any(out.iterdir()):
        return {}
    done, begun = out / DONE, out / BEGUN / "parameters.json"
    if done.exists():
        document = _read(done)
        facts = document.get("patient", {})
        recorded = document.get("parameters", {})
    elif begun.exists():
        recorded, facts = _read(begun), {}
        for file in begun.parent.glob("TRV*.json"):
            facts[file.stem] = _read(file)
    else:
        raise ValueError(
            f"{out}: is not empty and holds no phantom (no {DONE}); name a new folder"
        )
    differ = [
        f"{k} is {recorded.get(k)!r} there, {v!r} asked for"
        for k, v in params.items()
        if recorded.get(k) != v
    ]
    if differ:
        raise ValueError(
            f"{out}: holds a phantom of other parameters ({'; '.join(differ)}); name a "
            "new folder, or remove this one"
        )
    return facts


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: cannot be read ({error}); remove the folder and start again"
        ) from error
    if not isinstance(document, dict):
        raise ValueError(
            f"{path}: is no phantom's; remove the folder, or name a new one"
        )
    return document


def _run(
    out: Path, params: dict[str, Any], missing: list[int], workers: int
) -> Iterator[tuple[str, Any]]:
    from tqdm import tqdm

    count = min(workers or os.cpu_count() or 1, len(missing))
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(
            tqdm(
                total=len(missing), unit="patient", desc=f"phantom ({params['preset']})"
            )
        )
        if count <= 1:
            for i in missing:
                yield one_patient(out, params, i)
                bar.update()
            return
        # Spawned, not forked: the caller may have JAX's threads running.
        pool = stack.enter_context(
            ProcessPoolExecutor(count, mp_context=get_context("spawn"))
        )
        stack.callback(pool.shutdown, cancel_futures=True)  # after an error, stop early
        jobs = [pool.submit(one_patient, out, params, i) for i in missing]
        for job in as_completed(jobs):
            yield job.result()
            bar.update()


def one_patient(out: Path, params: dict[str, Any], i: int) -> tuple[str, Any]:
    """Simulates patient i and writes its files; returns its name and facts."""
    seeds = np.random.SeedSequence([params["seed"], i])
    size, slices = params["size"], params["slices"]
    if params["preset"] == "diverse":
        vendor, scan = diverse.simulate_patient(seeds, size, slices)
    else:
        vendor = VENDORS[i // 8 % len(VENDORS)]
        preset = PRESETS[params["preset"]]
        scan = simulate_patient(preset, vendor, seeds, size, slices)
    image_raw, image_head, mask_raw, mask_head = _files(out, i)
    _write_volume(scan, scan.hu, image_head, image_raw, out / BEGUN)
    _write_volume(scan, scan.mask, mask_head, mask_raw, out / BEGUN)
    facts = {
        "scanner": dataclasses.asdict(vendor),
        "heart_boxes": scan.boxes,
        **scan.facts,
    }
    name = patient_name(i)
    _write(out / BEGUN / f"{name}.json", json.dumps(facts))
    return name, json.loads(json.dumps(facts))


def _write_volume(
    scan: Scan, array: np.ndarray, head: Path, raw: Path, begun: Path
) -> None:
    """Compressed MetaImage; the header comes last, so what it names is whole."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(s) for s in scan.grid.spacing[::-1]])
    image.SetOrigin([float(s) for s in scan.grid.origin[::-1]])
    with tempfile.TemporaryDirectory(dir=begun) as folder:
        temporary = Path(folder) / head.name
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(temporary))
        writer.UseCompressionOn()
        writer.SetCompressionLevel(1)  # noise hardly compresses; higher only takes time
        writer.Execute(image)
        (temporary.parent / raw.name).replace(raw)
        temporary.replace(head)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".writing")
    temporary.write_text(text)
    temporary.replace(path)


def _finish(out: Path, params: dict[str, Any], facts: dict[str, Any]) -> None:
    names = [patient_name(i) for i in range(params["patients"])]
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("scan", "z", "x0", "y0", "x1", "y1"))
    for name in names:
        rows.writerows((f"{name}CTI", *box) for box in facts[name]["heart_boxes"])
    _write(out / "heart_boxes.csv", table.getvalue())
    record = {
        "parameters": params,
        "preset": dataclasses.asdict(PRESETS.get(params["preset"], RANGES)),
        "patient": {name: facts[name] for name in names},
    }
    _write(out / DONE, json.dumps(record, indent=1))
    shutil.rmtree(out / BEGUN)
