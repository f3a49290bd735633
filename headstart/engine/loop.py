"""The one training loop. A strategy says what, when and on which loss; this file says how.

Everything random is drawn from (seed, phase, epoch), so a training that was killed goes on from its last
checkpoint to the same weights.
"""

from __future__ import annotations

import copy
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
from headstart.core.network import Network
from headstart.core.ragged import joined
from headstart.core.run import Step, Watcher
from headstart.core.strategy import Batch, Phase, Strategy
from headstart.engine import device as devices
from headstart.engine import seed as seeds
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.freeze import evaluating, frozen
from headstart.engine.streams import Stream, plain
from headstart.engine.training import Trained as Trained
from headstart.engine.training import Training as Training
from headstart.engine.training import always as always
from headstart.errors import ContractError

WARM_UP = 0.1
SLANT, SLANT_RATIO = 0.1, 32.0  # share of rising steps, highest by lowest rate (arXiv:1801.06146)
SAVE_SECONDS = 5.0
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


def draws(
    network: Network, strategy: Strategy, stream: Stream, beside: Mapping[str, Stream] | None = None
) -> bool:
    """Whether training draws from torch's global generator (dropout inside a backbone does, a head's
    has a generator of its own), found by trying a step on a copy. `beside` are the streams other than
    "train"."""
    if len(stream) < 2:
        return True
    with torch.random.fork_rng():
        before = torch.get_rng_state()
        trial, strategy = copy.deepcopy(network), copy.deepcopy(strategy)
        streams = {"train": stream, **(beside or {})}
        strategy.prepare(trial, streams)
        strategy.weigh(trial, streams)
        read = {n: s.batch(np.arange(min(2, len(s))), 0) for n, s in streams.items()}
        for phase in strategy.phases(trial):
            if not phase.solved:
                batches = {name: read[name] for name in phase.streams}
                with frozen(trial, phase), seeds.own(trial):
                    strategy.loss(trial, batches, 0.0)
        return not torch.equal(before, torch.get_rng_state())


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
    phases = strategy.phases(network)
    done = Trained()
    worker = _Worker(network, strategy, streams, training, phases, watcher, checkpoint)
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


