"""Shows where a detector looks: Grad-CAM++ and others, by module (Fig. 9).

tqgd explain --model RUN --split test --out DIR
tqgd explain --model YOLOv5=RUN_A --model TQGDNet=RUN_B --input SCAN --out DIR
tqgd explain --model RUN --module list

RUN is the folder of a run, or a file of `tqgd export`. SCAN is a volume file, a DICOM
folder, a PNG or JPEG, or a folder of these. DIR gets `explain.html`, `grid.png` (rows are
slices, columns networks or modules), a PNG of each slice, raw maps (`.npy`) and
`explain.json`. A map is no evidence that a detection is right.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from tqgd_jax.commands.line import cli, config_flags
from tqgd_jax.io import atomic

if TYPE_CHECKING:
    import numpy as np

    from tqgd_jax.explain.explanation import Explainer

flags.disclaim_key_flags()


def main() -> None:
    """The command."""
    flags.DEFINE_multi_string(
        "model", None, "run, or file of weights; or NAME=RUN; several make columns",
        required=True,
    )  # fmt: skip
    flags.DEFINE_string("input", None, "scan, image or folder")
    flags.DEFINE_string("split", None, "instead: train, val or test of the first run")
    flags.DEFINE_string("data_dir", "", "data set, if it has moved since training")
    flags.DEFINE_string("out", None, "folder to write; new or empty")
    flags.DEFINE_string(
        "module", "head",
        "names of maps, with commas; head: what the head of a box reads; all: those of "
        "the paper; list: prints the names",
    )  # fmt: skip
    flags.DEFINE_string(
        "method", "gradcam++", "gradcam++, layercam, odam, eigencam or gradcam"
    )
    flags.DEFINE_string(
        "boxes", "top10",
        "topN: one map of the N best; all: one of each; N: of that one, 0 the best",
    )  # fmt: skip
    flags.DEFINE_list(
        "slices", [],
        "names or numbers [by rule: labelled ones from small to large lesions; without "
        "labels those with the most confident boxes]",
    )  # fmt: skip
    flags.DEFINE_integer("count", 6, "slices that the rule chooses", lower_bound=1)
    flags.DEFINE_float(
        "min_score", None, "least confidence [the threshold of each run]"
    )
    flags.DEFINE_string("series", "", "of several in a DICOM folder: its UID")
    flags.DEFINE_bool("checks", True, "also those that run the network many times")
    cli.run(_main)


def _main(_: list[str]) -> None:
    """Networks, slices, maps, files."""
    from tqgd_jax.explain import figure, inputs
    from tqgd_jax.explain.explanation import known
    from tqgd_jax.training.runtime import compile_cache

    given = flags.FLAGS
    known(given.method)
    _check_boxes(given.boxes, len(given.model))
    if given.module == "list":
        compile_cache.use_cache()
        for name, explainer in _explainers(given.model, ()).items():
            _print_modules(name, explainer)
        return
    if not given.out:
        raise ValueError("--out is missing: the folder to write")
    if (given.input is None) == (given.split is None):
        raise ValueError("give one of --input and --split")
    out = Path(given.out).expanduser()
    config_flags.refuse_full(out)
    compile_cache.use_cache()
    explainers = _explainers(given.model, tuple(given.module.split(",")))
    first = next(iter(explainers.values())).predictor
    if given.split is None:
        path = Path(given.input).expanduser()
        slices = inputs.of_path(first, path, given.series)
    else:
        slices = inputs.of_split(first, given.split, given.data_dir)

    def confidence(image: "np.ndarray") -> float:
        return float(first(image, 0.0).scores.max(initial=0.0))

    task = figure.Task(
        slices,
        inputs.chosen(slices, confidence, given.count, given.slices),
        given.method,
        given.boxes,
        given.min_score,
        given.checks,
    )
    title = f"{', '.join(explainers)}: where the score comes from"
    with atomic.folder(out) as partial:
        figure.make(partial, explainers, task, title)
    print(f"written to {out}; open {out / figure.PAGE}. Not a medical device.")


def _check_boxes(words: str, models: int) -> None:
    if not re.fullmatch(r"top[1-9]\d*|all|\d+", words):
        raise ValueError(f"--boxes={words}: such as top10, all, or 0 for the best box")
    if models > 1 and not words.startswith("top"):
        raise ValueError(
            f"--boxes={words}: boxes of several networks do not pair; take topN, or one "
            "--model"
        )


def _explainers(words: list[str], modules: tuple[str, ...]) -> "dict[str, Explainer]":
    """By name; the same name twice is refused."""
    from tqgd_jax.explain.explanation import Explainer
    from tqgd_jax.trained import load

    result = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or "/" in name:
            name, path = _name(Path(word).expanduser().resolve()), word
        if name in result:
            raise ValueError(f"--model: {name!r} twice; name them: NAME=RUN")
        predictor = load(path)
        if predictor.program:
            raise ValueError(
                f"--model: {path} is an exported program, which cannot be looked into; "
                "give the run, or the model.safetensors beside it"
            )
        result[name] = Explainer(predictor, modules)
    return result


def _name(run: Path) -> str:
    """Of a run; of one of a study its row and fold."""
    if run.name.startswith("seed-") and len(run.parts) > 3:
        return " ".join(run.parts[-3:-1])
    return run.name


def _print_modules(name: str, explainer: "Explainer") -> None:
    heads = {path: level for level, path in explainer.places.read.items()}
    print(f"{name}: height, width and channels of each map")
    for path, (h, w, c) in explainer.places.shapes.items():
        read = f"  read by the head of P{heads[path]}" if path in heads else ""
        print(f"  {path:40} {h:4} {w:4} {c:5}{read}")
