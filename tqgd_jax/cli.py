"""The command line of the scripts: `--config=FILE.py` and `--config.section.field=value`.

ml_collections reads and types the overrides; this module turns its refusals into one
line that names the nearest setting, and runs the checks of the settings again.
"""

import dataclasses
import difflib
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from tqgd_jax.config import Config, checked

TRACEBACK = flags.DEFINE_bool("traceback", False, "show where an error was raised")


def run(main: Callable[[list[str]], None]) -> None:
    """Runs `main(argv)`; an error that the project raises ends in its message alone.

    Errors from elsewhere keep their traceback; so do all with `--traceback`.
    """
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING
    )
    logging.getLogger("tqgd_jax").setLevel(logging.INFO)

    def guarded(argv: list[str]) -> None:
        absl_logging.set_verbosity(absl_logging.WARNING)  # Orbax tells every file
        try:
            main(argv)
        except Exception as error:
            if TRACEBACK.value or not _ours(error):
                raise
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
            # As a shell counts a process that a signal ended.
            raise SystemExit(128 + getattr(error, "signum", -127)) from None

    app.run(guarded, flags_parser=_parse)


def define_config() -> None:
    """Gives a script the flag `--config` and its overrides."""
    config_flags.DEFINE_config_file("config", help_string="a file in configs/")


def config_name() -> str:
    """The name of the configuration file, without folder and suffix."""
    return Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem


def config() -> Config:
    """The settings of the command line, checked."""
    if flags.FLAGS.config is None:
        _exit("--config is missing; for example --config=configs/tqgdnet.py")
    try:
        return checked(flags.FLAGS.config)
    except ValueError as error:
        _exit(str(error))


def _parse(argv: list[str]) -> list[str]:
    if "config" in flags.FLAGS:
        _check_names(argv)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        _exit(str(error))
    except (FileNotFoundError, ModuleNotFoundError) as error:
        _exit(f"--config: {error}; the files are in configs/")


def _check_names(argv: list[str]) -> None:
    """Refuses overrides of settings that do not exist, and names the nearest."""
    for arg in argv:
        name = arg.lstrip("-").split("=")[0]
        if not arg.startswith("-") or not name.startswith("config."):
            continue
        here: Any = Config()
        for part in name.split(".")[1:]:
            if not dataclasses.is_dataclass(here):
                _exit(f"--{name}: {part!r} is inside a setting that has no parts")
            fields = [f.name for f in dataclasses.fields(here)]
            if part not in fields:
                section = type(here).__name__
                near = difflib.get_close_matches(part, fields, 1) or _elsewhere(part)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                _exit(f"--{name}: {section} has no field {part!r}{hint}")
            here = getattr(here, part)
        if dataclasses.is_dataclass(here):
            _exit(f"--{name} is a section; set one of its fields")


def _ours(error: Exception) -> bool:
    """Whether code of this project raised the error, knowing what went wrong."""
    if not isinstance(error, ValueError | OSError | RuntimeError | FloatingPointError):
        return False
    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(raised_in).is_relative_to(Path(__file__).parent)


def _elsewhere(part: str) -> list[str]:
    """A setting of that name in any section, dotted."""
    names = {
        f.name: f"{section.name}.{f.name}"
        for section in dataclasses.fields(Config())
        if dataclasses.is_dataclass(section.default_factory)
        for f in dataclasses.fields(section.default_factory)
    }
    return [names[n] for n in difflib.get_close_matches(part, names, 1)]


def _exit(message: str) -> NoReturn:
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    raise SystemExit(2)
