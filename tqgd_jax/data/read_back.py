"""Does a written folder hold the data set that it was made from? It is read to see."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tqgd_jax.config import Config, Data
from tqgd_jax.data.box_writers import Stems
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.index_dataset import index_dataset
from tqgd_jax.data.read import validation

SAME = 1e-6  # px that a box may move on its way through a file
KEPT = ("sub_pixel", "out_of_image")  # problems of boxes that "clip" keeps


def read_back(
    root: Path, splits: Mapping[str, Dataset], stems: Stems, format: str
) -> str:
    """The `data.bad_labels` that reads `root` as what was given; ValueError if none."""
    classes = next(iter(splits.values())).classes
    data = Data(dir=str(root), format=format, classes=classes, bad_labels="clip")
    dataset = index_dataset(Config(data=data), discover(data))
    faults = validation.faults(dataset.problems)
    wrong = [f"{p}" for p in faults if p.kind not in KEPT]
    for part, of in splits.items():
        samples = {sample.path.stem: sample for sample in dataset.parts.get(part, [])}
        if samples.keys() != set(stems[part]):
            wrong.append(f"{part} has {len(samples)} images for {len(stems[part])}")
            continue
        for i, stem in enumerate(stems[part]):
            sample = samples[stem]
            # a reader sees what is inside the image
            inside = np.clip(of.boxes[i], 0, of.sizes[i, [1, 0, 1, 0]])
            seen = (inside[:, :2] < inside[:, 2:]).all(axis=1)
            if (
                sample.patient != of.patients[i]
                or list(sample.header[:2]) != of.sizes[i].tolist()
                or sample.labels.tolist() != of.labels[i][seen].tolist()
                or (np.abs(sample.boxes - inside[seen]) > SAME).any()
            ):
                wrong.append(
                    f"{stem} ({of.patients[i]}) has {len(sample.boxes)} boxes, patient "
                    f"{sample.patient!r}, {sample.header} for {seen.sum()} boxes of "
                    f"{of.sizes[i].tolist()}"
                )
    if wrong:
        raise ValueError(
            f"{format} does not hold this data set, read back it differs in "
            f"{len(wrong)} places: {'; '.join(wrong[:3])}. Choose another format, or "
            "rename what it cannot name"
        )
    return "clip" if faults else "error"
