"""The outcome of an evaluation on one screen."""

import textwrap
from typing import Any

LEGEND = ("AP", "AP50", "AP75", "APs", "APm", "APl")
RECALLS = ("AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def summary(results: dict[str, Any]) -> str:
    """At most 24 lines of 88 columns: each figure with its rule, IoU and threshold.

    Args:
      results: of `metrics.evaluate.evaluate`; further keys are ignored.
    """
    coco, best, counts = results["coco"], results["optimistic"], results["counts"]
    lines = [
        f"{results['images']} images, {results['boxes']} boxes, "
        f"{results['detections']} detections",
        "",
        "Average precision (no threshold)",
        f"  AP50     {_f(results['AP50'])}   YOLOv5 v7.0 rule, IoU 0.5",
        f"  AP50-95  {_f(results['AP50_95'])}   YOLOv5 v7.0 rule, IoU 0.5 to 0.95",
        f"  AP50     {_f(coco['AP50'])}   COCO rule, IoU 0.5",
        f"  AP       {_f(coco['AP'])}   COCO rule, IoU 0.5 to 0.95",
        "  " + "  ".join(f"{name} {_f(coco[name])}" for name in LEGEND[2:]) + "   COCO",
        "  " + "  ".join(f"{name} {_f(coco[name])}" for name in RECALLS),
        "",
        f"At a threshold, IoU 0.5, YOLOv5 v7.0 rule  {'P':>6} {'R':>7} {'F1':>7}",
        _point("frozen, chosen on validation", results),
        _point("OPTIMISTIC, chosen on these images", best),
    ]
    if counts is not None:
        lines.append(
            f"  frozen: {counts['tp']} found, {counts['fn']} missed, "
            f"{counts['fp']} false alarms"
        )
    if protocol := results.get("protocol"):
        lines += ["", *textwrap.wrap(f"Protocol: {protocol}", 88)]
    if stamp := results.get("stamp"):
        lines += ["", *textwrap.wrap(f"NOT A RESULT: {stamp}", 88)]
    if results["note"]:
        lines += ["", *(f"Note: {part}" for part in results["note"].split("; "))]
    if rows := results.get("classes", []):
        lines += ["", "class: boxes, AP50, AP50-95"]
        for row in rows[:3]:
            lines.append(
                f"  {row['class']}: {row['boxes']}, {_f(row['AP50'])}, "
                f"{_f(row['AP50_95'])}"
            )
        if len(rows) > 3:
            lines.append(f"  and {len(rows) - 3} more in results.json")
    return "\n".join(lines)


def _point(name: str, point: dict[str, Any]) -> str:
    at = "" if point["threshold"] is None else f"{point['threshold']:.3f}"
    figures = "  ".join(_f(point[key]) for key in ("precision", "recall", "f1"))
    return f"  {name:<35}{at:>5}  {figures}"


def _f(value: float | None) -> str:
    return "  -  " if value is None else f"{value:.3f}"
