"""Training, from settings to weights: what `train.py` and `tqgd train` do."""

import itertools
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tqgd_jax.config import Config
from tqgd_jax.data import dataset
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.open import open_data
from tqgd_jax.evaluation.evaluator import evaluate
from tqgd_jax.inference import detect, make_predict, near_heart
from tqgd_jax.network import build
from tqgd_jax.recalibration import make_recalibrate
from tqgd_jax.training.inputs import Inputs
from tqgd_jax.training.plan import Plan, make_plan
from tqgd_jax.training.records import workdir as workdirs
from tqgd_jax.training.records.run_records import RunRecords
from tqgd_jax.training.runtime import distributed
from tqgd_jax.training.runtime.sharding import CompiledSteps
from tqgd_jax.training.runtime.signals import Signals, Stopped
from tqgd_jax.training.state import create

log = logging.getLogger("tqgd_jax")


def train(
    config: Config, workdir: str | Path, splits: Mapping[str, Dataset] | None = None
) -> str:
    """Trains a detector, or goes on with it from its newest checkpoint.

    Args:
      config: settings; `config.data.dir` is the folder of images or scans.
      workdir: folder of the run, made if needed.
      splits: "train", and "val" if there is one, instead of what `config.data.dir` holds.

    Returns:
      The split to evaluate: "test", or "val" or "train" where there is no other.

    Raises:
      ValueError: what cannot be trained; nothing is written then.
      RuntimeError: another process is training there.
      FloatingPointError: loss or gradient is not finite, and `train.non_finite` is stop.
      Stopped: a signal came; the state is saved.
      OutOfMemory: of a device.
    """
    folder = Path(workdir).expanduser().absolute()
    splits = splits or open_data(config)
    images, val = dataset.required(splits, "train", config), splits.get("val")
    if images.disclaimer:
        log.warning("NOT A RESULT: %s", images.disclaimer)

    with workdirs.claimed(folder) if distributed.first() else nullcontext():
        # What cannot work is refused before anything is written.
        network = build(config, len(images.classes))
        masks = network.segments
        plan = make_plan(config, images, validates=val is not None, masks=masks)
        begun = (folder / "checkpoints").exists()  # then no other weights are needed
        state = create(network, config, pretrained=not begun)
        inputs = Inputs(config, images, plan, masks=masks)
        steps = CompiledSteps(config, inputs.step, inputs.constant, inputs.at_most)
        figures = validation(config, images, val, plan) if val else None
        distributed.same(config, plan.facts)
        if distributed.first():
            workdirs.record(folder, config, plan.facts)

        with (
            Signals() as signals,
            RunRecords(folder, config, plan, images) as records,
            steps.memory(),
        ):
            state = records.resume(state)
            if begun and not records.step:
                state = create(network, config, pretrained=True)
            state = steps.place(state)
            if records.step < plan.stop:
                log.info("the first step compiles the network, minutes on a CPU")
            batches = inputs.start(records.step)
            for call in plan.calls(
                records.step, steps.at_most, evaluated=records.evaluated
            ):
                done = call.stop
                if call:  # else only the evaluation that a signal ended is left
                    state, metrics = steps(
                        state,
                        list(itertools.islice(batches, len(call))),
                        plan.schedule.at(slice(call.start, done)),
                    )
                    records.add(call, metrics)
                if plan.reads_after(call):
                    records.read(leave=0 if plan.saves_after(done) else 1)
                    signals.agree()
                if figures and plan.evaluates_after(done) and not signals.caught:
                    results = signals.interruptible(figures, steps.one(state.ema))
                    if results is not None:
                        records.evaluation(done, results)
                    signals.agree()
                caught = signals.caught
                if plan.saves_after(done) or caught:
                    records.save(done, steps.one(state))
                if caught:
                    raise Stopped(caught, done)
    if unfinished := plan.unfinished(max(records.step, plan.stop)):
        log.warning("%s", unfinished)
    return next(name for name in ("test", "val", "train") if name in splits)


def validation(
    config: Config, images: Dataset, val: Dataset, plan: Plan
) -> Callable[[Any], dict[str, Any]]:
    """From EMA variables to figures on the images that are held out of training."""
    predict = make_predict(config, len(images.classes), plan.anchors)
    recalibrate = make_recalibrate(config, images, config.eval.recalibrate)

    def figures(ema: dict[str, Any]) -> dict[str, Any]:
        batches = dataset.in_order(val, config.eval.batch_size)
        detections = detect(predict, recalibrate(ema), batches, val.names)
        counted = near_heart(detections, val.slices, config.eval.beyond_heart_mm)
        return evaluate(counted, images.classes)

    return figures
