"""What a run will do, known before its first step: anchors, order, rates, pauses."""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tqgd_jax import anchors as anchor_boxes
from tqgd_jax.config import Config, Train
from tqgd_jax.data import dataset
from tqgd_jax.data.batches import order
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.training import optim
from tqgd_jax.training.optim import Hyper

log = logging.getLogger("tqgd_jax")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What follows from settings and training images.

    Attributes:
      anchors: width and height, px, per head.
      facts: what must stay the same when the run goes on; plain data for `config.json`.
      indices: from a step, from 0, to the numbers of its images, batch x tiles.
      schedule: learning rates and momentum of every step; `schedule.lr` is where `optim.lr`
        acts.
      steps_per_epoch: steps that show every image of an epoch (`data.backgrounds`) once.
      stop: steps of the run.
      whole: steps of all epochs; more than `stop` where `train.steps` ends it before.
      validates: whether there are images to evaluate on.
      train: when to evaluate, to save and to write figures down.
    """

    anchors: Float[np.ndarray, "l a 2"]
    facts: dict[str, Any]
    indices: Callable[[int], Int[np.ndarray, "b t"]]
    schedule: Hyper
    steps_per_epoch: int
    stop: int
    whole: int
    validates: bool
    train: Train

    def calls(self, start: int, at_most: int, *, evaluated: int) -> Iterator[range]:
        """Steps to be done at once, in order, from `start` to the end.

        None goes beyond a step after which there is something to evaluate or to save. The
        first is empty when the evaluation after step `start` was cut short.

        Args:
          start: steps that are done.
          at_most: steps at once.
          evaluated: the last step that was evaluated.
        """
        if self.evaluates_after(start) and evaluated != start:
            yield range(start, start)
        while start < self.stop:
            end = min(start + at_most, self._next_pause(start))
            yield range(start, end)
            start = end

    def evaluates_after(self, step: int) -> bool:
        """Whether the weights are evaluated when `step` steps are done."""
        if not self.validates or step == 0:
            return False
        epoch, within = divmod(step, self.steps_per_epoch)
        every = self.train.eval_every
        return step == self.stop or (within == 0 and every > 0 and epoch % every == 0)

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is written when `step` steps are done."""
        epoch, within = divmod(step, self.steps_per_epoch)
        every = self.train.checkpoint_steps
        return (
            step == self.stop
            or (within == 0 and epoch % self.train.checkpoint_every == 0)
            or (every > 0 and step % every == 0)
            or self.evaluates_after(step)
        )

    def reads_after(self, call: range) -> bool:
        """Whether the figures of steps are read and written down after this call."""
        every = self.train.log_every
        return call.start // every < call.stop // every or self.saves_after(call.stop)

    def unfinished(self, done: int) -> str:
        """What a run that ends after `done` steps leaves out; empty if nothing."""
        if done >= self.whole:
            return ""
        epochs = f"{done / self.steps_per_epoch:.4g} of {self.train.epochs} epochs"
        return (
            f"stopped after {done} of {self.whole} steps ({epochs}), as train.steps="
            f"{self.train.steps} says; the same command without it goes on to the end"
        )

    def _next_pause(self, step: int) -> int:
        """The next step after which the host may have something to do."""
        lengths = (self.steps_per_epoch, self.train.checkpoint_steps or self.stop)
        return min(self.stop, *((step // n + 1) * n for n in lengths))


def make_plan(
    config: Config, images: Dataset, *, validates: bool, masks: bool = False
) -> Plan:
    """The plan of a run.

    Args:
      config: settings.
      images: to train on.
      validates: whether there are images to evaluate on.
      masks: whether it learns from masks.

    Raises:
      ValueError: the anchors cannot be made.
    """
    wh = dataset.boxes_at(images, config.data.image_size)
    if config.baseline.family:
        chosen = anchor_boxes.NONE
    else:
        chosen = anchor_boxes.choose(
            config.model, wh, config.seed, config.loss.anchor_threshold
        )
        log.info("anchors: %s", chosen.origin)
    if chosen.lost:
        log.warning(
            "%d of %d training boxes match no anchor (%s) at %d px and are not learnt "
            "at that size; model.anchors=auto fits anchors to the boxes, a larger "
            "data.image_size enlarges the boxes",
            *(chosen.lost, len(wh), chosen.origin, config.data.image_size),
        )
    batch, epochs = config.data.batch_size, config.train.epochs
    steps_per_epoch = order.steps_per_epoch(
        order.epoch_size(config, images.boxes), batch
    )
    whole = epochs * steps_per_epoch
    return Plan(
        anchors=chosen.boxes,
        facts={
            "classes": list(images.classes),
            "anchors": chosen.boxes.tolist(),
            "anchors_origin": chosen.origin,
            "fingerprint": images.fingerprint,
            "dtype": str(images.dtype),
            "stamp": images.disclaimer,
            "masks": images.masks_statement if masks else "",
        },
        indices=order.of_run(config, images.boxes),
        schedule=optim.plan(
            config.optim,
            batch_size=batch,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
        ),
        steps_per_epoch=steps_per_epoch,
        stop=min(config.train.steps or whole, whole),
        whole=whole,
        validates=validates,
        train=config.train,
    )
