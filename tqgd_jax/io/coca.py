"""Reader of the labels of Stanford's COCA: a property list of OsiriX for each scan.

`calcium_xml/NAME.xml` belongs to the DICOM series below `patient/NAME/`. A lesion is a
polygon in px of a slice, whose number counts from the head down.
docs/design/0037-coca.md.
"""

import plistlib
import re
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np

from tqgd_jax.io.text import MAX_BYTES, last_place, too_large

POINT = re.compile(r"\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)")

Outlines = dict[int, list[tuple[str, list[float]]]]  # by slice from the head


def read_coca(file: Path) -> tuple[Outlines, float]:
    """Name and (x0, y0, x1, y1), px, of what is outlined in each slice from the head.

    OsiriX counts px from the edge of the first one, as we do. Also the unit of the last
    decimal. Raises ValueError, naming the file, for another file or one that is damaged;
    entities are refused.
    """
    try:
        if why := too_large(file, MAX_BYTES):
            raise ValueError(why)
        content = plistlib.loads(file.read_bytes(), fmt=plistlib.FMT_XML)
        return _outlines(content["Images"])
    except (ExpatError, plistlib.InvalidFileException, AttributeError) as error:
        raise ValueError(f"{file}: no property list: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{file}: no labels as of COCA ({type(error).__name__}: {error}); it has "
            "Images with ImageIndex and ROIs, and those Name and Point_px"
        ) from error


def _outlines(images: list[dict[str, Any]]) -> tuple[Outlines, float]:
    outlines: Outlines = defaultdict(list)
    texts: list[str] = []
    for image in images:
        for roi in image["ROIs"]:
            points = [POINT.fullmatch(text) for text in roi["Point_px"]]
            if not points:  # OsiriX keeps regions that were emptied
                continue
            if not all(points):
                raise ValueError(f"Point_px {roi['Point_px'][points.index(None)]!r}")
            pairs = [match.groups() for match in points if match]
            texts += [number for pair in pairs for number in pair]
            xy = np.array(pairs, np.float64)
            box = [*xy.min(axis=0).tolist(), *xy.max(axis=0).tolist()]
            outlines[int(image["ImageIndex"])].append((str(roi["Name"]), box))
    return dict(outlines), last_place(texts)
