"""fastai's `fine_tune` on pictures: one epoch of the head, then all, at its default rates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers._arm import Predict, Task
from benchmarks.peers.by_hand import network

NEEDS = {"image": ("torch", "timm", "fastai.vision.all")}


def learn(task: Task, what: str) -> Predict:
    from fastai.vision.all import (
        CategoryBlock,
        CrossEntropyLossFlat,
        DataBlock,
        ImageBlock,
        Normalize,
        Resize,
        accuracy,
        aug_transforms,
        set_seed,
        vision_learner,
    )

    set_seed(task.seed)
    known = dict(zip(task.train, task.labels, strict=True))
    half = ([0.5] * 3, [0.5] * 3)
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=list(range(task.classes)))),
        get_items=lambda _: list(task.train),
        get_y=lambda place: known[place],
        splitter=lambda items: (list(range(len(items))), []),
        item_tfms=Resize(task.side),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*half, cuda=False)],
    )
    loaders = block.dataloaders(Path("."), bs=32, num_workers=0, device="cpu")
    learner = vision_learner(
        loaders,
        "mobilenetv2_100",
        pretrained=False,
        normalize=False,
        n_out=task.classes,
        loss_func=CrossEntropyLossFlat(),
        metrics=accuracy,
        pad_type="same",
    )
    _placed(learner.model[0], Path(task.weights))
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(task.epochs)

    def predict(cells: Sequence[str]) -> list[int]:
        read = learner.dls.test_dl(list(cells), bs=64, num_workers=0)
        with learner.no_bar():
            said: Any = learner.get_preds(dl=read)[0]
        return said.argmax(1).tolist()  # type: ignore[no-any-return]

    return predict


def _placed(body: Any, weights: Path) -> None:
    """The source's tensors in fastai's body, which has no classifier."""
    inside = getattr(body, "model", body)
    whole = network(weights, 1000).state_dict()
    lost = inside.load_state_dict(whole, strict=False).missing_keys
    if lost:
        raise SystemExit(f"fastai's body has other names than the weights: {', '.join(lost[:3])}.")
