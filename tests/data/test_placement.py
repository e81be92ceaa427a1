"""`stream`, `resident` and `load` give the same batches, bit for bit."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.image_sets import config, small
from tests.training.tiny import squares
from tqgd_jax.commands.pack import pack
from tqgd_jax.config import Config, Data
from tqgd_jax.data.batches import order
from tqgd_jax.data.batches.resident import arrays, fits, take
from tqgd_jax.data.batches.stream import stream
from tqgd_jax.data.dataset import Dataset, load
from tqgd_jax.data.open import open_data
from tqgd_jax.data.prepared.packed import open_packed
from tqgd_jax.structures.batch import Batch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cfg(tmp_path_factory) -> Config:
    one = config(small(tmp_path_factory.mktemp("data") / "set"), batch_size=2)
    one.seed = 11
    return one


@pytest.fixture(scope="module")
def train(cfg) -> Dataset:
    return open_data(cfg)["train"]


def assert_equal(a: Batch, b: Batch) -> None:
    for name, x, y in zip(Batch._fields, a, b, strict=True):
        assert (x is None) == (y is None), name
        assert x is None or x.dtype == y.dtype, name
        assert np.array_equal(x, y), name


@pytest.mark.parametrize(("mosaic", "tiles"), [(1.0, 4), (0.0, 1)])
def test_stream_equals_load(cfg, train, mosaic, tiles, monkeypatch):
    monkeypatch.setattr(cfg.augment, "mosaic", mosaic)
    batches = list(stream(train, cfg, 2, 9))  # over two ends of an epoch of 3 steps
    assert len(batches) == 7
    for step, batch in enumerate(batches, 2):
        assert_equal(batch, load(train, order.indices(11, 5, 2, step, tiles)))


def test_stream_may_stop_and_start_anywhere(cfg, train):
    whole = list(stream(train, cfg, 0, 6))
    parts = [*stream(train, cfg, 0, 2), *stream(train, cfg, 2, 6)]
    for a, b in zip(whole, parts, strict=True):
        assert_equal(a, b)
    assert list(stream(train, cfg, 4, 4)) == []


def test_stream_raises_what_the_reader_raised(cfg, train):
    def broken(i: int) -> np.ndarray:
        raise ValueError("store x is damaged")

    bad = Dataset(**{**vars(train), "image": broken})
    with pytest.raises(ValueError, match=r"^store x is damaged$"):
        next(stream(bad, cfg, 0, 1))


def test_tensorflow_is_told_to_leave_the_gpu_alone(cfg, train, monkeypatch):
    import tensorflow as tf

    calls = []  # also on a machine without one
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *a: calls.append(a))
    next(stream(train, cfg, 0, 1))
    assert calls == [([], "GPU")]


@pytest.mark.parametrize("jit", [False, True])
def test_take_equals_load(train, jit):
    resident = arrays(train)
    fn = jax.jit(take) if jit else take
    rows = [order.indices(0, 5, 4, k, 4) for k in range(2)]
    for indices in [*rows, *order.eval_indices(5, 2)]:
        batch = fn(resident, jnp.asarray(indices))
        assert all(isinstance(a, jax.Array) for a in batch[:-1])
        assert_equal(jax.tree.map(np.asarray, batch), load(train, indices))


def test_upload_logs_what_it_takes(train, caplog):
    with caplog.at_level("INFO", "tqgd_jax"):
        arrays(train)
    assert "resident: 5 images as 24x30x1, 0.0 MiB" in caplog.text


@pytest.fixture(scope="module")
def packed(cfg, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "set.npz"
    assert pack(cfg, out) == out.stat().st_size
    assert [f.name for f in out.parent.iterdir()] == ["set.npz"]
    return out


def test_a_packed_set_is_the_prepared_set(cfg, packed):
    ours, theirs = open_data(config(packed)), open_data(cfg)
    assert list(ours) == list(theirs)
    for part in theirs:
        a, b = ours[part], theirs[part]
        for name in ("classes", "names", "patients", "shape", "dtype", "fingerprint"):
            assert getattr(a, name) == getattr(b, name)
        assert a.max_boxes == b.max_boxes
        every = np.arange(len(b.names), dtype=np.int32)[:, None]
        assert_equal(load(a, every), load(b, every))


def test_a_packed_set_refuses_other_settings(packed):
    with pytest.raises(ValueError, match=r"data\.hold_out=0\.0, the run says 0\.2"):
        open_data(config(packed, hold_out=0.2))
    with pytest.raises(ValueError, match=r"data\.classes"):
        open_data(config(packed, classes=("cac",)))
    open_data(config(packed, image_size=64))


def test_a_packed_set_refuses_another_seed_only_where_the_seed_drew(
    cfg, packed, tmp_path
):
    assert cfg.seed == 11
    open_data(config(packed))  # seed 0; a csv gave the parts
    drawn = config(Path(cfg.data.dir), Path(cfg.data.prepared_dir), hold_out=0.4)
    drawn.seed = 3
    pack(drawn, tmp_path / "drawn.npz")
    again = config(tmp_path / "drawn.npz")
    with pytest.raises(ValueError, match=r"drawn by seed=3, the run says 0; pack it"):
        open_data(again)
    again.seed = 3
    assert len(open_data(again)["val"].names) == 2


def test_a_damaged_packed_set_is_refused_by_name(packed, tmp_path):
    bad = tmp_path / "bad.npz"
    for share in (0, 0.3, 0.9):
        whole = packed.read_bytes()
        bad.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ValueError, match=r"bad\.npz: damaged"):
            open_data(config(bad))
    np.savez(bad, x=np.zeros(3))
    with pytest.raises(ValueError, match=r"bad\.npz: damaged or not a prepared set"):
        open_data(config(bad))
    with pytest.raises(ValueError, match="no file"):
        open_packed(tmp_path / "gone.npz", Config())


def test_pack_refuses_what_it_cannot_pack(cfg, packed, tmp_path):
    with pytest.raises(ValueError, match=r"must end with \.npz"):
        pack(cfg, tmp_path / "x.zip")
    with pytest.raises(ValueError, match="packed already"):
        pack(config(packed), tmp_path / "x.npz")


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_pack_by_command(cfg, tmp_path):
    out = tmp_path / "cli.npz"
    pack = ("-m", "tqgd_jax", "pack", "--out", str(out))
    cache = f"--config.data.prepared_dir={cfg.data.prepared_dir}"
    done = python(*pack, "--data_dir", cfg.data.dir, cache)
    assert done.returncode == 0, done.stderr
    assert open_data(config(out))["test"].names == ["t1", "t2"]
    file = tmp_path / "packed.py"
    file.write_text(
        "from tests.image_sets import config\nfrom pathlib import Path\n"
        f"def get_config():\n    return config(Path({cfg.data.dir!r}))\n"
    )
    for words in ([f"--config={file}"], ["--config", str(file)]):
        out.unlink()
        done = python(*pack, *words, "--config.data.hold_out=0.4")
        assert done.returncode == 0, done.stderr
        assert len(open_data(config(out))["val"].names) == 2
    done = python(*pack, f"--config={file}", "--config.data.bad_labels=dorp")
    assert done.returncode != 0
    assert "did you mean 'drop'" in done.stderr


READ = """
import sys
from tests.image_sets import config
from tqgd_jax.data.open import open_data
from tqgd_jax.data.batches.resident import arrays, fits, take
from pathlib import Path
banned = sys.argv[3].split()
for name in sys.argv[4].split():
    sys.modules[name] = None  # an import would fail
