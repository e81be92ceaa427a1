"""A configuration on a data set: network, step, schedule and inputs, ready to train."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from tqgd_jax import anchors as anchor_boxes
from tqgd_jax.config import Config
from tqgd_jax.data import dataset
from tqgd_jax.data.batches import order, resident
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.open import open_data
from tqgd_jax.detector import Detector
from tqgd_jax.evaluation.evaluator import evaluate
from tqgd_jax.inference import detect, make_predict
from tqgd_jax.recalibration import make_recalibrate
from tqgd_jax.training import optim, state
from tqgd_jax.training.loop import Loop
from tqgd_jax.training.non_finite import NonFinitePolicy
from tqgd_jax.training.records import workdir as workdirs
from tqgd_jax.training.runtime import distributed, sharding
from tqgd_jax.training.state import TrainState
from tqgd_jax.training.step import make_train_step

log = logging.getLogger("tqgd_jax")


class Run:
    """Everything of a run but the folder it is written to.

    Attributes:
      detector: the network in training form.
      indices: from an iteration to the numbers of its images, batch x tiles.
      anchors: px, per head.
      schedule: of all iterations, see `optim.plan`.
      steps_per_epoch: iterations of an epoch.
      stop: iterations of the run.
      program: the compiled steps.
    """

    def __init__(self, config: Config, train: Dataset, val: Dataset | None = None):
        """Puts the data on the devices, if they are to lie there.

        Raises:
          ValueError: devices or batch do not fit each other.
          OutOfMemory: the data do not fit the device.
        """
        self._config, self._train, self._val = config, train, val
        self.indices = order.of_run(config, len(train.names))
        wh = dataset.boxes_at(train, config.data.image_size)
        chosen = anchor_boxes.choose(
            config.model, wh, config.seed, config.loss.anchor_threshold
        )
        self.anchors, self._origin = chosen.boxes, chosen.origin
        log.info("anchors: %s", chosen.origin)
        if chosen.lost:
            log.warning(
                "%d of %d training boxes match no anchor (%s) at %d px and are not learnt "
                "at that size; model.anchors=auto fits anchors to the boxes, a larger "
                "data.image_size enlarges the boxes",
                *(chosen.lost, len(wh), chosen.origin, config.data.image_size),
            )
        self.steps_per_epoch = order.steps_per_epoch(
            len(train.names), config.data.batch_size
        )
        self.stop = config.train.epochs * self.steps_per_epoch
        if config.train.steps:
            self.stop = min(config.train.steps, self.stop)
        self.schedule = optim.plan(
            config.optim,
            batch_size=config.data.batch_size,
            epochs=config.train.epochs,
            steps_per_epoch=self.steps_per_epoch,
        )
        pmap = config.train.parallel == "pmap"
        self.detector = Detector(
            config.model,
            len(train.classes),
            axis_name=sharding.AXIS if pmap else None,
        )
        # Traces the network: one that cannot be built is refused before a folder is made.
        self._first = state.create(self.detector, config)
        step = make_train_step(self.detector, config, jnp.asarray(self.anchors))
        self._rows = sharding.rows(config)
        self._resident = not distributed.most(not resident.fits(train, config))
        if not self._resident and importlib.util.find_spec("tensorflow") is None:
            raise ValueError(
                "data.placement=stream needs TensorFlow, which is not installed: pip "
                "install tensorflow-cpu, or data.placement=resident with a larger "
                "data.resident_mib"
            )
        steps = sharding.steps_per_call(
            config, self.steps_per_epoch, resident=self._resident
        )
        if self._resident:

            def taken(state: TrainState, data: Any, rows: Any, hyper: Any) -> Any:
                with jax.named_scope("input"):
                    batch = resident.take(data, rows)
                return step(state, batch, hyper)

            self.program = sharding.CompiledSteps(
                config,
                taken,
                constant=(resident.arrays(train),),
                steps=steps,
            )
        else:
            self.program = sharding.CompiledSteps(config, step, steps=steps)

    def create(self) -> TrainState:
        """The state before the first step."""
        return self._first

    def facts(self) -> dict[str, Any]:
        """What follows from settings and data and must stay the same, for `workdir`."""
        return {
            "classes": list(self._train.classes),
            "anchors": self.anchors.tolist(),
            "anchors_origin": self._origin,
            "fingerprint": self._train.fingerprint,
            "stamp": self._train.disclaimer,
        }

    def inputs(self, start: int) -> Iterator[tuple[Any, ...]]:
        """Inputs of the program's steps from iteration `start` on."""
        if self._resident:
            for i in range(start, self.stop):
                yield (self.indices(i)[self._rows],)
            return
        from tqgd_jax.data.batches.stream import stream

        for batch in stream(self._train, self._config, start, self.stop, self._rows):
            yield (batch,)

    def train(self, folder: Path) -> TrainState:
        """Goes on from the newest checkpoint in `folder` to the end; see `Loop.run`."""
        config = self._config
        checkpoints = distributed.checkpoints(folder / "checkpoints", config.train.keep)
        try:
            now, meta, start = self.create(), {}, 0
            if checkpoints.latest() is not None:
                now, meta = checkpoints.restore(now, repair=True)
                start = int(now.step)
                log.info("resuming %s at step %d of %d", folder, start, self.stop)
            trouble = NonFinitePolicy(
                config.train, self._names, meta.get("left_out", [])
            )
            done = Loop(
                config=config,
                program=self.program,
                schedule=self.schedule,
                inputs=self.inputs,
                checkpoints=checkpoints,
                journal=distributed.journal(
                    config,
                    folder,
                    start=start,
                    stop=self.stop,
                    epoch=self.steps_per_epoch,
                ),
                trouble=trouble,
                evaluate=self._evaluator(),
                steps_per_epoch=self.steps_per_epoch,
                meta=meta,
            ).run(now, start, self.stop)
            if trouble.summary():
                log.warning("%s", trouble.summary())
            return done
        finally:
            checkpoints.close()

    def _names(self, iteration: int) -> str:
        return ", ".join(self._train.names[j] for j in self.indices(iteration).flat)

    def _evaluator(self) -> Any:
        if self._val is None:
            return None
        val, config, classes = self._val, self._config, self._train.classes
        detector = Detector(config.model, len(classes))
        predict = make_predict(detector, config, self.anchors)
        recalibrate = make_recalibrate(
            detector, config, self._train, config.eval.recalibrate
        )

        def figures(ema: dict[str, Any]) -> dict[str, Any]:
            batches = dataset.in_order(val, config.eval.batch_size)
            images = detect(predict, recalibrate(ema), batches, val.names)
            return evaluate(images, classes)

        return figures


def train(config: Config, workdir: str | Path) -> str:
    """Trains a detector, or goes on with it: what `train.py` does.

    Args:
      config: settings; `config.data.dir` is the folder of images or scans.
      workdir: folder of the run, made if needed.

    Returns:
      The split to evaluate: "test", or "val" or "train" where there is no other.

    Raises:
      ValueError: what cannot be trained; nothing is written then.
      RuntimeError: another process is training there.
    """
    folder = Path(workdir).expanduser().absolute()
    splits = open_data(config)
    images = dataset.required(splits, "train", config)
    if images.disclaimer:
        log.warning("NOT A RESULT: %s", images.disclaimer)
    first = distributed.first()
    with workdirs.claimed(folder) if first else nullcontext():
        # What cannot work is refused before anything is written.
        run = Run(config, images, splits.get("val"))
        distributed.same(config, run.facts())
        if first:
            workdirs.record(folder, config, run.facts())
        run.train(folder)
    return next(name for name in ("test", "val", "train") if name in splits)
