"""Settings refuse what they cannot mean, and every one of them is read."""

import ast
import dataclasses
import math
from pathlib import Path

import pytest

from tqgd_jax.config import (
    PRESETS,
    Baseline,
    Config,
    Crop,
    Data,
    Gd,
    Loss,
    Model,
    Optim,
    Queen,
    Thr,
    checked,
    differences,
    from_dict,
    one_of,
    refuse_unread,
)
from tqgd_jax.training.records import workdir

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Model(size="x"), r"model\.size.*'x'.*n, s, m, l"),
        (lambda: Model(stem="thr:papr"), "did you mean 'thr:paper'"),
        (lambda: Model(heads=(4, 3)), "increasing"),
        (lambda: Model(neck=("pan", "pan")), "stage twice"),
        (lambda: Model(neck=("queen,gd",)), "tuple of stage names"),
        (lambda: Thr(kernels=(8, 12)), "three sizes"),
        (lambda: Gd(gather=2), "model.gd.gather"),
        (lambda: Gd(levels=(3, 6)), "model.gd.levels: unknown value 6"),
        (lambda: Queen(columns=()), "one to nine directions"),
        (lambda: Queen(columns=("top",)), "there are: down, up"),
        (lambda: Thr(form="plain", depthwise=True), "leave out model.thr.depthwise"),
        (lambda: Thr(norm="none", init="centre"), "counts on batch norm"),
        (lambda: Model(c3_in_a_row=0), "at least 1"),
        (lambda: Data(image_size=100), r"multiple of 32.*nearest: 96"),
        (lambda: Data(hu_window=(5, 5)), r"must increase, got \(5, 5\)"),
        (lambda: Crop(per="scan"), "unknown value 'scan'; there are: slice, volume"),
        (lambda: Crop(margin_mm=-1), "data.crop.margin_mm must be at least 0, got -1"),
        (lambda: Data(ratio=(0.5, 0.5, 0.5)), "sum 1"),
        (lambda: Data(ratio=(0.5, 0.5, float("nan"))), "sum 1"),
        (lambda: Data(neighbour_mm=float("nan")), "neighbour_mm must be at least 0"),
        (lambda: Data(hold_out=1), r"data\.hold_out must be in \[0, 1\), got 1"),
        (lambda: Optim(lr=0.0), "optim.lr must be above 0"),
        (lambda: Optim(lr=float("inf")), "optim.lr must be above 0 and finite"),
        (lambda: Config(seed=-1), "seed must be from 0"),
        (lambda: Optim(momentum=1.0), r"optim\.momentum must be in \[0, 1\)"),
        (lambda: Optim(drops=(0.5,)), "does nothing with optim.schedule='linear'"),
        (
            lambda: Optim(method="adam", nesterov=False),
            "nothing with optim.method='adam'",
        ),
        (lambda: Optim(beta2=0.9), "does nothing with optim.method='sgd'"),
        (lambda: Loss(box=float("nan")), "loss.box must be at least 0, got nan"),
        (lambda: Loss(cls=-0.5), "loss.cls must be at least 0, got -0.5"),
        (lambda: Loss(anchor_threshold=0.5), "anchor_threshold must be at least 1"),
        (lambda: Loss(label_smoothing=1.0), r"must be in \[0, 1\), got 1"),
        (
            lambda: Model(stem="conv", thr=Thr(kernels=(1, 1, 1))),
            r"model\.thr\.kernels=\(1, 1, 1\) does nothing with model\.stem='conv'",
        ),
        (
            lambda: Model(stem="thr:snapshot", thr=Thr(kernels=(3, 3, 3))),
            r"model\.thr\.kernels=.*does nothing with model\.stem='thr:snapshot'",
        ),
        (
            lambda: Model(neck=("gd",), queen=Queen(("up",))),
            r"model\.queen\.columns=\('up',\) does nothing with model\.neck=\('gd',\)",
        ),
        (
            lambda: Model(neck=("queen", "pan"), gd=Gd(laf=True)),
            r"model\.gd\.laf=True does nothing with model\.neck=",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_the_rule(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def numbers(section, path=""):
    """Names and values of the settings that are a number with a point, or hold numbers."""
    for field in dataclasses.fields(section):
        value, name = getattr(section, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from numbers(value, f"{name}.")
        elif field.type is float or field.type in (tuple[float, ...], tuple[int, ...]):
            yield name, value


@pytest.mark.parametrize(("name", "value"), list(numbers(Config())))
def test_what_is_no_finite_number_is_refused_by_its_name(name, value):
    for wrong in (math.nan, math.inf, -math.inf):
        config = section = Config()
        *path, last = name.split(".")
        for part in path:
            section = getattr(section, part)
        several = isinstance(value, tuple)
        setattr(section, last, (*value[:-1], wrong) if several else wrong)
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            checked(config)


def test_a_tuple_with_an_item_of_another_type_is_refused():
    config = Config(data=Data(classes=("LAD", "LCX")))
    assert checked(config) == config
    config.data.classes = ("LAD", 2)
    with pytest.raises(
        ValueError, match=r"data\.classes must be .* words, .* 2 is none"
    ):
        checked(config)


def test_checks_run_again_after_an_override():
    config = Config()
    config.model.size = "huge"
    with pytest.raises(ValueError, match=r"model\.size"):
        checked(config)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_of_the_stem(preset):
    thr = Model(stem=f"thr:{preset}").resolved_thr()
    paper = {"kernels": (8, 12, 8), "skip": "x1", "sign": "x-x2", "depthwise": False}
    paper |= {"norm": "batch", "act": "silu", "init": Thr().init}
    paper |= {"form": "back-projection"}
    differing = {
        "paper": {},
        "snapshot": {"kernels": (1, 1, 1), "skip": "x2", "sign": "x2-x"},
        "light": {"depthwise": True},
        "linear": {"norm": "none", "act": "none", "init": "yolov5"},
        "plain": {"form": "plain"},
    }[preset]
    assert dataclasses.asdict(thr) == {"positions": ("p1", "p2")} | paper | differing
    resolved = Model(stem=f"thr:{preset}").resolved()
    assert (resolved.thr, resolved.resolved_thr()) == (thr, thr)
    assert Model(stem="conv").resolved_thr() is None


def test_a_stage_of_ones_own_may_read_any_setting():
    assert Model(neck=("mine",), gd=Gd(laf=True), queen=Queen(("up",))).gd.laf


def test_plain_data_round_trip():
    config = Config(model=Model(neck=("pan",), thr=Thr(kernels=(1, 1, 1))))
    assert from_dict(Config, dataclasses.asdict(config)) == config
    with pytest.raises(ValueError, match=r"'lrr'.*did you mean 'lr'"):
        from_dict(Config, {"optim": {"lrr": 1.0}})


def test_config_json_says_what_the_preset_of_the_stem_sets(tmp_path):
    config = Config(model=Model(stem="thr:snapshot"))
    workdir.record(tmp_path, config, {})
    recorded, _ = workdir.read(tmp_path)
    assert (recorded.model.stem, recorded.model.thr.kernels) == (
        "thr:snapshot",
        (1, 1, 1),
    )
    older = {
        "config": dataclasses.asdict(config),
        "run": {},
    }  # the preset not written out
    workdir.write_json(tmp_path / "config.json", older)
    workdir.record(tmp_path, config, {})
    with pytest.raises(ValueError, match=r"model\.thr\.kernels: \[?\(?1, 1, 1"):
        workdir.record(tmp_path, Config(), {})


def test_a_run_that_knows_less_of_its_data_goes_on(tmp_path):
    workdir.record(tmp_path, Config(), {"fingerprint": "a"})
    workdir.record(tmp_path, Config(), {"fingerprint": "a", "dtype": "int16"})
    with pytest.raises(ValueError, match="dtype: 'int16' there, 'uint8' now"):
        workdir.record(tmp_path, Config(), {"fingerprint": "a", "dtype": "uint8"})


def test_differences_are_named_with_both_values():
    other = Config(optim=Optim(lr=0.02))
    assert differences(Config(), other) == {"optim.lr": (0.01, 0.02)}


def fields(section) -> set[str]:
    names = set()
    for f in dataclasses.fields(section):
        names.add(f.name)
        if dataclasses.is_dataclass(f.default_factory):
            names |= fields(f.default_factory)
    return names


def test_every_setting_is_read_somewhere():
    read = set()
    for file in (ROOT / "tqgd_jax").rglob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        for node in ast.walk(tree):  # a check alone is no use of a setting
            if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
                node.body = []
        read |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert fields(Config) - read == set()


def test_settings_of_the_detector_are_refused_beside_a_competitor():
    zhao = Baseline(family="zhao")
    refuse_unread(Baseline(), ["model.size", "loss.iou"])
    refuse_unread(zhao, ["model.precision", "model.in_channels", "optim.lr"])
    for name in ("model.size", "model.thr.kernels", "loss.iou"):
        says = rf"{name} does nothing with baseline\.family='zhao', .* leave it out"
        with pytest.raises(ValueError, match=says):
            refuse_unread(zhao, ["seed", name])


def test_an_empty_choice_is_told_in_words():
    with pytest.raises(ValueError, match=r"there are: group, batch, or '' for none$"):
        one_of("x", "what", ("", "group", "batch"))
