"""The command line of the scripts: their settings, and errors in one line.

The flags are read in `config_flags`, which other commands share.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from tqgd_jax import heap
from tqgd_jax.commands.line import pipe, places
from tqgd_jax.commands.line.config_flags import find_config, parse, refuse_words, stop
from tqgd_jax.config import Config, checked, from_dict, refuse_unread
from tqgd_jax.io.text import read_text

MISSING = "--config is missing; for example --config=configs/tqgdnet.py"
TRACEBACK = flags.DEFINE_bool("traceback", False, "show where an error was raised")


def run(main: Callable[[list[str]], None]) -> None:
    """Runs `main(argv)`; an error that the project raises ends in its message alone.

    Errors from elsewhere keep their traceback; so do all with `--traceback`.
    """
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING
    )
    logging.getLogger("tqgd_jax").setLevel(logging.INFO)
    heap.keep()

    def guarded(argv: list[str]) -> None:
        absl_logging.set_verbosity(absl_logging.WARNING)  # Orbax tells every file
        refuse_words(argv)
        try:
            main(argv)
        except KeyboardInterrupt:
            if TRACEBACK.value:
                raise
            stop("interrupted; what was saved is whole", 130)
        except BrokenPipeError:
            raise
        except Exception as error:
            if TRACEBACK.value or not (_ours(error) or places.line(error)):
                raise
            # As a shell counts a process that a signal ended.
            if text := places.line(error) * (not _ours(error)):
                stop(text, 1)
            stop(str(error), 128 + getattr(error, "signum", -127))

    with pipe.may_close():
        app.run(guarded, flags_parser=parse)


def define_config() -> None:
    """Gives a script `--config` or `--config_json`, and overrides of the settings.

    A config file is Python and runs; a JSON file, such as the `config.json` of a run of
    somebody else, is read as plain data.
    """
    flags.DEFINE_string(
        "config_json",
        None,
        "instead of --config: settings as plain data, such as a run's config.json",
    )
    find_config()
    given = _value_of("config_json", sys.argv)
    if given is None:
        overrides = any(word.lstrip("-").startswith("config.") for word in sys.argv[1:])
        if overrides and _value_of("config", sys.argv) is None:
            stop(MISSING)
        config_flags.DEFINE_config_file("config", help_string="a file in configs/")
        return
    if _value_of("config", sys.argv) is not None:
        stop("--config and --config_json exclude each other")
    try:
        config_flags.DEFINE_config_dataclass("config", from_json(Path(given)))
    except (OSError, ValueError) as error:
        stop(f"--config_json: {error}")


def from_json(path: Path) -> Config:
    """Settings from a `config.json`; nothing in it can run.

    Raises:
      OSError: the file cannot be read.
      ValueError: it holds no settings, or wrong ones.
    """
    try:
        document = json.loads(read_text(path.expanduser()))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({error}); it must be text") from error
    inner = document.get("config", document) if isinstance(document, dict) else None
    if not isinstance(inner, dict):
        raise ValueError(f"{path} must hold an object of settings, as config.json does")
    try:
        return from_dict(Config, inner)
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: a setting has a wrong type ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def config_name() -> str:
    """The name of the configuration file, without folder and suffix."""
    if flags.FLAGS.config_json is not None:
        stop("--config_json needs --workdir: the folder of the new run")
    return Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem


def config() -> Config:
    """The settings of the command line, checked."""
    if flags.FLAGS.config is None:
        stop(MISSING)
    try:
        config = checked(flags.FLAGS.config)
        changed = config_flags.get_override_values(flags.FLAGS["config"])
        refuse_unread(config.baseline, changed)
        return config
    except ValueError as error:
        stop(str(error))


def _value_of(flag: str, argv: list[str]) -> str | None:
    """Of "--flag=value" or "--flag value", before the flags are parsed."""
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in (f"--{flag}", f"-{flag}"):
            return value if "=" in word else after
    return None


def _ours(error: Exception) -> bool:
    """Whether code of this project raised the error, knowing what went wrong."""
    if not isinstance(error, ValueError | OSError | RuntimeError | FloatingPointError):
        return False
    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(raised_in).is_relative_to(Path(__file__).parents[2])
