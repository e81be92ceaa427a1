"""Judges any detector: `tqgd evaluate --ground_truth GT.json ...`.

Ground truth and detections in COCO json, or probability maps of a segmentation; the
same rules and the same report as `eval.py`. NumPy only: neither JAX nor TensorFlow is
loaded. docs/evaluation.md.
"""

import argparse
import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqgd_jax.commands.command_line import plain

if TYPE_CHECKING:
    from tqgd_jax.structures.evaluation_set import EvaluationSet

logger = logging.getLogger("tqgd_jax")
# Of an evaluation, and of no other use.
JUDGED = (
    *("ground_truth", "detections", "probabilities", "statistic", "patients"),
    *("threshold", "validation_ground_truth", "validation_detections"),
    "positive_only",
)
EPILOG = """
three uses:
  --ground_truth GT.json --detections DT.json --out DIR   judge one detector
  --pool DIR DIR ... --out DIR                            pool the folds of one
  --verify DIR                                            make every number again
"""


def main(argv: list[str] | None = None) -> int:
    """Parses the command line; returns the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    _one_use(parser, args)
    return plain.run(_verify if args.verify else _evaluate, args)


def _one_use(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the program when options are given that its use would not look at."""
    use = next((name for name in ("verify", "pool") if getattr(args, name)), None)
    left = (*JUDGED, "pixels") if use == "verify" else JUDGED
    for name in left if use else ():
        if getattr(args, name) != parser.get_default(name):
            parser.error(
                f"--{name.replace('_', '-')} is not for --{use}, which takes that from "
                "the results; leave it out"
            )


