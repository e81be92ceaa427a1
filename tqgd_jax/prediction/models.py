"""The detectors that read a scan: one, or an ensemble of several runs."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Float, Int

from tqgd_jax import shipped
from tqgd_jax.ct import heart
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.split import fold_manifest
from tqgd_jax.io.volumes import Volume
from tqgd_jax.prediction.dicom.series import LONGEST, Algorithm
from tqgd_jax.prediction.fusion import IOU, fused
from tqgd_jax.predictor import (
    Boxes,
    Lesions,
    Predictor,
    in_whole_slices,
    linked,
)
from tqgd_jax.trained import load

Progress = Callable[[Dataset], Dataset]  # counts the images that are read


class Threshold(NamedTuple):
    """The least confidence that counts, and where it is from."""

    value: float
    source: str


class Member(NamedTuple):
    """A detector under its name."""

    name: str
    predictor: Predictor


class Detectors:
    """One detector, or an ensemble whose boxes are fused.

    Attributes:
      members: the detectors.
      classes: names by class index.
      threshold: confidence from which a detection counts.
    """

    def __init__(self, members: Sequence[Member], threshold: float | None = None):
        """Holds them against each other.

        Args:
          members: of `read_members`.
          threshold: least confidence [what validation chose; of an ensemble its mean].

        Raises:
          ValueError: they do not go together, or nobody has chosen a threshold.
        """
        self.members = tuple(members)
        first = self.members[0].predictor
        for name, other in self.members[1:]:
            if other.classes != first.classes:
                raise ValueError(
                    f"--model: {name} knows the classes {list(other.classes)}, "
                    f"{self.members[0].name} {list(first.classes)}; an ensemble needs "
                    "one list"
                )
            if other.network.segments != first.network.segments:
                raise ValueError(
                    f"--model: one of {self.members[0].name} and {name} is a detector, "
                    "the other a segmentation, whose scores mean something else; make "
                    "ensembles of one kind"
                )
        self.classes = first.classes
        self.threshold = self._threshold(threshold)

    def _threshold(self, given: float | None) -> Threshold:
        if given is not None:
            if not 0 <= given <= 1:
                raise ValueError(f"--threshold must be in [0, 1], got {given:g}")
            return Threshold(given, "given")
        predictors = [member.predictor for member in self.members]
        if predictors[0].network.segments:
            if self.ensemble:
                raise ValueError(
                    "--model: an ensemble of segmentations needs --threshold. Each has "
                    "0, because it decides by the probability of pixels, and at 0 the "
                    "ensemble keeps every false alarm of every member; give the least "
                    "fused score that counts, for example --threshold 0.25"
                )
            return Threshold(0.0, "probability of pixels")
        for name, predictor in self.members:
            if not predictor.chosen:
                raise ValueError(
                    f"--model: {name} has no threshold, because no validation of these "
                    "weights has chosen one, and a guess would be no operating point. "
                    "Give the least confidence that counts, for example --threshold "
                    "0.25, or take the one of its evaluation; runs with a "
                    "validation split (data.hold_out) and train.eval_every choose one"
                )
        value = float(np.mean([predictor.threshold for predictor in predictors]))
        return Threshold(
            value, "mean of validations" if self.ensemble else "validation"
        )

    @property
    def ensemble(self) -> bool:
        """Whether there are several."""
        return len(self.members) > 1

    @property
    def beyond_heart_mm(self) -> float:
        """How far beyond the heart any of them counts detections; 0: everywhere."""
        limits = [m.predictor.config.eval.beyond_heart_mm for m in self.members]
        return max(limits) if all(limits) else 0.0

    @property
    def description(self) -> dict[str, Any]:
        """What they are; plain data."""
        return {
            "kind": "ensemble" if self.ensemble else "model",
            "fusion": f"weighted box fusion, IoU {IOU}" if self.ensemble else None,
            "members": [
                {
                    "name": name,
                    "weights_sha256": weights_hash(predictor),
                    "threshold": predictor.threshold if predictor.chosen else None,
                    "provenance": predictor.provenance,
                }
                for name, predictor in self.members
            ],
        }

    @property
    def algorithm(self) -> Algorithm:
        """The same for DICOM; the hash of an ensemble is that of its members' hashes."""
        members = self.description["members"]
        hashes = [member["weights_sha256"] for member in members]
        name = " + ".join(member["name"] for member in members)
        together = hashlib.sha256("".join(hashes).encode()).hexdigest()
        weights = together if self.ensemble else hashes[0]
        return Algorithm(f"tqgd_jax {name}"[:LONGEST], version("tqgd_jax"), weights)

    def in_scan(
        self, scan: Volume, progress: Progress
    ) -> tuple[Lesions, Float[np.ndarray, "z 4"] | None]:
        """Lesions of a scan, and the heart boxes of its slices; None where none crops.

        Boxes are those of `eval.py` for the same slice and crop, to the bit: the same
        program and size of batch.
        """
        crops = [m.predictor.config.data.crop.method != "none" for m in self.members]
        hearts = heart.find_heart(scan.hu, scan.spacing) if any(crops) else None
        answers, seen = [], []
        for (_, predictor), cropped in zip(self.members, crops, strict=True):
            images, windows = predictor.images_of(scan, hearts if cropped else None)
            boxes = self._boxes(predictor, progress(images))
            answers.append(in_whole_slices(boxes, windows))
            seen.append(windows)
        return linked(self._one(answers), _around(seen), scan.spacing), hearts

    def in_images(self, images: Dataset, progress: Progress) -> list[Boxes]:
        """Detections in each image of a data set, px."""
        return self._one(
            [self._boxes(m.predictor, progress(images)) for m in self.members]
        )

    def _boxes(self, predictor: Predictor, images: Dataset) -> list[Boxes]:
        # Of an ensemble what one is unsure of counts too: the others may be sure.
        least = 0.0 if self.ensemble else self.threshold.value
        return predictor.found_in(images, least, predictor.config.eval.batch_size)

    def _one(self, answers: Sequence[list[Boxes]]) -> list[Boxes]:
        if not self.ensemble:
            return answers[0]
        result = []
        for of_image in zip(*answers, strict=True):
            boxes = fused(of_image)
            counts = boxes.scores.astype(np.float64) >= self.threshold.value
            result.append(Boxes(*(part[counts] for part in boxes)))
        return result

    def trained_on(self, patient: str, hashes: Sequence[str]) -> list[str]:
        """Members whose manifest of folds says that they were trained on a patient.

        Args:
          patient: as the scan's header or file name has it.
          hashes: sha256 of the HU of each slice, which tell a scan under another name.
        """
        names = []
        for name, predictor in self.members:
            if (file := _manifest(predictor)) is None:
                continue
            entries = fold_manifest.read(file).slices.values()
            test = predictor.config.data.fold
            trained = [entry for entry in entries if entry.fold != test]
            known = {entry.patient for entry in trained}
            if patient in known or {e.sha256 for e in trained} & {*hashes}:
                names.append(name)
        return names

    @property
    def unknown_training(self) -> list[str]:
        """Members whose manifest of folds is not here: `trained_on` cannot tell.

        The detector that ships has seen no patient.
        """
        return [
            name
            for name, predictor in self.members
            if name != shipped.NAME and _manifest(predictor) is None
        ]


