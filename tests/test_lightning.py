"""A strategy's phases in Lightning's Trainer: what is frozen stays, rates follow, a killed fit resumes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import headstart as hs
from headstart.errors import PlanError
from headstart.modalities.text import tiny

try:
    import lightning.pytorch as pl
except ModuleNotFoundError:
    pl = pytest.importorskip("pytorch_lightning", reason="Lightning's Trainer is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")


def net(classes: int = 0) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(
        "resnet10t", num_classes=classes, channels=[8, 8, 16, 32], stem_width=8
    )


class Pictures(pl.LightningModule):
    """A network of timm and a head, apart or inside the network."""

    def __init__(self, inside: bool = False) -> None:
        super().__init__()
        self.model = net(3 if inside else 0)
        self.head = nn.Identity() if inside else nn.Linear(self.model.num_features, 3)
        self.scale = nn.Parameter(torch.ones(()))  # neither backbone nor head
        self.losses: list[float] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.model(pixels)) * self.scale

    def training_step(self, batch: Any, number: int) -> torch.Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.losses.append(float(loss))
        return loss

    def validation_step(self, batch: Any, number: int) -> None:
        self(batch[0])

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def loader(**more: Any) -> DataLoader[Any]:
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(24) % 3
    pixels = torch.randn(24, 3, 32, 32, generator=draw) + labels[:, None, None, None]
    return DataLoader(TensorDataset(pixels, labels), batch_size=8, **more)


def trainer(place: Path, *callbacks: Any, **more: Any) -> Any:
    return pl.Trainer(
        default_root_dir=place,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **more,
    )


class Seen(pl.Callback):
    """Tensors and rates at the end of every epoch."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []
        self.rates: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.states.append({n: t.clone() for n, t in pl_module.state_dict().items()})
        names = {id(p): n for n, p in pl_module.named_parameters()}
        groups = trainer.optimizers[0].param_groups
        self.rates.append({names[id(p)]: g["lr"] for g in groups for p in g["params"]})


def differing(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> set[str]:
    return {n for n in first if not torch.equal(first[n], second[n])}


@pytest.mark.parametrize("inside", [False, True])
def test_stages_are_freed_from_the_top_and_nothing_else_moves(tmp_path: Path, inside: bool) -> None:
    """Validation after every epoch puts modules into other modes; batch-norm statistics stay all the same."""
    module, seen = Pictures(inside), Seen()
    head = "model.fc" if inside else "head"
    settings = {"groups": 2, "each": 1, "epochs": 2, "rate": 1e-3}
    callback = hs.StrategyCallback("gradual_unfreeze", settings, head=head)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    trainer(tmp_path, callback, seen, max_epochs=10).fit(module, loader(), loader())
    assert len(seen.states) == 3, "the Trainer stops after the last phase"
    low = {n for n in before if n.startswith(("model.conv1", "model.bn1", "model.layer1"))}
    first = differing(before, seen.states[0])
    assert not first & low
    assert {f"{head}.weight", "model.layer4.0.conv1.weight", "scale"} <= first
    assert not {
        n for n in differing(before, seen.states[-1]) if "running_" in n or "num_batches" in n
    }
    assert "model.conv1.0.weight" in differing(before, seen.states[-1])
    rates = seen.rates[-1]
    assert (
        rates["model.conv1.0.weight"]
        < rates["model.layer4.0.conv1.weight"]
        < rates[f"{head}.weight"]
    )
    assert rates["scale"] == 1e-3, "what is neither backbone nor head keeps its own rate"
    assert not callback.notes


def test_the_head_is_solved_before_the_first_step(tmp_path: Path) -> None:
    solved, plain = Pictures(), Pictures()
    callback = hs.StrategyCallback("fine_tune", {"epochs": 1})
    trainer(tmp_path, callback, max_epochs=1).fit(solved, loader())
    assert solved.losses[0] < 0.3, (
        "three shifted colours are told apart by the source's own features"
    )
    slow = hs.StrategyCallback("fine_tune", {"epochs": 1}, solve_seconds=0.0)
    trainer(tmp_path, slow, max_epochs=1).fit(plain, loader())
    assert plain.losses[0] > 0.3 and "solve_seconds" in slow.notes[0]


def test_lora_moves_nothing_but_what_it_wraps_and_leaves_a_plain_module(tmp_path: Path) -> None:
    module = Pictures(inside=True)
    before, names = copy.deepcopy(module.state_dict()), list(module.state_dict())
    callback = hs.StrategyCallback(
        "lora",
        {"epochs": 1, "rank": 2, "rate": 0.01, "modules": "downsample|conv1"},
        head="model.fc",
    )
    trainer(tmp_path, callback, max_epochs=1).fit(module, loader())
    assert list(module.state_dict()) == names
    moved = differing(before, module.state_dict())
    assert {
        "model.conv1.0.weight",
        "model.layer4.0.downsample.1.weight",
        "model.fc.weight",
    } <= moved
    assert not {n for n in moved if "bn" in n}


@pytest.mark.parametrize("name", ["l2_sp", "bss"])
def test_penalties_are_those_of_the_strategy(name: str, tmp_path: Path) -> None:
    """A strong penalty has its effect: weights stay near the source, small singular values shrink."""

    def fitted(strength: float) -> tuple[float, float]:
        module = Pictures()
        start = {n: p.detach().clone() for n, p in module.model.named_parameters()}
        settings = {"alpha": strength} if name == "l2_sp" else {"weight": strength}
        asked = {"epochs": 3, "rate": 1e-3, "augment": False, **settings}
        callback = hs.StrategyCallback(name, asked)
        trainer(tmp_path, callback, max_epochs=3).fit(module, loader(drop_last=True))
        moved = sum(
            float((p - start[n]).square().sum()) for n, p in module.model.named_parameters()
        )
        with torch.no_grad():
            features = module.eval().model(next(iter(loader()))[0])
        return moved, float(torch.linalg.svdvals(features)[-1])

    weak, strong = fitted(0.0), fitted(100.0)
    assert strong[name == "bss"] < weak[name == "bss"]


class Stop(pl.Callback):
    """Saves a checkpoint after some epochs and ends the fit as a kill would."""

    def __init__(self, path: Path, epochs: int) -> None:
        self.path, self.epochs = path, epochs

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch + 1 == self.epochs:
            trainer.save_checkpoint(self.path)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, number: int) -> None:
        if trainer.current_epoch == self.epochs:
            raise RuntimeError("killed")


