"""What goes to the terminal: plain when piped, readable when narrow, one JSON document when asked.

Results go to stdout; progress, remarks and errors to stderr. Every text that comes from data (names of
files, classes, errors) is cleaned of control characters first, so that it cannot steer the terminal.
"""

from __future__ import annotations

import json
import math
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from headstart.report import text

STYLES = {
    "helped": "bold green",
    "harmed": "bold red",
    "no evidence": "bold",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
}
SIGNS = {
    "helped": "\N{BLACK UP-POINTING TRIANGLE}",
    "harmed": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "no evidence": "\N{BLACK DIAMOND}",
}
ASKED = {
    "commercial": "be used commercially",
    "share": "be shared",
    "modify": "be changed",
}
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # direction of text
NARROW = 62
ENDLESS = 20_000  # characters of a line that nobody wraps


def steady() -> None:
    """Streams that never fail on a character which the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def out() -> Console:
    """The console of results."""
    return _console(sys.stdout)


def err() -> Console:
    """The console of progress, remarks and errors."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    """As wide as the terminal; a file or a pipe has no width, unless COLUMNS gives it one."""
    free = not stream.isatty() and not os.environ.get("COLUMNS", "").isdigit()
    return Console(
        file=stream, width=ENDLESS if free else None, highlight=False, markup=False, emoji=False
    )


def clean(value: Any) -> str:
    """Text without control characters (but for line ends), and without marks that turn its direction."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _steers(c) else c for c in str(value))


def _steers(character: str) -> bool:
    if character in "\n\t":
        return False
    return unicodedata.category(character) in ("Cc", "Cs") or character in TURNING


def say(value: Any = "", style: str = "") -> None:
    """One paragraph on stdout."""
    _paragraph(clean(value), style, console=out())


def line(value: Any) -> None:
    """One line on stdout, never wrapped: paths and commands that will be copied."""
    out().print(Text(clean(value)), soft_wrap=True)


def remark(value: Any) -> None:
    """One paragraph on stderr."""
    _paragraph(clean(value), console=err())


def complain(value: Any) -> None:
    """An error on stderr; not wrapped, so that a path in it can be copied."""
    err().print(
        Text("Error: ", style="bold red").append(clean(value), style="default"), soft_wrap=True
    )


def document(value: Any) -> None:
    """Exactly one JSON document on stdout; NaN and infinity become null."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Values that JSON can hold."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (Sequence, set, frozenset)):
        return [plain(v) for v in value]
    return str(value)


def verdict(word: str, sentence: str) -> None:
    """The verdict: sign and word, then the sentence."""
    console = out()
    sign = SIGNS.get(word, "\N{WHITE DIAMOND}")
    console.print(Text(f"{sign} {clean(word)}", style=STYLES.get(word, "bold")))
    _paragraph(text.prose(clean(sentence)), console=console)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], figures: Sequence[int] = ()
) -> None:
    """A table; where its names cannot stand beside each other unbroken, one block a row. `figures`: columns
    set flush right."""
    console = out()
    cells = [[clean(v) for v in row] for row in rows]
    sides = list(zip(columns, *cells, strict=True)) if columns else []
    whole = [max(cell_len(line) for cell in side for line in cell.split("\n")) for side in sides]
    least = [whole[j] if j in figures else max(map(_longest, side)) for j, side in enumerate(sides)]
    if sides and 2 * whole[0] <= console.width:  # a name that is copied
        least[0] = whole[0]
    room = console.width - 2 * len(sides)
    if sum(least) > room or (console.width < NARROW and sum(whole) > room):
        _blocks(console, columns, cells, numbered=0 in figures)
        return
    grid = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False
    )
    for j, name in enumerate(columns):
        right = j in figures
        kept = right or least[j] == whole[j]
        grid.add_column(
            name, justify="right" if right else "left", no_wrap=kept, min_width=least[j]
        )
    for row in cells:
        grid.add_row(*(Text(v, style=STYLES.get(v, "")) for v in row))
    _put(console, grid)


def _longest(cell: str) -> int:
    """Width of the longest word."""
    return max((cell_len(word) for word in cell.split()), default=0)


def _lines(value: str, width: int) -> list[str]:
    """A text cut at its spaces into lines; a word that is longer than the line stays whole, so that it can be
    copied."""
    made = []
    for paragraph in value.split("\n"):
        line, *words = paragraph.split(" ")
        for word in words:
            if line.strip() and cell_len(line) + 1 + cell_len(word) > width:
                made.append(line.rstrip())
                line = word
            else:
                line += f" {word}"
        made.append(line.rstrip())
    return made


def _paragraph(
    value: str, style: str = "", *, console: Console, name: str = "", room: int = 0
) -> None:
    """Prints a text, behind a name in grey where there is one, `room` columns from the left."""
    begun = f"{name}: " if name else ""
    for number, one in enumerate(_lines(begun + value, max(console.width - room, 1))):
        grey = len(begun) if number == 0 else 0
        shown = Text(" " * room).append(one[:grey], style="dim").append(one[grey:], style=style)
        shown.rstrip()
        console.print(shown, soft_wrap=True)


def _put(console: Console, shown: RenderableType) -> None:
    """Prints; into a file or pipe without the spaces that pad a line to its width."""
    if console.is_terminal:
        console.print(shown)
        return
    with console.capture() as caught:
        console.print(shown)
    console.file.write("".join(f"{one.rstrip()}\n" for one in caught.get().splitlines()))


def _blocks(
    console: Console, columns: Sequence[str], cells: Sequence[Sequence[str]], *, numbered: bool
) -> None:
    """One block a row: the first cell, then the others under it with their names."""
    for row in cells:
        first = f"{columns[0]} {row[0]}" if numbered else row[0]
        _paragraph(first, STYLES.get(row[0], "bold"), console=console)
        for name, value in zip(columns[1:], row[1:], strict=False):
            if value:
                style = STYLES.get(value, "default")
                _paragraph(value, style, console=console, name=name, room=2)


def facts(pairs: Sequence[tuple[str, Any]]) -> None:
    """Names and values, a line each; where a word is too long for the place beside the names, its value
    stands behind its own name."""
    console = out()
    shown = [(clean(name), clean(value)) for name, value in pairs]
    wide = max((cell_len(name) for name, _ in shown), default=0) + 2
    for name, value in shown:
        if console.width < NARROW or _longest(value) > console.width - wide:
            _paragraph(value, "default", console=console, name=name)
            continue
        for number, one in enumerate(_lines(value, console.width - wide)):
            head = "" if number else name
            said = Text(head + " " * (wide - cell_len(head)), style="dim")
            said.append(one, style="default").rstrip()
            console.print(said, soft_wrap=True)


def may(answer: Mapping[str, Any]) -> tuple[str, str]:
    """A use of `core.licence` as a question, and whether it is granted, with the reason where it is not."""
    said = {"conditions": "yes, with conditions", "unsettled": "not settled"}
    given = str(answer["answer"])
    why = answer["why"] if given not in ("yes", "conditions") else ""
    words = [said.get(given, given), why, *answer["conditions"]]
    return f"{ASKED[answer['use']]}?", "; ".join(w for w in words if w)
