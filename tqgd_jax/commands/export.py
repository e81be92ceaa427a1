"""Writes a trained detector in forms that need neither the run nor its data.

tqgd export --workdir RUN --out DIR --format safetensors,stablehlo,onnx
tqgd export --workdir RUN --out FILE.safetensors

Formats: safetensors (weights and settings as model hubs have them), stablehlo (JAX on
CPU, GPU and TPU: Hounsfield units in, boxes out), onnx, saved_model and tflite. Each is
read again and compared with the run before the command says done; DIR/export.json has
sizes, differences and times. `tqgd_jax.load` and `tqgd predict --model` read the first
three. RUN may be an earlier export with weights, which writes the others anew.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from tqgd_jax.commands.line import cli, config_flags

if TYPE_CHECKING:
    from tqgd_jax.predictor import Predictor

flags.disclaim_key_flags()


def main() -> None:
    """The command."""
    flags.DEFINE_string(
        "workdir", None, "run, or file or folder of weights", required=True
    )
    flags.DEFINE_string(
        "out", None, "folder to write, new or empty; or a file, *.safetensors",
        required=True,
    )  # fmt: skip
    flags.DEFINE_list(
        "format", ["safetensors", "stablehlo"],
        "of safetensors, stablehlo, onnx, saved_model, tflite; or all",
    )  # fmt: skip
    flags.DEFINE_string(
        "step", None, "checkpoint: its number, or best (in validation) [the newest]"
    )
    flags.DEFINE_string("batch", "B", "onnx: number of images, or a name for any")
    flags.DEFINE_bool("nms", False, "onnx: with NonMaxSuppression, output `selected`")
    flags.DEFINE_enum(
        "pixels", "int16", ["int16", "uint8", "uint16"],
        "stablehlo: type of the stored images; int16 holds Hounsfield units",
    )  # fmt: skip
    flags.DEFINE_integer("image_size", None, "of the network input, px [the run's]")
    flags.DEFINE_enum(
        "precision", None, ["fp32", "tf32", "bf16"], "of the network [the run's]"
    )
    flags.DEFINE_string(
        "license", "apache-2.0", "of the weights, as model hubs name it"
    )
    cli.run(_main)


def _main(_: list[str]) -> None:
    """Predictor, folder, table."""
    from tqgd_jax.trained import load
    from tqgd_jax.training.runtime import compile_cache

    given = flags.FLAGS
    out = Path(given.out).expanduser()
    if out.suffix == ".safetensors":
        config_flags.make_room(out)
        _one_file(load(given.workdir, given.step), out)
        return
    formats = _formats(given.format)
    config_flags.refuse_full(out)
    batch = _batch(given.batch)
    compile_cache.use_cache()
    predictor = _changed(load(given.workdir, given.step))
    if predictor.program:
        raise ValueError(
            f"--workdir: {given.workdir} is a program without weights; give the run, or "
            "the model.safetensors beside it"
        )
    low = predictor.config.data.window_of(np.dtype(given.pixels))[0]
    if given.pixels != "int16" and low < 0:
        raise ValueError(
            f"--pixels={given.pixels} holds no Hounsfield units, and the detector was "
            f"trained with data.window={predictor.config.data.window}; leave it out"
        )
    _write(predictor, out, formats, batch)


def _write(
    predictor: "Predictor", out: Path, formats: list[str], batch: str | int
) -> None:
    from tqgd_jax.deploy.export import Options, export
    from tqgd_jax.io import atomic

    given = flags.FLAGS
    options = Options(
        formats, given.pixels, batch, given.nms, given.license, _figures(given.workdir)
    )
    with atomic.folder(out) as partial:
        report = export(predictor, partial, options)
    print(f"{'format':<14}{'MiB':>8}{'written s':>11}{'checked s':>11}  differences")
    for row in report["formats"]:
        apart = ", ".join(f"{k} {v:.3g}" for k, v in row["differences"].items())
        print(
            f"{row['format']:<14}{row['bytes'] / 2**20:>8.1f}"
            f"{row['seconds_to_write']:>11.1f}{row['seconds_to_check']:>11.1f}  {apart}"
        )
    print(f"written to {out}, each read again and compared. Not a medical device.")


def _one_file(predictor: "Predictor", out: Path) -> None:
    from tqgd_jax.report.html.numbers import cut

    predictor.save(out)
    size = out.stat().st_size / 2**20
    chosen = "chosen in validation" if predictor.chosen else "not validated"
    print(f"{out}: {size:.1f} MiB, threshold {cut(predictor.threshold)} ({chosen})")


def _formats(given: list[str]) -> list[str]:
    from tqgd_jax.config.checks import one_of
    from tqgd_jax.deploy.export import FORMATS

    if given == ["all"]:
        return list(FORMATS)
    for name in given:
        one_of("--format", name, FORMATS)
    if not given:
        raise ValueError(f"--format is empty; there are: {', '.join(FORMATS)}")
    return list(dict.fromkeys(given))


def _batch(given: str) -> str | int:
    if given.isdigit() and int(given) > 0:
        return int(given)
    if not given.isidentifier():
        raise ValueError(
            f"--batch={given}: give a number of images from 1, or a name such as B"
        )
    return given


def _changed(predictor: "Predictor") -> "Predictor":
    """With the image size and precision of the command line."""
    given, config = flags.FLAGS, predictor.config
    data, model = config.data, config.model
    if given.image_size is not None:
        data = dataclasses.replace(data, image_size=given.image_size)
    if given.precision is not None:
        model = dataclasses.replace(model, precision=given.precision)
    if (data, model) == (config.data, config.model):
        return predictor
    config = dataclasses.replace(config, data=data, model=model)
    return dataclasses.replace(predictor, config=config)


def _figures(workdir: str) -> str:
    """What `eval.py` said of the run on its test part; empty if it was not run."""
    from tqgd_jax.report.text.terminal import summary

    path = Path(workdir).expanduser() / "eval-test" / "results.json"
    try:
        results: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return summary(results)
    except (OSError, json.JSONDecodeError, KeyError):
        return ""
