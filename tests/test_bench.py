"""The parts of `bench/` that are not timings; none of them needs PyTorch."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench import scans, tables
from bench.profile import __main__ as profile
from bench.profile import hlo, icicle
from bench.speed import __main__ as whole
from bench.speed import network, ours, report
from bench.studies import overfit, real_ct
from tests.xla import JAXLIB
from tqgd_jax.io.volumes import Volume
from tqgd_jax.predictor import Lesions

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("op_name", "path"),
    [
        (
            "jit(loop)/while/body/jvp(Detector)/backbone/backbone._thr/thr_p1/conv2/"
            "conv/conv_general_dilated",
            ("stem", "thr_p1", "conv2"),
        ),
        (
            "jit(loop)/while/body/transpose(jvp(Detector))/backbone/c3_4/m1/conv1/bn/mul",
            ("backbone", "c3_4", "m1"),
        ),
        (
            "jit(loop)/while/body/jvp(Detector)/gd/inject3/rep0/conv3/dot_general",
            ("neck", "gd", "inject3", "rep0"),
        ),
        ("jit(f)/jvp(Detector)/head/p3/dot_general", ("head", "p3")),
        ("jit(f)/transpose(jvp(loss))/jit(softplus)/mul", ("loss",)),
        ("jit(f)/while/body/augment/vmap(jit(clip))/min", ("augment",)),
        ("jit(f)/optimiser/add", ("optimiser",)),
        ("jit(f)/while/body/select_n", ("step", "rest")),
    ],
)
def test_an_operation_belongs_to_the_module_in_its_name(op_name, path):
    assert hlo.place(op_name) == path


HLO = """\
HloModule jit_f

%fused_computation.1 (p0: f32[8,3,3,8], p1: f32[8]) -> f32[8,3,3,8] {
  %p0 = f32[8,3,3,8]{3,2,1,0} parameter(0)
  ROOT %convolution.9 = f32[8,3,3,8]{3,2,1,0} convolution(%p0, %p0), \
window={size=16x16 pad=1_1x1_1}, dim_labels=b01f_01io->b01f
}

%fused_computation.2 (p0: f32[8]) -> f32[8] {
  %p0 = f32[8]{0} parameter(0)
  ROOT %copy.1 = f32[8]{0} copy(%p0)
}

