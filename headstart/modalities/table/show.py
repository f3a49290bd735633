"""Rows as exhibits: names and values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from headstart.core.dataset import Field, Sample
from headstart.modalities.table import cells


def exhibit(sample: Sample, fields: Sequence[Field]) -> Mapping[str, str]:
    """{"kind": "pairs", "pairs": JSON list of [name, value]}, raw: the report escapes it."""
    pairs = [[f.name, _word(sample[f.name], f)] for f in fields]
    return {"kind": "pairs", "pairs": json.dumps(pairs, ensure_ascii=False)}


def _word(value: object, field: Field) -> str:
    if value is None:
        return "missing"
    if field.base == "date" and isinstance(value, float):
        return cells.written(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
