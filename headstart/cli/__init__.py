"""The command line, one file a verb, loaded by name.

A file of this folder whose name begins with no underscore is a verb. It offers `verb`, a function that
Typer reads, or `app`, a Typer of its own with verbs below it; its docstring's first line is the line in
`headstart --help`, and `SHOWN = (place, heading)` says where that line stands. A verb's file is imported
when the verb is called, or its own help is asked for; never before.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, 1 (failed), 2 (wrong call or input), 130 (Ctrl-C)."""
    from headstart.cli._main import run

    return run(arguments)
