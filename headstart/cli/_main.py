"""Finds the verb, loads its file alone, and turns every ending into an exit code."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from headstart.cli import _console as console
from headstart.errors import HeadstartError, UserError, nearest
from headstart.version import __version__

ABOUT = "Give a model a head start, and prove that it helped."
EPILOG = "headstart VERB --help explains one verb."
RESUMES = "Interrupted. What was computed is kept; the same command resumes there"
FAILED, WRONG, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True)
class Entry:
    """One verb as the main help shows it, read from its file without importing it."""

    name: str
    line: str
    place: int
    heading: str


def verbs() -> list[Entry]:
    """All verbs in the order of the help."""
    folder = Path(__file__).parent
    found = [_entry(path) for path in folder.glob("[!_]*.py")]
    return sorted(found, key=lambda entry: (entry.place, entry.name))


def _entry(path: Path) -> Entry:
    tree = ast.parse(path.read_text("utf-8"))
    line = (ast.get_docstring(tree) or "").partition("\n")[0]
    place, heading = 99, "More"
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SHOWN":
            place, heading = ast.literal_eval(node.value)
    return Entry(path.stem, line, place, heading)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; see `headstart.cli.main`."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    console.steady()
    asked = next((a for a in args if not a.startswith("-")), None)
    try:
        command = typer.main.get_command(_app(asked, args))
        command.main(args=args or ["--help"], prog_name="headstart")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except BrokenPipeError:
        _mute()
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        return _ended(error, args)
    return 0


def _mute() -> None:
    """The reader of our output went away: nothing more is written, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _app(asked: str | None, args: Sequence[str]) -> typer.Typer:
    """The command with every verb named, and only the asked one loaded. Raises UserError."""
    app = typer.Typer(
        name="headstart",
        help=ABOUT,
        epilog=EPILOG,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_main_options)
    entries = verbs()
    if asked is not None and asked not in {entry.name for entry in entries}:
        raise UserError(_unknown(asked, [entry.name for entry in entries]))
    for entry in entries:
        if entry.name == asked:
            _load(app, entry, args)
        else:
            app.command(entry.name, help=entry.line, rich_help_panel=entry.heading)(_unloaded)
    return app


def _unknown(asked: str, known: list[str]) -> str:
    if os.path.exists(asked):
        return f"'{asked}' is no verb. To learn from it: headstart run {shlex.quote(asked)}"
    return f"'{asked}' is no verb of headstart. {nearest(asked, known)}"


def _unloaded() -> None:
    """Stands for a verb that was not asked for."""


def _load(app: typer.Typer, entry: Entry, args: Sequence[str]) -> None:
    """Imports the verb's file and adds it, guarded."""
    module = importlib.import_module(f"headstart.cli.{entry.name}")
    if hasattr(module, "app"):
        for command in module.app.registered_commands:
            command.callback = _guarded(command.callback, args)
        whole = module.app.registered_callback
        if whole is not None:  # what the verb does without a command of its own
            whole.callback = _guarded(whole.callback, args)
        app.add_typer(module.app, name=entry.name, help=entry.line)
    else:
        app.command(entry.name)(_guarded(module.verb, args))


def _guarded(verb: Callable[..., Any], args: Sequence[str]) -> Callable[..., Any]:
    """The verb, whose errors become a message and an exit code."""
    if hasattr(verb, "__wrapped__"):
        return verb

    @functools.wraps(verb)
    def guarded(*given: Any, **named: Any) -> Any:
        try:
            return verb(*given, **named)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise typer.Exit(_ended(error, args)) from error

    return guarded


def _ended(error: BaseException, args: Sequence[str]) -> int:
    """Says on stderr how it ended, in plain words; returns the exit code."""
    if os.environ.get("HEADSTART_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        console.complain(f"{RESUMES}: headstart {shlex.join(args)}")
        return INTERRUPTED
    if isinstance(error, UserError):
        console.complain(str(error))
        return WRONG
    if isinstance(error, HeadstartError):
        console.complain(f"{type(error).__name__}: {error}")
        return FAILED
    console.complain(
        f"Something went wrong inside headstart: {type(error).__name__}: {error}\n"
        "To see where, repeat the command with HEADSTART_DEBUG=1 before it."
    )
    return FAILED


def _version(asked: bool) -> None:
    if asked:
        print(f"headstart {__version__}")
        raise typer.Exit


def _main_options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Give a model a head start, and prove that it helped."""
