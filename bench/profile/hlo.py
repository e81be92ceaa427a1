"""What an operation of a compiled program is: its module of the network and its class.

Reads the text that XLA gives of the optimised program. The module comes from the name
stack in `op_name` (flax writes `Detector/backbone/thr_p1/conv1/conv` there, the scopes
of `training.step` the other parts), the class from the instructions in a fusion.
"""

import re

STEM = re.compile(r"p1|p2|thr_\w+")
# The path of what has no scope: slices of the packed state, gradients joined, copies
# of the loop.
OTHER = ("step", "rest")

_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?)([a-z][a-z0-9\-]*)\((.*)$"
)
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_CALLED = re.compile(r"(?:calls|to_apply|body)=%?([\w.\-]+)")
_NAME = re.compile(r'op_name="([^"]*)"')
_WRAPPED = re.compile(
    r"^(?:transpose|jvp|vmap|checkpoint|remat|rematted_computation)\("
)
_FLOW = ("while", "body", "cond", "closed_call")
_MOVES = frozenset(
    (
        *("copy", "transpose", "bitcast", "slice", "concatenate", "pad", "broadcast"),
        *("reshape", "gather", "scatter", "reverse", "convert", "bitcast-convert"),
        *("dynamic-slice", "dynamic-update-slice", "copy-start", "copy-done"),
        *("parameter", "constant", "tuple", "iota", "get-tuple-element"),
    )
)


def scopes(op_name):
    """The name stack without transformations and control flow, outermost first."""
    parts = []
    for part in op_name.split(";")[0].split("/"):
        while _WRAPPED.match(part):
            part = part[part.index("(") + 1 :].removesuffix(")")
        # A name with a point is a method of the module before it.
        if part and not re.search(r"[(.]", part) and part not in _FLOW:
            parts.append(part.rstrip(")"))
    return parts


def place(op_name):
    """(part, module, layer) of an operation, as long as its name goes."""
    parts = scopes(op_name)
    if "Detector" in parts:
        inside = parts[parts.index("Detector") + 1 : -1]
        if not inside:
            return OTHER
        if inside[0] == "backbone":
            name = inside[1] if len(inside) > 1 else ""
            return ("stem" if STEM.fullmatch(name) else "backbone", *inside[1:3])
        if inside[0] == "head":
            return tuple(inside[:2])
        return ("neck", *inside[:3])
    for part in ("augment", "loss", "optimiser", "input"):
        if part in parts:
            return (part,)
    return OTHER


def operations(text):
    """Name of each instruction -> (path of `place`, class)."""
    inside, now = {}, None
    for line in text.splitlines():
        if started := _COMPUTATION.match(line):
            now = inside.setdefault(started[1], [])
        elif now is not None and (match := _INSTRUCTION.match(line)):
            now.append((*match.groups(), line))
    named = {}
    for instructions in inside.values():
        for name, shape, opcode, _, line in instructions:
            op_name = _NAME.search(line)
            path = place(op_name[1]) if op_name else OTHER
            below = _below(line, inside) if opcode in ("fusion", "call") else []
            kind = _class(
                [(opcode, shape, line), *below], op_name[1] if op_name else ""
            )
            named[name] = (path, kind)
    return named


def _below(line, inside):
    """Instructions of the computation that a fusion or a call runs, all the way down."""
    called = _CALLED.search(line)
    rows = []
    for _, shape, opcode, _, inner in inside.get(called[1], []) if called else []:
        rows.append((opcode, shape, inner))
        if opcode in ("fusion", "call"):
            rows += _below(inner, inside)
    return rows


def _class(rows, op_name):
    """What the time of these instructions is spent on."""
    codes = {opcode for opcode, _, _ in rows} - {"fusion", "call"}
    backward = "transpose(" in op_name
    for opcode, shape, line in rows:
        if opcode == "convolution" or "__cudnn$conv" in line:
            return _convolution(shape, line, backward)
        if opcode == "dot" or "__cublas" in line or "__triton_gemm" in line:
            return "matrix products, gradients" if backward else "matrix products"
    if "fft" in codes:
        return "Fourier transforms"
    if codes & {"while", "conditional"}:
        return "control flow"
    if codes <= _MOVES:
        return "data movement"
    if "/bn/" in op_name or re.search(r"silu|sigmoid|relu|logistic", op_name):
        return "batch norm, activation"
    return "other arithmetic"


def _convolution(shape, line, backward):
    """Forward, by the image (dx) or by the kernel (dk)."""
    if "BackwardFilter" in line:
        return "convolution dk"
    if "BackwardInput" in line:
        return "convolution dx"
    if not backward:
        return "convolution forward"
    # By the kernel the window is the whole map and the result is as small as a kernel.
    window = re.search(r"window=\{size=(\d+)x", line)
    labels = re.search(r"dim_labels=\w+->(\w+)", line)
    sizes = re.search(r"\[([\d,]+)\]", shape)
    if not (window and labels and sizes):
        return "convolution, gradients"
    rows = int(sizes[1].split(",")[labels[1].index("0")])
    return "convolution dk" if rows < int(window[1]) else "convolution dx"
