"""The one training loop. A strategy says what, when and on which loss; this file says how.

Everything random is drawn from (seed, phase, epoch), so a training that was killed goes on from its last
checkpoint to the same weights.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import faults
from headstart.core.common import Common
from headstart.core.network import Network
from headstart.core.run import Step, Watcher
from headstart.core.strategy import Batch, Phase, Strategy
from headstart.engine import device as devices
from headstart.engine import guards, mixing, norms, optimized, reading
from headstart.engine import seed as seeds
from headstart.engine.averages import Average
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.freeze import evaluating, frozen
from headstart.engine.reading import features as features
from headstart.engine.reading import outputs as outputs
from headstart.engine.schedules import SCHEDULES
from headstart.engine.streams import Stream, counted, cycled, ordered
from headstart.engine.training import Trained as Trained
from headstart.engine.training import Training as Training
from headstart.engine.training import always as always
from headstart.errors import ContractError

SAVE_SECONDS = 5.0
FORMAT = 2  # of checkpoints; others are not gone on from
# A step of fewer forward operations is done sooner by one thread than shared out among several, and
# leaves a core to the thread that reads ahead.
SMALL_STEP = 2e9
# A training that another one set the pace for gives up after this share of its epochs, when its lowest
# validation loss is this many times the other's at that epoch (as in successive halving, Jamieson and
# Talwalkar 2016, arXiv:1502.07943, with a wide margin: slow starters shall not lose by it).
PACE_SHARE, PACE_FACTOR = 1 / 3, 1.5


Solve = Callable[[Network, Phase], None]


def small(costs: Sequence[float], batch: int) -> bool:
    """Whether a step of `batch` rows is done sooner by one thread."""
    return 0 < sum(costs) * batch < SMALL_STEP


def train(
    network: Network,
    strategy: Strategy,
    streams: Mapping[str, Stream],
    *,
    training: Training,
    validation: Stream | None = None,
    solve: Solve | None = None,
    checkpoint: Checkpoint | None = None,
    watcher: Watcher | None = None,
) -> Trained:
    """Carries out all phases of a strategy.

    Args:
        streams: at least "train"; what the strategy's `streams` name, and what of `optional` is there.
        validation: rows whose loss ends a phase early and whose best weights are taken; None: the last.
        solve: settles the heads in a solved phase (the caller has the stored features).
        checkpoint: where to resume from and to save to.

    Raises:
        ContractError: a stream that the strategy needs is missing, or a loss is not finite.
        FrozenDrift: something that a phase does not name has changed.
    """
    _supplied(strategy, network, streams)
    began = time.perf_counter()
    with seeds.seeded(training.seed, "prepare"):  # what a strategy draws for itself
        strategy.prepare(network, streams)
        strategy.weigh(network, streams)
    phases, done = strategy.phases(network), Trained()
    worker = Worker(network, strategy, streams, training, phases, watcher, checkpoint)
    first, progress = worker.resume(done)
    for number, phase in enumerate(phases):
        if number < first:
            continue
        faults.point("phase.before")
        if phase.solved:
            _settle(network, phase, solve, done=number == first and progress is not None)
        else:
            with frozen(network, phase), _threads(training):
                worker.run(number, phase, done, validation, progress if number == first else None)
        progress = None
        faults.point("phase.after")
    done.flops += sum(worker.anew(phase) for phase in phases if phase.solved)
    strategy.finish(network)
    if checkpoint is not None:
        checkpoint.drop()
    network.requires_grad_(False).eval()
    done.seconds += time.perf_counter() - began
    return done


def _supplied(strategy: Strategy, network: Network, streams: Mapping[str, Stream]) -> None:
    """Raises ContractError where a stream that the strategy needs is missing."""
    missing = strategy.lacks(network, streams)
    if missing:
        raise ContractError(f"The strategy needs the stream '{missing}', which was not supplied.")


def _settle(network: Network, phase: Phase, solve: Solve | None, *, done: bool) -> None:
    """A solved phase; `done`: it was, before the training was killed. Raises ContractError."""
    if solve is None:
        raise ContractError(f"The phase '{phase.name}' is solved, but no solver was supplied.")
    if not done:
        with frozen(network, phase):
            solve(network, phase)


@contextmanager
def _threads(training: Training) -> Iterator[None]:
    """One thread while a small network trains; afterwards as many as before."""
    before = torch.get_num_threads()
    if small(training.costs, training.batch):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Worker:
    """One optimizer over all groups of all phases, from the start: a resume finds what it left."""

    def __init__(
        self,
        network: Network,
        strategy: Strategy,
        streams: Mapping[str, Stream],
        training: Training,
        phases: Sequence[Phase],
        watcher: Watcher | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.network, self.strategy, self.streams = network, strategy, streams
        self.training, self.phases, self.watcher = training, phases, watcher
        self.checkpoint, self.saved_at = checkpoint, time.perf_counter()
        self.began, self.guard = self.saved_at, guards.Guard()
        self.average = Average(network, phases[0], Common(), 0)
        self.moving = sorted(
            {n for p in phases for g in p.groups for n in (*g.parameters, *g.buffers)}
        )
        trained = [p for p in phases if not p.solved]
        if not trained:
            return
        self.machine = devices.fabric(training.device)
        self.machine.to_device(strategy)
        self.optimizer = torch.optim.AdamW(
            optimized.groups(network, strategy, trained), lr=0.0, fused=True
        )
        self.network.requires_grad_(True)
        self.wrapped, self.stepper = self.machine.setup(network, self.optimizer)

    def resume(self, done: Trained) -> tuple[int, dict[str, Any] | None]:
        """Number of the phase to go on with, and the state inside it."""
        every = self.network.named_parameters()
        done.parameters = sum(p.numel() for name, p in every if name in self.moving)
        held = self.checkpoint.load() if self.checkpoint else None
        if held is None or held.get("format") != FORMAT:
            return 0, None
        self._put(held["tensors"])
        self.strategy.load_state_dict(held["strategy"])
        self.optimizer.load_state_dict(held["optimizer"])
        for name, value in held["done"].items():
            setattr(done, name, value)
        done.resumed = True
        return int(held["phase"]), held

    def _tensors(self) -> dict[str, Tensor]:
        every = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        return {n: every[n].detach().cpu().clone() for n in self.moving if n in every}

    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        every = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        with torch.no_grad():
            for name, tensor in tensors.items():
                every[name].copy_(tensor)

    def _save(self, number: int, inner: dict[str, Any], done: Trained, *, force: bool) -> None:
        now = time.perf_counter()
        if self.checkpoint is None or (not force and now - self.saved_at < SAVE_SECONDS):
            return
        kept = {
            k: getattr(done, k) for k in ("history", "best", "ended", "flops", "seconds", "notes")
        }
        kept["seconds"] += now - self.began
        state = {
            "format": FORMAT,
            "phase": number,
            "tensors": self._tensors(),
            "strategy": self.strategy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": kept,
            "average": self.average.state(),
            "guard": dataclasses.asdict(self.guard),
            **inner,
        }
        self.checkpoint.save(state)
        self.saved_at = now

    def run(
        self,
        number: int,
        phase: Phase,
        done: Trained,
        validation: Stream | None,
        held: dict[str, Any] | None,
    ) -> None:
        """All epochs of one trained phase; ends with the best weights when there is validation."""
        epochs = self.training.epochs.get(phase.name, phase.epochs)
        inner = self._begin(number, phase, epochs, done, held)
        reason = ""
        while not reason and inner["epoch"] < epochs:
            epoch = int(inner["epoch"])
            try:
                losses = self._epoch(phase, epoch, epochs, done)
                self.guard.epoch(guards.task(losses, self.network.heads))
            except guards.Diverged as cause:
                if self._restored(phase, inner, done, cause):
                    self._save(number, inner, done, force=True)
                    continue
            record = {"phase": phase.name, "epoch": epoch + 1, **losses}
            self.average.after_epoch(epoch)
            with self.average.inside():
                self._judge(phase, inner, record, done, validation)
            self._tell(record, done)
            done.history.append(record)
            inner["epoch"] = epoch + 1
            self._say(phase, epoch + 1, epochs, record)
            reason = self._ended(phase, done, epoch, epochs)
            if not reason:
                self._save(number, inner, done, force=False)
        done.ended[phase.name] = reason or self.average.end
        ran = int(inner["epoch"])
        if 0 < ran < epochs:  # whoever watches hears that this was the last one
            self._say(phase, ran, ran, done.history[-1])
        self.average.settle()
        if inner["good"]["epoch"]:
            self._put(inner["good"]["tensors"])
        done.best.setdefault(phase.name, ran)
        if reason != "behind":
            steps = self._steps(phase)[0]
            done.notes += guards.alarms(
                phase.name, done.of(phase.name), list(self.network.heads), steps
            )

    def _begin(
        self,
        number: int,
        phase: Phase,
        epochs: int,
        done: Trained,
        held: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """The state inside a phase: epochs done, lowest loss, the last good state; where it begins, or as it
        was."""
        self.average = Average(self.network, phase, self.strategy.common, epochs)
        self.guard = guards.Guard()
        if held is not None:
            self.average.load(held["average"])
            self.guard = guards.Guard(**held["guard"])
            return {key: held[key] for key in ("epoch", "lowest", "good")}
        inner = {"epoch": 0, "lowest": math.inf, "good": self._good(0)}
        self._save(number, inner, done, force=True)
        return inner

    def _good(self, epoch: int) -> dict[str, Any]:
        """Weights after an epoch, and what the strategy keeps beside them."""
        kept = copy.deepcopy(self.strategy.state_dict())
        return {"epoch": epoch, "tensors": self._tensors(), "strategy": kept}

    def _judge(
        self,
        phase: Phase,
        inner: dict[str, Any],
        record: dict[str, Any],
        done: Trained,
        validation: Stream | None,
    ) -> None:
        """Whether an epoch is the best so far, by validation."""
        if validation is None or phase.streams[0] != "train":
            return
        record["validation"] = loss = reading.loss(
            self.wrapped, self.strategy, validation, self.training.batch, self.read
        )
        if self.average.judged and loss < inner["lowest"]:
            inner.update(lowest=loss, good=self._good(record["epoch"]))
            done.best[phase.name] = record["epoch"]

    def _restored(
        self, phase: Phase, inner: dict[str, Any], done: Trained, cause: guards.Diverged
    ) -> bool:
        """Goes back to the last good state, at a lower rate; False where that was done often enough."""
        epoch, good = int(inner["epoch"]), inner["good"]
        if not self.guard.lowers(cause):
            return False
        self._put(good["tensors"])
        self.strategy.load_state_dict(good["strategy"])
        self.optimizer.state.clear()
        self.average.restart()
        inner["epoch"] = good["epoch"]
        while done.of(phase.name)[good["epoch"] :]:
            done.history.pop()
        rate = phase.rate * self.guard.factor
        self._note(guards.restored(phase.name, cause, epoch + 1, good["epoch"], rate), done)
        return True

    def _ended(self, phase: Phase, done: Trained, epoch: int, epochs: int) -> str:
        """Why a phase ends after an epoch, before it has had all, or ""."""
        if self._over(phase, done, epoch):
            return "patience"
        if self._behind(phase, done, epochs):
            return "behind"
        if done.flops >= self.training.most_flops and epoch + 1 < epochs:
            return "budget"
        return ""

    def _tell(self, record: dict[str, Any], done: Trained) -> None:
        """Measures of an epoch that the caller wants, and their sentences, each once."""
        with evaluating(self.network), torch.random.fork_rng():
            said = self.training.after_epoch(self.network, record)
        for sentence in said:
            self._note(sentence, done)

    def _note(self, sentence: str, done: Trained) -> None:
        if sentence not in done.notes:
            done.notes.append(sentence)
            if self.watcher is not None:
                self.watcher.say(sentence)

    def _over(self, phase: Phase, done: Trained, epoch: int) -> bool:
        waited = epoch + 1 - done.best.get(phase.name, epoch + 1)
        return phase.patience > 0 and waited >= phase.patience

    def _behind(self, phase: Phase, done: Trained, epochs: int) -> bool:
        """Whether a third of the epochs is over and the rival was far lower by then."""
        rival, own = self.training.pace.get(phase.name, ()), done.losses(phase.name)
        if not rival or not own or len(own) != math.ceil(PACE_SHARE * epochs):
            return False
        return min(own) > PACE_FACTOR * min(rival[: len(own)])

    def _epoch(self, phase: Phase, epoch: int, epochs: int, done: Trained) -> dict[str, float]:
        """One pass over the phase's first stream; others are cycled. Mean of each loss part."""
        seed, first = self.training.seed, phase.streams[0]
        streams = {name: self.streams[name] for name in phase.streams}
        size = min(self.training.batch, len(streams[first]))
        orders = {
            name: ordered(stream, seeds.generator(seed, phase.name, epoch, name), size)
            for name, stream in streams.items()
        }
        steps, rows = self._steps(phase)
        totals: dict[str, float] = {}
        with (
            seeds.seeded(seed, phase.name, epoch),
            seeds.own(self.network, seed, phase.name, epoch),
            norms.restarted(self.network, self.strategy.running),
        ):
            places = [
                {n: cycled(order, step, size) for n, order in orders.items()}
                for step in range(steps)
            ]
            read = self._ahead(places, epoch if phase.augment else -1)
            for step, batches in enumerate(read):
                self.training.alive()
                self._rates(phase, (epoch * steps + step) / max(1, epochs * steps))
                try:
                    parts = self.step(phase, batches, (epoch + step / steps) / epochs)
                except guards.Diverged:
                    done.flops += self._spent(phase, places[: step + 1])
                    raise
                share = len(places[step][first]) / rows
                for name, value in parts.items():
                    totals[name] = totals.get(name, 0.0) + value * share
        done.flops += self._spent(phase, places)
        return totals

    def _steps(self, phase: Phase) -> tuple[int, int]:
        """Steps of an epoch, and rows seen in it."""
        every = len(self.streams[phase.streams[0]])
        size = min(self.training.batch, every)
        return counted(every, size, phase.whole)

    def _ahead(
        self, places: Sequence[Mapping[str, np.ndarray]], epoch: int
    ) -> Iterator[dict[str, Batch]]:
        """The batches of an epoch, each read while the network works on the one before."""

        def read(step: int) -> dict[str, Batch]:
            return {n: self.read(self.streams[n], p, epoch) for n, p in places[step].items()}

        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(read, 0)
            for step in range(len(places)):
                batches = coming.result()
                if step + 1 < len(places):
                    coming = reader.submit(read, step + 1)
                yield batches

    def step(self, phase: Phase, batches: Mapping[str, Batch], progress: float) -> dict[str, float]:
        """One step; the loss and its parts. Raises Diverged."""
        self.stepper.zero_grad()
        batches = mixing.blended(batches, self.strategy.common)
        parts = self.strategy.loss(self.wrapped, batches, progress)
        total = torch.stack([part.float() for part in parts.values()]).sum()
        told = {k: float(v.detach()) for k, v in parts.items()}
        guards.finite(float(total.detach()), told, phase.name)
        if self.strategy.combines:
            self._combined(parts)
        else:
            self.machine.backward(total)
        if self.strategy.common.clip:
            moving = [p for p in self.network.parameters() if p.grad is not None]
            torch.nn.utils.clip_grad_norm_(moving, self.strategy.common.clip)
        self.stepper.step()
        self.strategy.after_step(self.network, progress)
        self.average.after_step()
        made = {"loss": float(total.detach()), **told}
        self.guard.step(guards.task(made, self.network.heads))
        return made

    def _combined(self, parts: Mapping[str, Tensor]) -> None:
        """Gradients of each part by itself; the strategy puts those of the backbone together."""
        shared = {
            f"backbone.{n}": p
            for n, p in self.network.backbone.named_parameters()
            if p.requires_grad
        }
        each: dict[str, dict[str, Tensor]] = {}
        for left, (name, part) in zip(reversed(range(len(parts))), parts.items(), strict=True):
            self.machine.backward(part, retain_graph=left > 0)
            each[name] = {n: p.grad for n, p in shared.items() if p.grad is not None}
            for parameter in shared.values():
                parameter.grad = None
        for name, gradient in self.strategy.combine(each).items():
            shared[name].grad = gradient

    def read(self, stream: Stream, places: np.ndarray, epoch: int) -> Batch:
        """A batch where the network is."""
        read, move = stream.batch(places, epoch), self.machine.to_device
        inputs, targets = move(dict(read.inputs)), move(dict(read.targets))
        return dataclasses.replace(read, inputs=inputs, targets=targets)

    def _rates(self, phase: Phase, progress: float) -> None:
        """Sets every group's rate: what the phase does not name gets none and no decay."""
        progress = min(progress, self.average.hold)
        factor = phase.rate * self.guard.factor * SCHEDULES[phase.schedule](progress)
        optimized.set_rates(self.optimizer.param_groups, phase, factor)

    def cost(self, phase: Phase, stream: Stream) -> float:
        """Operations per sample: forward from where inputs enter, twice that backward to the cut."""
        costs = list(self.training.costs)
        once = self.strategy.forwards * sum(costs[stream.start :])
        once += 2.0 * self.strategy.backwards * sum(costs[min(phase.cut, len(costs)) :])
        return once * getattr(stream, "views", 1)

    def anew(self, phase: Phase) -> float:
        """Operations of the features that a solved phase does not find in the store."""
        if phase.cut >= len(self.training.costs):
            return 0.0
        rows = self.streams["train"]
        return sum(self.training.costs[rows.start :]) * len(rows)

    def _spent(self, phase: Phase, places: Sequence[Mapping[str, np.ndarray]]) -> float:
        """Operations of some steps."""
        rows = {name: sum(len(place[name]) for place in places) for name in phase.streams}
        return sum(self.cost(phase, self.streams[name]) * count for name, count in rows.items())

    def _say(self, phase: Phase, epoch: int, epochs: int, record: Mapping[str, Any]) -> None:
        if self.watcher is not None:
            detail = f"loss {record.get('validation', record['loss']):.3f}"
            self.watcher.step(Step(f"{self.training.name}: {phase.name}", epoch, epochs, detail))
