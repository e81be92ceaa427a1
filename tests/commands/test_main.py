"""The one command `tqgd`: help at once, and a quiet end when nobody reads on."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.image_sets import small
from tqgd_jax.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
# A child for each command, which begins with what this process has loaded.
HELP = """
import os, sys
from tqgd_jax.__main__ import COMMANDS, main
for name in COMMANDS:
    if not os.fork():
        sys.argv, sys.stdout = ["tqgd", name, "--help"], open(os.devnull, "w")
        try:
            main()
        except SystemExit:
            slow = {"jax", "scipy", "matplotlib", "tensorflow"} & set(sys.modules)
            print(name, *slow, file=sys.stderr, flush=True)
        os._exit(0)
    os.wait()
"""


def test_the_help_of_no_command_loads_what_takes_long():
    done = subprocess.run(
        [sys.executable, "-c", HELP], cwd=ROOT, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert done.stderr.splitlines() == [*COMMANDS]


@pytest.mark.parametrize("words", [["--help"], ["check", "DIR"]])
def test_a_reader_that_stops_early_gets_no_traceback(tmp_path, words):
    words = [str(small(tmp_path)) if word == "DIR" else word for word in words]
    with subprocess.Popen(
        [sys.executable, "-m", "tqgd_jax", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as started:
        assert started.stdout
        assert started.stderr
        started.stdout.close()
        message = started.stderr.read()
    assert (started.returncode, message) == (1, b"")
