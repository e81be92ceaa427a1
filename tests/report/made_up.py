"""Results with invented figures in the schema tqgd_jax.results/1, to draw a page of."""

import math
from typing import Any

import numpy as np

from tqgd_jax.evaluation.evaluator import LESIONS
from tqgd_jax.evaluation.glossary import GLOSSARY
from tqgd_jax.evaluation.measures import at_threshold, best_f1, curves, mean_ap, strata
from tqgd_jax.evaluation.measures.froc import NAMES, RATES
from tqgd_jax.evaluation.results import HEADLINE
from tqgd_jax.evaluation.settings import EvaluationSettings
from tqgd_jax.report.html.gallery import SelectedSlice

COUNTS = ("tp", "fp", "fn", "boxes", "reference", "detected")
A1 = [("box", 10, 10, 13, 13, "found"), ("det", 10, 10, 13, 14, "hit", 0.9)]
B1 = [
    ("box", 5, 5, 8, 8, "missed"),
    ("box", 30, 30, 45, 45, "found"),
    ("det", 30, 30, 45, 44, "hit", 0.8),
    ("det", 50, 5, 60, 20, "false alarm", 0.6),
]
# name, patient, z, [(kind, x0, y0, x1, y1, outcome, score)]
SLICES = (
    ("a1", "A", 1, A1),
    ("a2", "A", 2, [("box", 20, 20, 30, 29, "missed")]),
    ("a3", "A", 3, []),
    ("b1", "B", 7, B1),
    ("b2", "B", 8, [("det", 12, 40, 15, 42, "false alarm", 0.55)]),
    ("c1", "C", 4, [("det", 2, 2, 9, 9, "below threshold", 0.2)]),
)


def figure(value: float | None, wide: float = 0.08, reason: str = "") -> dict[str, Any]:
    ends = (None, None) if value is None else (value - wide, value + wide / 2)
    return {"value": value, "low": ends[0], "high": ends[1], "reason": reason}


def figures(shift: float, *, blank: bool = False) -> dict[str, Any]:
    """All keys of a protocol; `blank`: all undefined."""
    keys = [*mean_ap.KEYS, *at_threshold.KEYS, *best_f1.KEYS, *curves.KEYS]
    groups = [f"size.px.{name}" for name in ("0-10", "10-100", "100-200", ">200")]
    groups += [f"size.mm2.{name}" for name in ("0-2", "2-20", "20-40", ">40")]
    groups += ["artery.LAD", "artery.LCX", "artery.RCA"]
    keys += [f"{group}.{name}" for group in groups for name in strata.OF_BOXES]
    for scanner in ("Siemens Force", "Philips iCT"):
        keys += [f"scanner.{scanner}.{name}" for name in strata.OF_IMAGES]
    keys += [f"lesion3d.{name}" for name in LESIONS]
    rng = np.random.default_rng(1)
    made = {}
    for key in keys:
        drawn = float(rng.uniform(0.55, 0.9)) - shift
        if key.rpartition(".")[2] in COUNTS:
            drawn = float(round(100 * drawn))
            made[key] = figure(drawn, wide=12.5)
        else:
            made[key] = figure(drawn)
        if blank:
            made[key] = figure(None, reason="no image has a labelled box")
    if not blank:
        made["size.px.>200.recall"] = figure(None, reason="no box above 200 px")
    return made


def protocol(shift: float, folds: int) -> dict[str, Any]:
    made = figures(shift)
    recall = np.linspace(0, 0.85, 60)
    precision = 1 - 0.3 * recall**3 - shift * recall
    froc = {}
    for unit, scale in (("scan", 1.0), ("slice", 9.0), ("lesion", 0.7)):
        fp = np.concatenate([[0.0], np.geomspace(0.01, 12, 80)])
        sensitivity = 0.9 * (1 - np.exp(-2 * scale * fp)) - shift * fp / 20
        froc[unit] = {
            "fp": fp.tolist(),
            "sensitivity": sensitivity.tolist(),
            "low": np.clip(sensitivity - 0.09, 0, 1).tolist(),
            "high": np.clip(sensitivity + 0.06, 0, 1).tolist(),
        }
        for rate, name in zip(RATES, NAMES, strict=True):
            at = float(np.interp(rate, fp, sensitivity))
            made[f"froc.{unit}.{name}"] = figure(at)
    made["point.iou0.5.recall"] = figure(0.7)
    made["point.iou0.5.precision"] = figure(float(np.interp(0.7, recall, precision)))
    each = [
        {
            "fold": str(k + 1),
            "patients": 8,
            "figures": {
                key: None if n["value"] is None else n["value"] + 0.01 * (k - 2)
                for key, n in made.items()
            },
        }
        for k in range(folds)
    ]
    spread = {
        key: {"mean": n["value"], "sd": n["value"] and 0.0158, "folds": folds}
        for key, n in made.items()
    }
    return {
        **{"images": 480, "boxes": 163, "patients": 40, "scans": 40, "slices": 480},
        "figures": made,
        "folds": each,
        "spread": spread if folds else {},
        "curves": {
            "pr": {"recall": recall.tolist(), "precision": precision.tolist()},
            "froc": froc,
        },
    }


