"""The flags that benches share: a name means the same in each."""

import argparse
from pathlib import Path

FLAGS = {  # type, meaning
    "model": (str, "yolov5 or tqgdnet, then n, s, m or l"),
    "precision": (str, "fp32, tf32, bf16 (AMP)"),
    "size": (int, "image side, px"),
    "batch": (int, "images"),
    "slices": (int, "images, of a scan or of the training set"),
    "patients": (int, "simulated"),
    "steps": (int, "of training"),
    "rounds": (int, "in which all take a turn"),
    "seconds": (float, "of each row, about"),
    "threads": (int, "of PyTorch"),
    "seed": (int, "of what is drawn"),
    "data_dir": (Path, "folder of data, in a layout that training takes"),
    "weights": (Path, "run, or weights that tqgd export wrote"),
    "dicom": (Path, "folder of a DICOM series"),
    "out": (Path, "folder or file for what is made"),
    "json": (Path, "file for the rows"),
}


def parser(doc, **defaults):
    """A parser with these flags.

    Args:
      doc: of the module.
      **defaults: of each flag; None where it may be left out, `...` where it may not.
    """
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in defaults.items():
        kind, meaning = FLAGS[name]
        if default is ...:
            made.add_argument(f"--{name}", type=kind, required=True, help=meaning)
        else:
            meaning += "" if default is None else " (default: %(default)s)"
            made.add_argument(f"--{name}", type=kind, default=default, help=meaning)
    return made