data = open_data(config(Path(sys.argv[1]), Path(sys.argv[2])))
resident = arrays(data["train"])
assert take(resident, __import__("numpy").zeros((1, 1), "i4")).image.shape[2] == 24
print([name for name in banned if sys.modules.get(name) is not None])
"""


@pytest.mark.parametrize("kind", ["prepared", "packed", "unprepared"])
def test_resident_needs_no_tensorflow_and_packed_needs_numpy_alone(
    cfg, train, packed, tmp_path, kind
):
    banned, absent = "tensorflow", ""
    where = str(packed) if kind == "packed" else cfg.data.dir
    cache = str(tmp_path) if kind == "unprepared" else cfg.data.prepared_dir
    if kind == "packed":
        banned = absent = "tensorflow tensorflow_datasets SimpleITK PIL array_record"
    done = python("-c", READ, where, cache, banned, absent)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_a_set_beyond_the_budget_streams_and_says_so(caplog):
    # 300 images of 64 x 64 bytes are 1.2 MiB.
    source = dataclasses.replace(squares(), names=[str(i) for i in range(300)])
    assert fits(source, Config(data=Data(resident_mib=2)))
    assert not fits(source, Config(data=Data(resident_mib=1)))
    assert "300 images as 64x64x1 need 1 MiB, the budget is 1 MiB" in caplog.text
    assert not fits(source, Config(data=Data(placement="stream")))
