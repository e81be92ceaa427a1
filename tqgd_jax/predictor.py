"""A trained detector that takes arrays; `trained.load` makes one.

    detector = load("runs/demo-gated")
    boxes, scores, labels = detector(hu_slice)
    lesions = detector.scan(read_scan("patient/"))

Network, letterbox, decoding and NMS are those of `eval.py`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, Integer

from tqgd_jax.config import Config
from tqgd_jax.ct import crop, heart
from tqgd_jax.data import dataset
from tqgd_jax.data.dataset import Dataset
from tqgd_jax.data.read.scans import neighbours
from tqgd_jax.data.unlabelled import of_arrays
from tqgd_jax.evaluation.measures.lesions3d import link_detections
from tqgd_jax.inference import Predict, detect_at, make_predict, near_heart
from tqgd_jax.io import weights
from tqgd_jax.io.volumes import Volume
from tqgd_jax.network import Network, build
from tqgd_jax.structures.batch import Arr
from tqgd_jax.structures.dataset_index import SliceInfo
from tqgd_jax.structures.image import Image, Place
from tqgd_jax.structures.thresholds import CURVE_TAU, POINT_TAU

HU = np.dtype(np.int16)
PADDED = 64  # px: crops of different sizes then share few compiled programs


class Boxes(NamedTuple):
    """Detections in one image, the best first.

    Attributes:
      boxes: (x0, y0, x1, y1) in px of the image as it was given, x1 exclusive.
      scores: confidence, 0 to 1.
      labels: class indices; `Predictor.classes` has the names.
    """

    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n"]
    labels: Int[np.ndarray, "n"]


class Lesions(NamedTuple):
    """Detections in a scan, from the lowest slice up.

    Attributes:
      z: slice of each box, 0 the lowest.
      boxes: (x0, y0, x1, y1) in px of the whole slice, x1 exclusive.
      scores: confidence, 0 to 1.
      labels: class indices.
      lesion: the 3-D lesion of each box, numbered from 0
        (docs/design/0014-lesions-in-3d.md).
      windows: what the detector saw of each slice, (x0, y0, x1, y1), px.
    """

    z: Int[np.ndarray, "n"]
    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n"]
    labels: Int[np.ndarray, "n"]
    lesion: Int[np.ndarray, "n"]
    windows: Int[np.ndarray, "z 4"]


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """A trained detector; `load` makes one.

    Attributes:
      config: settings of the run.
      classes: names by class index.
      anchors: width and height by head, network px.
      variables: EMA weights and batch statistics, in the form of training.
      threshold: confidence from which a detection counts: what validation chose, else
        YOLOv5's; of a segmentation 0, because its operating point is a probability of
        pixels (`POINT_TAU`).
      chosen: whether validation chose it.
      provenance: where the weights are from; plain data.
      program: an exported program in place of the network's own; then `variables` is
        empty.
      program_sha256: of the program's file.
    """

    config: Config
    classes: tuple[str, ...]
    anchors: Float[np.ndarray, "l a 2"]
    variables: Mapping[str, Any]
    threshold: float
    chosen: bool
    provenance: dict[str, Any]
    program: Predict | None = None
    program_sha256: str = ""
    _predict: Predict = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        predict = self.program or make_predict(
            self.config, len(self.classes), self.anchors
        )
        object.__setattr__(self, "_predict", predict)
        object.__setattr__(self, "variables", jax.device_put(self.variables))

    @property
    def network(self) -> Network:
        """The network."""
        return build(self.config, len(self.classes), self.anchors)

    def __call__(self, image: Arr, min_score: float | None = None) -> Boxes:
        """Detections in one image.

        Args:
          image: [h, w] or [h, w, channels] as in training: int16 Hounsfield units, or uint8
            or uint16 grey levels or RGB. A detector of neighbouring slices
            (`data.neighbours`) wants them as channels.
          min_score: least confidence [`threshold`].
        """
        return self.batch([image], min_score)[0]

    def batch(
        self, images: Sequence[Arr], min_score: float | None = None
    ) -> list[Boxes]:
        """Detections in each image; as fast as `eval.py`, whose batch size it takes."""
        checked = [self.checked(image) for image in images]
        if not checked:
            return []
        return self.found_in(of_arrays(checked, PADDED), min_score)

    def found_in(
        self,
        images: Dataset,
        min_score: float | None = None,
        batch_size: int | None = None,
    ) -> list[Boxes]:
        """Detections in each image of a data set.

        Args:
          images: a split of a data set, or `data.unlabelled`.
          min_score: least confidence [`threshold`].
          batch_size: as for `detect`.
        """
        least = self.threshold if min_score is None else min_score
        if not 0 <= least <= 1:
            raise ValueError(f"min_score must be in [0, 1], got {least}")
        result = []
        for image in self.detect_at(images, (POINT_TAU,), batch_size)[0]:
            chosen = image.above(least)
            scores, labels = image.det_scores[chosen], image.det_labels[chosen]
            result.append(Boxes(image.det_boxes[chosen], scores, labels))
        return result

    def scan(
        self,
        scan: Volume,
        min_score: float | None = None,
        hearts: Float[np.ndarray, "z 4"] | None = None,
    ) -> Lesions:
        """Detections in all slices of a CT scan, linked in 3-D.

        Args:
          scan: as `read_scan` gives it.
          min_score: least confidence [`threshold`].
          hearts: heart box of each slice, (x0, y0, x1, y1) px, NaN where there is none;
            only for a detector of crops. [Found in the anatomy, as
            `data.crop.method="anatomical"` does.]

        Raises:
          ValueError: the detector is one of images, not of scans.
        """
        images, windows = self.images_of(scan, hearts)
        detections = self.found_in(images, min_score)
        return linked(in_whole_slices(detections, windows), windows, scan.spacing)

    def images_of(
        self, scan: Volume, hearts: Float[np.ndarray, "z 4"] | None = None
    ) -> tuple[Dataset, Int[np.ndarray, "z 4"]]:
        """What the detector sees of each slice, and where it is: (x0, y0, x1, y1) px.

        Args:
          scan: as `read_scan` gives it.
          hearts: see `scan`.
        """
        rules, data = self.config.data.crop, self.config.data
        depth, h, w = scan.hu.shape
        windows = np.tile(np.array([0, 0, w, h]), (depth, 1))
        beyond_mm = np.zeros(depth)
        if rules.method != "none" or hearts is not None:
            if hearts is None:
                hearts = heart.find_heart(scan.hu, scan.spacing)
            windows = crop.crops(
                hearts,
                (h, w),
                scan.spacing[1:],
                per=rules.per,
                margin_mm=rules.margin_mm,
            )
            beyond_mm = crop.beyond(hearts, scan.spacing[0])
        slices, places = [], []
        for z, (x0, y0, x1, y1) in enumerate(windows.tolist()):
            channels = neighbours(z, depth, scan.spacing[0], data)
            seen = np.moveaxis(scan.hu[channels, y0:y1, x0:x1], 0, -1)
            slices.append(self.checked(seen))
            where = (x0, y0, x1, y1)
            places.append(SliceInfo("", "", z, scan.spacing, where, beyond_mm[z]))
        images = of_arrays(slices, PADDED)
        return dataclasses.replace(images, slices=places), windows

    def detect(self, images: Dataset, batch_size: int | None = None) -> list[Image]:
        """All detections above `eval.min_score`, beside the ground truth, if any.

        Args:
          images: a split of a data set, or `data.unlabelled`.
          batch_size: images at once [`eval.batch_size`; 1 for one image].
        """
        return self.detect_at(images, (CURVE_TAU,), batch_size)[0]

    def detect_at(
        self, images: Dataset, taus: Sequence[float], batch_size: int | None = None
    ) -> list[list[Image]]:
        """The same for each of `taus`, see `inference.detect_at`."""
        usual = 1 if len(images.names) == 1 else self.config.eval.batch_size
        batches = dataset.in_order(images, batch_size or usual)
        of_taus = detect_at(self._predict, self.variables, batches, images.names, taus)
        limit = self.config.eval.beyond_heart_mm
        return [near_heart(of_tau, images.slices, limit) for of_tau in of_taus]

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Writes one file, `*.safetensors`, that `load` reads without the run.

        Args:
          path: of the file.
          half: kernels are rounded to half precision: half of the size.

        Raises ValueError for an exported program, whose weights are inside it.
        """
        if self.program:
            raise ValueError(
                "an exported program has no weights to write; export the run, or the "
                "model.safetensors beside it"
            )
        meta = self.meta
        if half:
            meta["provenance"] = meta["provenance"] | {"rounded": "half precision"}
        weights.write(Path(path).expanduser(), dict(self.variables), meta, half=half)

    @property
    def meta(self) -> dict[str, Any]:
        """All but the weights, as plain data."""
        return {
            "config": dataclasses.asdict(self.config),
            "classes": list(self.classes),
            "anchors": self.anchors.tolist(),
            "threshold": self.threshold if self.chosen else None,
            "provenance": self.provenance,
        }

    def checked(self, image: Arr) -> Integer[np.ndarray, "h w c"]:
        """The image as [h, w, c]; ValueError if type or channels do not fit the run."""
        image = np.asarray(image)
        if image.ndim == 2:
            image = image[:, :, None]
        wanted = self.config.data.channels
        low, high = self.config.data.window_of(HU)
        if image.ndim != 3 or not image.size:
            raise ValueError(
                f"an image is [h, w] or [h, w, channels], got {image.shape}; `scan` "
                "takes a whole scan"
            )
        if image.dtype not in (HU, np.dtype(np.uint8), np.dtype(np.uint16)):
            raise ValueError(
                f"an image holds int16 Hounsfield units, or uint8 or uint16 grey "
                f"levels, got {image.dtype}; round and convert it"
            )
        if image.dtype == HU and image.shape[2] != wanted:
            raise ValueError(
                f"this detector sees {wanted} slices at once (data.neighbours), as "
                f"channels; got {image.shape}"
            )
        if image.dtype != HU and any(self.config.data.window) and low < 0:
            raise ValueError(
                f"{image.dtype} images hold no Hounsfield units, and the detector was "
                f"trained with data.window=({low:g}, {high:g})"
            )
        return image


