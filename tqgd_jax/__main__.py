"""One command for all: `tqgd NAME ...`, which is `python -m tqgd_jax NAME ...`."""

import sys
from importlib import import_module

from absl import flags

import tqgd_jax
from tqgd_jax import heap
from tqgd_jax.commands.line import pipe, places

if __name__ != "__main__":  # the flags are those of the script `tqgd`
    flags.disclaim_key_flags()

COMMANDS = {
    "train": "trains a detector, or goes on with it",
    "eval": "evaluates a run: figures with intervals, report, tables",
    "predict": "finds lesions in scans or images: boxes, scores, a slice viewer",
    "explain": "shows where a detector looks: Grad-CAM++ by module",
    "evaluate": "evaluates the detections of any detector",
    "compare": "compares results on the same patients",
    "score": "calcium score of a scan from boxes or a mask",
    "hearts": "finds hearts, for data.crop.method",
    "check": "says what is in a folder of data, and what is wrong with it",
    "folds": "makes folds that keep each patient whole",
    "pack": "writes a data set as one file for machines without TensorFlow",
    "convert": "writes a data set as PNG with YOLO, VOC or COCO boxes",
    "export": "writes a detector as weights, StableHLO, ONNX or TFLite",
    "study": "compares networks over folds, seeds and data sets",
    "phantom": "simulates cardiac CT with calcium",
}


def main() -> None:
    """Runs the command that the first word names."""
    with pipe.may_close():
        _main()


def _main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name == "--version":
        print(f"tqgd_jax {tqgd_jax.__version__}")
        return
    if name not in COMMANDS:
        wanted = name in ("--help", "-h", "help")
        width = max(map(len, COMMANDS))
        rows = [f"  {n:{width}}  {text}" for n, text in COMMANDS.items()]
        if not wanted:
            print(f"tqgd: no command {name!r}; there are:", file=sys.stderr)
        usage = ["usage: tqgd COMMAND [flags]; tqgd COMMAND --help\n", *rows]
        print("\n".join(usage), file=sys.stdout if wanted else sys.stderr)
        sys.exit(0 if wanted else 2)
    sys.argv = [f"tqgd {name}", *sys.argv[2:]]
    heap.keep()
    command = import_module(f"tqgd_jax.commands.{name}")
    sys.modules["__main__"].__doc__ = command.__doc__  # `--help` begins with it
    with places.in_one_line(f"tqgd {name}"):
        sys.exit(command.main())


if __name__ == "__main__":
    main()
