"""The README of a pack: what `pack.json` says, for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.core.licence import Link, answers


def text(values: Mapping[str, Any]) -> str:
    """Markdown from the plain values of a pack; their text is escaped, so that it stays text."""
    source = values["base"]["source"]
    parts = [
        f"# {line(values['card'].get('title', 'A headstart pack'))}",
        *(_section(key, value) for key, value in values["card"].items() if key != "title"),
        "## What it stands on",
        "The base is not part of this pack; it is fetched by name and must have this digest.",
        table(
            {
                "source": source.get("uri", "unknown"),
                "revision": source.get("revision", "unknown"),
                "digest": values["base"]["digest"],
                "trained on": source.get("trained_on", "unknown"),
                "paper": source.get("paper", "unknown"),
            }
        ),
        "## Licences",
        licences(values["licences"]),
        "## How it was made",
        table({"outcome": values["outcome"], **values["recipe"]}),
        f"Written by headstart {values['headstart']}. Every file is checked against `pack.json` when "
        "the pack is loaded; nothing in it is a pickle.",
    ]
    return "\n\n".join(parts) + "\n"


def _section(key: str, value: Any) -> str:
    title = f"## {line(key.replace('_', ' ').capitalize())}"
    if isinstance(value, Mapping):
        body = table(value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        body = "\n".join(f"- {line(item)}" for item in value) or "None."
    else:
        body = line(value)
    return f"{title}\n\n{body}"


def table(values: Mapping[str, Any]) -> str:
    """Two columns, a line an entry."""
    rows = [f"| {line(key)} | {line(value)} |" for key, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def licences(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the model was made of, and what that allows. Unknown terms allow nothing."""
    if not rows:
        return "None is recorded."
    links = [Link(**{**row, "parents": tuple(row.get("parents", ()))}) for row in rows]
    made = [
        f"- {line(k.what)} ({k.kind}): {line(k.licence)}; origin: {line(k.origin)}" for k in links
    ]
    for one in answers(links):
        told = [
            f"may it be put to {one.use} use"
            if one.use == "commercial"
            else f"may one {one.use} it"
        ]
        told += [one.answer, *([line(one.why)] if one.why else []), *map(line, one.conditions)]
        made.append(f"- {told[0].capitalize()}? {'; '.join(told[1:])}")
    return "\n".join(made)


def line(value: Any) -> str:
    """One line of text, in which Markdown and HTML mean nothing."""
    flat = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", flat)
