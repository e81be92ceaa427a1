"""A folder as model hubs show it: weights, settings, a card, checksums, a licence."""

import hashlib
import importlib.metadata
import json
from pathlib import Path

import numpy as np

from tqgd_jax.deploy.description import versions
from tqgd_jax.io import weights
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.disclaimer import NOT_A_DEVICE
from tqgd_jax.yolo import Yolo

WEIGHTS, DEPLOYED = "model.safetensors", "model.deploy.safetensors"
SETTINGS, CARD, SUMS, LICENSE = "config.json", "README.md", "SHA256SUMS", "LICENSE"
FORMAT_VERSION = 1
OURS = "apache-2.0"


def write(predictor: Predictor, folder: Path) -> None:
    """Writes weights in training form, of a detector also folded, and settings."""
    predictor.save(folder / WEIGHTS)
    network = predictor.network
    if isinstance(network, Yolo):
        _, deployed = network.module.deployed(dict(predictor.variables))
        weights.write(
            folder / DEPLOYED, deployed, predictor.meta, format=weights.DEPLOYED
        )
    for name in (WEIGHTS, DEPLOYED):  # safetensors makes files for their owner alone
        if (folder / name).exists():
            (folder / name).chmod(0o644)
    settings = {
        "library_name": "tqgd_jax",
        "format_version": FORMAT_VERSION,
        "versions": versions(),
        **predictor.meta,
    }
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def finish(
    predictor: Predictor,
    folder: Path,
    *,
    licence: str,
    figures: str,
    files: dict[str, str],
) -> None:
    """Writes the card, the licence and, last, the checksums of all files.

    Args:
      predictor: a detector.
      folder: with all else in it.
      licence: of the weights, as model hubs name them.
      figures: of the evaluation, text; empty if there was none.
      files: what each is for, by name.
    """
    if licence == OURS:
        (folder / LICENSE).write_text(_licence(), "utf-8")
    card = _card(predictor, licence, figures, files)
    (folder / CARD).write_text(card, "utf-8")
    names = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
    lines = [f"{digest(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), "utf-8")


def digest(path: Path) -> str:
    """SHA-256, as sha256sum writes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(folder: Path, name: str) -> None:
    """Raises ValueError where a file is not what `SHA256SUMS` says, if that is there."""
    sums = folder / SUMS
    if not sums.is_file():
        return
    rows = (line.partition("  ") for line in sums.read_text("utf-8").splitlines())
    listed = {of: value for value, _, of in rows}
    if listed.get(name) not in (None, digest(folder / name)):
        raise ValueError(
            f"{folder / name}: its checksum is not that of {SUMS}; it is damaged or was "
            "changed: copy or export it again"
        )


def _licence() -> str:
    beside = Path(__file__).parents[2] / "LICENSE"
    if beside.is_file():
        return beside.read_text("utf-8")
    installed = importlib.metadata.distribution("tqgd_jax")
    text = installed.read_text("licenses/LICENSE")
    assert text, "the wheel has its licence"
    return text


def _card(
    predictor: Predictor, licence: str, figures: str, files: dict[str, str]
) -> str:
    config, source = predictor.config, predictor.provenance
    task = "image-segmentation" if predictor.network.segments else "object-detection"
    low, high = config.data.window_of(np.dtype("int16"))
    chosen = "chosen in validation" if predictor.chosen else "usual; none was chosen"
    facts = {
        "network": config.baseline.family
        or "TQGDNet family: "
        f"size {config.model.size}, stem {config.model.stem}, "
        f"neck {', '.join(config.model.neck)}",
        "classes": ", ".join(predictor.classes),
        "network input": f"{config.data.image_size} px, {config.model.in_channels} "
        f"channels, Hounsfield units {low:g} to {high:g} as 0 to 1",
        "cropped to the heart": config.data.crop.method,
        "threshold": f"{predictor.threshold:.4g} ({chosen})",
        "trained on": f"part {config.data.fold} of {config.data.folds} folds is the test "
        f"part; data fingerprint {source.get('data_fingerprint', 'unknown')}",
        "run": f"{source.get('run', 'unknown')}, step {source.get('step', 'unknown')}",
        "made with": ", ".join(f"{k} {v}" for k, v in versions().items()),
    }
    stamp = f"\n**Not a result: {source['stamp']}**\n" if source.get("stamp") else ""
    table = "\n".join(f"| {k} | {v} |" for k, v in facts.items())
    listing = "\n".join(f"| `{k}` | {v} |" for k, v in sorted(files.items()))
    judged = "Not evaluated."
    if figures:
        of = "Of `eval.py` on the test part of the run, at the threshold it names:"
        judged = f"{of}\n\n```\n{figures}\n```"
    return f"""---
license: {licence}
library_name: tqgd_jax
pipeline_tag: {task}
tags: [jax, medical, ct, coronary-artery-calcium, tqgdnet]
---

# {source.get("run", "A detector")} (tqgd_jax)

**{NOT_A_DEVICE}** For research only: no diagnosis, no triage, no treatment may rest on it.
{stamp}
Finds {", ".join(predictor.classes)} as boxes in CT slices or images.

```python
import tqgd_jax as tq

detector = tq.load("THIS_FOLDER")
boxes, scores, labels = detector(hu_slice)  # int16 Hounsfield units
```

| | |
|---|---|
{table}

## Figures

{judged}

## Files

| file | what |
|---|---|
{listing}

## Use

Meant for research on images like those it was trained on: the same body part, slices,
contrast and window. Not for other modalities, not for patients in care. What it was
trained on is above; elsewhere its errors are unknown.
"""
