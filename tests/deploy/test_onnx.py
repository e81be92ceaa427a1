"""ONNX by onnxruntime, in Python and in a browser; without the packages these skip."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import tqgd_jax as tq
from tests.explain.tiny import SIDE, predictor, shallow
from tests.report.browser import browser, visit
from tqgd_jax.deploy import onnx_file
from tqgd_jax.deploy.export import Options, export

__all__ = ["shallow"]

pytestmark = pytest.mark.slow

WHY = "needs requirements-export.txt and jax2onnx (`make export-tools`)"
onnxruntime = pytest.importorskip("onnxruntime", reason=WHY)
pytest.importorskip("jax2onnx", reason=WHY)

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def detector():
    untrained = predictor(heads=(4,))
    lowest = min(untrained(image, 0.0).scores[5] for image in slices())
    return dataclasses.replace(untrained, threshold=float(lowest) * 0.99, chosen=True)


@pytest.fixture(scope="module")
def path(detector, tmp_path_factory):
    """The file, with suppression and an open number of images."""
    folder = tmp_path_factory.mktemp("onnx")
    report = export(detector, folder, Options(("onnx",), suppression=True))
    apart = report["formats"][0]["differences"]
    assert apart["px"] < 1e-3
    assert apart["detections"] > 0
    return folder / "model.onnx"


def slices():
    rng = np.random.default_rng(1)
    shapes = ((SIDE, SIDE), (50, SIDE), (SIDE, 90))
    return [rng.integers(-1000, 1500, shape).astype(np.int16) for shape in shapes]


def test_onnxruntime_finds_what_the_run_finds(path, detector):
    program = tq.load(path)
    assert program.threshold == detector.threshold
    for one, other in zip(
        program.batch(slices(), 0.0), detector.batch(slices(), 0.0), strict=True
    ):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        assert len(one.scores) > 0


def test_its_own_suppression_is_that_of_the_project(path, detector):
    image = np.random.default_rng(2).uniform(size=(2, SIDE, SIDE, 3)).astype(np.float32)
    names = ["boxes", "scores", "selected"]
    boxes, scores, rows = onnx_file.session(path).run(names, {"image": image})
    ours = detector.network.predict(detector.variables, jnp.asarray(image))
    for i in range(2):
        of_image = rows[rows[:, 0] == i]
        best = of_image[np.argsort(-scores[i, of_image[:, 2], of_image[:, 1]])]
        valid = np.asarray(ours.valid[i])
        # In the order of their places: rounding may exchange equal scores.
        one, other = boxes[i, best[:, 2]], np.asarray(ours.boxes[i])[valid]
        one, other = (x[np.argsort(x[:, 0])] for x in (one, other))
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_properties_are_those_that_others_read(path, detector):
    import onnx

    model = onnx.load(path)
    given = {p.key: p.value for p in model.metadata_props}
    assert given["names"] == "{0: 'calcium'}"
    assert (given["stride"], given["imgsz"], given["task"]) == (
        "16",
        "[64, 64]",
        "detect",
    )
    assert given["license"] == "apache-2.0"
    assert float(given["threshold"]) == detector.threshold
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["B", SIDE, SIDE, 3]


def test_a_strange_file_is_refused(path, tmp_path):
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        ValueError, match=r"its format is None, not 'tqgd_jax\.export/1'"
    ):
        tq.load(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="onnxruntime cannot read it"):
        tq.load(tmp_path / "b.onnx")


def test_ten_lines_of_python_find_the_same(path, detector, tmp_path):
    np.save(tmp_path / "slice.npy", slices()[0])
    done = subprocess.run(
        [sys.executable, "-S", "-c", RUN, EXAMPLES / "detect.py", path, "slice.npy"],
        capture_output=True,
        encoding="utf-8",
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    *lines, note, modules = done.stdout.splitlines()
    assert note == "Not a medical device."
    assert "jax" not in modules.split()
    rows = np.array([line.split()[1:] for line in lines], float)
    ours = detector(slices()[0])
    rows = rows[np.argsort(-rows[:, 0])]
    np.testing.assert_allclose(rows[:, 0], ours.scores, atol=1e-5)
    # it does not clip to the image
    np.testing.assert_allclose(rows[:, 1:].clip(0, SIDE), ours.boxes, atol=0.06)


RUN = (
    "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0]); "
    "print(*sys.modules)"
)


def test_a_page_finds_the_same_in_a_browser(path, detector, tmp_path):
    home = EXAMPLES / "browser"
    if not (home / "node_modules").is_dir() or shutil.which("node") is None:
        pytest.skip("needs Node.js and `npm install` in examples/browser")
    np.save(tmp_path / "slice.npy", slices()[1])
    np.save(tmp_path / "other.npy", slices()[2])
    page_file = tmp_path / "page.html"
    command = ["node", home / "build.mjs", path, tmp_path / "slice.npy", page_file]
    subprocess.run(command, check=True, capture_output=True)
    with browser() as opened, visit(opened, page_file) as page:
        for chosen, image in (("", slices()[1]), ("other.npy", slices()[2])):
            if chosen:
                page.evaluate("delete window.detections")
                page.set_input_files("#file", tmp_path / chosen)
            page.wait_for_function("window.detections")
            rows = page.evaluate("window.detections")
            ours = detector(image)
            assert len(rows) == len(ours.scores) > 0
            for row, box, score in zip(rows, ours.boxes, ours.scores, strict=True):
                np.testing.assert_allclose(row["box"], box, atol=0.01)
                assert row["score"] == pytest.approx(score, abs=1e-5)
            assert page.locator("#rows tr").count() == len(rows)
