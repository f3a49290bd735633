"""Any strategy's phases on a `LightningModule`: `Trainer(callbacks=[headstart.StrategyCallback(...)])`.

The module keeps its `training_step`, its loss and its optimizer's kind; the callback says what is frozen,
moves from phase to phase by epochs, and sets the rates.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart import arms
from headstart.core import plugins
from headstart.core.common import beside
from headstart.core.plan import build
from headstart.core.strategy import Phase
from headstart.data import splits
from headstart.engine import attached
from headstart.engine.attached import Attached
from headstart.engine.freeze import evaluating
from headstart.errors import DataError, MissingExtra, PlanError
from headstart.foreign import Foreign
from headstart.heads import classify, tag


def _library() -> Any:
    """Lightning under the name by which it is in use, or installed; None where it is not."""
    names = ("lightning.pytorch", "pytorch_lightning")
    for name in sorted(names, key=lambda one: one not in sys.modules):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    return None


library = _library()
_Base: Any = library.Callback if library is not None else object

FOLDS = 5
Reader = Callable[[Any], tuple[Any, torch.Tensor]]


def pair(batch: Any) -> tuple[Any, torch.Tensor]:
    """(inputs, targets) of a batch: a pair, or a mapping with "labels" and what the module is called with.

    Raises:
        DataError: it is neither.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and isinstance(batch[1], torch.Tensor):
        return batch[0], batch[1]
    if isinstance(batch, Mapping) and isinstance(batch.get("labels"), torch.Tensor):
        return {k: v for k, v in batch.items() if k != "labels"}, batch["labels"]
    raise DataError(
        f"A batch came as {type(batch).__name__}; expected a pair (inputs, targets), or a mapping "
        "with 'labels'. Say "
        "how it is read: StrategyCallback(read=...)."
    )


