"""The paper's Tables 1 to 4 as a study: `tqgd study run --config=configs/paper.py`.

Nine networks, five competitors and three controls. A network of one's own is a file in
`tqgd_jax/fusion/` and one more row here, or in a file like this one.
"""

from dataclasses import asdict, replace
from functools import partial

from demo import get_config as demonstration  # configs/demo.py
from foellmer import get_config as foellmer  # configs/foellmer.py
from nuclei import get_config as nuclei  # configs/nuclei.py
from segnet import get_config as zair  # configs/segnet.py
from zhao import get_config as zhao  # configs/zhao.py

from tqgd_jax.config import Config, Data, differences
from tqgd_jax.study.design import DataSet, Row, Study


def network(name: str, label: str, stem: str, *neck: str, tables=(), **more) -> Row:
    """A row with this stem and these stages of the neck.

    One of Table 2 has modules: ThrConvs by its stem, Queen-fusion and GD by its neck.
    """
    modules = ("thr",) * (stem == "thr") + tuple(m for m in neck if m != "pan")
    return Row(
        name,
        label,
        {"model.stem": stem, "model.neck": neck, **more},
        modules=modules if 2 in tables else None,
        tables=tables,
    )


ROWS = (
    network("Y-PAN", "YOLOv5", "conv", "pan", tables=(1, 2, 3)),
    network("Y-FPN", "YOLOv5*B + FPN", "conv", "fpn", tables=(3,)),
    network("Y-QF", "YOLOv5*B + Qf", "conv", "queen", tables=(2, 3)),
    network("Y-GD", "YOLOv5*B + GD", "conv", "gd", tables=(2,)),
    network("Y-QFGD", "YOLOv5*B + Qf + GD", "conv", "queen", "gd", tables=(2,)),
    network("T-PAN", "ThrConvs*B", "thr", "pan", tables=(2,)),
    network("T-QF", "ThrConvs*B + Qf", "thr", "queen", tables=(2,)),
    network("T-GD", "ThrConvs*B + GD", "thr", "gd", tables=(2,)),
    network("T-QFGD", "TQGDNet", "thr", "queen", "gd", tables=(1, 2, 4)),
)
CONTROLS = (
    network("P-PAN", "3x3 convolutions for ThrConvs", "thr:plain", "pan"),
    network(
        "Y-PAN-NB64",
        "YOLOv5, nominal batch 64",
        "conv",
        "pan",
        **{"optim.nominal_batch": 64},
    ),
    network(
        "Y-PAN-P2",
        "YOLOv5, head at P2",
        "conv",
        "pan",
        **{"model.heads": (2, 3, 4, 5)},
    ),
)


def competitor(name: str, label: str, config: Config) -> Row:
    """A row with all of a configuration but its data, of which size and padding count."""
    optim = asdict(config.optim)
    changed = differences(Config(), config)
    own = ("baseline.", "model.", "data.image_size", "data.pad_value", "augment.")
    settings = {k: v for k, (_, v) in changed.items() if k.startswith(own)}
    settings |= {f"optim.{k}": v for k, v in optim.items()}
    return Row(name, label, settings, tables=(1,))


COMPETITORS = (
    competitor("ZHAO", "Zhao 2020, Faster R-CNN", zhao()),
    competitor("FOELLMER", "Foellmer 2022, U-Net of lesions", foellmer()),
    competitor("SEGNET", "Zair 2023, SegNet-VGG16", zair()),
    competitor("UNET", "Zair 2023, U-Net", zair("unet")),
    competitor("VGG16", "Zair 2023, VGG16-FCN8s", zair("vgg16_fcn")),
)


