"""Imports go one way, and the network loads neither TensorFlow nor SimpleITK."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module may import those of its own line and of the lines above it.
ORDER = [
    {"types", "config", "xla"},
    {"anchors", "boxes", "metrics", "phantom"},
    {"nn"},
    {"fusion"},
    {"detector", "augment_geometry"},
    {"assign", "augment", "decode", "losses", "describe"},
    {"data"},
    {"inference", "recalibration", "training", "report"},
    {"cli"},
    {"heart", "evaluate", "calcium", "compare"},
]


def layer(module: str) -> int:
    found = [i for i, names in enumerate(ORDER) if module in names]
    assert found, f"{module} has no place in the order of imports"
    return found[0]


def test_modules_import_only_from_their_own_layer_and_above():
    wrong = []
    for file in (ROOT / "tqgd_jax").rglob("*.py"):
        parts = file.relative_to(ROOT / "tqgd_jax").with_suffix("").parts
        if parts == ("__init__",):
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            names = node.module.split(".")
            if names[0] != "tqgd_jax":
                continue
            targets = [names[1]] if len(names) > 1 else [a.name for a in node.names]
            wrong += [
                f"{file.relative_to(ROOT)} imports {target}"
                for target in targets
                if layer(target) > layer(parts[0])
            ]
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
    "tqgd_jax.metrics.evaluate, tqgd_jax.inference, tqgd_jax.data.resident"
)


def test_the_network_needs_neither_tensorflow_nor_simpleitk():
    loaded = run(f"import sys, {MODULES}; print(*sys.modules)").split()
    assert not {"tensorflow", "tensorflow_datasets", "SimpleITK", "torch"} & set(loaded)


def test_metrics_and_report_need_no_jax():
    loaded = run(
        "import sys, tqgd_jax.metrics.judge, tqgd_jax.report.bundle, "
        "tqgd_jax.evaluate, tqgd_jax.compare, tqgd_jax.calcium; "
        "print(*sys.modules)"
    ).split()
    assert "jax" not in loaded


@pytest.mark.parametrize(
    "module",
    ["detector", "losses", "training.step", "metrics.evaluate"],
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
