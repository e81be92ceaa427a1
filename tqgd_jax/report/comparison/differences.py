"""Models on the same patients: their figures, and differences to the first model."""

import difflib
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tqgd_jax.evaluation import paired
from tqgd_jax.evaluation.results import CURVES
from tqgd_jax.report.comparison.models import Model
from tqgd_jax.report.html.numbers import same
from tqgd_jax.structures.evaluation_set import EvaluationSet
from tqgd_jax.structures.image import Image

SCHEMA = "tqgd_jax.comparison/1"
PROTOCOLS = {
    "clinical": "all slices",
    "paper": "only slices with a labelled box: false alarms on others do not count",
}
LEVEL = 0.95
USUAL = 0.05  # a p that readers look for


def compare(
    models: Sequence[Model],
    *,
    protocol: str = "",
    keys: Sequence[str] = paired.KEYS,
    bootstraps: int = 2000,
    repeats: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Every further model against the first, as comparison.json has it.

    Differences are those of the model minus the first. `p` is of the paired permutation
    test over patients, `p_holm` the same after Holm's step-down over all of them.

    Args:
      models: two or more, judged on the same images and boxes.
      protocol: "clinical" or "paper"; empty: clinical, if all models have it.
      keys: figures.
      bootstraps: resamples of the patients for each interval of a difference.
      repeats: random exchanges for each p.
      seed: of both.

    Raises:
      ValueError: for models judged on different things, naming the first, an unknown
        key, or a protocol that a model has no figures of.
    """
    protocol = protocol or (
        "paper" if any(m.eval_set.positive_only for m in models) else "clinical"
    )
    for model in models:
        _has(model, protocol, keys)
    first = models[0]
    test = partial(
        paired.compare, bootstraps=bootstraps, repeats=repeats, seed=seed, level=LEVEL
    )
    pairs = []
    for model in models[1:]:
        figures = _pair(model, first, protocol, keys, test)
        pairs.append({"model": model.name, "figures": figures})
    _adjust([row for pair in pairs for row in pair["figures"].values()])
    facts = first.results["protocols"][protocol]
    return {
        "schema": SCHEMA,
        "protocol": protocol,
        "patients": facts["patients"],
        "images": facts["images"],
        "boxes": facts["boxes"],
        "keys": list(keys),
        "reference": first.name,
        "settings": {
            "bootstraps": bootstraps,
            "repeats": repeats,
            "exact": 2 ** facts["patients"] <= repeats,
            "seed": seed,
            "level": LEVEL,
        },
        "models": [_model(model, protocol, keys) for model in models],
        "pairs": pairs,
        "warnings": _warnings(models),
        "notes": _notes(models, facts["patients"]),
    }


def holm(values: Sequence[float]) -> list[float]:
    """p-values after Holm's step-down (Scandinavian Journal of Statistics 1979)."""
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, least = [0.0] * len(values), 0.0
    for rank, k in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[k]))
        adjusted[k] = least
    return adjusted


def _has(model: Model, protocol: str, keys: Sequence[str]) -> None:
    facts = model.results["protocols"][protocol]
    if "figures" not in facts:
        other = next(name for name in PROTOCOLS if name != protocol)
        raise ValueError(
            f"{model.name}: no figures under the protocol {protocol!r}: "
            f"{facts['reason']}; try --protocol {other}"
        )
    for key in keys:
        if key not in facts["figures"]:
            near = difflib.get_close_matches(key, facts["figures"], 3, 0.4)
            hint = f"near it: {', '.join(near)}" if near else "see its results.json"
            raise ValueError(f"{model.name}: no figure {key!r}; {hint}")


