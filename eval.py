"""Judges a trained run: `python eval.py --workdir=RUN --split=test`.

EMA weights, fused, exact NMS; precision, recall and F1 at the threshold that was chosen
on the validation split. Writes `results.json`, detections, a precision-recall curve and
overlays into `RUN/eval-SPLIT` (or `--out`).
"""

from pathlib import Path

from absl import flags

from tqgd_jax import cli

WORKDIR = flags.DEFINE_string("workdir", None, "folder of a run of train.py")
SPLIT = flags.DEFINE_string("split", "test", "train, val or test")
STEP = flags.DEFINE_integer("step", None, "checkpoint [the newest]")
OUT = flags.DEFINE_string("out", None, "folder for the results [WORKDIR/eval-SPLIT]")
DATA = flags.DEFINE_string("data_dir", None, "data set, if it has moved since training")
OVERLAYS = flags.DEFINE_integer("overlays", 12, "images on the page of overlays")


POSITIVE = (
    "only slices with a labelled box were judged (data.slices=positive, the paper's "
    "protocol): false alarms on all others are not counted"
)


def main(_: list[str]) -> None:
    """Config, data, weights, detections, figures, pictures."""
    from dataclasses import replace

    import numpy as np

    from tqgd_jax.data import source
    from tqgd_jax.detector import Detector
    from tqgd_jax.inference import detect, make_predict
    from tqgd_jax.metrics.evaluate import best_threshold, evaluate
    from tqgd_jax.report import overlays, plots, results, terminal
    from tqgd_jax.training import state, workdir
    from tqgd_jax.training.checkpoint import Checkpoints

    folder = Path(WORKDIR.value or "")
    config, run = workdir.read(folder)
    if DATA.value:
        data = replace(config.data, dir=DATA.value, classes=tuple(run["classes"]))
        config = replace(config, data=data)

    splits = source.open_data(config)
    chosen = source.required(splits, SPLIT.value, config)
    source.same_data(chosen, run["fingerprint"])
    if list(chosen.classes) != run["classes"]:
        raise ValueError(
            f"{config.data.dir} has the classes {list(chosen.classes)}, {folder} was "
            f"trained on {run['classes']}; set data.classes in training or choose the "
            "data set that belongs to the run"
        )
    classes = len(run["classes"])
    detector = Detector(config.model, classes)
    checkpoints = Checkpoints(folder / "checkpoints", config.train.keep)
    now, meta = checkpoints.restore(state.create(detector, config), STEP.value)
    predict = make_predict(detector, config, np.array(run["anchors"], np.float32))

    def images(split: source.Source) -> list:
        batches = source.in_order(split, config.eval.batch_size)
        return detect(predict, now.ema, batches, split.names)

    step = int(now.step)
    threshold = meta.get("threshold") if meta.get("threshold_step") == step else None
    if threshold is None and "val" in splits and not DATA.value:
        # These weights were saved between two evaluations.
        threshold = best_threshold(images(splits["val"]), classes)
    found = images(chosen)
    figures = evaluate(found, classes, threshold)
    if SPLIT.value == "val" and threshold is not None:
        figures["note"] += " The threshold was chosen on these very images."
    figures |= {"split": SPLIT.value, "step": step, "workdir": str(folder)}
    if stamp := chosen.stamp or run.get("stamp", ""):
        figures["stamp"] = stamp
    if chosen.slices and config.data.slices == "positive":
        figures["protocol"] = POSITIVE

    out = Path(OUT.value) if OUT.value else folder / f"eval-{SPLIT.value}"
    sizes = chosen.sizes.tolist()
    results.write(out, figures, found, run["classes"], sizes, chosen.slices)
    plots.precision_recall(
        out / "precision_recall.png", found, run["classes"], threshold
    )
    cut = figures["optimistic"]["threshold"] if threshold is None else threshold
    shown = overlays.choose(found, 0.0 if cut is None else cut, OVERLAYS.value)
    overlays.overlay_page(
        out / "overlays.png",
        [(chosen.image(i), found[i]) for i in shown],
        run["classes"],
        threshold,
        f"{folder.name}, {SPLIT.value}, step {step}",
        most=OVERLAYS.value,
        window=config.data.window_of(chosen.dtype),
    )
    checkpoints.close()
    print(terminal.summary(figures))
    print(f"written to {out}")


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    cli.run(main)
