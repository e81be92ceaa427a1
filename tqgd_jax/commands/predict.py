"""Finds lesions in scans or images.

tqgd predict --input SCAN --out DIR
tqgd predict --model RUN --input SCAN --out DIR

RUN is the folder of a run, or a file of `tqgd export`; several --model make an ensemble.
Without it the detector that ships looks, which was trained on simulated CT alone.
SCAN is a volume file (NIfTI, NRRD, MetaImage), a PNG or JPEG, or a folder: every CT
series and volume below it is read, or its images where it has none. DIR gets
`index.csv` and a folder for each series with boxes, calcium scores, label volumes,
pictures and report.html, a viewer that works offline. docs/predict.md.
Not a medical device.
"""

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from tqgd_jax.commands.line import cli, config_flags

if TYPE_CHECKING:
    from tqgd_jax.prediction.models import Detectors, Progress

flags.disclaim_key_flags()


def main() -> None:
    """The command."""
    flags.DEFINE_multi_string(
        "model", None,
        "run, or file of weights; several are an ensemble [the detector that ships]",
    )  # fmt: skip
    flags.DEFINE_multi_string(
        "input",
        None,
        "scan, image or folder; may be given several times",
        required=True,
    )
    flags.DEFINE_string("out", "predictions", "folder to write; new or empty")
    flags.DEFINE_float("threshold", None, "least confidence [what validation chose]")
    flags.DEFINE_string("series", "", "of DICOM: only UIDs that begin so")
    flags.DEFINE_string(
        "convention", "clinical", "of the calcium score; docs/calcium.md"
    )
    flags.DEFINE_string("scheme", "standard", "of the risk categories")
    flags.DEFINE_list(
        "save", "csv,coco,png,nii,nrrd,html", "what is written beside predictions.json"
    )
    flags.DEFINE_list(
        "dicom", "", "of a DICOM series also seg, sr, gsps; docs/predict-dicom.md"
    )
    cli.run(_main)


def _main(_: list[str]) -> None:
    """Inputs, weights, then series after series: boxes, files, index."""
    from tqgd_jax import shipped
    from tqgd_jax.evaluation.calcium.conventions import convention
    from tqgd_jax.evaluation.calcium.risk_categories import scheme
    from tqgd_jax.prediction import folder, inputs
    from tqgd_jax.prediction.dicom.source import WAY_OUT
    from tqgd_jax.prediction.dicom.write import check_kinds
    from tqgd_jax.prediction.models import Detectors, read_members
    from tqgd_jax.prediction.reading import read_source
    from tqgd_jax.training.runtime import compile_cache

    given = flags.FLAGS
    convention(given.convention)
    scheme(given.scheme)
    if unknown := [name for name in given.save if name not in folder.FORMATS]:
        raise ValueError(
            f"--save: {unknown[0]!r} is not written; there are: {', '.join(folder.FORMATS)}"
        )
    if given.dicom:
        check_kinds(given.dicom)
    out = Path(given.out).expanduser()
    config_flags.refuse_full(out)
    todo = inputs.find([Path(p).expanduser() for p in given.input], given.series)
    for line in inputs.summary(todo.skipped):
        print(f"skipped {line}", file=sys.stderr)
    compile_cache.use_cache()
    models = [Path(p).expanduser() for p in given.model or [shipped.FILE]]
    detectors = Detectors(read_members(models), given.threshold)
    rows: list[dict[str, Any]] = []
    for number, source in enumerate(todo.sources, 1):
        several = f"{number}/{len(todo.sources)} " if len(todo.sources) > 1 else ""
        try:
            if given.dicom and source.kind != "dicom":
                raise ValueError(f"{source.path}: --dicom: no DICOM series; {WAY_OUT}")
            with _bar(f"{several}{source.name}", detectors) as progress:
                reading = read_source(
                    source,
                    detectors,
                    progress,
                    convention=given.convention,
                    scheme=given.scheme,
                )
            rows.append(folder.write(out, reading, detectors, given.save, given.dicom))
            _say(rows[-1], [caution.text for caution in reading.cautions])
        except (ValueError, OSError) as error:
            if not several:
                raise
            rows.append(folder.failed(source, str(error)))
            print(f"{source.name}: {error}", file=sys.stderr)
        folder.write_index(out, rows)
    print(f"written to {out}; open report.html in its folders. Not a medical device.")
    if wrong := sum(bool(row["error"]) for row in rows):
        raise ValueError(
            f"{wrong} of {len(rows)} inputs could not be read; {out / folder.INDEX} "
            "says why"
        )


def _say(row: dict[str, Any], warnings: list[str]) -> None:
    """What came of one source: stdout; what to be careful with: stderr."""
    for text in warnings:
        print(f"{row['name']}: warning: {text}", file=sys.stderr)
    what = "images" if row["kind"] == "images" else "slices"
    text = f"{row['name']}: {row['boxes']} boxes in {row['slices']} {what}"
    if row["convention"]:
        text += (
            f", {row['lesions']} lesions; Agatston score ({row['convention']}) "
            f"{row['agatston']:.1f}, category {row['category']}"
        )
    print(text)


@contextmanager
def _bar(title: str, detectors: "Detectors") -> "Iterator[Progress]":
    """A bar that counts slices as they are looked at."""
    from tqdm import tqdm

    with tqdm(desc=title, unit="slice") as bar:

        def counted(images: Any) -> Any:
            if bar.total is None:
                bar.total = len(images.names) * len(detectors.members)

            def image(i: int) -> Any:
                bar.update()
                return images.image(i)

            return dataclasses.replace(images, image=image)

        yield counted
