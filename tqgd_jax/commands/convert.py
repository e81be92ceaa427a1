"""Writes a prepared set as PNG images with YOLO, VOC or COCO boxes, for other programs.

tqgd convert --data_dir DIR --out OUT --format yolo|voc|coco
    [--pixels raw|window8] [--config=configs/x.py] [--config.data...]

OUT/export.json says what the pixels mean; OUT/split.csv keeps split and patients, so our
own loader reads the folder back as it was.
"""

import contextlib
import itertools
import json
import logging
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags
from jaxtyping import Integer, UInt

from tqgd_jax.commands.line import config_flags
from tqgd_jax.config import IMAGE_FORMATS, Config, one_of
from tqgd_jax.io import atomic
from tqgd_jax.io.images import read_image
from tqgd_jax.io.tables import write_table
from tqgd_jax.overlap import beyond

if TYPE_CHECKING:
    from tqgd_jax.data.box_writers import Stems
    from tqgd_jax.data.dataset import Dataset

logger = logging.getLogger("tqgd_jax")

PIXELS = ("raw", "window8")
OFFSET = 32768  # of int16 stored as uint16


def export(
    splits: Mapping[str, "Dataset"],
    out: Path,
    format: str,
    pixels: str,
    window: tuple[float, float],
) -> dict[str, dict[str, int]]:
    """Images and boxes written, by split.

    Args:
      splits: from `open_data`.
      out: a folder that is empty or not there; it appears when all is written and read
        back, or not at all.
      format: "yolo", "voc" or "coco".
      pixels: "raw" keeps every value, int16 as value + 32768; "window8" gives 8 bits.
        Both keep 1 or 3 channels; of another number, the middle one.
      window: values that "window8" makes 0 and 255: `config.data.window_of(dtype)`.

    Raises:
      ValueError: `out` has files in it, the split leaks, or what was written does not
        read back as what was given.
    """
    from tqdm import tqdm

    from tqgd_jax.data.box_writers import WRITERS
    from tqgd_jax.data.read_back import read_back

    one_of("--format", format, IMAGE_FORMATS)
    one_of("--pixels", pixels, PIXELS)
    out = Path(os.path.abspath(out))
    config_flags.refuse_full(out)
    _refuse_splits(splits)
    stems = _stems(splits)
    source = next(iter(splits.values()))
    if source.shape[2] not in (1, 3):
        logger.warning(
            "images have %d channels, PNG has 1 or 3: channel %d is written",
            source.shape[2],
            source.shape[2] // 2,
        )
    counts = {
        part: {"images": len(of.names), "boxes": sum(map(len, of.boxes))}
        for part, of in splits.items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out), atomic.folder(out) as partial:
        (partial / "images").mkdir()
        for part, of in splits.items():
            for i, stem in enumerate(tqdm(stems[part], f"export {part}", unit="img")):
                path = partial / "images" / f"{stem}.png"
                write_png(path, stored(of.image(i), pixels, window))
        WRITERS[format](partial, splits, stems)
        _write_split(partial, splits, stems)
        settings = {"data.format": format, "data.classes": list(source.classes)}
        settings["data.bad_labels"] = read_back(partial, splits, stems, format)
        lost = _beyond(splits)
        facts = _facts(source, pixels, window, settings)
        facts |= {"counts": counts, "beyond": lost}
        text = json.dumps(facts, indent=1) + "\n"
        (partial / "export.json").write_text(text, "utf-8")
    return counts


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Raises ValueError while another process fills the same folder."""
    path = out.with_name(f".{out.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(atomic.lock(path))
        except RuntimeError as error:
            raise ValueError(
                f"--out: another process is writing {out}; wait for it, or name another "
                "folder"
            ) from error
        stack.callback(path.unlink)
        yield


def _refuse_splits(splits: Mapping[str, "Dataset"]) -> None:
    if not any(source.names for source in splits.values()):
        raise ValueError("there is no image to export")
    for part, source in splits.items():
        if source.disclaimer:
            raise ValueError(
                f"{part} says {source.disclaimer!r}, and a folder of images cannot carry "
                "that to who reads it; export a split by patient, with "
                "data.crop.widen=train"
            )


def _beyond(splits: Mapping[str, "Dataset"]) -> dict[str, int]:
    """Boxes of each part that reach beyond their image, told where there are any."""
    lost = {
        part: sum(
            int(np.logical_or(*beyond(boxes, (0, 0, int(w), int(h)))).sum())
            for boxes, (h, w) in zip(of.boxes, of.sizes, strict=True)
        )
        for part, of in splits.items()
    }
    if any(lost.values()):
        logger.warning(
            "%s boxes reach beyond their images, which the heart crop has cut: they are "
            "written whole, but a program that clips or drops them does not count what "
            "the crop has missed (data.crop.method=none cuts nothing)",
            ", ".join(f"{part}: {count}" for part, count in lost.items() if count),
        )
    return lost


def _stems(splits: Mapping[str, "Dataset"]) -> dict[str, list[str]]:
    """File names without suffix: the names of the images, folders joined by "__"."""
    stems = {p: [n.replace("/", "__") for n in of.names] for p, of in splits.items()}
    # some file systems take "a" and "A" for one name
    every = sorted((stem for of in stems.values() for stem in of), key=str.lower)
    for a, b in itertools.pairwise(every):
        if a.lower() == b.lower():
            raise ValueError(f"images {a!r} and {b!r} would be one file; rename one")
    return stems


def stored(
    image: Integer[np.ndarray, "h w c"], pixels: str, window: tuple[float, float]
) -> UInt[np.ndarray, "h w k"]:
    """The pixels as their PNG holds them, uint8 or uint16."""
    c = image.shape[2]
    if c not in (1, 3):
        image = image[:, :, c // 2 : c // 2 + 1]
    if pixels == "window8":
        low, high = window
        unit = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1)
        return np.rint(unit * 255).astype(np.uint8)
    if image.dtype == np.int16:
        return (image.astype(np.int32) + OFFSET).astype(np.uint16)
    return image


def write_png(path: Path, pixels: UInt[np.ndarray, "h w k"]) -> None:
    """Grey or RGB. Raises ValueError when `path` does not read back as `pixels`."""
    if pixels.dtype == np.uint16 and pixels.shape[2] == 3:  # Pillow has no such mode
        import SimpleITK as sitk

        sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(path))
    else:
        from PIL import Image

        Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(path)
    if not np.array_equal(read_image(path), pixels):
        raise ValueError(
            f"{path}: does not read back as it was written; check the disk"
        )


def _write_split(root: Path, splits: Mapping[str, "Dataset"], stems: "Stems") -> None:
    rows = [
        (f"{stem}.png", part, group)
        for part, of in splits.items()
        for stem, group in zip(stems[part], of.patients, strict=True)
    ]
    write_table(root / "split.csv", ("image", "split", "group"), rows)


def _facts(
    source: "Dataset",
    pixels: str,
    window: tuple[float, float],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """What a reader must know of the values, and the settings that read them here."""
    low, high = window
    offset = OFFSET if pixels == "raw" and source.dtype == np.int16 else 0
    shown = [0.0, 255.0] if pixels == "window8" else [low + offset, high + offset]
    return {
        "made_by": "tqgd convert",
        "fingerprint": source.fingerprint,
        "source_dtype": source.dtype.name,
        "pixels": pixels,
        "value_is": f"pixel - {offset}" if pixels == "raw" else "windowed",
        "offset": offset,
        "window": [low, high],
        "values_per_level": (high - low) / 255 if pixels == "window8" else 1.0,
        "read_with": settings | {"data.window": shown},
    }


def _main(config: Config, out: Path) -> None:
    from tqgd_jax.data.open import open_data

    config_flags.refuse_full(out)  # before minutes of preparation
    root = Path(config.data.dir).expanduser().resolve()
    if config.data.dir and out.resolve().is_relative_to(root):
        raise ValueError(f"--out: {out} lies in the data set, which would change it")
    config_flags.make_room(out, folder=True)
    splits = open_data(config)
    dtype = next(iter(splits.values())).dtype
    window = config.data.window_of(dtype)
    counts = export(splits, out, FLAGS.format, FLAGS.pixels, window)
    for part, count in counts.items():
        print(f"{out}: {part} {count['images']} images, {count['boxes']} boxes")
    facts = json.loads((out / "export.json").read_text("utf-8"))
    if FLAGS.pixels == "window8":
        unit = "HU" if dtype == np.int16 else "grey values"
        print(f"one of 256 levels is {facts['values_per_level']:.3g} {unit}")
    words = [f"--config.{k}={_word(v)}" for k, v in facts["read_with"].items()]
    print("read it with", f"--config.data.dir={shlex.quote(str(out))}", *words)


def _word(value: Any) -> str:
    """As a shell and then `--config` reads it."""
    if isinstance(value, list):
        text = str(tuple(value))
        return f'"{text}"' if not set(text) & set('"$`\\!') else shlex.quote(text)
    return shlex.quote(str(value))


FLAGS = flags.FLAGS


def main() -> None:
    """The command."""
    config_flags.define("Folder to write; empty or new.")
    flags.DEFINE_enum("format", None, IMAGE_FORMATS, "Of the boxes.", required=True)
    flags.DEFINE_enum("pixels", "raw", PIXELS, "Every value, or 8 bits by the window.")
    config_flags.run(_main)
