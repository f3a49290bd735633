"""timm's own way of training pictures: its network, loader, optimizer, schedule and loss from its factories.

Settings are the defaults of its `train.py`, which is not in the wheel: SGD with momentum 0.9 and weight decay
2e-5 at 0.1 for 256 rows, in proportion to the batch; a cosine, with one epoch of warm-up as epochs are few;
labels smoothed by 0.1; random crops, flips and colour jitter 0.4. All weights train.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers._arm import Predict, Task
from benchmarks.peers.by_hand import network

NEEDS = {"image": ("torch", "timm", "PIL")}
BATCH = 32
HALF = (0.5, 0.5, 0.5)


def learn(task: Task, what: str) -> Predict:
    import numpy as np
    import torch
    from PIL import Image
    from timm.data import create_transform
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    torch.manual_seed(task.seed)
    random.seed(task.seed)
    np.random.seed(task.seed)
    size = (3, task.side, task.side)
    usual = {"mean": HALF, "std": HALF, "interpolation": "bicubic"}
    varied: Any = create_transform(size, is_training=True, color_jitter=0.4, **usual)
    plain: Any = create_transform(size, crop_pct=1.0, **usual)

    class Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(task.train)

        def __getitem__(self, place: int) -> Any:
            return varied(Image.open(task.train[place]).convert("RGB")), task.labels[place]

    model = network(Path(task.weights), task.classes)
    rate = 0.1 * BATCH / 256
    optimizer = create_optimizer_v2(model, opt="sgd", lr=rate, weight_decay=2e-5, momentum=0.9)
    loader = torch.utils.data.DataLoader(
        Pictures(), BATCH, shuffle=True, drop_last=len(task.train) > BATCH
    )
    schedule, epochs = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=task.epochs,
        warmup_epochs=1,
        warmup_lr=1e-5,
        updates_per_epoch=len(loader),
    )
    loss = LabelSmoothingCrossEntropy(0.1)
    model.train()
    for epoch in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss(model(inputs), labels).backward()
            optimizer.step()
        schedule.step(epoch + 1)
    model.eval()

    def predict(cells: Sequence[str]) -> list[int]:
        said: list[int] = []
        with torch.no_grad():
            for begin in range(0, len(cells), 64):
                some = [plain(Image.open(p).convert("RGB")) for p in cells[begin : begin + 64]]
                said += model(torch.stack(some)).argmax(1).tolist()
        return said

    return predict
