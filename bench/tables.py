"""Rows of measurements as Markdown and JSON."""

import json
from pathlib import Path

from bench import machine
from tqgd_jax.io import atomic

RUN = {  # columns that most tables begin with
    "model": ("model", "{}"),
    "precision": ("precision", "{}"),
    "size": ("px", "{}"),
    "batch": ("batch", "{}"),
}


def markdown(rows, columns):
    """A Markdown table.

    Args:
      rows: dictionaries; a value that is missing or None gives an empty cell. `note`
        becomes a last column when any row has one.
      columns: key -> (heading, format).
    """
    if any(row.get("note") for row in rows):
        columns = columns | {"note": ("remark", "{}")}
    lines = [
        "| " + " | ".join(heading for heading, _ in columns.values()) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in rows:
        cells = [
            "" if row.get(key) is None else form.format(row[key])
            for key, (_, form) in columns.items()
        ]
        clean = (" ".join(cell.replace("|", "/").split()) for cell in cells)
        lines.append("| " + " | ".join(clean) + " |")
    return "\n".join(lines)


def finish(rows, columns, path=None):
    """Prints where it was measured and the table; writes the rows if a path is given."""
    print(f"\n{machine.headline(machine.facts())}\n\n{markdown(rows, columns)}")
    if path:
        write(path, rows)


def write(path, value):
    """JSON, whole or not at all."""
    with atomic.file(Path(path)) as partial:
        partial.write_text(json.dumps(value, indent=1) + "\n")


def attempt(row, measure, *args):
    """The row with what `measure(*args)` adds, or with the reason why it could not."""
    try:
        return row | measure(*args)
    except Exception as error:  # one that fails is a row that says so
        return row | {"note": why(error)}


def why(error):
    """One line that says what went wrong; of memory, in one word."""
    if isinstance(error, ModuleNotFoundError):
        return f"not measured: {error.name} is not installed"
    text = f"{type(error).__name__}: {error}"
    if any(sign in text for sign in ("RESOURCE_EXHAUSTED", "OutOfMemory", "of memory")):
        return "out of memory"
    lines = text.strip().splitlines()
    return (lines[0] + (" ... " + lines[-1] if len(lines) > 1 else ""))[:200]
