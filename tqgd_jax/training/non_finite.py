"""Iterations whose loss or gradient is not finite: what `train.non_finite` does."""

import logging
from collections.abc import Callable
from typing import Any

from tqgd_jax.config import Train

log = logging.getLogger("tqgd_jax")


class NonFinitePolicy:
    """Looks at the metrics of each iteration and applies the policy.

    The step itself never lets such an iteration change the state (`step.make_learn`).

    Attributes:
      left_out: iterations (from 0) that did not change the state; kept with checkpoints.
    """

    def __init__(self, train: Train, images: Callable[[int], str], left_out: list[int]):
        """`images` names those of an iteration."""
        self._train, self._images = train, images
        self.left_out = left_out

    def look(self, row: dict[str, Any]) -> None:
        """Checks the metrics of a step that was done.

        Raises:
          FloatingPointError: the policy is "stop", or too many were left out.
        """
        iteration = row["step"] - 1
        if not row["skipped"]:
            return
        terms = ", ".join(
            f"{k}={v}" for k, v in row.items() if k not in ("step", "skipped")
        )
        images = self._images(iteration)
        message = (
            f"step {row['step']}: not finite: {terms}. Images of the batch: {images}."
        )
        policy, limit = self._train.non_finite, self._train.non_finite_limit
        if policy == "stop":
            raise FloatingPointError(
                f"{message} The last checkpoint is from before it; look at these images, "
                "train with a lower optim.lr in another --workdir, or go on with "
                "--config.train.non_finite=skip."
            )
        if len(self.left_out) >= limit:
            before = ", ".join(str(i + 1) for i in self.left_out)
            raise FloatingPointError(
                f"{message} {limit} iterations were left out already "
                f"(train.non_finite_limit): {before}. "
                "The last checkpoint is from before this one; look at the images, or "
                "train with a lower optim.lr in another --workdir."
            )
        self.left_out.append(iteration)
        log.warning("%s Left out; training goes on (train.non_finite=skip).", message)

    def summary(self) -> str:
        """One line for the end of a run; empty when nothing was left out."""
        if not self.left_out:
            return ""
        steps = ", ".join(str(i + 1) for i in sorted(self.left_out))
        return (
            f"{len(self.left_out)} steps were not finite and left out "
            f"(train.non_finite={self._train.non_finite}): {steps}"
        )
