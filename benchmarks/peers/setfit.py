"""SetFit at its defaults: pairs of rows, then a logistic regression on the tuned features."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

from benchmarks.peers._arm import Predict, Task

NEEDS = {
    "text": (
        "torch",
        "transformers.models.bert.modeling_bert",
        "sentence_transformers",
        "datasets",
        "setfit",
    )
}


def learn(task: Task, what: str) -> Predict:
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(task.weights)
    rows = Dataset.from_dict({"text": task.train, "label": task.labels})
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            num_iterations=20,
            num_epochs=1,
            batch_size=16,
            save_strategy="no",
            report_to="none",
            seed=task.seed,
        )
        Trainer(model=model, args=settings, train_dataset=rows).train()

    def predict(cells: Sequence[str]) -> list[int]:
        return [int(label) for label in model.predict(list(cells))]

    return predict
