"""What is evaluated: all slices of the held-out patients, with their places."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tqgd_jax.config import Config, Data
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.discover import scan_folder
from tqgd_jax.data.open import open_data
from tqgd_jax.evaluation.inputs.image_pixels import Pixels
from tqgd_jax.structures.image import Image, Place


def elsewhere(config: Config, folder: str, classes: Sequence[str]) -> Config:
    """The settings of a run for a data set in another place.

    The run's class names are set only where the data would find others: naming them is a
    setting too, and would make the same data look like other data.
    """
    moved = dataclasses.replace(config.data, dir=folder)
    named = dataclasses.replace(moved, classes=tuple(classes))
    moved, named = (dataclasses.replace(config, data=d) for d in (moved, named))
    try:
        splits = open_data(moved)
    except ValueError:
        return named  # with names it may open; if not, its error says why
    same = all(list(source.classes) == list(classes) for source in splits.values())
    return moved if same else named


# Settings of `Data` that are about the files of one data set.
OF_FILES = (
    *("format", "group", "scan_pattern", "mask_pattern", "boxes", "slices"),
    *("folds", "fold", "hold_out", "backgrounds"),
)


def undivided(config: Config) -> Config:
    """The settings for a data set that a detector has never seen: all of it is judged.

    What says how the run's own files are found, grouped and split is left behind.
    """
    usual, crop = Data(), config.data.crop
    if crop.by_file:
        crop = dataclasses.replace(crop, method=usual.crop.method)
    whole = dataclasses.replace(
        config.data,
        **{name: getattr(usual, name) for name in OF_FILES},
        split="ratio",
        ratio=(0.0, 0.0, 1.0),
        crop=crop,
    )
    return dataclasses.replace(config, data=whole)


def patients_known(source: Dataset) -> bool:
    """Whether images are said to be of patients, and not each of its own."""
    return bool(source.slices) or source.patients != source.names


def can_be_whole(config: Config, trained: Mapping[str, Dataset], split: str) -> bool:
    """Whether `all_slices` can add the slices without boxes to a part."""
    packed = config.data.dir.endswith(".npz")
    return (
        split != "train"
        and config.data.slices == "positive"
        and bool(trained[split].slices)
        and not packed
        and _trained_on(trained).isdisjoint(trained[split].patients)
    )


def all_slices(config: Config, trained: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The val and test parts of a CT run that trained on positive slices, whole.

    The same patients, with the slices that have no box; patients without any calcium
    join the test part. None of them was trained on. Here other patients may be held out
    for validation than there, so no part's windows are widened by labels, unless all are.

    Args:
      config: with `data.slices="positive"`, not packed, patients in one part each.
      trained: the splits of training.

    Raises:
      ValueError: when a patient of the judged parts was trained on.
    """
    crop = config.data.crop
    crop = dataclasses.replace(crop, widen="all" if crop.widen == "all" else "none")
    data = dataclasses.replace(config.data, slices="all", crop=crop)
    whole = open_data(dataclasses.replace(config, data=data))
    seen = _trained_on(trained)
    splits = {}
    if "val" in trained:
        splits["val"] = _select(whole.values(), set(trained["val"].patients))
        seen |= set(trained["val"].patients)
    if "test" in whole:
        splits["test"] = whole["test"]
        if both := sorted(seen & set(whole["test"].patients)):
            raise ValueError(
                f"patient {both[0]!r} was trained on and is in the test part of all "
                "slices; --slices=trained judges the slices of training alone"
            )
    return splits


def _trained_on(trained: Mapping[str, Dataset]) -> set[str]:
    return set(trained["train"].patients) if "train" in trained else set()


def placed(source: Dataset, images: Sequence[Image], split: str) -> list[Image]:
    """Detections of a split with what is known of each image and box, in float64.

    A table gives the same float64 back, so figures can be made again from it.
    """
    index = {name: i for i, name in enumerate(source.names)}
    fold = str(source.fold[0]) if source.fold and split == "test" else ""
    known = patients_known(source)
    result = []
    for image in images:
        i = index[image.name]
        place = Place(patient=source.patients[i] if known else "", fold=fold)
        if source.slices:
            info = source.slices[i]
            place = place._replace(
                scan=info.scan,
                z=info.z,
                spacing=info.spacing,
                crop=info.crop,
                scanner=info.scanner,
            )
        elif source.crops:
            place = place._replace(crop=source.crops[i])
        result.append(
            image._replace(
                boxes=image.boxes.astype(np.float64),
                det_boxes=image.det_boxes.astype(np.float64),
                det_scores=image.det_scores.astype(np.float64),
                place=place,
                lesions=tuple(source.lesions[i]) if source.lesions else (),
            )
        )
    return result


def scans(config: Config, source: Dataset, images: Sequence[Image]) -> Pixels | None:
    """The scans that judged images are from; None where there are none, or packed ones."""
    if not source.slices or config.data.dir.endswith(".npz"):
        return None
    folder = scan_folder.find(config.data, masks=False)
    by_name = {s.name: s for s in folder.scans} if folder else {}
    return Pixels(images, (), [None] * len(images), by_name)


def _select(splits: Collection[Dataset], patients: Collection[str]) -> Dataset:
    """The images of some patients, from any part of a data set."""
    chosen = [
        (split, i)
        for split in splits
        for i, group in enumerate(split.patients)
        if group in patients
    ]
    first = next(iter(splits))
    return dataclasses.replace(
        first,
        names=[split.names[i] for split, i in chosen],
        patients=[split.patients[i] for split, i in chosen],
        sizes=np.array([split.sizes[i] for split, i in chosen]).reshape(-1, 2),
        boxes=[split.boxes[i] for split, i in chosen],
        labels=[split.labels[i] for split, i in chosen],
        image=lambda k: chosen[k][0].image(chosen[k][1]),
        slices=[split.slices[i] for split, i in chosen if split.slices],
        lesions=[split.lesions[i] for split, i in chosen if split.lesions],
    )
