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
    from tqgd_jax.deploy.export import Options
    from tqgd_jax.predictor import Predictor

flags.disclaim_key_flags()

LICENSE = "apache-2.0"


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
        "format", None,
        "of safetensors, stablehlo, onnx, saved_model, tflite; or all "
        "[safetensors,stablehlo]",
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
    flags.DEFINE_float(
        "threshold", None,
        "least confidence that counts from now on, chosen on validation images "
        "[that of the best F1]",
        lower_bound=0, upper_bound=1,
    )  # fmt: skip
    flags.DEFINE_bool(
        "half", False, "of one file: kernels rounded to half precision, half the size"
    )
    flags.DEFINE_string("license", LICENSE, "of the weights, as model hubs name it")
    cli.run(_main)


def _main(_: list[str]) -> None:
    """Predictor, folder, table."""
    from tqgd_jax.deploy.export import Options
    from tqgd_jax.trained import load
    from tqgd_jax.training.runtime import compile_cache

    given = flags.FLAGS
    out = Path(given.out).expanduser()
    if out.suffix == ".safetensors":
        _fit_one_file(out)
        _one_file(_changed(load(given.workdir, given.step)), out)
        return
    if given.half:
        raise ValueError(f"--half is for one file, --out FILE.safetensors, not {out}")
    formats = _formats(given.format)
    config_flags.refuse_full(out)
    batch = _batch(given.batch)
    compile_cache.use_cache()
    loaded = load(given.workdir, given.step)
    predictor = _changed(loaded)
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
    figures = _figures(given.workdir, loaded) if predictor is loaded else ""
    options = Options(formats, given.pixels, batch, given.nms, given.license, figures)
    _write(predictor, out, options)


def _write(predictor: "Predictor", out: Path, options: "Options") -> None:
    from tqgd_jax.deploy.export import export
    from tqgd_jax.io import atomic

    with atomic.folder(out) as partial:
        report = export(predictor, partial, options)
    print(f"{'format':<14}{'MiB':>8}{'written s':>11}{'checked s':>11}  differences")
    for row in report["formats"]:
        apart = ", ".join(f"{k} {v:.3g}" for k, v in row["differences"].items())
        print(
            f"{row['format']:<14}{row['bytes'] / 2**20:>8.1f}"
            f"{row['seconds_to_write']:>11.1f}{row['seconds_to_check']:>11.1f}  {apart}"
        )
    for row in report["formats"]:
        if row["caution"]:
            print(f"Caution: {row['format']}: {row['caution']}")
    print(f"written to {out}, each read again and compared. Not a medical device.")


def _fit_one_file(out: Path) -> None:
    """Refuses flags that a file of weights has no use for, and a file that is there."""
    given = flags.FLAGS
    unfit = {
        "format": given.format not in (None, ["safetensors"]),
        "batch": given.batch != "B",
        "nms": given.nms,
        "pixels": given.pixels != "int16",
        "license": given.license != LICENSE,
    }
    for name in (name for name, is_unfit in unfit.items() if is_unfit):
        raise ValueError(
            f"--{name}={getattr(given, name)}: {out} is one file of weights, which "
            f"has no such thing; leave --{name} out, or let --out name a folder"
        )
    if out.is_file():
        raise ValueError(f"--out: {out} is there already; name another file")
    config_flags.make_room(out)


def _one_file(predictor: "Predictor", out: Path) -> None:
    from tqgd_jax.report.html.numbers import cut
    from tqgd_jax.structures.disclaimer import NOT_A_DEVICE

    predictor.save(out, half=flags.FLAGS.half)
    size = out.stat().st_size / 2**20
    chosen = "chosen in validation" if predictor.chosen else "not validated"
    print(f"{out}: {size:.1f} MiB, threshold {cut(predictor.threshold)} ({chosen})")
    print(NOT_A_DEVICE)


def _formats(given: list[str] | None) -> list[str]:
    from tqgd_jax.config.checks import one_of
    from tqgd_jax.deploy.export import FORMATS

    if given is None:
        return ["safetensors", "stablehlo"]
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
    """With the image size, precision and threshold of the command line.

    A threshold that was chosen at another size or precision is not chosen for these.
    """
    from tqgd_jax.trained import USUAL_THRESHOLD

    given, config = flags.FLAGS, predictor.config
    data, model = config.data, config.model
    if given.image_size is not None:
        data = dataclasses.replace(data, image_size=given.image_size)
    if given.precision is not None:
        model = dataclasses.replace(model, precision=given.precision)
    if given.threshold is not None:
        return dataclasses.replace(
            predictor,
            config=dataclasses.replace(config, data=data, model=model),
            threshold=given.threshold,
            chosen=True,
            provenance=predictor.provenance
            | {"validated_threshold": given.threshold, "operating_point": "given"},
        )
    if (data, model) == (config.data, config.model):
        return predictor
    config = dataclasses.replace(config, data=data, model=model)
    threshold = USUAL_THRESHOLD if predictor.chosen else predictor.threshold
    return dataclasses.replace(
        predictor,
        config=config,
        threshold=threshold,
        chosen=False,
        provenance=predictor.provenance | {"validated_threshold": None},
    )


def _figures(workdir: str, predictor: "Predictor") -> str:
    """What `eval.py` said of these weights on the test part; empty if nothing.

    That is of the same step, with the running batch statistics that are exported.
    """
    from tqgd_jax.report.text.terminal import summary

    path = Path(workdir).expanduser() / "eval-test" / "results.json"
    try:
        results: dict[str, Any] = json.loads(path.read_text("utf-8"))
        wanted = {"step": str(predictor.provenance["step"]), "recalibrate": "0"}
        same = wanted.items() <= results["inputs"].items()
        return summary(results) if same else ""
    except (OSError, ValueError, RecursionError, KeyError):
        return ""
