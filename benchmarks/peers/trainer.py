"""transformers' Trainer on texts: everything, the head alone ("frozen"), or PEFT's LoRA ("lora").

Rates: the Trainer's own default for everything; 1e-3 with rank 8, alpha 32, dropout 0.1 and weight decay
0.01 for LoRA as in PEFT's quick tour; 1e-3 for the head alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

from benchmarks.peers._arm import Predict, Task

NEEDS = {
    "text": (
        "torch",
        "transformers.models.bert.modeling_bert",
        "peft",
        "accelerate",
        "transformers.trainer",
    )
}
RATES = {"full": 5e-5, "frozen": 1e-3, "lora": 1e-3}
BATCH, LONGEST = 16, 256


def learn(task: Task, what: str) -> Predict:
    import transformers
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer

    transformers.set_seed(task.seed)
    tokenizer = AutoTokenizer.from_pretrained(task.weights)
    model = AutoModelForSequenceClassification.from_pretrained(
        task.weights, num_labels=task.classes
    )
    if what == "frozen":
        model.base_model.requires_grad_(False)
    if what == "lora":
        from peft import LoraConfig, TaskType, get_peft_model

        chosen = LoraConfig(task_type=TaskType.SEQ_CLS, r=8, lora_alpha=32, lora_dropout=0.1)
        model = get_peft_model(model, chosen)

    def rows(cells: Sequence[str], labels: Sequence[int]) -> list[dict[str, Any]]:
        read = tokenizer(list(cells), truncation=True, max_length=LONGEST)
        return [
            {**{name: read[name][k] for name in read}, "labels": label}
            for k, label in enumerate(labels)
        ]

    with tempfile.TemporaryDirectory() as folder:
        settings = transformers.TrainingArguments(
            output_dir=folder,
            num_train_epochs=task.epochs,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=64,
            learning_rate=RATES[what],
            weight_decay=0.01 if what == "lora" else 0.0,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            seed=task.seed,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(
            model=model,
            args=settings,
            train_dataset=rows(task.train, task.labels),
            processing_class=tokenizer,
        )
        trainer.train()

    def predict(cells: Sequence[str]) -> list[int]:
        said = trainer.predict(rows(cells, [0] * len(cells))).predictions
        return said.argmax(1).tolist()  # type: ignore[no-any-return]

    return predict
