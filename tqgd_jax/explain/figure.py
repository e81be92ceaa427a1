"""The folder of an explanation: pictures, maps, numbers and one page."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tqgd_jax.explain import checks
from tqgd_jax.explain.explanation import BEST, Candidates, Explainer, Explanation
from tqgd_jax.explain.formulas import NAMES
from tqgd_jax.explain.grid import Cell, Row, draw
from tqgd_jax.explain.inputs import Slices
from tqgd_jax.explain.tables import EMPTY, FLAT, RAW_BEST, Table, every_slice, means
from tqgd_jax.report.html.pixels import windowed
from tqgd_jax.report.html.template import environment, part
from tqgd_jax.report.pictures import DISCLAIMER

SCHEMA = "tqgd_jax.explain/1"
PAGE = "explain.html"
CAPTION = (
    "A map shows which part of a module's output raised the score of the boxes. It is no "
    "evidence that a box is right, and a dark place is no evidence that nothing is there. "
    "Each map has its own scale, so colours of two panels do not compare."
)
EIGENCAM = (
    "Eigen-CAM is not of a detection: it shows the strongest pattern of the activations, "
    "knows no score, and looks alike for many images."
)


class Task(NamedTuple):
    """What is to be explained.

    Attributes:
      slices: to choose from.
      chosen: their numbers.
      method: a name in `formulas.METHODS`.
      boxes: "topN" for one map of the N best boxes, "all" for one of each, or the number
        of a box, 0 the best.
      min_score: least confidence; None: the threshold of each run.
      checks: whether the checks that run the network again are made.
    """

    slices: Slices
    chosen: Sequence[int]
    method: str = "gradcam++"
    boxes: str = f"top{BEST}"
    min_score: float | None = None
    checks: bool = True


def make(
    out: Path, explainers: Mapping[str, Explainer], task: Task, title: str
) -> dict[str, Any]:
    """Writes all files; gives what `explain.json` holds.

    Args:
      out: a folder that is there.
      explainers: by the name of the network.
      task: slices, boxes, method.
      title: of the page.
    """
    columns = [(name, module) for name, e in explainers.items() for module in e.modules]
    heads = [_heading(name, module, explainers) for name, module in columns]
    slices, rows, cells, documents = task.slices, [], [], []
    title = ". ".join(filter(None, [title, slices.disclaimer]))
    for i in tqdm(task.chosen, "explain", unit="slice"):
        image = slices.image(i)
        of_model = {
            name: explainer.candidates(image, task.min_score)
            for name, explainer in explainers.items()
        }
        for which in _boxes(task.boxes, of_model, slices.names[i]):
            number = f"{len(rows) + 1:02d}"
            suffix = "" if len(which) != 1 else f", box {which[0]}"
            row = Row(slices.names[i] + suffix, _shown(image, slices), slices.labels[i])
            of_row: list[Cell] = []
            entries = []
            for name, explainer in explainers.items():
                of = of_model[name]._replace(**_only(of_model[name], which))
                maps = explainer.explain(of, task.method, range(len(of.number)))
                checked = task.checks and len(of.number) > 0
                control = _control(explainer, of) if checked else None
                for module, explanation in maps.items():
                    entry = _entry(explainer, of, explanation, row, control)
                    entry = {"model": name, "module": module, **entry}
                    _write_raw(out, f"{number}-{len(entries) + 1}", explanation, entry)
                    entries.append(entry)
                    of_row.append(_cell(explanation))
            picture = f"{number}.png"
            draw(out / picture, [row], heads, [of_row], title)
            patient = slices.patients[i]
            documents.append(
                {
                    "slice": row.name,
                    "patient": patient,
                    "picture": picture,
                    "columns": entries,
                }
            )
            rows.append(row)
            cells.append(of_row)
    draw(out / "grid.png", rows, heads, cells, f"{NAMES[task.method]}. {title}")
    document = {
        "schema": SCHEMA,
        "title": title,
        "disclaimer": "; ".join(filter(None, [slices.disclaimer, DISCLAIMER])),
        "method": task.method,
        "caption": [CAPTION] + [EIGENCAM] * (task.method == "eigencam"),
        "models": [_model(name, explainer) for name, explainer in explainers.items()],
        "rows": documents,
    }
    (out / "explain.json").write_text(json.dumps(document, indent=1), "utf-8")
    _page(out, document)
    return document


def _heading(name: str, module: str, explainers: Mapping[str, Explainer]) -> str:
    """Of a column: the network and the module, as far as they differ."""
    if len(explainers) == 1:
        return module
    return name if len(explainers[name].modules) == 1 else f"{name}\n{module}"


def _boxes(
    words: str, of: Mapping[str, Candidates], name: str
) -> list[tuple[int, ...]]:
    """Numbers of the boxes of each row of one slice."""
    if words.startswith("top"):
        return [tuple(range(int(words[3:])))]
    (one,) = of.values()
    count = len(one.number)
    if not count:
        return [()]
    if words == "all":
        return [(k,) for k in range(count)]
    if int(words) >= count:
        raise ValueError(
            f"--boxes={words}: {name} has {count} boxes, 0 to {count - 1}"
            f"{' ({RAW_BEST})' if one.raw_best else ''}; a lower --min_score "
            "gives more"
        )
    return [(int(words),)]


def _only(of: Candidates, which: Sequence[int]) -> dict[str, np.ndarray]:
    at = [k for k in which if k < len(of.number)]
    names = ("boxes", "network_boxes", "scores", "labels", "number")
    return {name: getattr(of, name)[at] for name in names}


def _shown(image: np.ndarray, slices: Slices) -> np.ndarray:
    """Pixels in [0, 1]; of neighbouring slices the middle one."""
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        image = image[:, :, image.shape[2] // 2]
    return windowed(image, slices.window)


def _cell(explanation: Explanation) -> Cell:
    note = [RAW_BEST] * explanation.raw_best + [FLAT] * explanation.flat
    if not len(explanation.boxes):
        note = [EMPTY]
    return Cell(
        explanation.map,
        explanation.boxes,
        explanation.scores,
        "\n".join(note),
        not explanation.raw_best,
    )


def _control(explainer: Explainer, of: Candidates) -> checks.Curves:
    """Deletion and insertion of the map that knows nothing."""
    side = of.pixels.shape[1]
    gaussian = checks.centred_gaussian((side, side))
    return checks.deletion_insertion(explainer, of, gaussian)


def _entry(
    explainer: Explainer,
    of: Candidates,
    explanation: Explanation,
    row: Row,
    control: checks.Curves | None,
) -> dict[str, Any]:
    """One panel as plain data."""
    margin = checks.margin_px(explainer, of.size)
    gaussian = checks.centred_gaussian(of.size)
    energy = {
        f"{kind}{of_control}": checks.energy_share(plane, boxes, margin)
        for kind, boxes in (("boxes", explanation.boxes), ("labels", row.labels))
        for of_control, plane in (("", explanation.map), ("_gaussian", gaussian))
    }
    made = {}
    if control is not None and not explanation.flat and explanation.raw[0].any():
        moved = checks.shift(explainer, of, explanation)
        random = checks.randomisation(explainer, of, explanation)
        curves = checks.deletion_insertion(explainer, of, explanation.raw[0])
        made = {
            "random_above": random.above,
            "random_all": random.all,
            "random_by_part": random.by_part,
            "shift_cells": list(moved.cells),
            "shift_correlation": moved.correlation,
            **curves._asdict(),
            **{f"{key}_gaussian": value for key, value in control._asdict().items()},
        }
    return {
        "raw_best_candidate": explanation.raw_best,
        "flat": explanation.flat,
        "boxes": [
            {"box": box, "score": score, "module": module}
            for box, score, module in zip(
                explanation.boxes.tolist(),
                explanation.scores.tolist(),
                explanation.modules,
                strict=True,
            )
        ],
        "energy": energy,
        "checks": made,
    }


def _write_raw(
    out: Path, stem: str, explanation: Explanation, entry: dict[str, Any]
) -> None:
    """A file for the raw map of each box, which its entry names."""
    for k, (raw, box) in enumerate(zip(explanation.raw, entry["boxes"], strict=True)):
        box["raw"] = f"{stem}-{k}.npy"
        np.save(out / box["raw"], raw.astype(np.float32))


def _model(name: str, explainer: Explainer) -> dict[str, Any]:
    predictor = explainer.predictor
    return {
        "name": name,
        "threshold": predictor.threshold,
        "reads": {f"p{n}": path for n, path in explainer.places.read.items()},
        **predictor.provenance,
    }


def _page(out: Path, document: dict[str, Any]) -> None:
    """One file that holds everything."""
    tables: list[Table] = [means(document), every_slice(document)]
    png = base64.b64encode((out / "grid.png").read_bytes()).decode()
    text = (
        environment()
        .get_template(PAGE)
        .render(document=document, method=NAMES[document["method"]], png=png,
                tables=tables, title=document["title"], css=part("page.css"))
    )  # fmt: skip
    (out / PAGE).write_text(text, "utf-8")
