"""Trains a detector: `python train.py --config=configs/tqgdnet.py --config.data.dir=DIR`.

The same command resumes. `--config.section.field=value` overrides any setting of
`tqgd_jax/config.py`; `--dry_run` prints what a configuration amounts to.
"""

import itertools
import json
import sys
from pathlib import Path

from absl import flags

from tqgd_jax import cli

cli.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run [runs/CONFIG]")
DRY_RUN = flags.DEFINE_bool(
    "dry_run",
    False,
    "print one JSON object and exit; as many classes as data.classes names, else one",
)


def main(_: list[str]) -> None:
    """Config, data, model, state, step, loop."""
    config = cli.config()
    if DRY_RUN.value:
        from tqgd_jax.describe import describe

        print(json.dumps(describe(config, max(1, len(config.data.classes))), indent=2))
        return

    import jax.numpy as jnp
    import numpy as np

    from tqgd_jax import anchors as anchor_boxes
    from tqgd_jax.data import order, source
    from tqgd_jax.data.resident import take, upload
    from tqgd_jax.detector import Detector
    from tqgd_jax.inference import detect, make_predict
    from tqgd_jax.metrics.evaluate import evaluate
    from tqgd_jax.training import loop, optim, state, workdir
    from tqgd_jax.training.checkpoint import Checkpoints
    from tqgd_jax.training.parallel import AXIS, Program
    from tqgd_jax.training.step import make_train_step

    folder = Path(WORKDIR.value or f"runs/{cli.config_name()}").absolute()

    # Data.
    splits = source.open_data(config)
    train = source.required(splits, "train", config)
    classes = len(train.classes)
    if train.stamp:
        print(f"NOT A RESULT: {train.stamp}", file=sys.stderr)
    anchors = anchor_boxes.choose(
        config.model, source.boxes_at(train, config.data.image_size), config.seed
    )
    tiles = 4 if config.augment.mosaic > 0 else 1
    batch = config.data.batch_size
    epoch = order.steps_per_epoch(len(train.names), batch)
    stop = config.train.epochs * epoch
    if config.train.steps:
        stop = min(config.train.steps, stop)

    with workdir.claimed(folder):
        # Model, state and step; what cannot work is refused before anything is written.
        pmap = config.train.parallel == "pmap"
        detector = Detector(config.model, classes, axis_name=AXIS if pmap else None)
        now = state.create(detector, config)
        step = make_train_step(detector, config, jnp.asarray(anchors))
        resident = config.data.placement == "resident"
        if resident:
            program = Program(
                config,
                lambda state, data, rows, hyper: step(state, take(data, rows), hyper),
                constant=(upload(train),),
            )
        else:
            program = Program(config, step)

        run = {
            "classes": list(train.classes),
            "anchors": anchors.tolist(),
            "fingerprint": train.fingerprint,
            "stamp": train.stamp,
        }
        workdir.record(folder, config, run)
        checkpoints = Checkpoints(folder / "checkpoints", config.train.keep)
        start, meta = 0, {}
        if checkpoints.latest() is not None:
            now, meta = checkpoints.restore(now, repair=True)
            start = int(now.step)
            print(f"resuming {folder} at step {start} of {stop}", file=sys.stderr)

        # Loop.
        def indices(step: int) -> np.ndarray:
            return order.indices(config.seed, len(train.names), batch, step, tiles)

        if resident:
            inputs = ((indices(i),) for i in itertools.count(start))
        else:
            from tqgd_jax.data.pipeline import stream

            inputs = ((b,) for b in stream(train, config, start, stop))
        predict = make_predict(Detector(config.model, classes), config, anchors)

        def validate(ema: dict) -> dict:
            val = splits["val"]
            batches = source.in_order(val, config.eval.batch_size)
            images = detect(predict, ema, batches, val.names)
            return evaluate(images, classes, threshold=None)

        loop.run(
            config,
            folder,
            program,
            now,
            optim.plan(
                config.optim,
                batch_size=batch,
                epochs=config.train.epochs,
                steps_per_epoch=epoch,
            ),
            inputs,
            checkpoints,
            start=start,
            stop=stop,
            steps_per_epoch=epoch,
            describe_batch=lambda i: ", ".join(train.names[j] for j in indices(i).flat),
            evaluate=validate if "val" in splits else None,
            meta=meta,
        )
        checkpoints.close()
    judged = "test" if "test" in splits else "val" if "val" in splits else "train"
    print(f"done: {folder}; next: python eval.py --workdir={folder} --split={judged}")


if __name__ == "__main__":
    cli.run(main)