def calcium() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    reference = np.concatenate([np.zeros(8), rng.lognormal(4, 1.6, 32)])
    predicted = np.clip(
        reference * rng.lognormal(0, 0.25, 40) + rng.normal(0, 8, 40), 0, None
    )
    difference = predicted - reference
    edges = [0, 10, 100, 400]
    a, b = (np.searchsorted(edges, x, "left") for x in (reference, predicted))
    confusion = np.zeros((5, 5), int)
    np.add.at(confusion, (a, b), 1)
    keys = {"kappa": 0.87, "accuracy": 0.8, "icc_a1": 0.94, "icc_c1": 0.95}
    sd = float(difference.std(ddof=1))
    bias = float(difference.mean())
    low, high = bias - 1.96 * sd, bias + 1.96 * sd
    scores = {"bias": bias, "sd": sd, "loa_low": low, "loa_high": high}
    logs = np.log1p(predicted) - np.log1p(reference)
    low, high = (float(logs.mean() + k * 1.96 * logs.std(ddof=1)) for k in (-1, 1))
    named = {"log_bias": float(logs.mean()), "log_loa_low": low, "log_loa_high": high}
    agreement = {k: figure(v) for k, v in keys.items()}
    agreement |= {k: figure(v, wide=9.0) for k, v in scores.items()}
    agreement |= {k: figure(v) for k, v in named.items()} | {
        "mae": figure(14.2, wide=3.0)
    }
    for cut in (1, 10, 100, 400):
        for tail in ("sensitivity", "specificity", "ppv", "npv", "f1"):
            agreement[f"cut{cut}.{tail}"] = figure(0.9)
    agreement["cut400.ppv"] = figure(None, reason="no patient predicted above 400")
    agreement |= {"volume.icc_a1": figure(0.93), "volume.bias": figure(-3.25, wide=4.0)}
    labels = ["0", "1-10", "11-100", "101-400", ">400"]
    convention = {"patients_changed": 3, "of": 40, "categories": [8, 3, 12, 12, 5]}
    return {
        "convention": "orcascore",
        "scheme": "standard",
        "edges": edges,
        "labels": labels,
        "source": "voxels above the convention's threshold inside boxes",
        "patients": 40,
        "scans": 40,
        "figures": agreement,
        "confusion": confusion.tolist(),
        "bland_altman": {
            "patients": [f"P{k:02d}" for k in range(40)],
            "mean": ((reference + predicted) / 2).tolist(),
            "difference": difference.tolist(),
        },
        "spread": {
            "of": 40,
            "changed_by_definition": 5,
            "conventions": {
                "orcascore": {**convention, "patients_changed": 0, "median_ratio": 1.0},
                "clinical": {**convention, "median_ratio": 1.0437},
            },
            "schemes": {"standard": {**convention, "patients_changed": 0}},
        },
    }


def patients() -> list[dict[str, Any]]:
    plot = calcium()["bland_altman"]
    rows = zip(plot["patients"], plot["mean"], plot["difference"], strict=True)
    return [
        {
            **{"patient": name, "scan": ""},
            **{"convention": "orcascore", "scheme": "standard"},
            "reference_agatston": m - d / 2,
            "predicted_agatston": m + d / 2,
            "reference_lesions": k % 5,
        }
        for k, (name, m, d) in enumerate(rows)
    ]


