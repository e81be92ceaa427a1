"""The command line of the scripts: their settings, and errors in one line.

The flags are read in `data.command`, which the commands of that folder share.
"""

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from tqgd_jax.config import Config, checked
from tqgd_jax.data.command import parse, stop

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
            # As a shell counts a process that a signal ended.
            stop(str(error), 128 + getattr(error, "signum", -127))

    app.run(guarded, flags_parser=parse)


def define_config() -> None:
    """Gives a script the flag `--config` and its overrides."""
    config_flags.DEFINE_config_file("config", help_string="a file in configs/")


def config_name() -> str:
    """The name of the configuration file, without folder and suffix."""
    return Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem


def config() -> Config:
    """The settings of the command line, checked."""
    if flags.FLAGS.config is None:
        stop("--config is missing; for example --config=configs/tqgdnet.py")
    try:
        return checked(flags.FLAGS.config)
    except ValueError as error:
        stop(str(error))


def _ours(error: Exception) -> bool:
    """Whether code of this project raised the error, knowing what went wrong."""
    if not isinstance(error, ValueError | OSError | RuntimeError | FloatingPointError):
        return False
    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(raised_in).is_relative_to(Path(__file__).parent)