def get_study(preset: str = "") -> Study:
    """The paper's recipe, or a preset.

    "smoke": minutes on two cores, to see that everything works. "phantom": size n at
    256 px with the recipe of `configs/demo.py`, which has 1x1 kernels in ThrConvs, so
    that hours on two cores are enough. "phantom-paper": with the paper's kernels, a day.
    "table-1": the competitors beside YOLOv5 and TQGDNet, all narrow enough for two cores.
    "nuclei": `configs/nuclei.py`, real images, on their own split with three seeds.
    """
    presets = {
        "": _paper,
        "phantom": _phantom,
        "phantom-paper": partial(_phantom, stem="thr"),
        "table-1": _table_1,
        "nuclei": _nuclei,
        "smoke": _smoke,
    }
    if preset not in presets:
        names = ", ".join(filter(None, presets))
        raise ValueError(f"--config: no preset {preset!r}; there are: {names}")
    return presets[preset]()


def _paper() -> Study:
    return Study(
        base=Config(data=Data(slices="positive")),
        rows=ROWS + COMPETITORS + CONTROLS,
        data=(DataSet("orcascore", {"data.dir": "orcascore"}),),
    )


def _phantom(stem: str = "") -> Study:
    """The demonstration's network, recipe and, if no other is given, ThrConvs."""
    base = demonstration()
    data = DataSet("gated", {"data.dir": "runs/phantom-gated"})
    return Study(base, with_stem(stem or base.model.stem), (data,))


def _table_1() -> Study:
    """Table 1 on the phantom: size n, and competitors of about as much work, 256 px.

    Each trains with its own optimiser, at a higher learning rate where so few steps need
    one; images, window, random changes and epochs are those of the demonstration.
    """
    study = _phantom()
    size = {"data.image_size": 256, "data.pad_value": 0.0}

    def narrow(width: float, lr: float, **more) -> dict:
        return {"baseline.width": width, "optim.lr": lr, "optim.lr_end": lr, **more}

    changes = {
        "ZHAO": narrow(
            0.25,
            0.03,
            **{
                "baseline.zhao.depth": 18,
                "baseline.zhao.base_scale": 1.2,  # 3 at 640 px
                "baseline.zhao.channels": 32,
                "baseline.zhao.hidden": 128,
                "optim.warmup_min_steps": 50,
            },
        ),
        # A decay of .01 in Adam's gradient outweighs a few pixels of calcium.
        # At 512 px, as released, its coarsest map would be more than a pixel.
        "FOELLMER": narrow(
            0.25,
            5e-3,
            **{"optim.weight_decay": 0.0, "baseline.foellmer.least_side": 256},
        ),
        "SEGNET": narrow(0.125, 3e-3),
        "UNET": narrow(0.125, 1e-2),
        "VGG16": narrow(0.25, 1e-3, **{"baseline.zair.batch_norm": True}),
    }
    augment = {f"augment.{k}": v for k, v in asdict(study.base.augment).items()}
    rows = [row for row in study.rows if 1 in row.tables]
    for row in COMPETITORS:
        settings = {**row.settings, **augment, **size, **changes[row.name]}
        settings["optim.ema_tau"] = study.base.optim.ema_tau
        if row.name == "FOELLMER":
            settings["augment.value"] = 0.0
        label = f"{row.label} (width {settings['baseline.width']:g})"
        rows.append(replace(row, label=label, settings=settings))
    return replace(study, rows=tuple(rows))


def _nuclei() -> Study:
    base = nuclei()
    data = DataSet("nuclei", {"data.dir": "nuclei"}, folds=0)
    return Study(base, with_stem(base.model.stem), (data,), seeds=(0, 1, 2))


def with_stem(stem: str) -> tuple[Row, ...]:
    """The nine rows, with this form of ThrConvs where they have it."""
    return tuple(
        replace(row, settings={**row.settings, "model.stem": stem})
        if row.settings["model.stem"] == "thr"
        else row
        for row in ROWS
    )


def _smoke() -> Study:
    study = _phantom("thr")
    base = replace(
        study.base,
        # so few boxes that none can be fitted
        model=replace(study.base.model, anchors="3,3 4,4 6,6 | 6,6 8,8 12,12"),
        data=replace(study.base.data, image_size=64),
        train=replace(study.base.train, epochs=2, checkpoint_every=2),
    )
    return replace(study, base=base, data=(replace(study.data[0], folds=2),))