def _evaluate(args: argparse.Namespace) -> int:
    from tqgd_jax.evaluation.settings import EvaluationSettings
    from tqgd_jax.report import result_folder
    from tqgd_jax.report.comparison import pooling
    from tqgd_jax.report.text import terminal
    from tqgd_jax.structures.evaluation_set import checked

    settings = EvaluationSettings(
        bootstraps=args.bootstraps,
        seed=args.seed,
        level=args.level,
        size_px=tuple(args.size_px),
        size_mm2=tuple(args.size_mm2),
        convention=args.convention,
        scheme=args.scheme,
        calibration=args.calibration,
    ).checked()
    _check(args)
    pixels, scores, unscored = None, None, ""
    if args.pool:
        logger.info("reading %d results", len(args.pool))
        eval_set, scores, unscored = pooling.pool(args.pool)
        eval_set = eval_set._replace(title=args.title or args.out.name)
        inputs = {"pooled": [str(folder) for folder in args.pool]}
    else:
        eval_set, inputs = _read(args)
    if args.pixels:
        from tqgd_jax.evaluation.inputs.image_pixels import from_folder

        pixels = from_folder(args.pixels, eval_set.images, eval_set.sizes)
    if args.probabilities:
        from tqgd_jax.evaluation.inputs import probability_maps

        eval_set = probability_maps.from_maps(
            eval_set, args.probabilities, args.statistic, pixels
        )._replace(source="given")
    written = result_folder.make(
        args.out,
        checked(eval_set),
        settings,
        pixels=pixels,
        beyond=None if pixels is None else pixels.beyond,
        window=tuple(args.window) if args.window else None,
        scores=scores,
        unscored=unscored,
        shown=args.gallery,
        inputs=inputs,
    )
    print(terminal.summary(written))
    print(f"written to {args.out}; open {args.out / 'report.html'}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuses settings that would end in an error, or in a loss, after the work."""
    if args.threshold is not None and not math.isfinite(args.threshold):
        raise ValueError(f"--threshold must be a finite score, got {args.threshold}")
    low, high = args.window or (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"--window must rise, from black to white, got {low} {high}")
    if args.gallery < 0:
        raise ValueError(f"--gallery must be 0 or more, got {args.gallery}")
    out = args.out.resolve()
    given = [getattr(args, name) for name in INPUTS]
    inside = [f for f in given if f is not None and f.resolve().parent == out]
    inside += [f for f in args.pool or () if f.resolve() == out]
    if inside:
        raise ValueError(
            f"--out {args.out}: {inside[0]} lies there and would be overwritten; name "
            "another folder"
        )


INPUTS = (
    *("ground_truth", "detections", "patients"),
    *("validation_ground_truth", "validation_detections"),
)


def _read(args: argparse.Namespace) -> "tuple[EvaluationSet, dict[str, Any]]":
    """What the files hold, its threshold frozen on others if they are given."""
    from tqgd_jax.evaluation.evaluator import best_threshold
    from tqgd_jax.evaluation.inputs import detections

    if args.ground_truth is None or (args.detections is None) == (
        args.probabilities is None
    ):
        raise ValueError(
            "give --ground_truth and one of --detections and --probabilities (or --pool, "
            "or --verify)"
        )
    threshold, source, held = args.threshold, "", None
    if args.validation_detections or args.validation_ground_truth:
        if threshold is not None or not (
            args.validation_detections and args.validation_ground_truth
        ):
            raise ValueError(
                "--validation_ground_truth and --validation_detections go together, and "
                "without --threshold: the threshold is chosen on them"
            )
        held = detections.read(args.validation_ground_truth, args.validation_detections)
        threshold = best_threshold(held.images, held.classes)
        source = "validation"
        if threshold is None:
            raise ValueError(
                f"{args.validation_detections}: no detection finds a box, so no "
                "threshold can be chosen; give --threshold"
            )
    if args.probabilities and threshold is not None:
        raise ValueError(
            "--probabilities has its own operating point, p >= 0.5; leave --threshold "
            "out"
        )
    logger.info("reading %s", args.detections or args.ground_truth)
    eval_set = detections.read(
        args.ground_truth, args.detections, args.patients, threshold
    )
    if held is not None:
        _apart(held, eval_set)
    named = {
        "ground_truth": args.ground_truth,
        "detections": args.detections or args.probabilities,
        "patients": args.patients,
    }
    empty = sum(not image.counting.any() for image in eval_set.images)
    if args.positive_only and empty:
        raise ValueError(
            f"--positive_only: {empty} of the {len(eval_set.images)} images have no box, "
            "so the clinical protocol can be judged; leave --positive_only out"
        )
    positive = args.positive_only or eval_set.positive_only
    notes = [eval_set.note] if eval_set.note else []
    judged = eval_set._replace(
        title=args.title or args.out.name,
        source=source or eval_set.source,
        positive_only=positive,
        note="; ".join([*notes, POSITIVE_ONLY] if positive else notes),
    )
    return judged, {name: str(path) for name, path in named.items() if path}


def _apart(held: "EvaluationSet", judged: "EvaluationSet") -> None:
    """Refuses a threshold chosen on what is judged."""
    for what in ("name", "patient"):
        both = {getattr(i, what) for i in held.images}
        both &= {getattr(i, what) for i in judged.images}
        if both:
            raise ValueError(
                f"{'image' if what == 'name' else 'patient'} {min(both)!r} is in the "
                f"validation files and is judged too ({len(both)} in all); a threshold is "
                "frozen on others. Without validation files the optimistic figures tell "
                "what these images themselves would choose"
            )


POSITIVE_ONLY = (
    "only slices with a labelled box are here (--positive_only), so false alarms on all "
    "others are not counted and the clinical protocol has no figures"
)


def _verify(args: argparse.Namespace) -> int:
    """Prints what differs, if anything does."""
    from tqgd_jax.report import verification

    folder = args.verify
    logger.info("making %s again from its tables", folder)
    count, wrong = verification.again(folder)
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    if wrong:
        more = f" (20 of {len(wrong)} shown)" if len(wrong) > 20 else ""
        print(
            f"error: {folder}: {len(wrong)} of {count} numbers differ from what the "
            f"tables give{more}; evaluate again",
            file=sys.stderr,
        )
        return 1
    print(
        f"{folder}: {count} numbers made again from the tables, all within 1e-9; so are "
        "the outcomes in the tables and the numbers of the page"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = plain.parser("evaluate", __doc__, EPILOG)
    add = parser.add_argument
    add("--ground_truth", type=Path, help="COCO json: images, annotations, categories")
    add("--detections", type=Path, help="COCO json: image_id, category_id, bbox, score")
    add("--probabilities", type=Path, help="folder of maps (.npy, .png) instead")
    add("--statistic", choices=("mean", "max"), default="mean", help="score of a map")
    add(
        "--patients", type=Path, help="csv: patient and image or scan, fold, scanner..."
    )
    add("--out", type=Path, default=Path("evaluation"), help="folder [evaluation]")
    add("--threshold", type=float, help="score from which a detection counts")
    add("--validation_ground_truth", type=Path, help="choose the threshold on these")
    add("--validation_detections", type=Path, help="choose the threshold on these")
    add("--positive_only", action="store_true", help="slices without boxes are missing")
    add("--pixels", type=Path, help="folder of images or scans: gallery, calcium score")
    add(
        "--window", type=float, nargs=2, metavar="HU", help="black and white [-200 500]"
    )
    add("--gallery", type=int, default=60, help="slices in the report [60]")
    add("--title", default="", help="of the report [name of --out]")
    add("--bootstraps", type=int, default=2000, help="resamples of patients [2000]")
    add("--seed", type=int, default=0, help="of the resamples [0]")
    add("--level", type=float, default=0.95, help="coverage of intervals [0.95]")
    add("--size_px", type=float, nargs="+", default=(10, 100, 200), metavar="PX2")
    add("--size_mm2", type=float, nargs="+", default=(2, 20, 40), metavar="MM2")
    add("--convention", default="orcascore", help="of the calcium score [orcascore]")
    add("--scheme", default="standard", help="of the risk categories [standard]")
    add("--calibration", type=float, help="mg/mL per HU, for the calcium mass")
    add("--pool", type=Path, nargs="+", metavar="DIR", help="results of several folds")
    add("--verify", type=Path, metavar="DIR", help="a result to make again")
    return parser