def _manifest(predictor: Predictor) -> Path | None:
    file = Path(predictor.config.data.split).expanduser()
    return file if file.suffix == ".json" and file.is_file() else None


def read_members(paths: Sequence[Path]) -> list[Member]:
    """Detectors of runs, or of files of weights, under names of their own."""
    return [Member(_name(path, paths), load(path)) for path in paths]


def weights_hash(predictor: Predictor) -> str:
    """sha256 of names and bytes of all arrays: the same in a run and in a file of it.

    Of an exported program that of its file, which holds the weights.
    """
    if predictor.program:
        return predictor.program_sha256
    total = hashlib.sha256()
    for name, value in sorted(flatten_dict(dict(predictor.variables), sep="/").items()):
        total.update(str(name).encode())
        total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()


def _name(path: Path, paths: Sequence[Path]) -> str:
    """The last part of a path, or the whole where two end alike."""
    if path.resolve() == shipped.FILE.resolve():
        return shipped.NAME
    name = path.resolve().name
    alike = [other for other in paths if other.resolve().name == name]
    return str(path) if len(alike) > 1 else name


def _around(windows: Sequence[Int[np.ndarray, "z 4"]]) -> Int[np.ndarray, "z 4"]:
    """What any detector saw of each slice."""
    every = np.stack(windows)
    low, high = every[:, :, :2].min(axis=0), every[:, :, 2:].max(axis=0)
    return np.concatenate([low, high], axis=1)