class _Worker:
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
        self.began = self.saved_at
        self.moving = sorted(
            {n for p in phases for g in p.groups for n in (*g.parameters, *g.buffers)}
        )
        trained = [p for p in phases if not p.solved]
        if not trained:
            return
        self.machine = devices.fabric(training.device)
        self.machine.to_device(strategy)
        self.optimizer = torch.optim.AdamW(self._groups(trained), lr=0.0, fused=True)
        self.network.requires_grad_(True)
        self.wrapped, self.stepper = self.machine.setup(network, self.optimizer)

    def _groups(self, phases: Sequence[Phase]) -> list[dict[str, Any]]:
        """Optimizer groups of equal decay and equal rate in every phase; a strategy's own parameters
        train in all of them."""
        known, alike = dict(self.network.named_parameters()), {}
        rates: dict[str, dict[str, float]] = {}
        decays: dict[str, float] = {}
        for phase in phases:
            for group in phase.groups:
                for name in group.parameters:
                    rates.setdefault(name, {})[phase.name] = group.rate
                    decays.setdefault(name, group.decay)
        for name, by_phase in rates.items():
            key = (tuple(sorted(by_phase.items())), decays[name])
            alike.setdefault(key, []).append(known[name])
        groups = [
            {"params": members, "rates": dict(by_phase), "weight_decay": decay}
            for (by_phase, decay), members in alike.items()
        ]
        own = [p for p in self.strategy.parameters() if p.requires_grad]
        if own:
            everywhere = {phase.name: 1.0 for phase in phases}
            groups.append({"params": own, "rates": everywhere, "weight_decay": 0.0})
        return groups

    def resume(self, done: Trained) -> tuple[int, dict[str, Any] | None]:
        """Number of the phase to go on with, and the state inside it."""
        held = self.checkpoint.load() if self.checkpoint else None
        if held is None:
            return 0, None
        self._put(held["tensors"])
        self.strategy.load_state_dict(held["strategy"])
        self.optimizer.load_state_dict(held["optimizer"])
        for name, value in held["done"].items():
            setattr(done, name, value)
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
            "phase": number,
            "tensors": self._tensors(),
            "strategy": self.strategy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": kept,
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
        inner: dict[str, Any] = {"epoch": 0, "lowest": math.inf, "best": None}
        if held is not None:
            inner = {key: held[key] for key in inner}
        if held is None:
            self._save(number, inner, done, force=True)
        reason = "epochs"
        for epoch in range(int(inner["epoch"]), epochs):
            losses = self._epoch(phase, epoch, epochs, done)
            record = {"phase": phase.name, "epoch": epoch + 1, **losses}
            if validation is not None and phase.streams[0] == "train":
                record["validation"] = self.evaluate(validation, phase)
                if record["validation"] < inner["lowest"]:
                    inner.update(lowest=record["validation"], best=self._tensors())
                    done.best[phase.name] = epoch + 1
            self._tell(record, done)
            done.history.append(record)
            inner["epoch"] = epoch + 1
            self._say(phase, epoch + 1, epochs, record)
            if self._over(phase, done, epoch):
                reason = "patience"
                break
            if self._behind(phase, done, epochs):
                reason = "behind"
                break
            if done.flops >= self.training.most_flops and epoch + 1 < epochs:
                reason = "budget"
                break
            self._save(number, inner, done, force=False)
        done.ended[phase.name] = reason
        ran = int(inner["epoch"])
        if 0 < ran < epochs:  # whoever watches hears that this was the last one
            self._say(phase, ran, ran, done.history[-1])
        if inner["best"] is not None:
            self._put(inner["best"])
        done.best.setdefault(phase.name, int(inner["epoch"]))

    def _tell(self, record: dict[str, Any], done: Trained) -> None:
        """Measures of an epoch that the caller wants, and their sentences, each once."""
        with evaluating(self.network), torch.random.fork_rng():
            said = self.training.after_epoch(self.network, record)
        for sentence in said:
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
        length = len(streams[first])
        size = min(self.training.batch, length)
        orders = {
            name: _order(stream, seeds.generator(seed, phase.name, epoch, name), size)
            for name, stream in streams.items()
        }
        steps = length // size if phase.whole else math.ceil(length / size)
        rows = min(length, steps * size)
        totals: dict[str, float] = {}
        with (
            seeds.seeded(seed, phase.name, epoch),
            seeds.own(self.network, seed, phase.name, epoch),
        ):
            places = [
                {n: _slice(order, step, size) for n, order in orders.items()}
                for step in range(steps)
            ]
            read = self._ahead(places, epoch if phase.augment else -1)
            for step, batches in enumerate(read):
                self.training.alive()
                self._rates(phase, (epoch * steps + step) / max(1, epochs * steps))
                parts = self._step(phase, batches, (epoch + step / steps) / epochs)
                share = len(places[step][first]) / rows
                for name, value in parts.items():
                    totals[name] = totals.get(name, 0.0) + value * share
        for name, stream in streams.items():
            seen = sum(len(place[name]) for place in places) * getattr(stream, "views", 1)
            done.flops += self._cost(phase, stream) * seen
        return totals

    def _ahead(
        self, places: Sequence[Mapping[str, np.ndarray]], epoch: int
    ) -> Iterator[dict[str, Batch]]:
        """The batches of an epoch, each read while the network works on the one before."""

        def read(step: int) -> dict[str, Batch]:
            return {n: self._read(self.streams[n], p, epoch) for n, p in places[step].items()}

        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(read, 0)
            for step in range(len(places)):
                batches = coming.result()
                if step + 1 < len(places):
                    coming = reader.submit(read, step + 1)
                yield batches

    def _step(
        self, phase: Phase, batches: Mapping[str, Batch], progress: float
    ) -> dict[str, float]:
        self.stepper.zero_grad()
        parts = self.strategy.loss(self.wrapped, batches, progress)
        total = torch.stack([part.float() for part in parts.values()]).sum()
        if not torch.isfinite(total):
            shown = {k: float(v.detach()) for k, v in parts.items()}
            raise ContractError(
                f"The loss became {float(total.detach())} in phase '{phase.name}' ({shown}). "
                "Lower the learning rate (--set rate=...), or check the inputs for extreme values."
            )
        self.machine.backward(total)
        if self.strategy.common.clip:
            moving = [p for p in self.network.parameters() if p.grad is not None]
            torch.nn.utils.clip_grad_norm_(moving, self.strategy.common.clip)
        self.stepper.step()
        self.strategy.after_step(self.network, progress)
        return {"loss": float(total.detach()), **{k: float(v.detach()) for k, v in parts.items()}}

    def _read(self, stream: Stream, places: np.ndarray, epoch: int) -> Batch:
        read, move = stream.batch(places, epoch), self.machine.to_device
        return Batch(move(dict(read.inputs)), move(dict(read.targets)), read.start)

    def _rates(self, phase: Phase, progress: float) -> None:
        """Sets every group's rate: what the phase does not name gets none and no decay."""
        factor = phase.rate * SCHEDULES[phase.schedule](progress)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["rates"].get(phase.name, 0.0)

    def _cost(self, phase: Phase, stream: Stream) -> float:
        """Operations per sample: forward from where inputs enter, twice that backward to the cut."""
        costs, start = list(self.training.costs), stream.start
        return self.strategy.forwards * sum(costs[start:]) + 2.0 * sum(
            costs[min(phase.cut, len(costs)) :]
        )

    def evaluate(self, stream: Stream, phase: Phase) -> float:
        """Mean loss over a stream, without dropout and augmentation."""
        total, size = 0.0, max(64, self.training.batch)
        with evaluating(self.network), torch.no_grad():
            for begin in range(0, len(stream), size):
                places = np.arange(begin, min(begin + size, len(stream)))
                batch = self._read(stream, places, -1)
                parts = self.strategy.loss(self.wrapped, {"train": batch}, 1.0)
                total += float(torch.stack(list(parts.values())).sum()) * len(places)
        return total / len(stream)

    def _say(self, phase: Phase, epoch: int, epochs: int, record: Mapping[str, Any]) -> None:
        if self.watcher is not None:
            detail = f"loss {record.get('validation', record['loss']):.3f}"
            self.watcher.step(Step(f"{self.training.name}: {phase.name}", epoch, epochs, detail))


