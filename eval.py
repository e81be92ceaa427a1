"""Judges a trained run: `python eval.py --workdir=RUN --split=test`.

EMA weights, fused, exact NMS; precision, recall and F1 at the threshold that was chosen
on the validation split. Of CT, all slices of the judged patients are looked at, also
when training saw only those with calcium. Writes `report.html`, `results.json`, tables
and pictures into `RUN/eval-SPLIT` (or `--out`).
"""

from pathlib import Path

from absl import flags

from tqgd_jax.commands import cli

WORKDIR = flags.DEFINE_string("workdir", None, "folder of a run of train.py")
SPLIT = flags.DEFINE_string("split", "test", "train, val or test")
STEP = flags.DEFINE_string(
    "step", None, "checkpoint: its number, or best (in validation) [the newest]"
)
OUT = flags.DEFINE_string("out", None, "folder for the results [WORKDIR/eval-SPLIT]")
DATA = flags.DEFINE_string("data_dir", None, "data set, if it has moved since training")
SLICES = flags.DEFINE_enum(
    "slices", "all", ["all", "trained"], "of CT: judge all slices, or as in training"
)
BATCH = flags.DEFINE_integer(
    "batch_size", None, "images at once [eval.batch_size of the run]", lower_bound=1
)
RECALIBRATE = flags.DEFINE_integer(
    "recalibrate",
    None,
    "training batches over which batch statistics are taken anew; 0: running statistics "
    "[eval.recalibrate of the run]",
    lower_bound=0,
)
BOOTSTRAPS = flags.DEFINE_integer("bootstraps", 2000, "resamples of the patients")
CONVENTION = flags.DEFINE_string("convention", "orcascore", "of the calcium score")
SCHEME = flags.DEFINE_string("scheme", "standard", "of the risk categories")
CALIBRATION = flags.DEFINE_float("calibration", None, "mg/mL per HU: calcium mass")
GALLERY = flags.DEFINE_integer("gallery", 60, "slices in the report")


POSITIVE = (
    "only slices with a labelled box were judged (data.slices=positive), so false alarms "
    "on all others are not counted and the clinical protocol has no figures"
)
CHOSEN_HERE = (
    "the threshold of this run, {:.3f}, was chosen on these very images: figures at it "
    "are optimistic"
)


