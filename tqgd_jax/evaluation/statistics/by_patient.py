"""A cohort whose images belong to clusters: counts for each cluster."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from tqgd_jax.evaluation.matching.matches import Matches
from tqgd_jax.evaluation.statistics.weighted import count_by_cluster


class ByPatient(NamedTuple):
    """What is resampled together.

    Attributes:
      matches: the columns.
      clusters: number of patients, or of scans.
      owner: cluster of each image.
      scan: number of the scan of each image, from 0.
    """

    matches: Matches
    clusters: int
    owner: Integer[np.ndarray, "i"]
    scan: Integer[np.ndarray, "i"]

    def of_images(self, chosen: Bool[np.ndarray, "i"]) -> Float[np.ndarray, "c"]:
        """The chosen images of each cluster."""
        return count_by_cluster(self.owner[chosen], self.clusters)

    def of_boxes(self, chosen: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "c"]:
        """The chosen boxes of each cluster."""
        return count_by_cluster(
            self.owner[self.matches.boxes.image[chosen]], self.clusters
        )

    def of_detections(self, chosen: Bool[np.ndarray, "k"]) -> Float[np.ndarray, "c"]:
        """The chosen detections of each cluster."""
        return count_by_cluster(
            self.owner[self.matches.dets.image[chosen]], self.clusters
        )

    @property
    def slices_known(self) -> bool:
        """Whether any image says which slice it is, so that boxes can be linked."""
        return any(image.place.z is not None for image in self.matches.images)

    @property
    def scans_known(self) -> bool:
        """Whether every image is said to be of a patient or a scan."""
        return all(bool(i.place.patient or i.place.scan) for i in self.matches.images)

    @property
    def scans(self) -> Float[np.ndarray, "c"]:
        """Scans of each cluster."""
        _, first = np.unique(self.scan, return_index=True)
        return count_by_cluster(self.owner[first], self.clusters)

    @property
    def slices(self) -> Float[np.ndarray, "c"]:
        """Images of each cluster."""
        return count_by_cluster(self.owner, self.clusters)

    @property
    def blind(self) -> Float[np.ndarray, "c"]:
        """Images of each cluster that have no threshold."""
        return self.of_images(self.matches.blind)


def by_patient(matches: Matches) -> tuple[ByPatient, list[str]]:
    """Images by patient, and the patients in sorted order."""
    names, owner = _numbers([image.patient for image in matches.images])
    _, scan = _numbers([image.scan for image in matches.images])
    return ByPatient(matches, len(names), owner, scan), names


def by_scan(of: ByPatient) -> ByPatient:
    """The same images with scans in the place of patients."""
    return of._replace(clusters=int(of.scan.max(initial=-1)) + 1, owner=of.scan)


def _numbers(names: Sequence) -> tuple[list, Integer[np.ndarray, "i"]]:
    """The different names, sorted, and the index of each image's."""
    different = sorted(set(names))
    place = {name: k for k, name in enumerate(different)}
    return different, np.array([place[name] for name in names], int)