class StrategyCallback(_Base):  # type: ignore[misc]
    """Carries out a strategy's phases on a `LightningModule`.

    What a phase does not name is frozen to the bit, batch-norm statistics too, and kept in eval mode; it is
    compared when the phase ends. The optimizer's groups are made anew, its rates are the strategy's;
    parameters beside backbone and head keep their groups and rates. Patience, averages and augmentation are
    the Trainer's and the data's.

    Args:
        strategy: a name of `headstart/strategies`.
        settings: its settings ("epochs", "rate", "cut" ...).
        backbone: dotted name of the network of timm, torchvision or transformers in the module.
        head: dotted name of what reads its features; it may lie inside the backbone.
        read: batch -> (inputs, targets) as the module is called, for the solved head; by default a pair, or
            a mapping with "labels".
        solve_seconds: solving the head is left out, with a sentence, where one pass over the training
            batches is predicted to take longer.

    Attributes:
        notes: sentences on what was done or left out.

    Raises:
        PlanError: before training, with the reason: the strategy cannot work here, or the Trainer is set
            otherwise.
        FrozenDrift: something frozen has changed.
        MissingExtra: Lightning is not installed.
    """

    def __init__(
        self,
        strategy: str = "gradual_unfreeze",
        settings: Mapping[str, Any] | None = None,
        *,
        backbone: str = "model",
        head: str = "head",
        read: Reader = pair,
        solve_seconds: float = 120.0,
    ) -> None:
        if library is None:
            raise MissingExtra(
                "headstart.StrategyCallback needs Lightning's Trainer, which is not installed. Install it "
                "with: pip install 'headstart[lightning]'"
            )
        super().__init__()
        self.name, self.backbone, self.head = strategy, backbone, head
        self.read, self.solve_seconds = read, solve_seconds
        file: Any = plugins.load("strategy", strategy)
        self._file = file
        _ours(settings or {}, strategy, file)
        self.settings = build(file.Settings, dict(settings or {}), f"{strategy}.")
        self.notes: list[str] = []
        self._foreign: Foreign | None = None
        self._work: Attached | None = None
        self._handle: Any = None
        self._solved: list[str] = []
        self._own: Mapping[str, Any] = {}
        self._steps = 0

    @property
    def work(self) -> Attached:
        """The strategy on the module's network; while a fit runs."""
        if self._work is None:
            raise PlanError("The callback works while Trainer.fit runs.")
        return self._work

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Stages the backbone, refuses what cannot be done, and wraps what the strategy wraps."""
        if stage != "fit":
            return
        self._foreign = Foreign(pl_module, self.backbone, self.head)
        self._work = Attached(self._foreign.network, self._file.Strategy(self.settings))
        why = self._refused() or _trainer(trainer, pl_module, self._work)
        if why:
            raise PlanError(
                f"The strategy '{self.name}' cannot be used with Lightning here: {why}."
            )
        self._work.prepare()
        self._foreign.sync()
        self._handle = self._work.watch(
            self._foreign.head, lambda: 1.0 / max(1, int(trainer.accumulate_grad_batches))
        )
        _epochs(trainer, self._work)

    def _refused(self) -> str:
        """Why the strategy cannot work here, or ""."""
        work = self.work
        if work.strategy.from_random:
            return "it wants random weights, and the module has its own; train without the callback"
        why = attached.refuse(work.strategy, work.network)
        if why:
            return why
        if all(phase.solved for phase in work.strategy.phases(work.network)):
            return "it trains nothing step by step; use headstart.adapt, or fine_tune"
        return ""

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Makes the optimizer's groups anew, before a checkpoint fills them."""
        if len(trainer.optimizers) != 1 or trainer.lr_scheduler_configs:
            raise PlanError(
                f"The module has {len(trainer.optimizers)} optimizers and "
                f"{len(trainer.lr_scheduler_configs)} schedules "
                "of rates; expected one optimizer and no schedule, as the strategy sets the rates. Change "
                "configure_optimizers."
            )
        self.work.regroup(trainer.optimizers[0])
        if self._own:
            self.work.strategy.load_state_dict(self._own)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Enters the phase of this epoch; solved phases right before it come first."""
        phase, _ = self.work.at(trainer.current_epoch)
        if phase is self.work.phase:
            return
        _whole(trainer, phase)
        self.work.leave()
        for solved in self.work.before(phase):
            if solved.name not in self._solved:
                self.work.enter(solved)
                self._settle(trainer, pl_module)
                self._solved.append(solved.name)
        self.work.enter(phase)
        self._steps = trainer.global_step

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Sets modes, which validation changed, and rates."""
        phase, epoch = self.work.at(trainer.current_epoch)
        steps = trainer.num_training_batches
        if not math.isfinite(steps):
            raise PlanError(
                "The training batches have no end, so rates cannot follow them. Set limit_train_batches."
            )
        groups = trainer.optimizers[0].param_groups
        self.work.step(groups, (epoch * steps + batch_idx) / max(1, phase.epochs * steps))
        if self._foreign is not None:
            self._foreign.sync()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Adds penalties on weights."""
        self.work.penalise()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tells the strategy of every step of the optimizer."""
        if trainer.global_step > self._steps:
            self._steps = trainer.global_step
            phase, epoch = self.work.at(trainer.current_epoch)
            share = (batch_idx + 1) / max(1, trainer.num_training_batches)
            self.work.strategy.after_step(self.work.network, (epoch + share) / phase.epochs)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Stops the Trainer after the last phase."""
        if trainer.current_epoch + 1 >= self.work.epochs:
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Compares what was frozen and merges what was wrapped: the module is plain again."""
        self.work.leave()
        self.work.strategy.finish(self.work.network)
        if self._foreign is not None:
            self._foreign.sync()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if self._work is not None:
            self._work.leave(exception)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if self._handle is not None:
            self._handle.remove()
        self._handle = None
        if stage == "fit" and self._work is not None:
            self._work.leave(RuntimeError("the fit was torn down"))
            self._solved, self._own = [], {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint of Lightning keeps: strategy, settings, solved phases, the strategy's own
        tensors."""
        own = self._work.strategy.state_dict() if self._work is not None else {}
        settings = dataclasses.asdict(self.settings)
        return {
            "strategy": self.name,
            "settings": settings,
            "solved": list(self._solved),
            "own": dict(own),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where a checkpoint was. Raises PlanError for one of another strategy or settings."""
        told = (state_dict["strategy"], state_dict["settings"])
        mine = (self.name, dataclasses.asdict(self.settings))
        if told != mine:
            raise PlanError(
                f"The checkpoint was written by the strategy {told[0]} with {told[1]}; the callback "
                f"has {mine[0]} with "
                f"{mine[1]}. Give it the same ones, or start without the checkpoint."
            )
        self._solved, self._own = list(state_dict["solved"]), state_dict["own"]

    def _note(self, sentence: str) -> None:
        self.notes.append(sentence)
        library.utilities.rank_zero_info(sentence)

    def _settle(self, trainer: Any, module: Any) -> None:
        """Solves the head on the features of the training batches, or says why not."""
        head = module.get_submodule(self.head)
        why = "it is no linear layer" if not isinstance(head, nn.Linear) else ""
        if not why:
            features, targets, why = self._features(trainer, module, head)
        if not why:
            why = _solve(head, features, targets)
        if why:
            self._note(f"The head was not solved before training: {why}. It goes on as it is.")

    def _features(self, trainer: Any, module: Any, head: nn.Module) -> tuple[Any, Any, str]:
        """What the head reads of all training batches, their targets, and why there are none."""
        kept: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        handle = head.register_forward_pre_hook(
            lambda _, given: kept.append(given[0].float().cpu().numpy())
        )
        loader, began = trainer.train_dataloader, time.perf_counter()
        try:
            with evaluating(self.work.network), torch.random.fork_rng(), torch.no_grad():
                for number, batch in enumerate(loader):
                    if number >= trainer.num_training_batches:
                        break
                    inputs, targets = self.read(trainer.strategy.batch_to_device(batch))
                    module(**inputs) if isinstance(inputs, Mapping) else module(inputs)
                    labels.append(targets.cpu().numpy())
                    longest = (
                        (time.perf_counter() - began) / (number + 1) * trainer.num_training_batches
                    )
                    if longest > self.solve_seconds:
                        return (
                            (),
                            (),
                            (
                                f"a pass over the training batches would take {longest:.0f} s, and "
                                f"{self.solve_seconds:g} s "
                                "are allowed (solve_seconds)"
                            ),
                        )
        except DataError as error:
            return (), (), str(error).rstrip(".")
        finally:
            handle.remove()
        if len(kept) != len(labels) or not kept or kept[0].ndim != 2:
            return (
                (),
                (),
                "the head does not read one row of features a sample in the module's forward pass",
            )
        return np.concatenate(kept), np.concatenate(labels), ""


def _solve(head: nn.Linear, features: np.ndarray, targets: np.ndarray) -> str:
    """Puts the solution of the convex problem into the head; returns why it could not."""
    outputs = head.out_features
    whole = np.issubdtype(targets.dtype, np.integer)
    ours: Any
    if whole and targets.ndim == 1 and outputs > 1 and len(np.unique(targets)) > 1:
        names = tuple(range(outputs))
        ours = classify.Head(head.in_features, classify.Classes(tuple(map(str, names)), names))
    elif (
        targets.shape == (len(features), outputs) and np.isin(targets, (0, 1)).all() and outputs > 1
    ):
        ours = tag.Head(head.in_features, tag.Tags(tuple(map(str, range(outputs)))))
        targets = targets.astype(np.float64)
    else:
        told = f"targets of {targets.dtype} {targets.shape} for {outputs} outputs"
        return f"{told} are neither classes nor tags"
    outcome = "classify" if whole and targets.ndim == 1 else "tag"
    raw = targets.tolist() if outcome == "classify" else list(map(tuple, targets.tolist()))
    try:
        parts = splits.folds(raw, FOLDS, 0, None, outcome).parts
        ours.settle(arms.solution(ours, features, targets, parts))
    except DataError as error:
        return str(error).rstrip(".")
    with torch.no_grad():
        head.weight.copy_(ours.linear.weight)
        if head.bias is not None:
            head.bias.copy_(ours.linear.bias)
    return ""


def _ours(settings: Mapping[str, Any], strategy: str, file: Any) -> None:
    """Refuses settings that headstart's own loop alone carries out. Raises PlanError."""
    shared = beside(file.Settings)
    found = [name for name in settings if name in shared]
    if found:
        own = sorted(field.name for field in dataclasses.fields(file.Settings))
        raise PlanError(
            f"'{found[0]}' goes with any strategy in headstart.adapt, but the Trainer's loop is not ours: "
            f"leave it out, and use what Lightning has for it. Known here, of {strategy}: "
            f"{', '.join(own)}."
        )


def _trainer(trainer: Any, module: Any, work: Attached) -> str:
    """Why the Trainer or the module are set so that phases cannot be carried out, or ""."""
    if trainer.world_size > 1:
        return (
            f"it was given {trainer.world_size} processes, and phases freeze parts that a wrapper would wait "
            "for; use one"
        )
    if not module.automatic_optimization:
        return "the module steps its optimizer itself; leave automatic_optimization on"
    if attached.reads(work.strategy) == attached.FEATURES and trainer.precision == "16-mixed":
        return "its penalties do not know the scale of float16 gradients; use 32-true or bf16-mixed"
    return ""


def _epochs(trainer: Any, work: Attached) -> None:
    """Raises PlanError where the Trainer ends before the phases do."""
    most = trainer.max_epochs
    if most is not None and 0 <= most < work.epochs and not trainer.fast_dev_run:
        told = ", ".join(f"{p.name} {p.epochs}" for p in work.trained)
        raise PlanError(
            f"The phases have {work.epochs} epochs in all ({told}), and max_epochs is {most}. Set "
            f"max_epochs={work.epochs} "
            "or more, or fewer epochs in the settings."
        )


def _whole(trainer: Any, phase: Phase) -> None:
    """Raises PlanError for a loader with a smaller last batch where the phase compares the rows of a
    batch."""
    if phase.whole and not getattr(trainer.train_dataloader, "drop_last", True):
        raise PlanError(
            "The strategy compares the rows of a batch, so all must be of one size. Make the "
            "training loader with "
            "drop_last=True."
        )