def results(folds: int = 5) -> dict[str, Any]:
    """A whole study; 0 folds: one split, with a frozen threshold."""
    thresholds = {str(k + 1): 0.3 + 0.01 * k for k in range(folds)}
    coco = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    recalls = ("AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
    return {
        "schema": "tqgd_jax.results/1",
        "title": "Calcium in 40 invented patients",
        "stamp": "",
        "note": "",
        "caution": "",
        "input": {
            **{"images": 480, "positive_images": 120, "boxes": 163, "ignored": 2},
            **{"detections": 1412, "patients": 40, "scans": 40, "classes": ["calcium"]},
        },
        "beyond": {
            **{"boxes": 163, "cut": 2, "outside": 1},
            "images": [
                {"image": "A_z007", "cut": 2, "outside": 0},
                {"image": "B_z011", "cut": 0, "outside": 1},
            ],
        },
        "settings": {
            **EvaluationSettings()._asdict(),
            **{"size_px": [10, 100, 200], "size_mm2": [2, 20, 40]},
            "threshold": None if folds else 0.3125,
            "threshold_source": "validation",
            "thresholds": thresholds,
            **{"segmentation": False, "part": "", "positive_only": False},
        },
        "headline": {"protocol": "clinical", "keys": [*HEADLINE], "reason": ""},
        "yolo": {
            **{"AP50": 0.7621, "AP50_95": 0.41, "precision": 0.8, "recall": 0.7},
            **{"f1": 0.746, "threshold": 0.3125, "threshold_source": "validation"},
        },
        "coco": dict.fromkeys(coco, 0.512)
        | dict.fromkeys(recalls, 0.61)
        | {"APl": None},
        "protocols": {
            "clinical": protocol(0.0, folds),
            "paper": protocol(-0.05, folds),
        },
        "calcium": calcium(),
        "glossary": GLOSSARY,
    }


def nothing() -> dict[str, Any]:
    """One fold of several, without boxes, detections, threshold or calcium."""
    empty = results(folds=0)
    for name, shift in (("clinical", 0.0), ("paper", 0.0)):
        of = empty["protocols"][name]
        of["figures"] = figures(shift, blank=True)
        of["curves"] = {"pr": {"recall": [], "precision": []}, "froc": {}}
        of |= {"boxes": 0, "patients": 1, "scans": 1, "slices": 3}
    empty["protocols"]["paper"] = {"reason": "no image has a labelled box"}
    empty["input"] |= {"positive_images": 0, "boxes": 0, "detections": 0, "ignored": 0}
    empty["beyond"] = {"reason": "the sizes of the images are not known"}
    empty["settings"] |= {"threshold": None, "threshold_source": "none"}
    empty["headline"] |= {"keys": [], "reason": "fold 1 of 5: one fold is no result"}
    empty["stamp"] = "the labels are invented"
    empty["calcium"] = {"reason": "no scan has pixels to score"}
    empty["yolo"] = dict.fromkeys(empty["yolo"]) | {"threshold_source": "optimistic"}
    return empty


def lesions() -> list[dict[str, Any]]:
    """Rows of lesions.csv of `SLICES`, with text in all cells as csv gives it."""
    rows = []
    for image, patient, z, marks in SLICES:
        for kind, x0, y0, x1, y1, outcome, *score in marks:
            below = outcome == "below threshold"
            rows.append(
                {
                    "kind": "box" if kind == "box" else "detection",
                    **{"image": image, "patient": patient, "scan": "", "fold": ""},
                    **{"z": str(z), "class": "calcium"},
                    "artery": "LAD" if score else "",
                    **{"x0": str(x0), "y0": str(y0), "x1": str(x1), "y1": str(y1)},
                    **{"width": str(x1 - x0), "height": str(y1 - y0)},
                    **{"area_px": "", "area_mm2": "", "lesion": "", "hu_max": ""},
                    "score": str(score[0]) if score else "",
                    "above": str(int(not below)) if score else "",
                    **{"outcome": outcome, "outcome_centre": outcome, "matched": ""},
                }
            )
    return rows


def selected_slices(side: int = 64) -> list[SelectedSlice]:
    """Pictures of `SLICES`: a disc with bright spots at the labelled boxes."""
    y, x = np.mgrid[:side, :side]
    rows = lesions()
    made = []
    for k, (image, patient, z, _) in enumerate(SLICES):
        pixels = 0.35 * (np.hypot(x - side / 2, y - side / 2) < 0.45 * side)
        pixels = pixels + 0.05 * np.sin(x / 3 + k) + 0.05 * math.sin(k)
        mine = [i for i, row in enumerate(rows) if row["image"] == image]
        for i in mine:
            if rows[i]["kind"] == "box":
                x0, y0, x1, y1 = (int(rows[i][c]) for c in ("x0", "y0", "x1", "y1"))
                pixels[y0:y1, x0:x1] = 0.95
        made.append(SelectedSlice(image, patient, "", z, "", pixels, mine))
    return made
