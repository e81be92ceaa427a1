"""The command line: `--config=FILE.py` and `--config.section.field=value`.

ml_collections reads and types the overrides; this module turns its refusals into one
line that names the nearest setting. `define` and `run` are for commands that read a data
set and write `--out`; `train` and `eval` have `tqgd_jax.commands.line.cli`.
"""

import dataclasses
import difflib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags
from ml_collections import config_flags
from ml_collections.config_flags.tuple_parser import TupleParser

from tqgd_jax.config import Config, checked

flags.disclaim_key_flags()  # `--help` lists them as those of the command


class _Tuple(flags.ArgumentParser):
    """Of a tuple that is given twice the last one counts, as of a number.

    ml_collections appends, but only with a `TupleParser` itself.
    """

    def parse(self, argument: Any) -> tuple[Any, ...]:
        """Of a text, as `TupleParser` reads it."""
        return TupleParser().parse(argument)


config_flags.register_flag_parser_for_type(tuple, _Tuple())

# Where `configs/` is: beside the package in a clone, else where pip puts it.
INSTALLED = (
    Path(__file__).parents[3] / "configs",
    Path(sys.prefix) / "share" / "tqgd_jax" / "configs",
)


def define(out: str) -> None:
    """Gives a command `--config` and its overrides, `--data_dir` and `--out`."""
    check_names(sys.argv)  # the next lines look at them already
    find_config()
    # "--config=FILE" or "--config FILE"; not "--config.data.dir=DIR"
    if any(w[:1] == "-" and w.lstrip("-").split("=")[0] == "config" for w in sys.argv):
        config_flags.DEFINE_config_file("config")
    else:
        config_flags.DEFINE_config_dataclass("config", Config())
    flags.DEFINE_string("data_dir", "", "Folder of the data set (config.data.dir).")
    flags.DEFINE_string("out", None, out, required=True)


def find_config() -> None:
    """Lets `--config=configs/NAME.py` and `--config=NAME` name a file that is installed.

    A file in the folder where the command runs comes first. It may import those beside
    it, as `configs/segnet.py` does.
    """
    for i, word in enumerate(sys.argv):
        name, equals, value = word.partition("=")
        if name.lstrip("-") != "config" or name[:1] != "-":
            continue
        at = i if equals else i + 1
        value = value if equals else "".join(sys.argv[at : at + 1])
        file = Path(value.partition(":")[0])
        if value and not file.exists():
            named = [(f / Path(value).name).with_suffix(".py") for f in INSTALLED]
            file = next((f for f in named if f.exists()), file)
            if file.exists():
                sys.argv[at] = f"{name}={file}" if equals else str(file)
        sys.path.append(str(file.absolute().parent))


def run(main: Callable[[Config, Path], None]) -> None:
    """Runs `main(settings, out)` of a command; a ValueError ends in one line."""

    def guarded(argv: list[str]) -> None:
        refuse_words(argv)
        config: Config = flags.FLAGS.config
        if flags.FLAGS.data_dir:
            config.data.dir = flags.FLAGS.data_dir
        try:
            main(checked(config), Path(flags.FLAGS.out).expanduser())
        except ValueError as error:
            stop(str(error), 1)

    app.run(guarded, flags_parser=parse)


def refuse_words(argv: list[str]) -> None:
    """Refuses what is no flag: a setting without its dashes would not be heard."""
    if len(argv) > 1:
        stop(f"unknown words {argv[1:]}; flags and settings begin with --")


def make_room(out: Path, *, folder: bool = False) -> None:
    """Makes the folder that `out` goes into, before the work for it begins.

    Raises ValueError when it cannot be made, or a folder has the name of a file.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"--out: the folder {out.parent} cannot be made ({error.strerror}); name "
            "another one"
        ) from error
    if out.is_dir() and not folder:
        raise ValueError(f"--out: {out} is a folder; name a file")


def refuse_full(out: Path) -> None:
    """Raises ValueError for what is no new or empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        why = "is there and not empty" if out.is_dir() else "is a file"
        raise ValueError(f"--out: {out} {why}; name a new folder")


def parse(argv: list[str]) -> list[str]:
    """The words that are no flags; a wrong flag ends the program in one line."""
    if "config" in flags.FLAGS:
        check_names(argv)
    try:
        words = flags.FLAGS(argv)
        config = flags.FLAGS["config"].value if "config" in flags.FLAGS else None
        if not isinstance(config, Config | None):
            getattr(config, "data", None)  # OSError, if the file is not there
            stop("--config: the file makes no tqgd_jax.config.Config")
    except flags.Error as error:
        stop(str(error))
    except BrokenPipeError:  # of `--help | head`
        raise
    except (OSError, ModuleNotFoundError) as error:
        reason = str(error).splitlines()[-1].strip()
        stop(f"--config: {reason}; the files are in configs/")
    return words


def check_names(argv: list[str]) -> None:
    """Refuses overrides of settings that do not exist, and names the nearest."""
    for arg in argv:
        name = arg.lstrip("-").split("=")[0]
        if not arg.startswith("-") or not name.startswith("config."):
            continue
        here: Any = Config()
        for part in name.split(".")[1:]:
            if not dataclasses.is_dataclass(here):
                stop(f"--{name}: {part!r} is inside a setting that has no parts")
            fields = [f.name for f in dataclasses.fields(here)]
            if part not in fields:
                section = type(here).__name__
                near = difflib.get_close_matches(part, fields, 1) or _elsewhere(part)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                stop(f"--{name}: {section} has no field {part!r}{hint}")
            here = getattr(here, part)
        if dataclasses.is_dataclass(here):
            stop(f"--{name} is a section; set one of its fields")


def stop(message: str, status: int = 2) -> NoReturn:
    """Ends the program with one line."""
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    raise SystemExit(status)


def _elsewhere(part: str) -> list[str]:
    """A setting of that name in any section, dotted."""
    names = {
        f.name: f"{section.name}.{f.name}"
        for section in dataclasses.fields(Config())
        if dataclasses.is_dataclass(section.default_factory)
        for f in dataclasses.fields(section.default_factory)
    }
    return [names[n] for n in difflib.get_close_matches(part, names, 1)]