def _order(stream: Stream, rng: np.random.Generator, size: int) -> np.ndarray:
    """A random order of a stream's places; its own, where it has one for batches of a size."""
    own = getattr(stream, "order", None)
    if own is not None:
        return np.asarray(own(rng, size))
    return rng.permutation(len(stream))


def _slice(order: np.ndarray, step: int, size: int) -> np.ndarray:
    """Places of one step; an order shorter than that of the phase's first stream is cycled."""
    begin = step * size
    if begin + size <= len(order) or begin < len(order):
        return order[begin : begin + size]
    return order.take(np.arange(begin, begin + size), mode="wrap")


def schedule(progress: float) -> float:
    """Linear warm-up over the first tenth, then half a cosine to zero (arXiv:1608.03983)."""
    if progress < WARM_UP:
        return (progress + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))


def slanted(progress: float) -> float:
    """Slanted triangles: linear over the first tenth from 1/32 to 1, then linear back (arXiv:1801.06146)."""
    part = progress / SLANT if progress < SLANT else (1.0 - progress) / (1.0 - SLANT)
    return (1.0 + part * (SLANT_RATIO - 1.0)) / SLANT_RATIO


def constant(progress: float) -> float:
    """One rate throughout."""
    return 1.0


SCHEDULES = {"cosine": schedule, "slanted": slanted, "constant": constant}


def features(
    network: Network, stream: Stream, places: np.ndarray, *, batch: int = 64
) -> np.ndarray:
    """Pooled features (len(places), width) of plain rows of a stream, in eval mode."""
    made = []
    with evaluating(network), torch.no_grad():
        for read in plain(stream, network, batch, places):
            found = network(read.inputs, start=read.start, want="features")
            made.append(found.float().cpu().numpy())
    return np.concatenate(made)


def outputs(network: Network, stream: Stream, *, head: str, batch: int = 64) -> np.ndarray:
    """Raw outputs (N, outputs) of one head over a whole stream, in eval mode; of positions
    (N, longest, outputs), NaN behind a row's end.

    Stored features go through the head in double precision, so that a row's output does not depend on
    how many rows come with it.
    """
    made = []
    exact = copy.deepcopy(network.heads[head]).double().eval()
    with evaluating(network), torch.inference_mode():
        for read in plain(stream, network, batch):
            features = network(read.inputs, start=read.start, want="features")
            made.append(exact(features.double()).cpu().numpy())
    return joined(made)
