"""report.html of a scan: one offline page to scroll through slices and findings."""

from itertools import pairwise
from typing import Any

import numpy as np

from tqgd_jax.io.tables import BOX
from tqgd_jax.prediction import encoding
from tqgd_jax.prediction.document import DISCLAIMER
from tqgd_jax.prediction.label_volumes import colour
from tqgd_jax.prediction.reading import Reading
from tqgd_jax.report.html import template
from tqgd_jax.report.html.pixels import windowed

BOX_KEYS = ("slice", *BOX, "score")
TEMPLATE = "viewer.html"
# Name, HU shown black and white. The first is shown at first.
PRESETS = (
    ("Soft tissue", -160, 240),
    ("Calcium", -100, 700),
    ("Lung", -1350, 150),
    ("Bone", -500, 1500),
)


def render(reading: Reading, document: dict[str, Any]) -> str:
    """The page as text.

    Args:
      reading: what was found.
      document: predictions.json of it.
    """
    if reading.scan is not None:
        stored = encoding.encoded(reading.pixels, len(reading.names))
    else:
        pictures = tuple(_picture(reading, k) for k in range(len(reading.names)))
        stored = encoding.Encoded(pictures, (), 1, "")
    css = template.part("page.css") + template.part("viewer.css")
    return (
        template.environment()
        .get_template(TEMPLATE)
        .render(
            title=f"{document['input']['name']}: findings",
            disclaimer=DISCLAIMER,
            document=document,
            scan=reading.scan,
            facts=_facts(document),
            stored=stored,
            presets=PRESETS if reading.scan else (),
            data=template.embedded(_data(reading, document, stored)),
            css=css,
            js=template.part("viewer.js"),
        )
    )


def _picture(reading: Reading, index: int) -> str:
    grey = np.round(windowed(reading.pixels(index), reading.window) * 255)
    return encoding.picture(grey.astype(np.uint8))


def _data(
    reading: Reading, document: dict[str, Any], stored: encoding.Encoded
) -> dict[str, Any]:
    """What the script needs; pictures stand in elements of their own."""
    scan = reading.scan
    boxes = document["boxes"]
    return {
        "slices": [
            {
                "name": name,
                "height": int(height),
                "width": int(width),
                "mm": scan.origin[2] + k * scan.spacing[0] if scan else None,
                "seen": reading.lesions.windows[k].tolist(),
            }
            for k, (name, (height, width)) in enumerate(
                zip(reading.names, reading.sizes.tolist(), strict=True)
            )
        ],
        "spacing": list(scan.spacing[1:]) if scan else [1, 1],
        "scan": scan is not None,
        "edges": list(stored.edges),
        "binned": stored.binned,
        "presets": [list(one) for one in PRESETS] if scan else [],
        "boxes": [
            [*(b[key] for key in BOX_KEYS), b.get("lesion", i + 1)]
            for i, b in enumerate(boxes)
        ],
        "runs": _runs(reading),
        "colours": [
            [round(255 * part) for part in colour(k + 1)]
            for k in range(len(document["lesions"]) or len(boxes))
        ],
        "lesions": [[x["best_slice"], *x["best_box"]] for x in document["lesions"]]
        or [[b["slice"], b["x0"], b["y0"], b["x1"], b["y1"]] for b in boxes],
    }


def _runs(reading: Reading) -> dict[str, list[list[int]]]:
    """Voxels of lesions by slice as runs in rows: [lesion, row, from column, to]."""
    if reading.calcium is None:
        return {}
    result = {}
    for z in np.unique(reading.lesions.z).tolist():
        of_slice = reading.calcium.lesion_map[z]
        rows = np.flatnonzero(of_slice.any(axis=1))
        runs = []
        for y in rows.tolist():
            row = np.concatenate([[0], of_slice[y], [0]]).astype(int)
            cuts = np.flatnonzero(np.diff(row)).tolist()
            runs += [
                [int(row[a + 1]), y, a, b] for a, b in pairwise(cuts) if row[a + 1]
            ]
        result[str(z)] = runs
    return result


def _facts(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What was read, by what, for the top of the page."""
    of, grid, model = document["input"], document["grid"], document["model"]
    known = [
        ("Patient", of.get("patient", "")),
        ("Series", of.get("description", "")),
        ("Maker", of.get("manufacturer", "")),
        ("Tube voltage", f"{of['kvp']} kVp" if of.get("kvp") else ""),
        ("Kernel", of.get("kernel", "")),
        ("Contrast agent", of.get("contrast", "")),
    ]
    if grid:
        z, y, x = grid["shape_zyx"]
        dz, dy, dx = grid["spacing_zyx_mm"]
        known.append(
            ("Slices", f"{z} of {y} x {x} px, {dz:g} x {dy:.3g} x {dx:.3g} mm")
        )
    else:
        known.append(("Images", str(len(of["images"]))))
    known.append(("Read from", of["path"]))
    names = ", ".join(member["name"] for member in model["members"])
    known.append(("Ensemble" if model["kind"] == "ensemble" else "Model", names))
    threshold = document["threshold"]
    known.append(("Threshold", f"{threshold['value']:.3f} ({threshold['source']})"))
    return [(name, text) for name, text in known if text]
