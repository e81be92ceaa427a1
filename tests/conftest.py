"""Strict tests: warnings, silent promotion and wrong shapes are errors."""

import os

from tests.xla import COMPILES_QUICKLY

# Two CPU devices, so that data parallelism is tested without a GPU. Set before JAX starts.
# `XLA_FLAGS= pytest` compiles as users do.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", COMPILES_QUICKLY)
    + " --xla_force_host_platform_device_count=2"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Two processes test side by side, and BLAS threads spin.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook looks it up by name

hook = install_import_hook("tqgd_jax", "tests.typecheck.check")

import jax

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin first, so that all processes end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real images; tests that need it skip without it."""
    folder = os.environ.get("TQGD_REALDATA")
    if not folder:
        pytest.skip("TQGD_REALDATA is unset: no real images to run against")
    return Path(folder)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """An opened browser; tests of pages skip without one."""
    from tests.report.browser import browser  # Playwright is no requirement of others

    with browser() as opened:
        yield opened


@pytest.fixture(autouse=True)
def usual_log_level() -> None:
    """Commands that other tests called have set the level of the project's log."""
    logging.getLogger("tqgd_jax").setLevel(logging.NOTSET)
