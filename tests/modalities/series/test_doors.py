"""From each form of data to a model and back: lists, wide and long tables, arrays, archive files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.modalities.series import tiny

ROWS, STEPS = 24, 32
ALONE: Mapping[str, Any] = {
    "seeds": 1,
    "strategy": "linear_probe",
    "scratch": False,
    "champion": False,
    "learning_curve": False,
}


def waves(seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """(ROWS, STEPS) with two forms, and their names."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 3, STEPS)[None] + rng.uniform(size=(ROWS, 1))
    names = [("saw", "square")[row % 2] for row in range(ROWS)]
    made = np.stack([tiny.wave(name, one) for name, one in zip(names, time, strict=True)])
    return made + 0.05 * rng.normal(size=made.shape), names


def wide(folder: Path, values: np.ndarray, names: list[str] | None) -> Path:
    path = folder / "wide.csv"
    head = [f"t{i}" for i in range(STEPS)] + (["label"] if names else [])
    lines = [
        [*(f"{v:.4f}" for v in row), *([names[i]] if names else [])] for i, row in enumerate(values)
    ]
    path.write_text("\n".join(",".join(line) for line in [head, *lines]))
    return path


def long(folder: Path, values: np.ndarray, names: list[str] | None) -> Path:
    path = folder / "long.csv"
    lines = ["id,minute,load" + (",label" if names else "")]
    for step in reversed(range(STEPS)):
        for row in range(len(values)):
            label = f",{names[row]}" if names else ""
            lines.append(f"r{row},{step},{values[row, step]:.4f}{label}")
    path.write_text("\n".join(lines))
    return path


def archive(folder: Path, values: np.ndarray, names: list[str] | None) -> Path:
    path = folder / "waves.ts"
    lines = [",".join(f"{v:.4f}" for v in row) for row in values]
    if names:
        lines = [f"{line}:{name}" for line, name in zip(lines, names, strict=True)]
    head = f"@classlabel {'true saw square' if names else 'false'}\n@data\n"
    path.write_text(head + "\n".join(lines))
    return path


FORMS: Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]] = {
    "wide": (wide, {"modality": "series"}),
    "long": (long, {"modality": "series", "columns": {"sample": "id", "order": "minute"}}),
    "archive": (archive, {}),
    "array": (lambda folder, values, names: values, {"modality": "series"}),
    "unequal": (
        lambda folder, values, names: [v[: STEPS - i % 5] for i, v in enumerate(values)],
        {},
    ),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_what_was_learned_from_a_form_predicts_that_form(tmp_path: Path, form: str) -> None:
    make, asked = FORMS[form]
    values, names = waves()
    data = make(tmp_path, values, names)
    targets = None if isinstance(data, Path) else names
    run = hs.adapt(data, targets, output=str(tmp_path / "runs"), **asked, **ALONE)
    score = next(m for m in run.record.finding("accuracy").measures if m.name == "accuracy")
    assert score.value == 1.0
    new, expected = waves(seed=1)
    said = run.predict(make(tmp_path, new, None))
    assert said.labels == expected
    if form == "long":
        assert said.names[3] == "r3"
