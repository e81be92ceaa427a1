"""The slices that are explained, and which of many: by rule, not by hand."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from tqgd_jax.data import dataset
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.open import open_data
from tqgd_jax.data.unlabelled import of_folder
from tqgd_jax.evaluation.inputs import held_out
from tqgd_jax.io import volumes
from tqgd_jax.overlap import box_area
from tqgd_jax.phantom import dataset as phantom
from tqgd_jax.predictor import Predictor
from tqgd_jax.report.html.pixels import HU_WINDOW, Window


class Slices(NamedTuple):
    """Slices as a detector takes them.

    Attributes:
      names: of each.
      patients: of each.
      image: reads one.
      labels: boxes (x0, y0, x1, y1) of each, px; none where nothing is labelled.
      window: values that are shown black and white.
      disclaimer: what every picture of them must say; or empty.
    """

    names: Sequence[str]
    patients: Sequence[str]
    image: Callable[[int], np.ndarray]
    labels: Sequence[Float[np.ndarray, "_ 4"]]
    window: Window
    disclaimer: str


def of_split(predictor: Predictor, split: str, data_dir: str = "") -> Slices:
    """A part of the data set of a run.

    Args:
      predictor: of the run.
      split: "train", "val" or "test".
      data_dir: the data set, if it has moved since training.
    """
    config = predictor.config
    if data_dir:
        config = held_out.elsewhere(config, data_dir, predictor.classes)
    source = dataset.required(open_data(config), split, config)
    dataset.same_data(source, predictor.provenance.get("data_fingerprint", ""))
    stamps = [source.disclaimer or predictor.provenance.get("stamp", "")]
    if phantom.simulated(Path(config.data.dir).expanduser()):
        stamps.append("Simulated patients")
    if split == "train":
        stamps.append("these very images were trained on")
    return _of_dataset(predictor, source, "; ".join(filter(None, stamps)))


def of_path(predictor: Predictor, path: Path, series: str = "") -> Slices:
    """A scan (a volume file, a DICOM folder), an image, or a folder of images.

    Args:
      predictor: that takes them.
      path: of one of these.
      series: of several in a DICOM folder: its UID.

    Raises:
      ValueError: there is nothing, or it cannot be read.
    """
    if not path.exists():
        raise ValueError(f"--input: no file or folder {str(path)!r}")
    if not volumes.is_volume(path) and not (
        path.is_dir() and volumes.dicom_folders(path)
    ):
        images = of_folder(path, predictor.config.data)
        return _of_dataset(predictor, images, "")
    images, _ = predictor.images_of(volumes.read_volume(path, series=series))
    limit = predictor.config.eval.beyond_heart_mm or np.inf
    seen = [i.z for i in images.slices if i.beyond_mm <= limit]
    names = [f"z{z:03d}" for z in seen]
    none = [np.zeros((0, 4))] * len(names)
    return Slices(
        names,
        [path.name] * len(names),
        lambda i: images.image(seen[i]),
        none,
        HU_WINDOW,
        "",
    )


def _of_dataset(predictor: Predictor, source: Dataset, stamp: str) -> Slices:
    hu = source.dtype == np.int16
    window = HU_WINDOW if hu else predictor.config.data.window_of(source.dtype)
    return Slices(
        source.names, source.patients, source.image, source.boxes, window, stamp
    )


def chosen(
    slices: Slices,
    confidence: Callable[[np.ndarray], float],
    count: int,
    asked: Sequence[str],
) -> list[int]:
    """Which slices are explained, in their order.

    Args:
      slices: to choose from.
      confidence: of the best box of an image; chooses where nothing is labelled.
      count: of the slices, at most.
      asked: their names or numbers, instead of the rule.
    """
    if asked:
        return [_numbered(slices.names, word) for word in asked]
    if any(len(boxes) for boxes in slices.labels):
        return by_labels(slices.labels, slices.patients, count)
    each = tqdm(range(len(slices.names)), "detect", unit="slice")
    best = [confidence(slices.image(i)) for i in each]
    return sorted(np.argsort(-np.array(best), kind="stable")[:count].tolist())


def by_labels(
    labels: Sequence[Float[np.ndarray, "_ 4"]], patients: Sequence[str], count: int
) -> list[int]:
    """Labelled slices from small to large lesions, from as many patients as can be.

    At equal steps of the rank by the area of the largest box the nearest slice of a
    patient who has none yet. No detector has a say, so the rule is fair to all.
    """
    largest = {
        i: box_area(b.astype(float)).max() for i, b in enumerate(labels) if len(b)
    }
    ranked = sorted(largest, key=lambda i: largest[i])
    picked: list[int] = []
    for rank in np.linspace(0, len(ranked) - 1, min(count, len(ranked))):
        near = sorted(range(len(ranked)), key=lambda k: abs(k - rank))
        left = [ranked[k] for k in near if ranked[k] not in picked]
        seen = {patients[i] for i in picked}
        picked.append(next((i for i in left if patients[i] not in seen), left[0]))
    return sorted(picked, key=lambda i: largest[i])


def _numbered(names: Sequence[str], word: str) -> int:
    """The slice of a name, or of a number from 0."""
    if word in names:
        return names.index(word)
    if word.isdigit() and int(word) < len(names):
        return int(word)
    near = difflib.get_close_matches(word, names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f", such as {names[0]!r}"
    raise ValueError(
        f"--slices: no slice {word!r}; name one or give its number from 0 to "
        f"{len(names) - 1}{hint}"
    )
