"""Readers and damaged files: a short round of `python -m bench.fuzz`, and what it found."""

import gzip
import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from bench.fuzz import mutations
from bench.fuzz.__main__ import NAMES
from bench.fuzz.targets import Target
from bench.fuzz.watch import damaged
from tests.scan_files import meta, nrrd
from tqgd_jax.commands.line import cli
from tqgd_jax.data.read.validation import check
from tqgd_jax.data.split import fold_manifest
from tqgd_jax.io.images import read_image
from tqgd_jax.io.voc_yolo import read_voc, read_yolo
from tqgd_jax.io.volumes import read_volume
from tqgd_jax.training.records import workdir

ROOT = Path(__file__).parents[1]
CASES = 40  # of each reader

FAULTS = """
import ctypes, os, signal, sys
from pathlib import Path
from bench.fuzz import __main__ as fuzz, targets, watch
from tqgd_jax.config import one_of

watch.MOST_SECONDS, watch.MOST_BYTES = 0.3, 2**25

def loop(path):
    while True:
        pass

def by_c(path):
    libc, name = ctypes.CDLL(None), bytes(path.parent.parent / "secret.raw")
    libc.read(libc.open(name, 0), ctypes.create_string_buffer(4), 4)

def damaged_only(reader):  # the seeds pass
    return lambda path: path.read_bytes() == b"seed" or reader(path)

readers = {
    "foreign error": lambda path: {}["no such key"],
    "unnamed file": lambda path: one_of("setting", 1, (2, 3)),
    "crash": lambda path: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": loop,
    "memory": lambda path: b"x" * 2**26,
    "outside": lambda path: Path("/etc/hostname").read_bytes(),
    "by_c": by_c,
    "read": lambda path: None,
}
for kind, reader in readers.items():
    made = {kind: targets.Target("x", [b"seed"], damaged_only(reader))}
    targets.targets = lambda scratch: made
    # The first case that differs from the seed.
    case = next(i for i in range(9) if watch.damaged(kind, made[kind], 0, i) != b"seed")
    print(kind, "->", fuzz.batch(kind, 0, case, 1)[-1].kind)
"""


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
    )


def test_every_reader_reads_or_refuses_damaged_files_and_goes_on(tmp_path):
    words = ["-m", "bench.fuzz", f"--out={tmp_path}", f"--batch={CASES}"]
    half, whole = (
        f"--cases={n}" for n in (CASES * len(NAMES) // 2, CASES * len(NAMES))
    )
    for cases in (half, whole):  # it goes on where it ended
        done = run(*words, cases)
        found = tmp_path / "findings.jsonl"
        assert done.returncode == 0, done.stderr[-500:] + found.read_text()
    counts = json.loads((tmp_path / "state.json").read_text())["targets"]
    assert {name: sum(of.values()) for name, of in counts.items()} == dict.fromkeys(
        NAMES, CASES
    )
    # Damage is neither so small that all is read nor so large that nothing is.
    assert [name for name, of in counts.items() if not of.get("read")] == []
    never_raise = {"voc", "yolo"}  # they return what is wrong
    assert {name for name, of in counts.items() if not of.get("refused")} == never_raise


def test_every_kind_of_fault_is_noticed():
    done = run("-c", FAULTS)
    assert done.returncode == 0, done.stderr[-500:]
    said = dict(line.split(" -> ") for line in done.stdout.splitlines())
    assert said.pop("by_c") == "outside"
    assert len(said) == 7
    assert all(kind == found for kind, found in said.items()), said


def test_a_case_is_the_same_for_the_same_numbers():
    target = Target("x", [b"size 12 30\n", b"z,x0\n1,2\n"], lambda path: path)
    made = [damaged("x", target, 0, case) for case in range(50)]
    assert made == [damaged("x", target, 0, case) for case in range(50)]
    assert len(set(made)) > 40
    assert made != [damaged("x", target, 1, case) for case in range(50)]


def test_what_is_sealed_is_whole_on_the_outside():
    rng = np.random.default_rng(0)
    packed = [mutations.within_gzip(rng, b"inside") for _ in range(20)]
    whole = gzip.compress(b"inside", 1, mtime=0)
    assert 0 < sum(data != whole for data in packed) < 10
    held = io.BytesIO()
    Image.new("L", (3, 2), 7).save(held, "PNG")
    torn = held.getvalue().replace(b"IHDR\0\0\0\3", b"IHDR\0\0\0\2")  # the sum is wrong
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(torn))
    sealed = {mutations.resealed_png(rng, torn) for _ in range(20)} - {torn}
    (data,) = sealed
    assert Image.open(io.BytesIO(data)).size == (2, 2)


