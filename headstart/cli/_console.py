"""What goes to the terminal: plain when piped, readable when narrow, one JSON document when asked.

Results go to stdout; progress, remarks and errors to stderr. Every text that comes from data (names of
files, classes, errors) is cleaned of control characters first, so that it cannot steer the terminal.
"""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
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
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # direction of text
NARROW = 62


def steady() -> None:
    """Streams that never fail on a character which the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def out() -> Console:
    """The console of results."""
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def err() -> Console:
    """The console of progress, remarks and errors."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def clean(value: Any) -> str:
    """Text without control characters (but for line ends), and without marks that turn its direction."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _steers(c) else c for c in str(value))


def _steers(character: str) -> bool:
    if character in "\n\t":
        return False
    return unicodedata.category(character) in ("Cc", "Cs") or character in TURNING


def say(value: Any = "", style: str = "") -> None:
    """One paragraph on stdout."""
    _put(out(), Text(clean(value), style=style))


def line(value: Any) -> None:
    """One line on stdout, never wrapped: paths and commands that will be copied."""
    out().print(Text(clean(value)), soft_wrap=True)


def remark(value: Any) -> None:
    """One paragraph on stderr."""
    _put(err(), Text(clean(value)))


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
    _put(console, Text(text.prose(clean(sentence))))


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], figures: Sequence[int] = ()
) -> None:
    """A table; on a narrow terminal one block a row. `figures`: columns set flush right."""
    console = out()
    cells = [[clean(v) for v in row] for row in rows]
    widths = [
        max((len(row[j]) for row in [columns, *cells]), default=0) for j in range(len(columns))
    ]
    tight = sum(widths) + 2 * len(columns) > console.width
    if tight and console.width < NARROW:
        _blocks(console, columns, cells)
        return
    grid = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False
    )
    for j, name in enumerate(columns):
        right = j in figures
        whole = right or (j == 0 and 2 * widths[0] <= console.width)  # a name that is copied
        grid.add_column(name, justify="right" if right else "left", no_wrap=whole, overflow="fold")
    for row in cells:
        grid.add_row(*(Text(v, style=STYLES.get(v, "")) for v in row))
    _put(console, grid)


def _put(console: Console, shown: RenderableType) -> None:
    """Prints; into a file or pipe without the spaces that pad a line to its width."""
    if console.is_terminal:
        console.print(shown)
        return
    with console.capture() as caught:
        console.print(shown)
    console.file.write("".join(f"{one.rstrip()}\n" for one in caught.get().splitlines()))


def _blocks(console: Console, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """One block a row: the first cell, then the others under it with their names."""
    for row in cells:
        console.print(Text(row[0], style=STYLES.get(row[0], "bold")))
        for name, value in zip(columns[1:], row[1:], strict=False):
            if value:
                said = Text(f"{name}: " if name else "", style="dim")
                said.append(value, style=STYLES.get(value, "default"))
                _put(console, Padding(said, (0, 0, 0, 2)))


def facts(pairs: Sequence[tuple[str, Any]]) -> None:
    """Names and values, a line each."""
    console = out()
    shown = [(clean(name), clean(value)) for name, value in pairs]
    wide = max((len(name) for name, _ in shown), default=0)
    if console.width < NARROW:
        for name, value in shown:
            console.print(
                Text(f"{name}: ", style="dim").append(value, style="default"), soft_wrap=False
            )
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, min_width=wide)
    grid.add_column(overflow="fold")
    for name, value in shown:
        grid.add_row(Text(name), Text(value))
    _put(console, grid)
