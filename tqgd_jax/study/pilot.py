"""What a network costs on its data: `python -m tqgd_jax.study.pilot SETTINGS.json STEPS`.

A process of its own, so that each starts with an empty device. Prints one JSON object.
"""

import itertools
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax

from tqgd_jax.config import Config, from_dict
from tqgd_jax.data import dataset
from tqgd_jax.data.open import open_data
from tqgd_jax.description import describe
from tqgd_jax.inference import make_predict
from tqgd_jax.network import build
from tqgd_jax.training.inputs import Inputs
from tqgd_jax.training.plan import make_plan
from tqgd_jax.training.runtime.compile_cache import use_cache
from tqgd_jax.training.runtime.sharding import CompiledSteps
from tqgd_jax.training.state import create


def measure(config: Config, steps: int) -> dict[str, Any]:
    """Size and time of a run.

    Args:
      config: its settings.
      steps: to time, after the first, which compiles.

    Returns:
      `parameters`, `parameters_fused`, `gflops` (of one image forward), `compile_s`,
      `step_s`, `epoch_s`, `image_ms` (network, decoding and NMS, by `eval.batch_size`),
      `train_images`, and `patients` of all splits.
    """
    splits = open_data(config)
    images = dataset.required(splits, "train", config)
    plan = make_plan(config, images, validates=False)
    network = build(config, len(images.classes))
    inputs = Inputs(config, images, plan, masks=network.segments)
    compiled = CompiledSteps(config, inputs.step, inputs.constant, inputs.at_most)
    state = compiled.place(create(network, config))
    batches = inputs.start(0)
    n, seconds = max(1, min(compiled.at_most, plan.stop // (1 + steps))), []
    for call in range(min(1 + steps, plan.stop)):
        at = slice(call * n, (call + 1) * n)
        start = time.perf_counter()
        state, metrics = compiled(
            state, list(itertools.islice(batches, n)), plan.schedule.at(at)
        )
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - start)

    ema = jax.device_put(compiled.one(state.ema))
    predict = make_predict(config, len(images.classes), plan.anchors)
    batch = jax.device_put(next(dataset.in_order(images, config.eval.batch_size)))
    judged = []
    for _ in range(1 + steps):
        start = time.perf_counter()
        jax.block_until_ready(predict(ema, batch))
        judged.append(time.perf_counter() - start)
    step_s = statistics.median(seconds[1:] or seconds) / n
    known = describe(config, len(images.classes))
    return {
        **{name: known[name] for name in ("parameters", "parameters_fused", "gflops")},
        "compile_s": round(seconds[0] - step_s * n + judged[0], 2),
        "step_s": round(step_s, 5),
        "epoch_s": round(step_s * plan.steps_per_epoch, 3),
        "image_ms": round(
            1e3 * statistics.median(judged[1:] or judged) / config.eval.batch_size, 3
        ),
        "train_images": len(images.names),
        "patients": len({p for split in splits.values() for p in split.patients}),
        "steps": steps,
        "device": f"{jax.devices()[0].platform}: {jax.devices()[0].device_kind}",
    }


if __name__ == "__main__":
    use_cache()
    document = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    print(json.dumps(measure(from_dict(Config, document), int(sys.argv[2]))))
