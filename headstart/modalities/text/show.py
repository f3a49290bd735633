"""Texts as exhibits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.core.dataset import Field, Sample
from headstart.modalities.text import read

LONGEST = 2000
"""Characters of a text that a report shows."""


def exhibit(sample: Sample, fields: Sequence[Field]) -> Mapping[str, Any]:
    """{"kind": "text", "text": ...}, raw: the report escapes it. More fields are named, one a line. Words
    that carry labels are {"kind": "units", "units": [...]}, a question and its text {"kind": "passage",
    "question", "text", "places"}."""
    if fields[0].kind == read.UNITS:
        return {"kind": "units", "units": read.words(sample[fields[0].name])}
    if fields[-1].kind == read.PASSAGE:
        question, text = (str(sample[f.name]) for f in fields)
        return {"kind": "passage", "question": question, "text": text, "places": read.places(text)}
    if len(fields) == 1:
        return {"kind": "text", "text": _short(str(sample[fields[0].name]))}
    lines = (f"{f.name}: {_short(str(sample[f.name]))}" for f in fields)
    return {"kind": "text", "text": "\n".join(lines)}


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text)} characters)"
