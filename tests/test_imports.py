"""Imports go down the floors of the house, and the network loads no TensorFlow."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module may import those of its own line and of the lines above it.
FLOORS = [
    {"structures", "config", "xla", "heap", "overlap", "phantom", "shipped"},
    {"io", "anchors", "boxes", "nn"},
    {"ct", "fusion"},
    {"detector", "augment_geometry", "augment_values"},
    {"assign", "augment", "decode", "losses"},
    {"yolo", "baselines"},
    {"network"},
    {"data"},
    {"evaluation"},
    {"inference", "recalibration", "training", "description"},
    {"predictor"},
    {"trained", "deploy"},
    {"report"},
    {"prediction"},
    {"explain"},
    {"study"},
    {"commands"},
    {"__main__"},
]


@cache
def imports() -> dict[str, set[str]]:
    """The modules that each module of the package imports, anywhere in its text."""
    files = {}
    for file in (ROOT / "tqgd_jax").rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    graph = {}
    for module, file in files.items():
        targets = set()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                targets |= {name if name in files else node.module for name in names}
        graph[module] = {t for t in targets if t in files} - {module}
    return graph


def floor(module: str) -> int:
    room = module.split(".")[1]
    found = [i for i, rooms in enumerate(FLOORS) if room in rooms]
    assert found, f"{module} has no place in the order of imports"
    return found[0]


def test_modules_import_only_from_their_own_floor_and_below():
    wrong = [
        f"{module} imports {target}"
        for module, targets in imports().items()
        for target in targets
        if module != "tqgd_jax" and floor(target) > floor(module)
    ]
    assert wrong == []


def test_no_circle_of_modules():
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_drawer():
    """No folder has more than a dozen modules of its own and a few."""
    for folder in (ROOT / "tqgd_jax").rglob("*/"):
        if folder.name != "phantom" and folder.is_dir():
            assert len([*folder.glob("[a-z]*.py")]) <= 16, folder


PRIVATE = {"found", "said", "told", "there", "kept", "aside"}


def test_no_private_words():
    """A name says what it holds."""
    wrong = []
    for file in sorted((ROOT / "tqgd_jax").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case (
                    ast.Name(id=name, ctx=ast.Store())
                    | ast.arg(arg=name)  # keyword-only ones too
                    | ast.FunctionDef(name=name)
                    | ast.AsyncFunctionDef(name=name)
                ) if name in PRIVATE:
                    wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} {name}")
    assert wrong == []


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
        cwd=ROOT,
    )
    return done.stdout


MODULES = (
    "tqgd_jax.detector, tqgd_jax.losses, tqgd_jax.training.step, "
    "tqgd_jax.evaluation.evaluator, tqgd_jax.inference, tqgd_jax.data.batches.resident"
)


def test_the_network_needs_neither_tensorflow_nor_simpleitk():
    loaded = run(f"import sys, {MODULES}; print(*sys.modules)").split()
    heavy = {"tensorflow", "tensorflow_datasets", "SimpleITK", "torch", "matplotlib"}
    assert not heavy & set(loaded)


def test_metrics_and_report_need_no_jax():
    loaded = run(
        "import sys, tqgd_jax.evaluation.evaluator, tqgd_jax.report.result_folder, "
        "tqgd_jax.commands.evaluate, tqgd_jax.commands.compare, tqgd_jax.commands.score; "
        "print(*sys.modules)"
    ).split()
    assert "jax" not in loaded


@pytest.mark.parametrize(
    "module",
    ["detector", "losses", "training.step", "evaluation.evaluator"],
)
def test_a_part_imports_in_under_a_second(module):
    # Beyond JAX, Flax and Optax, which take what they take; the best of three, because
    # the machine may be busy.
    code = (
        "import time, resource\n"
        "import jax, flax.linen, optax\n"
        "before = time.process_time()\n"
        f"import tqgd_jax.{module}\n"
        "print(time.process_time() - before)\n"
    )
    assert min(float(run(code)) for _ in range(3)) < 1.0
