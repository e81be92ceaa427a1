"""Evaluates a trained run: `tqgd eval --workdir=RUN --split=test`.

EMA weights, fused, exact NMS; precision, recall and F1 at the threshold that was chosen
on the validation split. Of CT, all slices of the judged patients are looked at, also
when training saw only those with calcium. Writes `report.html`, `results.json`, tables
and pictures into `RUN/eval-SPLIT` (or `--out`).

tqgd eval --split=all --data_dir=DIR --out=OUT

Judges the detector that ships, or `--workdir=RUN_OR_WEIGHTS`, on every image of a data
set that it was not trained on.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from tqgd_jax.commands.line import cli

if TYPE_CHECKING:
    from tqgd_jax.config import Config
    from tqgd_jax.data.dataset import Dataset
    from tqgd_jax.predictor import Predictor
    from tqgd_jax.structures.evaluation_set import EvaluationSet
    from tqgd_jax.structures.image import Image

flags.disclaim_key_flags()

POSITIVE = (
    "only slices with a labelled box were judged (data.slices=positive), so false alarms "
    "on all others are not counted and the clinical protocol has no figures"
)
CHOSEN_HERE = (
    "the threshold of this run, {}, was chosen on these very images: figures at it "
    "are optimistic"
)
ALL = "all"
BEYOND = (
    "detections in slices more than {:g} mm below or above the heart do not count "
    "(eval.beyond_heart_mm)"
)
UNSEEN = (
    "every image of {}; that the detector was not trained on any of them is the word of "
    "who gave this data set"
)


def main() -> None:
    """The command."""
    flags.DEFINE_string(
        "workdir", None,
        "folder of a run; with --split=all also exported weights [those that ship]",
    )  # fmt: skip
    flags.DEFINE_string(
        "split", "test", "train, val or test; all: of --data_dir, a set not trained on"
    )
    flags.DEFINE_string(
        "step", None, "checkpoint: its number, or best (in validation) [the newest]"
    )
    flags.DEFINE_string(
        "out", None, "folder for the results [WORKDIR/eval-SPLIT; --split=all needs it]"
    )
    flags.DEFINE_string(
        "data_dir",
        None,
        "data set, if it has moved since training, or that of --split=all",
    )
    flags.DEFINE_enum(
        "slices",
        "all",
        ["all", "trained"],
        "of CT: judge all slices, or as in training",
    )
    flags.DEFINE_integer(
        "batch_size",
        None,
        "images at once [eval.batch_size of the run]",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "recalibrate",
        None,
        "training batches over which batch statistics are taken anew; 0: running "
        "statistics [eval.recalibrate of the run]",
        lower_bound=0,
    )
    flags.DEFINE_integer("bootstraps", 2000, "resamples of the patients")
    flags.DEFINE_string("convention", "orcascore", "of the calcium score")
    flags.DEFINE_string("scheme", "standard", "of the risk categories")
    flags.DEFINE_float("calibration", None, "mg/mL per HU: calcium mass")
    flags.DEFINE_integer("gallery", 60, "slices in the report")
    cli.run(_main)


def _main(_: list[str]) -> None:
    """Weights, data, detections, threshold, figures, report."""
    from tqgd_jax.evaluation.evaluator import best_threshold
    from tqgd_jax.evaluation.inputs import held_out, probability_maps
    from tqgd_jax.evaluation.settings import EvaluationSettings
    from tqgd_jax.report import result_folder
    from tqgd_jax.report.text import terminal
    from tqgd_jax.structures.evaluation_set import checked
    from tqgd_jax.structures.thresholds import CURVE_TAU, POINT_TAU
    from tqgd_jax.trained import load
    from tqgd_jax.training.runtime import compile_cache, sharding

    given = flags.FLAGS
    settings = EvaluationSettings(
        bootstraps=given.bootstraps,
        convention=given.convention,
        scheme=given.scheme,
        calibration=given.calibration,
    ).checked()
    if given.gallery < 0:
        raise ValueError(f"--gallery must be 0 or more, got {given.gallery}")
    whose, out = _places()
    compile_cache.use_cache()
    predictor = load(whose, given.step)
    config, unseen = predictor.config, given.split == ALL
    split = "test" if unseen else given.split
    if unseen:
        _refuse_own(config, given.data_dir)
        config = held_out.undivided(config)
    if given.data_dir:
        config = held_out.elsewhere(config, given.data_dir, predictor.classes)

    splits = _data(config, predictor, whose, split)
    trained_with = config.eval.recalibrate
    batches = trained_with if given.recalibrate is None else given.recalibrate
    if batches:
        predictor = _recalibrated(predictor, splits, batches, whose)
    whole = given.slices == "all" and held_out.can_be_whole(config, splits, split)
    if whole:
        splits = held_out.all_slices(config, splits)
    size = given.batch_size or config.eval.batch_size
    ways = [
        f"a smaller --batch_size ({size} now)",
        "JAX_PLATFORMS=cpu in the environment, for the memory of the host",
    ]

    threshold, segments = None, predictor.network.segments
    if batches == trained_with and not segments:
        threshold = predictor.provenance["validated_threshold"]
    # The operating point of a segmentation is a probability of pixels.
    unchosen = (threshold is None or whole) and not segments
    if unchosen and "val" in splits and not given.data_dir:
        # These weights were saved between two evaluations, or evaluated with other batch
        # statistics, or on the slices with boxes only.
        with sharding.memory(ways):
            validated = predictor.detect(splits["val"], size)
        threshold = best_threshold(validated, predictor.classes)
    taus = (CURVE_TAU, POINT_TAU) if segments else (CURVE_TAU,)
    with sharding.memory(ways):
        detections = predictor.detect_at(splits[split], taus, size)
    images, *point = (held_out.placed(splits[split], d, split) for d in detections)

    evaluated = _evaluation_set(predictor, splits[split], images, threshold, whole)
    if segments:
        evaluated = probability_maps.at_point(evaluated, point[0], "mean")
        masks = f"trained with masks: {predictor.provenance['masks']}"
        evaluated = evaluated._replace(note=f"{evaluated.note}; {masks}")
    scans = held_out.scans(config, splits[split], images)
    figures = result_folder.make(
        out,
        checked(evaluated),
        settings,
        pixels=splits[split].image,
        beyond=None if scans is None else scans.beyond,
        window=config.data.window_of(splits[split].dtype),
        shown=given.gallery,
        inputs={
            "workdir": str(whose),
            "split": given.split,
            "step": str(predictor.provenance["step"]),
            "precision": config.model.precision,
            "batch_size": str(size),
            "recalibrate": str(batches),
        },
    )
    print(terminal.summary(figures))
    print(f"written to {out}; open {out / 'report.html'}")


def _places() -> tuple[Path, Path]:
    """Whose detector is judged, and where the results go."""
    from tqgd_jax import shipped

    given = flags.FLAGS
    missing = [f"--{k}" for k in ("data_dir", "out") if not getattr(given, k)]
    if given.split == ALL and missing:
        raise ValueError(
            f"--split=all judges a data set that was not trained on; it needs "
            f"{' and '.join(missing)}"
        )
    if given.split == ALL and given.slices == "trained":
        raise ValueError("--slices=trained: with --split=all every slice is judged")
    if given.workdir == "" or (given.workdir is None and given.split != ALL):
        raise ValueError(
            "--workdir is missing: give the folder of a run, or judge the detector "
            "that ships with --split=all --data_dir=DIR --out=OUT"
        )
    whose = Path(given.workdir).expanduser() if given.workdir else shipped.FILE
    if whose.is_file() and not given.out:
        raise ValueError(f"--workdir: {whose} is a file; say with --out where to write")
    return whose, Path(given.out or whose / f"eval-{given.split}").expanduser()


def _refuse_own(config: "Config", data_dir: str) -> None:
    own, other = (Path(p).expanduser().resolve() for p in (config.data.dir, data_dir))
    if own == other:
        raise ValueError(
            f"--data_dir: {data_dir} is the data set of the run, of which it was trained "
            "on a part; --split=test judges the others"
        )
    if other.suffix == ".npz":
        raise ValueError(
            f"--data_dir: {data_dir} is a packed set, whose parts are fixed; give the "
            "folder that it was packed from"
        )


def _data(
    config: "Config", predictor: "Predictor", folder: Path, split: str
) -> "Mapping[str, Dataset]":
    """The splits of the data set, of which `split` has the classes of the run."""
    from tqgd_jax.data import dataset
    from tqgd_jax.data.open import open_data

    splits = open_data(config)
    evaluated = dataset.required(splits, split, config)
    if flags.FLAGS.split != ALL:
        dataset.same_data(evaluated, predictor.provenance["data_fingerprint"])
    low, high = config.data.window_of(np.dtype(np.int16))
    grey = np.issubdtype(evaluated.dtype, np.unsignedinteger)
    if grey and any(config.data.window) and low < 0:
        raise ValueError(
            f"{config.data.dir} holds {evaluated.dtype} images, which have no Hounsfield "
            f"units, and the detector was trained with data.window=({low:g}, {high:g})"
        )
    if evaluated.classes != predictor.classes:
        raise ValueError(
            f"{config.data.dir} has the classes {list(evaluated.classes)}, {folder} was "
            f"trained on {list(predictor.classes)}; set data.classes in training or "
            "choose the data set that belongs to the run"
        )
    return splits


def _evaluation_set(
    predictor: "Predictor",
    source: "Dataset",
    images: "list[Image]",
    threshold: float | None,
    whole: bool,
) -> "EvaluationSet":
    """The images with all that a reader of their figures must know."""
    from tqgd_jax import shipped
    from tqgd_jax.evaluation.inputs import held_out
    from tqgd_jax.report.html.numbers import cut
    from tqgd_jax.structures.evaluation_set import EvaluationSet

    given, run, split = flags.FLAGS, predictor.provenance, flags.FLAGS.split
    whose = Path(given.workdir).expanduser().name if given.workdir else shipped.NAME
    disclaimer = source.disclaimer or run["stamp"]
    positive = source.positive_only and not whole
    notes = [POSITIVE] if positive else []
    if not held_out.patients_known(source):
        notes.append(
            "no patients are known: each image counts as one, and intervals are too "
            "narrow if patients have several"
        )
    if split == ALL:
        notes.append(UNSEEN.format(given.data_dir))
    if limit := predictor.config.eval.beyond_heart_mm:
        notes.append(BEYOND.format(limit))
    if split == "val" and threshold is not None:
        notes.append(CHOSEN_HERE.format(cut(threshold)))
        threshold = None
    if split == "train":
        disclaimer = "; ".join(
            filter(None, [disclaimer, "these very images were trained on"])
        )
    fold = source.fold if split == "test" else None
    return EvaluationSet(
        images=tuple(images),
        classes=predictor.classes,
        thresholds=(threshold,) * len(images),
        sizes=tuple((int(h), int(w)) for h, w in source.sizes),
        title=f"{whose}, {split}, step {run['step']}",
        source="none" if threshold is None else "validation",
        disclaimer=disclaimer,
        note="; ".join(notes),
        one_fold=f"fold {fold[0]} of {fold[1]}" if fold else "",
        positive_only=positive,
    )


def _recalibrated(
    predictor: "Predictor", splits: "Mapping[str, Dataset]", batches: int, folder: Path
) -> "Predictor":
    """The predictor with batch statistics of its weights over training batches."""
    from tqgd_jax.recalibration import make_recalibrate
    from tqgd_jax.training.runtime import sharding

    train = splits.get("train")
    if train is None or train.fingerprint != predictor.provenance["data_fingerprint"]:
        raise ValueError(
            f"batch statistics over {batches} training batches need the images that "
            f"{folder} was trained on, and the data set holds others; set "
            "--recalibrate=0"
        )
    with sharding.memory(["--recalibrate=0, for the running statistics"]):
        anew = make_recalibrate(predictor.config, train, batches)
        return dataclasses.replace(predictor, variables=anew(predictor.variables))
