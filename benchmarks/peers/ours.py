"""headstart's estimator; `what` is the strategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers._arm import Predict, Task

NEEDS = {
    "text": ("torch", "transformers.models.bert.modeling_bert", "headstart.estimators"),
    "image": ("torch", "timm", "headstart.estimators"),
}


def learn(task: Task, what: str) -> Predict:
    from headstart import TransferClassifier

    def cells(given: Sequence[str]) -> list[Any]:
        return list(given) if task.kind == "text" else [Path(p).read_bytes() for p in given]

    model = TransferClassifier(source=task.source, strategy=what, random_state=task.seed)
    model.fit(cells(task.train), task.labels)
    return lambda given: model.predict(cells(given)).tolist()