def main(_: list[str]) -> None:
    """Config, data, weights, detections, report."""
    import numpy as np

    from tqgd_jax.data import dataset
    from tqgd_jax.data.open import open_data
    from tqgd_jax.detector import Detector
    from tqgd_jax.evaluation.evaluator import best_threshold
    from tqgd_jax.evaluation.inputs import held_out
    from tqgd_jax.evaluation.settings import EvaluationSettings
    from tqgd_jax.inference import detect, make_predict
    from tqgd_jax.recalibration import make_recalibrate
    from tqgd_jax.report import result_folder
    from tqgd_jax.report.text import terminal
    from tqgd_jax.structures.evaluation_set import EvaluationSet, checked
    from tqgd_jax.training import state
    from tqgd_jax.training.records import workdir
    from tqgd_jax.training.records.checkpoint import Checkpoints
    from tqgd_jax.training.runtime import compile_cache, sharding

    rules = EvaluationSettings(
        bootstraps=BOOTSTRAPS.value,
        convention=CONVENTION.value,
        scheme=SCHEME.value,
        calibration=CALIBRATION.value,
    ).checked()
    if GALLERY.value < 0:
        raise ValueError(f"--gallery must be 0 or more, got {GALLERY.value}")
    compile_cache.use_cache()
    folder = Path(WORKDIR.value or "")
    config, run = workdir.read(folder)
    if DATA.value:
        config = held_out.elsewhere(config, DATA.value, run["classes"])

    splits = open_data(config)
    chosen = dataset.required(splits, SPLIT.value, config)
    dataset.same_data(chosen, run["fingerprint"])
    if list(chosen.classes) != run["classes"]:
        raise ValueError(
            f"{config.data.dir} has the classes {list(chosen.classes)}, {folder} was "
            f"trained on {run['classes']}; set data.classes in training or choose the "
            "data set that belongs to the run"
        )
    train = splits.get("train")  # before all slices are looked at
    stamp = chosen.stamp or run.get("stamp", "")
    whole = SLICES.value == "all" and held_out.can_be_whole(config, splits, SPLIT.value)
    if whole:
        splits = held_out.all_slices(config, splits)
        chosen = splits[SPLIT.value]

    classes = len(run["classes"])
    detector = Detector(config.model, classes)
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    step = checkpoints.named(STEP.value)
    now, meta = checkpoints.restore(state.create(detector, config), step)
    checkpoints.close()
    size = BATCH.value or config.eval.batch_size
    recalibrate = config.eval.recalibrate
    if RECALIBRATE.value is not None:
        recalibrate = RECALIBRATE.value
    weights = now.ema
    if recalibrate:
        if train is None or train.fingerprint != run["fingerprint"]:
            raise ValueError(
                f"batch statistics over {recalibrate} training batches need the images "
                f"that {folder} was trained on, and {config.data.dir} holds others; set "
                "--recalibrate=0"
            )
        with sharding.memory(["--recalibrate=0, for the running statistics"]):
            weights = make_recalibrate(detector, config, train, recalibrate)(weights)
    predict = make_predict(detector, config, np.array(run["anchors"], np.float32))

    def images(split: dataset.Source) -> list:
        batches = dataset.in_order(split, size)
        with sharding.memory(
            [
                f"a smaller --batch_size ({size} now)",
                "JAX_PLATFORMS=cpu in the environment, for the memory of the host",
            ]
        ):
            return detect(predict, weights, batches, split.names)

    step = int(now.step)
    threshold = None
    if recalibrate == config.eval.recalibrate and meta.get("threshold_step") == step:
        threshold = meta.get("threshold")
    if (threshold is None or whole) and "val" in splits and not DATA.value:
        # These weights were saved between two evaluations, or evaluated with other batch
        # statistics, or on the slices with boxes only.
        threshold = best_threshold(images(splits["val"]), run["classes"])

    found = held_out.placed(chosen, images(chosen), SPLIT.value)
    fold = chosen.fold if SPLIT.value == "test" else None
    positive = chosen.positive_only and not whole
    notes = [POSITIVE] if positive else []
    if not held_out.patients_known(chosen):
        notes.append(
            "no patients are known: each image counts as one, and intervals are too "
            "narrow if patients have several"
        )
    if SPLIT.value == "val" and threshold is not None:
        notes.append(CHOSEN_HERE.format(threshold))
        threshold = None
    if SPLIT.value == "train":
        stamp = "; ".join(filter(None, [stamp, "these very images were trained on"]))
    study = EvaluationSet(
        images=tuple(found),
        classes=tuple(run["classes"]),
        thresholds=(threshold,) * len(found),
        sizes=tuple((int(h), int(w)) for h, w in chosen.sizes),
        title=f"{folder.name}, {SPLIT.value}, step {step}",
        source="none" if threshold is None else "validation",
        stamp=stamp,
        note="; ".join(notes),
        part=f"fold {fold[0]} of {fold[1]}" if fold else "",
        positive_only=positive,
    )
    out = Path(OUT.value) if OUT.value else folder / f"eval-{SPLIT.value}"
    scans = held_out.scans(config, chosen, found)
    figures = result_folder.make(
        out,
        checked(study),
        rules,
        pixels=chosen.image,
        beyond=None if scans is None else scans.beyond,
        window=config.data.window_of(chosen.dtype),
        shown=GALLERY.value,
        inputs={
            "workdir": str(folder),
            "split": SPLIT.value,
            "step": str(step),
            "precision": config.model.precision,
            "batch_size": str(size),
            "recalibrate": str(recalibrate),
        },
    )
    print(terminal.summary(figures))
    print(f"written to {out}; open {out / 'report.html'}")


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    cli.run(main)
