"""What every object has in common: its series, its maker, its identifiers."""

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

MANUFACTURER = "tqgd_jax"
LONGEST = 64  # letters of a name, LO in PS3.5 6.2
KINDS = {  # last digits of SeriesNumber, and what the series is called
    "seg": "Calcium lesions (AI, unverified)",
    "sr": "Calcium score (AI, unverified)",
    "gsps": "Calcium boxes (AI, unverified)",
}
# pydicom's own meaning of this code is longer than the 64 characters that fit.
CALCIFICATION = ("18115005", "SCT", "Pathologic calcification, calcified structure")
LARGEST = 9999  # number of a source series that numbers those made from it


@dataclass(frozen=True)
class Algorithm:
    """What made the findings.

    Attributes:
      name: of the detector, such as "TQGDNet-n".
      version: of the software.
      weights_sha256: of the weights, 64 hexadecimal digits.
    """

    name: str
    version: str
    weights_sha256: str

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if (
                not 0 < len(value) <= LONGEST
                or not value.isprintable()
                or "\\" in value
            ):
                raise ValueError(
                    f"{name} {value!r} of the algorithm: DICOM holds 1 to {LONGEST} "
                    "printable characters and no backslash (LO, PS3.5 6.2)"
                )


@dataclass(frozen=True)
class Tracked:
    """Name and identifier of one lesion, the same in every object."""

    name: str
    uid: str


def new_uid() -> str:
    """A random UID, 2.25 and a UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def uid_of(text: str) -> str:
    """The same UID for the same text."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, text).int}"


def arguments(kind: str, source: "Dataset", algorithm: Algorithm) -> dict[str, Any]:
    """Arguments that all of highdicom's objects take.

    SeriesNumber is 100 times that of the source and the place in `KINDS`, so that the
    objects of two series of a study have different ones.
    """
    number = source.get("SeriesNumber") or 1
    number = int(number) if 0 < number <= LARGEST else 1
    return {
        "series_instance_uid": new_uid(),
        "series_number": 100 * number + list(KINDS).index(kind),
        "series_description": KINDS[kind],
        "sop_instance_uid": new_uid(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": algorithm.name,
        "software_versions": algorithm.version,
        "device_serial_number": algorithm.weights_sha256,
    }
