"""An icicle chart: a flame graph that hangs; widths are times."""

import collections

COLOURS = {
    "stem": "#d95f02",
    "backbone": "#7570b3",
    "neck": "#1b9e77",
    "head": "#e6ab02",
    "loss": "#e7298a",
    "augment": "#66a61e",
    "optimiser": "#a6761d",
}
SHORT = {
    "matrix products": "products",
    "matrix products, gradients": "products, grad.",
    "batch norm, activation": "BN, activation",
    "data movement": "movement",
    "other arithmetic": "other",
    "convolution forward": "conv forward",
    "convolution dx": "conv dx",
    "convolution dk": "conv dk",
    "convolution, gradients": "conv, grad.",
}
DEPTH = 4  # step, part, module, layer or class
WIDE = 0.0058  # of the whole, for each letter of a label


def tree(times):
    """(path, class) -> seconds, as path -> seconds with the class as its last name."""
    boxes = collections.Counter()
    for (path, kind), seconds in times.items():
        names = (*path[: DEPTH - 2], SHORT.get(kind, kind))
        for depth in range(len(names) + 1):
            boxes[names[:depth]] += seconds
    return boxes


def places(boxes):
    """Path -> (left, width) in shares of the whole, the widest child first."""
    children = collections.defaultdict(list)
    for path in boxes:
        if path:
            children[path[:-1]].append(path)
    spans = {(): (0.0, 1.0)}
    waiting = [()]
    while waiting:
        parent = waiting.pop()
        left = spans[parent][0]
        for path in sorted(children[parent], key=lambda p: -boxes[p]):
            width = boxes[path] / boxes[()]
            spans[path] = (left, width)
            left += width
            waiting.append(path)
    return spans


def draw(times, title, file):
    """Writes the chart; a row for the step, its parts, their modules, the classes."""
    from matplotlib.figure import Figure

    boxes = tree(times)
    figure = Figure(figsize=(15, 7), dpi=110, layout="constrained")
    ax = figure.subplots()
    for path, (left, width) in places(boxes).items():
        depth = len(path)
        colour = COLOURS.get(path[0], "#999999") if path else "#dddddd"
        ax.barh(
            -depth,
            width,
            left=left,
            height=0.96,
            color=colour,
            alpha=1 - 0.2 * max(depth - 1, 0),
            edgecolor="white",
            linewidth=0.6,
        )
        name = path[-1] if path else "step"
        ms = 1e3 * boxes[path]
        label = (
            f"{name}\n{ms:.0f} ms, {width:.0%}" if ms >= 10 else f"{name}\n{ms:.1f} ms"
        )
        across = width > WIDE * max(len(x) for x in label.split("\n"))
        if across or width > 0.012:
            ax.text(
                left + width / 2,
                -depth,
                label if across else f"{name} {ms:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                rotation=0 if across else 90,
                clip_on=True,
            )
    ax.set(
        xlim=(0, 1), ylim=(-DEPTH + 0.45, 0.5), xlabel="share of the operations' time"
    )
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_title(title, fontsize=10)
    figure.savefig(file)
