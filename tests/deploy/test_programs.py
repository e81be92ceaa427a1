"""Weights and StableHLO, written, read again and run; damage is noticed."""

import hashlib
import json

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax import export as jax_export
from safetensors.numpy import load_file

import tqgd_jax as tq
from tests.explain.tiny import predictor, shallow
from tqgd_jax.deploy import hub
from tqgd_jax.deploy.export import Options, export

__all__ = ["shallow"]

pytestmark = pytest.mark.slow

FILES = {
    *("model.safetensors", "model.deploy.safetensors", "config.json", "README.md"),
    *("LICENSE", "SHA256SUMS", "model.jaxexport", "network.jaxexport", "model.json"),
    "export.json",
}


@pytest.fixture(scope="module")
def detector():
    return predictor(heads=(4,))


@pytest.fixture(scope="module")
def folder(detector, tmp_path_factory):
    """Two formats of an untrained detector."""
    folder = tmp_path_factory.mktemp("exported")
    export(detector, folder, Options(("safetensors", "stablehlo"), figures="AP 0"))
    return folder


@pytest.fixture(scope="module")
def program(folder):
    return tq.load(folder / "model.jaxexport")


def slices(dtype, low, high):
    rng = np.random.default_rng(1)
    return [
        rng.integers(low, high, shape).astype(dtype) for shape in ((50, 64), (64, 40))
    ]


def same(one, other):
    """Detections in the order of their scores, which rounding does not exchange here."""
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert len(one.scores) > 0


def test_the_folder_has_what_it_says(folder):
    assert {f.name for f in folder.iterdir()} == FILES
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        value, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == value
    report = json.loads((folder / "export.json").read_text())
    assert [row["format"] for row in report["formats"]] == ["safetensors", "stablehlo"]
    assert report["formats"][1]["bytes"] == sum(
        (folder / n).stat().st_size
        for n in ("model.jaxexport", "network.jaxexport", "model.json")
    )
    assert report["formats"][1]["differences"]["detections"] > 0
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "pipeline_tag: object-detection" in card
    assert "Not a medical device" in card
    assert "AP 0" in card


def test_a_folder_is_its_weights(folder, detector):
    again = tq.load(folder)
    assert again.config == detector.config
    assert again.classes == detector.classes
    jax.tree.map(
        np.testing.assert_array_equal, again.variables, dict(detector.variables)
    )


def test_folded_weights_by_hand(folder, detector):
    stored = load_file(folder / "model.deploy.safetensors")
    assert not [name for name in stored if "/bn" in name]
    given = jax.tree.map(np.asarray, flatten_dict(dict(detector.variables), sep="/"))
    at = "backbone/p1"
    gain = given[f"params/{at}/bn/scale"] / np.sqrt(
        given[f"batch_stats/{at}/bn/var"] + 1e-3
    )
    np.testing.assert_allclose(
        stored[f"params/{at}/conv/kernel"],
        given[f"params/{at}/conv/kernel"] * gain,
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        stored[f"params/{at}/conv/bias"],
        given[f"params/{at}/bn/bias"] - given[f"batch_stats/{at}/bn/mean"] * gain,
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_program_finds_what_the_run_finds(program, detector):
    images = slices(np.int16, -1000, 1500)
    for one, other in zip(
        program.batch(images, 0.0), detector.batch(images, 0.0), strict=True
    ):
        same(one, other)
    grey = slices(np.uint8, 0, 255)[:1]  # by the second entry
    same(program.batch(grey, 0.0)[0], detector.batch(grey, 0.0)[0])
    with pytest.raises(ValueError, match="has no weights to write"):
        program.save("a.safetensors")


def test_a_program_runs_without_the_project(folder, detector):
    content = bytearray((folder / "model.jaxexport").read_bytes())
    alone = jax_export.deserialize(content)
    assert alone.platforms == ("cpu", "cuda", "tpu")
    (image,) = slices(np.int16, -1000, 1500)[:1]
    hu = np.full((1, 64, 64, 1), 3000, np.int16)  # what is beyond the size is not seen
    hu[0, :50, :, 0] = image
    found = alone.call(hu, np.array([[50, 64]], np.int32))
    valid = np.asarray(found["valid"][0])
    ours = detector(image, 0.0)
    np.testing.assert_allclose(found["boxes"][0][valid], ours.boxes, atol=1e-3)
    described = json.loads((folder / "model.json").read_text())
    entry = described["programs"]["model.jaxexport"]
    assert entry["inputs"]["image"] == {"dtype": "int16", "shape": ["b", "h", "w", 1]}
    assert entry["outputs"]["boxes"]["shape"] == ["b", 20, 4]
    assert described["pixels"]["shown_as_0"] == -1200
    assert described["date"] < described["expires"]


def test_damage_is_noticed(folder, tmp_path):
    for name in FILES - {"SHA256SUMS"}:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    path = tmp_path / "model.jaxexport"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=r"checksum is not that of model\.json"):
        tq.load(path)
    described = json.loads((tmp_path / "model.json").read_text())
    garbage = b"nothing"
    path.write_bytes(garbage)
    sums = {"sha256": hashlib.sha256(garbage).hexdigest()}
    described["programs"]["model.jaxexport"] |= sums
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match=r"was written with jax .* export it again"):
        tq.load(path)
    (tmp_path / "model.json").unlink()
    with pytest.raises(ValueError, match=r"model\.json is not the description"):
        tq.load(path)
    (tmp_path / "SHA256SUMS").write_text("0  model.safetensors\n")
    with pytest.raises(ValueError, match="checksum is not that of SHA256SUMS"):
        hub.check(tmp_path, "model.safetensors")
    with pytest.raises(ValueError, match="no such file"):
        tq.load(tmp_path / "nowhere.onnx")
