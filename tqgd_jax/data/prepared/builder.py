"""The TFDS builders of prepared sets, one for each kind. Importing this imports tfds.

Records are ArrayRecord, read by index; image tensors of unknown size need zlib there.
`prepare` hands the parts over that it has read. On its own, a builder of CT scans its
manual directory:

    OrCaScore(data_dir=OUT).download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=DIR))
"""

import dataclasses
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from tqgd_jax.config import Config, Data
from tqgd_jax.data.discover.layout import discover
from tqgd_jax.data.index_dataset import index_dataset
from tqgd_jax.data.read import validation
from tqgd_jax.structures.dataset_index import Sample

Parts = dict[str, list[Sample]]
Compressed = dict[str, Any]  # "value" and "shape", as `Tensor` of tfds encodes them

AHEAD = 2**24  # bytes of pixels that threads may be ahead of the records


class Pixels(tfds.features.Tensor):
    """A tensor that comes compressed: tfds would do it on one thread and three times
    as long, at zlib's level 6, for 2 % fewer bytes.
    """

    @property
    def _fully_qualified_class_name(self) -> str:
        """The records are those of a plain tensor, and are described as such."""
        return f"{tfds.features.Tensor.__module__}.{tfds.features.Tensor.__name__}"

    def encode_example(self, example_data: Compressed) -> Compressed:
        return example_data


def compressed(samples: Iterable[Sample]) -> Iterator[Compressed]:
    """The pixels of each sample, in order."""

    def compress(pixels: np.ndarray) -> Compressed:
        return {"value": zlib.compress(pixels.tobytes(), 1), "shape": pixels.shape}

    held, waiting = 0, deque[tuple[Future[Compressed], int]]()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for sample in samples:
            pixels = sample.pixels()
            seen = (pixels.shape[-1], pixels.dtype.name)
            if seen != (sample.header.channels, sample.header.dtype):
                raise ValueError(
                    f"{sample.path}: {seen[0]} channels of {seen[1]}, but {sample.header} "
                    "when it was first read; leave the folder alone and start again"
                )
            waiting.append((pool.submit(compress, pixels), pixels.nbytes))
            held += pixels.nbytes
            while held > AHEAD:
                first, size = waiting.popleft()
                held -= size
                yield first.result()
        for first, _ in waiting:
            yield first.result()


class Slices(tfds.core.GeneratorBasedBuilder):
    """Images and boxes in the order given, no pixel changed."""

    VERSION = tfds.core.Version("1.0.0")
    # nothing is downloaded; tfds would look for checksums beside this file, with
    # importlib_resources, which it does not install
    code_path = None
    DESCRIPTION: ClassVar[str] = "Images with boxes from a folder (VOC, YOLO or COCO)."
    FORMAT: ClassVar[str] = ""

    def __init__(
        self,
        parts: Parts | None = None,
        data_dir: Path | str | None = None,
        data: Data | None = None,
    ) -> None:
        """Without `parts`, those of the manual directory by `data`, for CT only."""
        if parts is None and not self.FORMAT:
            raise ValueError(
                f"{type(self).__name__} needs the parts of a folder that was read; "
                "`tqgd_jax.data.prepared.prepare` hands them over"
            )
        self.parts = parts
        self.data = data or Data()
        self.kind = (self.data.channels, "int16")
        if parts is not None:
            header = next(
                sample.header for samples in parts.values() for sample in samples
            )
            self.kind = (header.channels, header.dtype)
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        channels, dtype = self.kind
        features = {
            "image": Pixels(
                shape=(None, None, channels), dtype=np.dtype(dtype), encoding="zlib"
            ),
            "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
            "labels": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "name": tfds.features.Text(),
            "group": tfds.features.Text(),
        }
        if self.FORMAT:
            features |= {
                "scan": tfds.features.Text(),
                "z": tfds.features.Scalar(dtype=np.int32),
                "spacing": tfds.features.Tensor(shape=(3,), dtype=np.float32),
                "crop": tfds.features.Tensor(shape=(4,), dtype=np.int32),
            }
        # the order is the index: `index.npz` counts on it
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Any]]:
        parts = self.parts
        if parts is None:
            where = str(dl_manager.manual_dir)
            data = dataclasses.replace(self.data, dir=where, format=self.FORMAT)
            dataset = index_dataset(Config(data=data), discover(data))
            validation.enforce(dataset.problems, data.bad_labels)
            parts = dataset.parts
        return {part: self._generate_examples(part, of) for part, of in parts.items()}

    def _generate_examples(
        self, part: str, samples: list[Sample]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        rows = zip(samples, compressed(samples), strict=True)
        bar = tqdm(rows, f"prepare {part}", len(samples), unit="img")
        for i, (sample, image) in enumerate(bar):
            example = {
                "image": image,
                "boxes": sample.boxes,
                "labels": sample.labels,
                "name": sample.name,
                "group": sample.patient,
            }
            if sample.slice is not None:
                example |= {
                    "scan": sample.slice.scan,
                    "z": sample.slice.z,
                    "spacing": np.array(sample.slice.spacing, np.float32),
                    "crop": np.array(sample.slice.crop, np.int32),
                }
            yield i, example


class OrCaScore(Slices):
    """The training set of the orCaScore challenge, or the CT phantom in its layout."""

    FORMAT = "orcascore"
    DESCRIPTION = (
        "Non-contrast cardiac CT of 32 patients from four scanners with a mask of "
        "coronary calcium (1 LAD with left main, 2 LCX, 3 RCA). Slices in Hounsfield "
        "units, cropped to the heart; a box around each lesion of a slice."
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Register at https://orcascore.grand-challenge.org, accept the terms, download "
        "the training set and unpack it into one folder: TRV1P1CTI.mhd with its .zraw "
        "to TRV4P8CTI.mhd, and TRV1P1R.mhd to TRV4P8R.mhd; their folders do not matter, "
        "and the contrast scans (CTAI) are not read. Without the data, "
        "`tqgd phantom --out DIR` simulates a set in the same layout."
    )


class VolumesAndMasks(Slices):
    """Scans and label volumes of the same names."""

    FORMAT = "masks"
    DESCRIPTION = "CT volumes in Hounsfield units with label volumes of lesions."
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put scans and masks (.nii.gz, .nrrd, .mha or .mhd) into one folder, as "
        "images/NAME with masks/NAME, or NAME with NAME_mask; nnU-Net's imagesTr and "
        "labelsTr are read too."
    )


class DicomVoc(Slices):
    """DICOM series with LabelImg XML of each slice."""

    FORMAT = "dicom"
    DESCRIPTION = "DICOM series with Pascal VOC boxes named by SOPInstanceUID."
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put DICOM series, with or without file suffix, and XML files named "
        "SOPInstanceUID.xml anywhere into one folder."
    )


BUILDERS = {b.FORMAT: b for b in (OrCaScore, VolumesAndMasks, DicomVoc)}
