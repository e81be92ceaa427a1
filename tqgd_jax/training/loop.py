"""The loop: steps, log, evaluation, checkpoints, and an orderly end to all of them."""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tqgd_jax.config import Config
from tqgd_jax.training.checkpoint import Checkpoints
from tqgd_jax.training.optim import Hyper
from tqgd_jax.training.parallel import Program
from tqgd_jax.training.state import TrainState
from tqgd_jax.training.workdir import JsonLines

log = logging.getLogger("tqgd_jax")

Evaluate = Callable[[Any], dict[str, Any]]  # EMA variables -> results


class Stopped(RuntimeError):
    """A signal ended the run after its state was saved.

    Attributes:
      signum: which.
    """

    def __init__(self, signum: int, step: int):
        """Names the signal and the step that was saved."""
        self.signum = signum
        super().__init__(
            f"{signal.Signals(signum).name}: saved step {step}; the same command goes on"
        )


def run(
    config: Config,
    workdir: Path,
    program: Program,
    state: TrainState,
    schedule: Hyper,
    inputs: Iterator[tuple[Any, ...]],
    checkpoints: Checkpoints,
    *,
    start: int,
    stop: int,
    steps_per_epoch: int,
    describe_batch: Callable[[int], str],
    evaluate: Evaluate | None,
    meta: dict[str, Any],
) -> TrainState:
    """Trains from iteration `start` until `stop` iterations are done.

    Args:
      config: of the run.
      workdir: where `metrics.jsonl`, `speed.jsonl` and event files go.
      program: the compiled step.
      state: at `start`, one copy.
      schedule: of the whole run, see `optim.plan`.
      inputs: the step's inputs in order, from iteration `start`.
      checkpoints: where the state goes.
      start: iterations that are done.
      stop: iterations that are done at the end.
      steps_per_epoch: iterations of an epoch.
      describe_batch: names the images of an iteration, for errors.
      evaluate: on the validation split; None when there is none.
      meta: stored with each checkpoint; gets `threshold` from evaluations.

    Raises:
      FloatingPointError: the loss or the gradient is not finite; nothing of that step is
        saved.
      Stopped: a signal came; the state is saved.
    """
    train, batch = config.train, config.data.batch_size
    lines = JsonLines(workdir / "metrics.jsonl", start)
    speeds = JsonLines(workdir / "speed.jsonl", start)
    events = _event_writer(workdir, start) if train.tensorboard else None
    state = program.place(state)
    waiting: list[tuple[int, dict[str, Any]]] = []  # metrics still on the device
    caught: list[int] = []
    clock, since = time.perf_counter(), start

    bar = tqdm(
        total=stop * batch,
        initial=start * batch,
        unit="img",
        unit_scale=True,
        dynamic_ncols=True,
        mininterval=0.5,
        desc="train",
    )

    def flush() -> None:
        """Reads waiting metrics, checks them, and writes them down."""
        nonlocal clock, since
        rows = [
            {"step": s, **{k: np.asarray(v).item() for k, v in m.items()}}
            for s, m in waiting
        ]
        waiting.clear()
        for at, row in enumerate(rows):
            if not np.isfinite([row["loss"], row["grad_norm"]]).all():
                lines.write(rows[:at])
                terms = ", ".join(f"{k}={v}" for k, v in row.items() if k != "step")
                raise FloatingPointError(
                    f"step {row['step']}: not finite: {terms}. Images of the batch: "
                    f"{describe_batch(row['step'] - 1)}. The last checkpoint is from "
                    "before it; look at these images, or train with a lower optim.lr in "
                    "another --workdir."
                )
        if not rows:
            return
        last = rows[-1]["step"]
        images = (last - since) * batch / (time.perf_counter() - clock)
        clock, since = time.perf_counter(), last
        lines.write(rows)
        speeds.write([{"step": last, "images_per_s": round(images, 2)}])
        if events is not None:
            for key in rows[-1].keys() - {"step"}:
                events.add_scalar(
                    f"train/{key}", float(np.mean([r[key] for r in rows])), last
                )
            events.add_scalar("train/images_per_s", images, last)
        terms = {
            k: f"{rows[-1][k]:.3g}" for k in ("loss", "obj", "cls", config.loss.iou)
        }
        bar.set_postfix(
            {"epoch": f"{(last - 1) // steps_per_epoch + 1}/{train.epochs}"} | terms
        )

    def save(step: int) -> None:
        flush()
        checkpoints.save(step, program.one(state), dict(meta))

    with bar, _signals(caught):
        for i in range(start, stop):
            hyper = schedule.at(i)
            state, metrics = program(state, *next(inputs), hyper=hyper)
            metrics |= {"lr": hyper.lr, "momentum": hyper.momentum}
            done = i + 1
            waiting.append((done, metrics))
            bar.update(batch)
            if len(waiting) >= train.log_every:
                flush()
            epoch, within = divmod(done, steps_per_epoch)
            ended = within == 0
            last = done == stop
            if evaluate is not None and (
                last or (ended and train.eval_every and epoch % train.eval_every == 0)
            ):
                flush()
                results = evaluate(program.one(state).ema)
                meta |= {"threshold": results["optimistic"]["threshold"]}
                meta |= {"threshold_step": done}
                lines.write([{"step": done, "val": _numbers(results)}])
                if events is not None:
                    for key, value in _numbers(results).items():
                        events.add_scalar(f"val/{key}", value, done)
                bar.write(
                    f"epoch {epoch}: val AP50 {_text(results['AP50'])}, "
                    f"AP50-95 {_text(results['AP50_95'])}"
                )
                clock, since = time.perf_counter(), done
            if last or caught or (ended and epoch % train.checkpoint_every == 0):
                save(done)
            if caught and not last:
                checkpoints.wait()
                raise Stopped(caught[0], done)
        flush()
    checkpoints.wait()
    if events is not None:
        events.close()
    return program.one(state)


@contextlib.contextmanager
def _signals(caught: list[int]) -> Iterator[None]:
    """Notes SIGINT and SIGTERM instead of dying; a second SIGINT is not held back."""

    def note(signum: int, frame: Any) -> None:
        del frame
        if caught:
            raise KeyboardInterrupt
        caught.append(signum)
        log.warning("%s: finishing this step", signal.Signals(signum).name)

    old = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)


def _event_writer(workdir: Path, start: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        log.warning(
            "tensorboardX is not installed: no event files (metrics.jsonl has all "
            "numbers); pip install tensorboardX, or --config.train.tensorboard=False"
        )
        return None
    return SummaryWriter(str(workdir / "events"), purge_step=start + 1, flush_secs=30)


def _numbers(results: dict[str, Any]) -> dict[str, float]:
    return {
        k: v
        for k, v in results.items()
        if isinstance(v, int | float) and not isinstance(v, bool)
    }


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