def in_whole_slices(
    detections: Sequence[Boxes], windows: Int[np.ndarray, "z 4"]
) -> list[Boxes]:
    """Detections in crops of slices, in px of the whole slices.

    One that rounding leaves no area there is none.
    """
    result = []
    for of, window in zip(detections, windows, strict=True):
        boxes = crop.from_crop(of.boxes, window)
        proper = (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
        result.append(Boxes(boxes[proper], of.scores[proper], of.labels[proper]))
    return result


def linked(
    detections: Sequence[Boxes],
    windows: Int[np.ndarray, "z 4"],
    spacing: tuple[float, float, float],
) -> Lesions:
    """Detections in all slices of a scan as lesions in 3-D.

    Args:
      detections: of each slice, px of the whole slice.
      windows: what the detector saw of each slice.
      spacing: (dz, dy, dx) mm.
    """
    images = [
        Image(
            name=str(z),
            boxes=np.zeros((0, 4)),
            labels=np.zeros(0, int),
            det_boxes=of.boxes,
            det_scores=of.scores,
            det_labels=of.labels,
            place=Place(patient="scan", z=z, spacing=spacing),
        )
        for z, of in enumerate(detections)
    ]
    lesion = link_detections(images, [0.0] * len(images))
    return Lesions(
        np.repeat(np.arange(len(images)), [len(of.scores) for of in detections]),
        np.concatenate([of.boxes for of in detections]),
        np.concatenate([of.scores for of in detections]),
        np.concatenate([of.labels for of in detections]),
        np.concatenate(lesion),
        windows,
    )