@pytest.mark.parametrize("name", ["gradual_unfreeze", "lora", "l2_sp"])
def test_a_killed_fit_resumes_to_the_same_weights(name: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 3, "rate": 1e-3}
    settings |= {"gradual_unfreeze": {"groups": 2, "epochs": 2}, "lora": {"dropout": 0.0}}.get(
        name, {}
    )

    def callback() -> Any:
        torch.manual_seed(5)
        return hs.StrategyCallback(name, settings)

    whole, part, again = Pictures(), Pictures(), Pictures()
    trainer(tmp_path, callback(), max_epochs=3).fit(whole, loader())
    place = tmp_path / "kept.ckpt"
    with pytest.raises(RuntimeError, match="killed"):
        trainer(tmp_path, callback(), Stop(place, 2), max_epochs=3).fit(part, loader())
    trainer(tmp_path, callback(), max_epochs=3).fit(
        again, loader(), ckpt_path=place, weights_only=False
    )
    for key, tensor in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], tensor, atol=1e-6, rtol=1e-5)
    if name == "lora":  # its tensors have names of their own, which Lightning misses first
        return
    other = hs.StrategyCallback("bitfit")
    with pytest.raises(PlanError, match="written by the strategy"):
        trainer(tmp_path, other, max_epochs=30).fit(
            Pictures(), loader(), ckpt_path=place, weights_only=False
        )


class Texts(pl.LightningModule):
    """An encoder of transformers whose mean over tokens a head reads."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.head = tiny.loaded(0).module, nn.Linear(32, 2)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.model(input_ids).last_hidden_state.mean(1))

    def training_step(self, batch: Any, number: int) -> torch.Tensor:
        return F.cross_entropy(self(batch["input_ids"]), batch["labels"])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_an_encoder_of_transformers(tmp_path: Path) -> None:
    ids = torch.randint(5, 40, (16, 6), generator=torch.Generator().manual_seed(0))
    rows = [{"input_ids": row, "labels": torch.tensor(k % 2)} for k, row in enumerate(ids)]
    module = Texts()
    before = copy.deepcopy(module.state_dict())
    callback = hs.StrategyCallback("fine_tune", {"epochs": 1, "cut": -1})
    data: Any = DataLoader(rows, batch_size=8)  # type: ignore[arg-type]
    trainer(tmp_path, callback, max_epochs=1).fit(module, data)
    moved = differing(before, module.state_dict())
    assert moved and all(n.startswith(("head.", "model.encoder.layer.1.")) for n in moved)


def test_what_cannot_work_is_refused_before_training(tmp_path: Path) -> None:
    def refused(why: str, name: str = "fine_tune", module: Any = None, **more: Any) -> None:
        settings = more.pop("settings", {"epochs": 1} if name != "linear_probe" else {})
        parts = {k: more.pop(k) for k in ("head", "backbone") if k in more}
        used = Pictures() if module is None else module
        with pytest.raises(PlanError, match=why):
            data = more.pop("data", loader())
            callback = hs.StrategyCallback(name, settings, **parts)
            trainer(tmp_path, callback, **{"max_epochs": 1, **more}).fit(used, data)
        assert not used.losses

    refused("loss of its own", "delta")
    refused("modules of its own", "adapter")
    refused("trains nothing step by step", "linear_probe")
    refused("random weights", "from_scratch")
    refused("max_epochs is 1", settings={"epochs": 4})
    refused("drop_last=True", "bss")
    refused("no head 'haed'", head="haed")
    refused("head came as 'model', which holds the whole backbone", head="model")
    refused("'average' goes with any strategy in headstart.adapt", settings={"average": "ema"})
    refused("reads 'previous' rows .* use l2_sp or fine_tune", "replay")
    refused("classifier of its own, 'fc'", module=Pictures(inside=True))
    refused("of torch", backbone="head", head="model.fc")
    scheduled = Pictures()
    made = torch.optim.AdamW(scheduled.parameters())
    schedule = torch.optim.lr_scheduler.ConstantLR(made)
    scheduled.configure_optimizers = lambda: ([made], [schedule])  # type: ignore[method-assign]
    refused("no schedule", module=scheduled)
