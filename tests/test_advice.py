"""A way out that a message names exists: settings, commands, and flags of that command."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tqgd_jax.__main__ import COMMANDS
from tqgd_jax.config import Config

PACKAGE = Path(__file__).parents[1] / "tqgd_jax"
SECTIONS = tuple(f.name for f in dataclasses.fields(Config))
SETTING = re.compile(rf"(?<![\w./-])({'|'.join(SECTIONS)})((?:\.[a-z_]+)+)(?![\w(/])")
FLAG = re.compile(r"(?<![\w-])--([a-z][a-z_-]*)(?=[\s=,;.):'\"\]/]|$)")
COMMAND = re.compile(r"\btqgd ([a-z]+)((?:, [a-z]+)*(?: and [a-z]+)?)\b")
# train.py and model.onnx are no settings
FILES = (".py", ".txt", ".yaml", ".safetensors", ".json", ".onnx", ".tflite")
FILES += (".jaxexport",)
SCRIPT = re.compile(r"\b(train|eval)\.py\b")
# gdcmconv --raw, tqgd --version, pip --no-deps, labelme2coco --export_dir, datum
OTHERS = {"raw", "version", "help", "no-deps", "export_dir", "save-media"}
# Flags of Slurm and XLA, and CSS.
OTHER_MODULES = ("slurm_array.py", "resume_check.py", "charts.py")


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every string but docstrings; `{}` stands for what is filled in."""
    skip: set[ast.AST] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            skip.add(body[0].value)
    for node in ast.walk(tree):
        if node in skip:
            continue
        if isinstance(node, ast.JoinedStr):
            skip.update(node.values)
            parts = [
                p.value if isinstance(p, ast.Constant) else "{}" for p in node.values
            ]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@cache
def flags_of(module: Path) -> frozenset[str]:
    """What a module of the command line defines."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = getattr(node.func, "attr", getattr(node.func, "id", ""))
        for word in node.args:
            if not (isinstance(word, ast.Constant) and isinstance(word.value, str)):
                continue
            if function in ("add", "add_argument") and word.value.startswith("--"):
                names.add(word.value[2:])
            if function.startswith("DEFINE_"):
                names.add(word.value)
                break
    # names in a loop: for name in ("image_size", ...): add_argument(f"--{name}")
    text = module.read_text("utf-8")
    if 'f"--{name}"' in text:
        names |= set(re.findall(r'"([a-z_]+)"', text))
    return frozenset(names)


def flags_of_command(name: str) -> frozenset[str]:
    file = PACKAGE / "commands" / f"{name}.py"
    shared = [*(PACKAGE / "commands" / "line").glob("*.py")]
    return frozenset().union(*map(flags_of, [file, *shared]))


def is_setting(path: str) -> bool:
    here = Config()
    for part in path.split("."):
        if not dataclasses.is_dataclass(here) or not hasattr(here, part):
            return False
        here = getattr(here, part)
    return True


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_settings_in_messages_exist():
    wrong, count = [], 0
    for file in MODULES:
        for line, text in strings(ast.parse(file.read_text("utf-8"))):
            for match in SETTING.finditer(text):
                path = match[0].rstrip(".")
                count += 1
                if not path.endswith(FILES) and not is_setting(path):
                    wrong.append(f"{file.relative_to(PACKAGE)}:{line} {path}")
    assert wrong == []
    assert count > 100


def commands_in(text: str) -> list[list[str]]:
    """`tqgd score, predict and explain` are three at once; `eval.py` is `tqgd eval`."""
    lists = [m[1] + m[2].replace(" and ", ", ") for m in COMMAND.finditer(text)]
    return [*([name] for name in SCRIPT.findall(text)), *(s.split(", ") for s in lists)]


def test_commands_and_their_flags_in_messages_exist():
    everywhere = frozenset().union(*map(flags_of_command, COMMANDS))
    wrong, count = [], 0
    for file in MODULES:
        if file.name in OTHER_MODULES:
            continue
        own = file.parent.name == "commands" and file.stem in COMMANDS
        for line, text in strings(ast.parse(file.read_text("utf-8"))):
            place = f"{file.relative_to(PACKAGE)}:{line}"
            named = commands_in(text)
            unknown = {name for of in named for name in of} - COMMANDS.keys()
            wrong += [f"{place} tqgd {name}" for name in unknown]
            for flag in FLAG.findall(text):
                flag = flag.replace("-", "_") if own else flag
                count += 1
                if flag in OTHERS:
                    continue
                allowed = everywhere
                if named and not unknown:  # of all in a list, of any of several
                    allowed = frozenset().union(
                        *(
                            frozenset.intersection(*map(flags_of_command, of))
                            for of in named
                        )
                    )
                elif own:
                    allowed = flags_of_command(file.stem)
                if flag not in allowed:
                    wrong.append(f"{place} --{flag}")
    assert wrong == []
    assert count > 50


def code_in(page: str) -> list[str]:
    """Spans, and lines of blocks; a line that ends with a backslash goes on."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page, re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", page, flags=re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", "").split("\n")]
    return [*lines, *re.findall(r"`([^`]+)`", rest)]


def test_commands_and_their_flags_in_docs_exist():
    wrong, count = [], 0
    for page in (PACKAGE.parent / "README.md", *PACKAGE.parent.glob("docs/*.md")):
        for code in code_in(page.read_text("utf-8")):
            for part in re.split(r" && | \| |; | # ", code):  # several commands
                for name in (name for of in commands_in(part) for name in of):
                    if name not in COMMANDS:
                        wrong.append(f"{page.name}: tqgd {name}")
                        continue
                    named = [f.replace("-", "_") for f in FLAG.findall(part)]
                    count += len(named)
                    unknown = {*named} - flags_of_command(name) - OTHERS
                    wrong += [f"{page.name}: tqgd {name} --{flag}" for flag in unknown]
    assert wrong == []
    assert count > 100


@pytest.mark.parametrize(
    ("text", "settings", "flags", "commands"),
    [
        ("set data.ratio, or data.crop.method=x.", 2, 0, []),
        ("see data.yaml and x.data.ratio", 1, 0, []),
        ("next: eval.py --split=test", 1, 1, [["eval"]]),
        ("`tqgd score --series=UID`, or --boxes.", 0, 2, [["score"]]),
        (
            "of tqgd score, predict and explain)",
            0,
            0,
            [["score", "predict", "explain"]],
        ),
    ],
)
def test_what_is_taken_for_advice(text, settings, flags, commands):
    assert len(SETTING.findall(text)) == settings
    assert len(FLAG.findall(text)) == flags
    assert commands_in(text) == commands