def test_a_field_of_nrrd_that_ended_the_process(tmp_path):
    path = nrrd(tmp_path, **{"space": "left-posterior-superior" + "x" * 9000})
    with pytest.raises(
        ValueError, match=r"scan\.nrrd: NRRD header line .* at most 1000"
    ):
        read_volume(path)


def test_a_matrix_of_infinities_is_refused_without_a_warning(tmp_path):
    path = meta(tmp_path, TransformMatrix="inf 0 0 0 1 0 0 0 1")
    with pytest.raises(ValueError, match=r"TransformMatrix = inf .* is no rotation"):
        read_volume(path)


def test_a_second_header_of_png_is_refused_before_memory_is_taken(tmp_path):
    held = io.BytesIO()
    Image.new("L", (3, 2), 7).save(held, "PNG")
    data = held.getvalue()
    body = b"IHDR" + struct.pack(">II", 8000, 8000) + data[24:29]
    again = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    path = tmp_path / "a.png"
    path.write_bytes(data[:33] + again + data[33:])
    with pytest.raises(ValueError, match=r"a\.png: .*two headers: 3x2, \(8000, 8000\)"):
        read_image(path)


def test_a_chunk_that_claims_4_gib_is_refused_where_memory_is_short(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.png"
    Image.new("L", (3, 2), 7).save(path)

    def none_left(*_):
        raise MemoryError

    monkeypatch.setattr(np, "asarray", none_left)
    with pytest.raises(ValueError, match=r"a\.png: truncated or damaged"):
        read_image(path)


def test_a_name_of_pixels_that_no_disk_holds_is_refused(tmp_path):
    path = meta(tmp_path, ElementDataFile="x" * 5000)
    with pytest.raises(
        ValueError, match=r"scan\.mhd: pixels in 'x{200}'; only one file"
    ):
        read_volume(path)


def test_a_box_beyond_all_numbers_is_degenerate_without_a_warning(tmp_path):
    (tmp_path / "a.txt").write_text("0 1e308 0.5 0.1 0.1\n0 0.5 0.5 0.2 0.2\n")
    found = check(read_yolo(tmp_path / "a.txt"), (50, 60), {"0": 0}, "drop")
    assert [(p.line, p.kind) for p in found.problems] == [(1, "degenerate")]
    assert found.rows == [1]


@pytest.mark.parametrize(
    "reader",
    [cli.from_json, fold_manifest.read, lambda path: workdir.read(path.parent)],
)
def test_brackets_without_end_are_refused_by_the_name_of_the_file(tmp_path, reader):
    path = tmp_path / "config.json"
    path.write_text('{"a":' * 100_000)
    with pytest.raises(ValueError, match=r"config\.json"):
        reader(path)


def test_a_size_that_is_a_digit_and_no_number_is_not_known(tmp_path):
    size = "<size><height>\u00b2</height><width>9</width></size>"
    (tmp_path / "a.xml").write_text(f"<annotation>{size}</annotation>", "utf-8")
    label = read_voc(tmp_path / "a.xml")
    assert (label.size, label.problems) == (None, ())


def test_a_size_beyond_all_numbers_is_refused_by_the_name_of_the_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"data": {"image_size": 1e999}}')
    with pytest.raises(ValueError, match=r"config\.json: a setting has a wrong type"):
        cli.from_json(path)
