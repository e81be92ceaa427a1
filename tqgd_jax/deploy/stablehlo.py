"""StableHLO by `jax.export`: one file that JAX runs without this project.

The number of images and their sides are open, the platforms are those of `PLATFORMS`,
weights are inside. `model.jaxexport` takes stored pixels and answers in their px;
`network.jaxexport` takes images in [0, 1] and answers in network px.
"""

import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from tqgd_jax.deploy import programs
from tqgd_jax.deploy.description import DESCRIPTION, MODEL, NETWORK, versions
from tqgd_jax.inference import Predict, network_input, on_stored
from tqgd_jax.predictor import Predictor
from tqgd_jax.structures.batch import Batch

PLATFORMS = ("cpu", "cuda", "tpu")
MONTHS = 6  # for which JAX promises to read what it wrote


def write(predictor: Predictor, folder: Path, pixels: str) -> dict[str, Any]:
    """Writes both programs to `folder`.

    Args:
      predictor: a detector.
      folder: there already.
      pixels: type of the stored images, "int16" for Hounsfield units.

    Returns:
      By the name of the file, what it takes and gives, and its checksum.
    """
    data, side = predictor.config.data, predictor.config.data.image_size
    b, h, w = export.symbolic_shape("b, h, w")
    image = jax.ShapeDtypeStruct((b, h, w, data.channels), jnp.dtype(pixels))
    size = jax.ShapeDtypeStruct((b, 2), jnp.dtype("int32"))
    unit = jax.ShapeDtypeStruct(
        (b, side, side, predictor.config.model.in_channels), jnp.dtype("float32")
    )
    whole, network = programs.of_stored(predictor), programs.of_unit(predictor)
    return {
        MODEL: _write(
            folder / MODEL,
            lambda image, size: programs.named(whole(image, size)),
            {"image": image, "size": size},
        ),
        NETWORK: _write(
            folder / NETWORK,
            lambda image: programs.named(network(image)),
            {"image": unit},
        ),
    }


def _write(path: Path, function: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    try:
        program = export.export(jax.jit(function), platforms=PLATFORMS)(
            *inputs.values()
        )
    except Exception as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise ValueError(
            f"--format=stablehlo: jax.export cannot write this network with an open "
            f"number of images ({type(error).__name__}: {reason}); "
            "--format=safetensors can"
        ) from error
    content = bytes(program.serialize())
    path.write_bytes(content)
    outputs = program.out_tree.unflatten(program.out_avals)
    return {
        "inputs": {name: _shape(x) for name, x in inputs.items()},
        "outputs": {name: _shape(x) for name, x in outputs.items()},
        "platforms": list(program.platforms),
        "calling_convention": program.calling_convention_version,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _shape(x: Any) -> dict[str, Any]:
    shape = [n if isinstance(n, int) else str(n) for n in x.shape]
    return {"dtype": str(x.dtype), "shape": shape}


def expiry(date: datetime.date) -> datetime.date:
    """The day until which JAX promises to read what is written on `date`."""
    return date + datetime.timedelta(days=365 * MONTHS // 12)


def read(folder: Path, entry: str = MODEL) -> tuple[dict[str, Any], Predict]:
    """What `predictor.meta` was, and the program in place of `make_predict`'s.

    `model.jaxexport` runs where it takes the pixels as they are, `network.jaxexport` on
    others and if it is named.

    Raises:
      ValueError: a file is not there, damaged, too old for this JAX, or has another name.
    """
    if entry not in (MODEL, NETWORK):
        raise ValueError(
            f"{folder / entry}: a program is called {MODEL} or {NETWORK}, as "
            f"{DESCRIPTION} beside it does; give it that name again"
        )
    document = _description(folder)
    config, meta = document["config"], document["detector"]
    whole = _program(folder, MODEL, document) if entry == MODEL else None
    unit = None
    called = jax.jit(whole.call) if whole else None

    def through_network(batch: Batch) -> Any:
        assert unit is not None
        answer = programs.answer_of(unit.call(network_input(batch, config)))
        return on_stored(answer, batch, config, len(meta["classes"]))

    compiled = jax.jit(through_network)

    def predict(variables: Any, batch: Batch) -> Any:
        nonlocal unit
        del variables
        image = jnp.asarray(batch.image)[:, 0]
        if whole and called:
            taken = whole.in_avals[0]
            if image.dtype == taken.dtype and image.shape[-1] == taken.shape[-1]:
                size = jnp.asarray(batch.size)[:, 0].astype(jnp.int32)
                return programs.answer_of(called(image, size))
        unit = unit or _program(folder, NETWORK, document)
        return compiled(batch)

    return meta, predict


def _description(folder: Path) -> dict[str, Any]:
    from tqgd_jax.config import Config, from_dict

    path = folder / DESCRIPTION
    try:
        document = json.loads(path.read_text("utf-8"))
        settings = document["detector"]["config"]
        return document | {"config": from_dict(Config, settings, str(path))}
    except (
        *(OSError, KeyError, TypeError),
        *(json.JSONDecodeError, RecursionError),
    ) as error:
        raise ValueError(
            f"{path} is not the description of an exported model ({error}); it lies "
            "beside the files that `tqgd export` wrote: copy the whole folder"
        ) from error


def _program(folder: Path, name: str, document: dict[str, Any]) -> export.Exported:
    path = folder / name
    try:
        content = path.read_bytes()
        wanted = document["programs"][name]["sha256"]
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); copy the whole folder that `tqgd "
            "export` wrote"
        ) from error
    if hashlib.sha256(content).hexdigest() != wanted:
        raise ValueError(
            f"{path}: its checksum is not that of {DESCRIPTION}; it is damaged or of "
            "another export: copy or export it again"
        )
    try:
        return export.deserialize(bytearray(content))
    except Exception as error:
        raise ValueError(
            f"{path} was written with jax {document['versions']['jax']} on "
            f"{document['date']} for six months, and jax {versions()['jax']} does not "
            f"read it ({str(error).splitlines()[0] if str(error) else error!r}); export "
            "it again with `tqgd export --workdir FOLDER_WITH_ITS_WEIGHTS`"
        ) from error