ENTRY %main (a: f32[8,16,16,8]) -> f32[8] {
  %a = f32[8,16,16,8]{3,2,1,0} parameter(0)
  %ynn_fusion.1 = f32[8,3,3,8]{3,2,1,0} fusion(%a, %a), kind=kCustom, \
calls=%fused_computation.1, metadata={op_name="jit(f)/transpose(jvp(Detector))/pan/up4/x"}
  %convolution.1 = f32[8,16,16,8]{3,2,1,0} convolution(%a, %a), \
window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f, \
metadata={op_name="jit(f)/transpose(jvp(Detector))/pan/up4/x"}
  %cudnn-conv.3 = (f32[8,16,16,8]{3,2,1,0}, u8[0]{0}) custom-call(%a, %a), \
custom_call_target="__cudnn$convForward", metadata={op_name="jit(f)/jvp(Detector)/head/x"}
  %fusion.2 = f32[8]{0} fusion(%a), kind=kLoop, calls=%fused_computation.2
  ROOT %add.1 = f32[8]{0} add(%a, %a), metadata={op_name="jit(f)/jvp(Detector)/pan/bn/add"}
}
"""


def test_the_class_of_an_operation_is_that_of_the_work_inside_it():
    kinds = {name: kind for name, (_, kind) in hlo.operations(HLO).items()}
    assert kinds["ynn_fusion.1"] == "convolution dk"  # 16x16 window, 3x3 result
    assert kinds["convolution.1"] == "convolution dx"
    assert kinds["cudnn-conv.3"] == "convolution forward"
    assert kinds["fusion.2"] == "data movement"
    assert kinds["add.1"] == "batch norm, activation"


@pytest.mark.skipif(
    JAXLIB >= (0, 12), reason="jaxlib 0.12's reader of profiles aborts on this trace"
)
def test_a_traced_product_is_found_in_its_scope(tmp_path):
    def f(x):
        with jax.named_scope("Detector"), jax.named_scope("pan"):
            y = x @ x
        with jax.named_scope("loss"):
            return jnp.sin(y).sum()

    x = jnp.ones((400, 400))
    compiled = jax.jit(f).lower(x).compile()
    compiled(x).block_until_ready()
    with jax.profiler.trace(str(tmp_path)):
        compiled(x).block_until_ready()
    operations = hlo.operations(compiled.as_text())
    times = profile.grouped(profile.own_times(tmp_path), operations)
    product = (("neck", "pan"), "matrix products")
    assert (
        sum(s for (path, kind), s in times.items() if (path[:2], kind) == product) > 0
    )
    assert any(path == ("loss",) for path, _ in times)
    rows, columns = profile.summary(times)
    assert [row["part"] for row in rows][-1] == "**all**"
    assert "matrix products" in columns
    icicle.draw(times, "a product", tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 1000


def test_time_of_operations_that_overlap_is_shared():
    spans = [(0, 4e9, "a"), (2e9, 6e9, "b"), (7e9, 8e9, "a")]
    assert profile.shared(spans) == pytest.approx({"a": 4.0, "b": 3.0})


def test_boxes_of_the_chart_fill_their_parents():
    times = {(("stem", "p1"), "a"): 1.0, (("stem", "p2"), "a"): 2.0}
    places = icicle.places(icicle.tree(times | {(("loss",), "b"): 1.0}))
    assert places["stem",] == (0.0, 0.75)
    assert places["stem", "p2"] == (0.0, 0.5)  # the widest first
    assert places["stem", "p1"] == (0.5, 0.25)
    assert places["loss", "b"] == (0.75, 0.25)


def test_markdown_leaves_out_what_is_not_there_and_says_why():
    rows = [{"who": "ours", "ms": 1.25}, {"who": "theirs", "note": "out | of\nmemory"}]
    columns = {"who": ("who", "{}"), "ms": ("ms", "{:.1f}")}
    assert tables.markdown(rows, columns).splitlines() == [
        "| who | ms | remark |",
        "|---|---|---|",
        "| ours | 1.2 |  |",
        "| theirs |  | out / of memory |",
    ]


def test_every_device_says_out_of_memory_in_the_same_words():
    assert tables.why(RuntimeError("RESOURCE_EXHAUSTED: allocating")) == "out of memory"
    assert tables.why(RuntimeError("CUDA out of memory.")) == "out of memory"
    assert tables.why(ValueError("a\nb")) == "ValueError: a ... b"


def test_the_share_of_the_peak_is_of_the_same_library_and_precision():
    entry = {"part": "peak", "rows": [{"who": "jax", "precision": "fp32"}]}
    entry["rows"][0]["gflops_per_s"] = 40.0
    row = {"who": "ours", "precision": "fp32", "gflops_per_s": 10.0, "model": "yolov5s"}
    other = row | {"who": "PyTorch", "gflops_per_s": 20.0}
    results = {
        "machine": {
            "platform": "cpu", "device": "cpu", "devices": 1, "cores": 2, "cpu": "x",
            "memory_gib": 1, "python": "3", "versions": {"jax": "0", "torch": None},
        },
        "tasks": {"p": entry, "s": {"part": "network", "rows": [row, other]}},
        "missing": ["bench.speed.network --model tqgdnets"],
    }  # fmt: skip
    text = report.report(results)
    assert "| 10 | 25% |" in text
    assert "| 20 |  |" in text
    assert "no torch" in text
    assert "bench.speed.network --model tqgdnets" in text


def test_tasks_follow_the_device_and_the_arguments():
    on_gpu = whole.tasks(whole.arguments([]), on_cpu=False)
    assert len({task.key for task in on_gpu}) == len(on_gpu)
    assert sum(task.part == "network" for task in on_gpu) == 2 * 4 * 3
    chosen = {"only": "network", "models": "yolov5n", "batches": "4", "size": "64"}
    words = [f"--{name}={value}" for name, value in chosen.items()]
    (task,) = whole.tasks(whole.arguments(words), on_cpu=True)
    args = network.arguments(task.arguments)
    assert (args.model, args.size, args.batch) == ("yolov5n", 64, 4)
    assert args.precision == "fp32"
    assert args.compile
    assert args.train
    assert args.infer
    with pytest.raises(SystemExit):
        whole.arguments(["--only", "netwrok"])


def test_both_alone_where_together_they_ran_out_of_memory():
    task = whole.Task("network", ("--model", "yolov5s"), {"model": "yolov5s"})
    again = whole.alone(task, [{"who": "ours", "note": "out of memory"}])
    ends = [task.arguments[-2:] for task in again]
    assert ends == [("--sides", "ours"), ("--sides", "torch")]
    assert not whole.alone(task, [{"who": "ours"}])
    assert not whole.alone(again[0], [{"note": "out of memory"}])


def test_a_measurement_that_takes_too_long_is_a_row_that_says_so(tmp_path):
    task = whole.Task("peak", ("--seconds", "100"), {"who": "jax"})
    rows = whole.run(task, 0.5, dict(os.environ), tmp_path)
    assert rows == [{"who": "jax", "note": "not finished after 0 s"}]


def test_synthetic_slices_are_a_source():
    source = scans.source(5, 64)
    assert source.image(3).dtype == np.int16
    for i, boxes in enumerate(source.boxes):
        x0, y0, x1, y1 = boxes[-1].astype(int)  # the last one drawn lies on top
        assert (source.image(i)[y0:y1, x0:x1] >= 200).all()


def test_work_is_counted_from_shapes():
    # The specification's table of 2 x products of convolutions at 640 px.
    gflops = ours.nominal_gflops(scans.config("tqgdnets", 640, 1))
    assert gflops == pytest.approx(144.36, abs=0.01)


def test_every_bench_that_the_docs_name_is_a_command():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    text = "".join(page.read_text("utf-8") for page in pages)
    names = set(re.findall(r"python -m (bench[.\w]*\w)", text))
    assert {"bench.speed", "bench.kills"} < names
    for name in names:
        module = ROOT / name.replace(".", "/")  # importing it may need torch
        command = module / "__main__.py" if module.is_dir() else f"{module}.py"
        assert Path(command).is_file(), name


def test_it_runs_without_tensorflow_simpleitk_and_ml_collections(tmp_path):
    for name in ("tensorflow", "SimpleITK", "ml_collections", "torch"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    out = tmp_path / "out"
    subprocess.run(
        f"{sys.executable} -m bench.speed --only peak --seconds 0.02 --out {out}".split(),
        cwd=ROOT, check=True, capture_output=True, encoding="utf-8",
        env={"PATH": "", "PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    results = json.loads((out / "results.json").read_text())
    (entry,) = results["tasks"].values()
    row = entry["rows"][0]
    assert (row["who"], row["precision"]) == ("jax", "fp32")
    assert row["gflops_per_s"] > 0
    assert "| jax | fp32 |" in (out / "results.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "nowhere"], "--data: no folder 'nowhere'; `tqgd phantom"),
        (["--data", ".", "--rows", "ZHOA"], "--rows: no row 'ZHOA'; there are: Y-PAN,"),
    ],
)
def test_overfit_says_in_a_line_what_is_not_there(
    words, says, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["overfit", *words])
    with pytest.raises(SystemExit):
        overfit.main()
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_what_counts_as_a_rod_and_what_as_an_alarm():
    hu = np.zeros((4, 512, 512), np.int16)
    volume = Volume(hu, (3.0, 0.5, 0.5), (0.0, 0.0, 598.0), {})  # z: 598, 601, 604, 607
    on, off = [176.0, 216, 186, 226], [10.0, 10, 20, 20]  # the first rod is at 181, 221
    boxes = np.array([on, on, off, on])
    z, nothing = np.array([0, 1, 1, 3]), np.zeros(4)
    found = Lesions(
        z, boxes, nothing, nothing.astype(int), np.array([0, 0, 1, 2]), boxes
    )
    hearts = np.full((4, 4), np.nan)
    hearts[1:3] = [0, 0, 500, 500]
    # 607 mm is beyond the insert
    assert real_ct.rods(volume, found, hearts) == "1 of 9 | 2 | 5 mm, 800"
    assert real_ct.alarms(volume, found, hearts) == "3 | 4 | 2"
