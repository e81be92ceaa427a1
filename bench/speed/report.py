"""The Markdown of a whole run of `python -m bench.speed`."""

import sys

from bench import machine, tables
from bench.speed import evaluation, network, peak, pipeline, placement

PARTS = {  # in the order of the report
    "peak": ("Peak of matrix products, measured", peak.COLUMNS),
    "network": ("Training step and inference", network.COLUMNS),
    "pipeline": ("Input pipeline alone", pipeline.COLUMNS),
    "placement": ("`stream` against `resident`, training", placement.COLUMNS),
    "evaluation": ("Evaluation with NMS", evaluation.COLUMNS),
}
LIBRARY = {"ours": "jax"}  # whose peak a row is held against; else PyTorch's


def report(results):
    """The Markdown of all parts."""
    peaks = {
        (row["who"], row["precision"]): row["gflops_per_s"]
        for entry in results["tasks"].values()
        if entry["part"] == "peak"
        for row in entry["rows"]
        if "gflops_per_s" in row
    }
    text = [f"# python -m bench.speed\n\n{machine.headline(results['machine'])}"]
    for part, (title, columns) in PARTS.items():
        rows = [
            row
            for entry in results["tasks"].values()
            if entry["part"] == part
            for row in entry["rows"]
        ]
        if not rows:
            continue
        if part == "network":
            rows = [_with_share(row, peaks) for row in rows]
            names = ("model", "kind", "precision")
            rows.sort(
                key=lambda row: (*(row.get(k, "") for k in names), row.get("batch", 0))
            )
        text += [f"## {title}", _meaning(part), tables.markdown(rows, columns)]
    if results["missing"]:
        listed = "\n".join(f"- `python -m {key}`" for key in results["missing"])
        text.append(f"## Not measured: the time was up\n\n{listed}")
    return "\n\n".join(text) + "\n"


def _with_share(row, peaks):
    top = peaks.get((LIBRARY.get(row.get("who"), "PyTorch"), row.get("precision")))
    rate = row.get("gflops_per_s")
    return row | ({"share": rate / top} if top and rate else {})


def _meaning(part):
    """The first paragraph of a part's own description."""
    text = sys.modules[f"bench.speed.{part}"].__doc__.split("\n\n", 1)[1].strip()
    if part == "network":
        text += (
            "\nNominal GFLOP/s counts the products of the direct convolutions, whatever "
            "they are computed by, a training step as three forward passes; of the peak "
            "of the same library and precision above."
        )
    return text