def _pair(
    model: Model,
    first: Model,
    protocol: str,
    keys: Sequence[str],
    test: Callable[..., dict[str, dict[str, Any]]],
) -> dict[str, dict[str, Any]]:
    if model.eval_set.classes != first.eval_set.classes:
        raise ValueError(
            f"{model.name} has the classes {list(model.eval_set.classes)}, {first.name} "
            f"{list(first.eval_set.classes)}; compare models of one task"
        )
    apart = bool(model.eval_set.point or first.eval_set.point)
    curve = [k for k in keys if k.startswith(CURVES)] if apart else list(keys)
    point = [k for k in keys if k not in curve]
    rows: dict[str, dict[str, Any]] = {}
    for chosen, at_point in ((curve, False), (point, True)):
        if not chosen:
            continue
        try:
            rows |= test(
                *_judged(model.eval_set, protocol, at_point),
                *_judged(first.eval_set, protocol, at_point),
                model.eval_set.classes,
                keys=chosen,
            )
        except ValueError as error:
            raise ValueError(f"A: {model.name}, B: {first.name}: {error}") from error
    _as_told(model, first, protocol, rows)
    return {key: _row(rows[key]) for key in keys}


def _judged(
    eval_set: EvaluationSet, protocol: str, at_point: bool
) -> tuple[list[Image], list[float | None]]:
    """Images of the protocol and their thresholds."""
    images = eval_set.point if at_point and eval_set.point else eval_set.images
    pairs = [
        (image, limit)
        for image, limit in zip(images, eval_set.thresholds, strict=True)
        if protocol == "clinical" or image.counting.any()
    ]
    return [image for image, _ in pairs], [limit for _, limit in pairs]


def _as_told(
    model: Model, first: Model, protocol: str, rows: dict[str, dict[str, Any]]
) -> None:
    """Refuses results that are not those of their tables."""
    order = [image.name for image in first.eval_set.images]
    for one, name in ((model, "a"), (first, "b")):
        if [image.name for image in one.eval_set.images] != order:
            continue  # equal confidences may then stand in another order
        written = one.results["protocols"][protocol]["figures"]
        for key, row in rows.items():
            value, again = written[key]["value"], row[name]
            if not same(value, again):
                raise ValueError(
                    f"{one.folders[0]}: results.json says {key} = {value}, its tables "
                    f"{again}; `tqgd evaluate --verify "
                    f"{shlex.quote(str(one.folders[0]))}` tells more"
                )


def _row(row: dict[str, Any]) -> dict[str, Any]:
    names = ("difference", "low", "high", "p")
    return {
        "model": row["a"],
        "reference": row["b"],
        **{name: row[name] for name in names},
        "p_holm": None,
        "reason": row["reason"],
    }


def _adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Fills in `p_holm` wherever there is a p."""
    tested = [row for row in rows if row["p"] is not None]
    for row, value in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = value


def _model(model: Model, protocol: str, keys: Sequence[str]) -> dict[str, Any]:
    results, settings = model.results, model.results["settings"]
    return {
        "name": model.name,
        "folders": [str(folder) for folder in model.folders],
        "title": results["title"],
        "stamp": results["stamp"],
        "part": model.eval_set.one_fold,
        "threshold": settings["threshold"],
        "thresholds": settings["thresholds"],
        "threshold_source": settings["threshold_source"],
        "bootstraps": settings["bootstraps"],
        "figures": {
            key: results["protocols"][protocol]["figures"][key] for key in keys
        },
    }


def _warnings(models: Sequence[Model]) -> list[str]:
    """What a reader must know before the numbers: they are no result, or no headline."""
    warnings = [
        f"{m.name}: NOT A RESULT: {m.results['stamp']}"
        for m in models
        if m.results["stamp"]
    ]
    return warnings + [
        f"{m.name}: NO HEADLINE: {m.eval_set.one_fold} alone, and one fold is no result"
        for m in models
        if m.eval_set.one_fold
    ]


def _notes(models: Sequence[Model], patients: int) -> list[str]:
    """What a reader must know beside the numbers."""
    notes = [f"{m.name}: {m.eval_set.note}" for m in models if m.eval_set.note]
    sources = {m.name: m.eval_set.source for m in models}
    if len(set(sources.values())) > 1:
        places = ", ".join(f"{name}: {source}" for name, source in sources.items())
        notes.append(f"thresholds come from different places ({places})")
    if 2 / 2**patients > USUAL:
        notes.append(
            f"with {patients} patients no p can be below {2 / 2**patients:.3g}, whatever "
            "the models do"
        )
    return [
        *notes,
        "p-values are of these trained weights on these patients; they say nothing "
        "about other seeds of training",
    ]
