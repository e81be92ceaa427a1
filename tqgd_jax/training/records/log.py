"""What a run writes down while it goes: log files, TensorBoard events, progress bar."""

import json
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tqgd_jax.config import Config
from tqgd_jax.io import atomic
from tqgd_jax.training.runtime.compile_cache import compilations

log = logging.getLogger("tqgd_jax")

Row = dict[str, Any]


# Of a row, what is no term of the loss.
NO_TERMS = {"step", "images", "loss", "grad_norm", "skipped"}
NO_TERMS |= {"boxes", "outside", "small"}  # counts of `augment`


class JsonLines:
    """A file of one JSON object a line, cut back to a step when a run is resumed."""

    def __init__(self, path: Path):
        """Opens nothing yet."""
        self._path = path

    def cut(self, last_step: int, evaluated: int | None = None) -> list[Row]:
        """Drops the lines of later steps and what is no row; returns the others.

        Of evaluations those after step `evaluated` go too: they are done again.
        """
        rows, lines = [], []
        if self._path.exists():
            for line in self._path.read_text(errors="replace").splitlines():
                try:
                    row = json.loads(line)
                    last = evaluated if "val" in row else last_step
                    if row["step"] > (last_step if last is None else last):
                        continue
                except (json.JSONDecodeError, KeyError, TypeError):
                    continue
                rows.append(row)
                lines.append(line + "\n")
        with atomic.file(self._path) as partial:
            partial.write_text("".join(lines))
        return rows

    def write(self, rows: list[Row]) -> None:
        """Appends; a number that is not finite becomes null.

        Raises:
          OSError: the file cannot be written, on a full disk for example.
        """
        lines = [json.dumps(_finite(row), allow_nan=False) + "\n" for row in rows]
        try:
            self._append(lines)
        except OSError as error:
            raise OSError(
                f"{self._path} cannot be written ({error.strerror}). The last checkpoint "
                "is whole: make room and give the same command again"
            ) from error

    def _append(self, lines: list[str]) -> None:
        with self._path.open("a") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())


class RunLogger:
    """`metrics.jsonl` (every step, the same bits in every run), `speed.jsonl`, events."""

    def __init__(
        self,
        config: Config,
        workdir: Path,
        *,
        start: int,
        evaluated: int,
        stop: int,
        epoch: int,
    ):
        """Cuts the files back to step `start`, and to the evaluation of `evaluated`.

        `epoch` is the steps of one, `stop` those of the run.
        """
        self._config, self._epoch = config, epoch
        self._batch = config.data.batch_size
        self._metrics = JsonLines(workdir / "metrics.jsonl")
        self._speed = JsonLines(workdir / "speed.jsonl")
        self._workdir = workdir
        rows = self._metrics.cut(start, evaluated)
        self._speed.cut(start)
        if missing := start - len({row["step"] for row in rows if "val" not in row}):
            log.warning(
                "%s lacks %d of the %d steps that are done; the checkpoint is whole and "
                "the run goes on, but the log keeps this gap",
                workdir / "metrics.jsonl",
                missing,
                start,
            )
        self._events = self._open_events(start)
        self._bar = tqdm(
            total=stop * self._batch,
            initial=start * self._batch,
            unit="img",
            unit_scale=True,
            dynamic_ncols=True,
            mininterval=0.5,
            desc="train",
        )
        self._clock, self._since = time.perf_counter(), start

    def start_clock(self, step: int) -> None:
        """What went before `step` does not count as training time."""
        self._clock, self._since = time.perf_counter(), step

    def steps(self, rows: list[Row]) -> None:
        """Writes the metrics of steps that are done."""
        last = rows[-1]["step"]
        now = time.perf_counter()
        speed = (last - self._since) * self._batch / max(now - self._clock, 1e-9)
        self.start_clock(last)
        self._metrics.write(rows)
        self._speed.write(
            [
                {
                    "step": last,
                    "images_per_s": round(speed, 2),
                    "compilations": compilations(),
                }
            ]
        )
        if self._events is not None:
            for key in rows[-1].keys() - {"step", "images"}:
                mean = float(np.mean([r[key] for r in rows]))
                self._events.add_scalar(f"train/{key}", mean, last)
            self._events.add_scalar("train/images_per_s", speed, last)
        terms = ["loss", *sorted(rows[-1].keys() - NO_TERMS)]
        epochs = f"{(last - 1) // self._epoch + 1}/{self._config.train.epochs}"
        self._bar.set_postfix(
            {"epoch": epochs} | {k: f"{rows[-1][k]:.3g}" for k in terms},
            refresh=False,
        )
        self._bar.update(last * self._batch - self._bar.n)

    def validation(self, step: int, results: dict[str, Any]) -> None:
        """Writes the figures of an evaluation."""
        figures = {
            k: v
            for k, v in results.items()
            if isinstance(v, int | float) and not isinstance(v, bool)
        }
        self._metrics.write([{"step": step, "val": figures}])
        if self._events is not None:
            for key, value in figures.items():
                self._events.add_scalar(f"val/{key}", value, step)
        self._bar.write(
            f"epoch {step // self._epoch}: val AP50 {_text(results['AP50'])}, "
            f"AP50-95 {_text(results['AP50_95'])}"
        )
        self.start_clock(step)

    def close(self) -> None:
        """Ends bar and event file."""
        self._bar.close()
        try:
            if self._events is not None:
                self._events.close()
        except OSError as error:  # metrics.jsonl has the same numbers
            log.warning("%s: event files: %s", self._workdir, error.strerror)

    def _open_events(self, start: int) -> Any:
        if not self._config.train.tensorboard:
            return None
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            log.warning(
                "tensorboardX is not installed: no event files (metrics.jsonl has all "
                "numbers); pip install tensorboardX, or --config.train.tensorboard=False"
            )
            return None
        # A queue without end: a full disk ends the writer's thread, and a full queue
        # would then wait for it for ever.
        return SummaryWriter(
            str(self._workdir / "events"),
            purge_step=start + 1,
            flush_secs=30,
            max_queue=0,
        )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
