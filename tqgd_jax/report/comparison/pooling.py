"""The folds of a cross-validation as one evaluation set."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tqgd_jax.evaluation.calcium.patient_scores import PatientScore
from tqgd_jax.evaluation.inputs import probability_maps
from tqgd_jax.report import result_folder
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image

SOURCES = {
    "validation": "chosen on validation",
    "given": "given",
    "none": "missing",
    "mixed": "of several kinds",
}


class Pooled(NamedTuple):
    """A cross-validation.

    Attributes:
      eval_set: the images of all folds.
      scores: their calcium; empty unless every folder has it.
      unscored: why there are no scores.
    """

    eval_set: EvaluationSet
    scores: list[PatientScore]
    unscored: str


def pool(folders: Sequence[Path]) -> Pooled:
    """The folds of one cross-validation as one evaluation set.

    A result without a fold is one by its folder's name.

    Raises:
      ValueError: for a fold, an image or a patient that is there twice, for other
        classes than the first's, or for maps beside detections.
    """
    if len({folder.resolve() for folder in folders}) != len(folders):
        raise ValueError("a folder is named twice; pool each fold once")
    results = [result_folder.read(folder)[0] for folder in folders]
    first = results[0]
    images: list[Image] = []
    points: list[Image] = []
    seen: dict[str, Path] = {}
    folds: dict[str, Path] = {}
    for folder, one in zip(folders, results, strict=True):
        if one.classes != first.classes:
            raise ValueError(
                f"{folder}: the classes are {list(one.classes)}, {folders[0]} has "
                f"{list(first.classes)}; pool folds of one data set"
            )
        if bool(one.point) != bool(first.point):
            raise ValueError(
                f"{folder} and {folders[0]}: one has detections, the other maps of "
                "probability; pool folds of one model"
            )
        named = _in_fold(one.images, folder.name)
        points += _in_fold(one.point, folder.name)
        for fold in {i.place.fold for i in named}:
            if (other := folds.setdefault(fold, folder)) != folder:
                raise ValueError(
                    f"fold {fold!r} is in {other} and in {folder}; pool each fold once"
                )
        for patient in {i.patient for i in named}:
            if (other := seen.setdefault(patient, folder)) != folder:
                raise ValueError(
                    f"patient {patient!r} is in {other} and in {folder}; folds share no "
                    "patient, else one was trained on what it is judged by"
                )
        images += named
    disclaimers = dict.fromkeys(one.disclaimer for one in results if one.disclaimer)
    noted = [probability_maps.split_note(one.note) for one in results]
    notes = dict.fromkeys(note for note, _ in noted if note)
    statistics = sorted({statistic for _, statistic in noted})
    if len(statistics) > 1:
        raise ValueError(
            f"the score of a component is its {' and its '.join(statistics)} p; pool "
            "folds that were evaluated alike"
        )
    mixed = _sources({f: one.source for f, one in zip(folders, results, strict=True)})
    missing = _missing([one.one_fold for one in results], len(folds))
    eval_set = first._replace(
        images=tuple(images),
        thresholds=tuple(t for one in results for t in one.thresholds),
        sizes=tuple(size for one in results for size in one.sizes)
        if all(one.sizes for one in results)
        else (),
        source="mixed" if mixed else first.source,
        disclaimer="; ".join(disclaimers),
        note="; ".join(filter(None, [mixed, *notes, missing])),
        one_fold=first.one_fold if len(folds) == 1 else "",
        positive_only=any(one.positive_only for one in results),
    )
    if points:
        eval_set = probability_maps.at_point(eval_set, points, statistics[0])
    known = {folder: result_folder.scores(folder) for folder in folders}
    without = [str(folder) for folder, rows in known.items() if not rows]
    unscored = f"there are no scores in {', '.join(without)}" if without else ""
    scores = [] if without else [row for rows in known.values() for row in rows]
    return Pooled(eval_set, scores, unscored)


def _in_fold(images: Sequence[Image], name: str) -> list[Image]:
    """The images; those without a fold are of the fold `name`."""
    return [
        i if i.place.fold else i._replace(place=i.place._replace(fold=name))
        for i in images
    ]


def _sources(of: Mapping[Path, str]) -> str:
    """Where the thresholds come from, when that is not the same for all folders."""
    folders: dict[str, list[str]] = {}
    for folder, source in of.items():
        folders.setdefault(SOURCES.get(source, source), []).append(str(folder))
    each = (f"{source} ({', '.join(names)})" for source, names in folders.items())
    return f"thresholds are {', '.join(each)}" if len(folders) > 1 else ""


def _missing(names: Sequence[str], pooled: int) -> str:
    """What a reader must know when not all folds were pooled."""
    matches = [re.fullmatch(r"fold \S+ of (\d+)", name) for name in names]
    wanted = {int(match[1]) for match in matches if match}
    if not wanted or pooled == max(wanted):
        return ""
    return f"{pooled} of {max(wanted)} folds were pooled"
