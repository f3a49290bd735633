"""The README of a pack: what `pack.json` says, for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def text(values: Mapping[str, Any]) -> str:
    """Markdown from the plain values of a pack; their text is escaped, so that it stays text."""
    source = values["base"]["source"]
    parts = [
        f"# {_line(values['card'].get('title', 'A headstart pack'))}",
        *(_section(key, value) for key, value in values["card"].items() if key != "title"),
        "## What it stands on",
        "The base is not part of this pack; it is fetched by name and must have this digest.",
        _table(
            {
                "source": source.get("uri", "unknown"),
                "revision": source.get("revision", "unknown"),
                "digest": values["base"]["digest"],
                "trained on": source.get("trained_on", "unknown"),
                "paper": source.get("paper", "unknown"),
            }
        ),
        "## Licences",
        _rows(values["licences"]) or "None is recorded.",
        "## How it was made",
        _table({"outcome": values["outcome"], **values["recipe"]}),
        f"Written by headstart {values['headstart']}. Every file is checked against `pack.json` when "
        "the pack is loaded; nothing in it is a pickle.",
    ]
    return "\n\n".join(parts) + "\n"


def _section(key: str, value: Any) -> str:
    title = f"## {_line(key.replace('_', ' ').capitalize())}"
    if isinstance(value, Mapping):
        body = _table(value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        body = "\n".join(f"- {_line(item)}" for item in value) or "None."
    else:
        body = _line(value)
    return f"{title}\n\n{body}"


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"| {_line(key)} | {_line(value)} |" for key, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        f"- {'; '.join(f'{_line(k)}: {_line(v)}' for k, v in row.items())}" for row in rows
    )


def _line(value: Any) -> str:
    """One line of text, in which Markdown and HTML mean nothing."""
    flat = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", flat)
