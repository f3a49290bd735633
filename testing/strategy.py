"""Suite for strategies on every modality: each pair trains, or is refused with a reason.

A thing is "STRATEGY/MODALITY", run on the modality's tiny network and data.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart import arms
from headstart.core import digest, plugins
from headstart.core.network import FEATURES, Network
from headstart.core.plan import build
from headstart.core.ragged import Ragged
from headstart.core.strategy import Phase, Strategy
from headstart.data import splits
from headstart.engine import loop, trained
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.freeze import evaluating
from headstart.engine.loop import Trained, Training, always, train
from headstart.engine.solve import solve
from headstart.engine.streams import Rows
from headstart.errors import PlanError

from . import _previous
from . import modality as modalities
from ._things import TINY, Breach, Check, close, dataset, expect, listed, passing, staged

KNOWN: dict[tuple[str, str], str] = {}

BEGIN, END = "<!-- matrix -->", "<!-- end -->"
"""Marks of the page that shows the matrix; `python -m testing.strategy` writes it anew."""

ROWS = 24
FOLDS = 4
BATCH = 8
EPOCHS = 2
INVENTED = ("tag", "forecast", "ordinal")  # outcomes whose targets tiny data does not bring
LONGER = 10  # until a network from random weights has moved visibly


def things() -> tuple[str, ...]:
    """Every pair of a strategy and a modality."""
    kinds = modalities.things()
    return tuple(f"{s}/{m}" for s in plugins.names("strategy") for m in kinds)


def checks() -> Iterator[tuple[str, Check]]:
    """Name and function of every check of this suite."""
    return listed(globals())


@dataclass
class World:
    """A strategy with few epochs, a network of its own, and streams of tiny rows."""

    strategy: Strategy
    network: Network
    stream: Rows
    outcome: str
    streams: dict[str, Any]


def world(
    thing: str, outcome: str = "classify", *, epochs: int = EPOCHS, augment: bool = True
) -> World:
    """Fresh for every check; the backbone's weights are those of the tiny network."""
    name, _, kind = thing.partition("/")
    written = "classify" if outcome in INVENTED else outcome
    held, data = staged(f"{kind}/{TINY}"), dataset(kind, written)
    rows = np.arange(ROWS)
    raw = list(data.targets(rows))
    if outcome in INVENTED:
        raw = _invented(outcome, raw)
    head_file = plugins.load("head", outcome)
    targets = head_file.learn(raw)
    backbone = passing(copy.deepcopy(held.backbone))
    head = head_file.Head(backbone.width, targets)
    transform = held.transform
    if head.reads == "positions":
        transform = held.modality.batch.make(held.loaded.source.preprocessing, data.fields, [])
    made = strategy(name, epochs)
    heads, others = _previous.beside(made, backbone.width, ROWS)
    network = Network(backbone, {outcome: head, **heads}).eval()
    encoded = {outcome: targets.encode(raw), **others}
    stream = Rows(data, rows, transform, encoded, augment=augment, seed=0)
    streams = _previous.given(made, network, stream, kind, ROWS)
    return World(made, network, stream, outcome, streams)


def _invented(outcome: str, names: list[Any]) -> list[Any]:
    """Targets told from class names: tuples of tags, grades from 0, or windows of three coming values,
    level, spread and naive error."""
    place = {name: k for k, name in enumerate(sorted(set(names)))}
    if outcome == "tag":
        return [(n, "even") if place[n] % 2 == 0 else (n,) for n in names]
    if outcome == "ordinal":
        return [place[n] for n in names]
    return [np.array([*(50.0 + 5.0 * place[n] * np.arange(1, 4)), 50.0, 10.0, 5.0]) for n in names]


def strategy(name: str, epochs: int = EPOCHS) -> Strategy:
    """The strategy at its defaults, with few epochs."""
    file = plugins.load("strategy", name)
    fields = {f.name for f in dataclasses.fields(file.Settings)}
    short = dict.fromkeys(fields & {"epochs", "before"}, epochs)
    made: Strategy = file.Strategy(file.Settings(**short))
    return made


def run(
    made: World,
    seed: int = 0,
    *,
    checkpoint: Checkpoint | None = None,
    alive: Callable[[], None] = always,
) -> Trained:
    """Carries out all phases through the engine's one loop."""

    def settle(network: Network, phase: Phase) -> None:
        head: Any = network.heads[made.outcome]
        inputs = made.stream.batch(np.arange(ROWS), -1).inputs
        with torch.no_grad():
            features = network(inputs, want="features").numpy()
        targets = made.stream.targets[made.outcome]
        folds = splits.folds(list(targets), FOLDS, 0, np.arange(ROWS), made.outcome).parts
        if features.ndim == 3:
            there = np.isfinite(features).all(axis=2)
            each = Ragged(features[there], there.sum(axis=1))
            head.settle(arms.solution(head, each, targets, folds))
            return
        if head.solves_itself:
            head.settle(head.solve(features, targets, folds))
            return
        head.settle(solve(head.problem(ROWS), features, head.wanted(targets), folds=folds))

    return train(
        made.network,
        made.strategy,
        made.streams,
        training=Training(seed=seed, batch=BATCH, alive=alive),
        solve=settle,
        checkpoint=checkpoint,
    )


def _refused(made: World) -> bool:
    """Whether the pair is refused; then with a reason in words."""
    why = made.strategy.refuse(made.network)
    expect(why == "" or len(why.split()) >= 5, "a refusal is a sentence")
    return bool(why)


def _named(phases: tuple[Phase, ...]) -> set[str]:
    groups = [g for p in phases for g in p.groups]
    return {n for g in groups for n in (*g.parameters, *g.buffers)}


def _tensors(network: Network) -> dict[str, torch.Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _digests(network: Network) -> dict[str, str]:
    """By the values alone, so that a tensor is known under another name."""
    return {n: digest.tensors([("", t)]) for n, t in _tensors(network).items()}


@dataclass
class Watched:
    """A whole training, looked at from inside.

    Attributes:
        plain: digests of the network that came.
        wrapped: of what `prepare` made of it.
        trained: of what the phases made of that, before `finish`.
        named: names in the phases.
        outputs: of the training rows, before `finish`.
        done: what the engine told; None where the pair is refused.
    """

    world: World
    plain: dict[str, str]
    wrapped: dict[str, str] = field(default_factory=dict)
    trained: dict[str, str] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    outputs: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    done: Trained | None = None


@cache
def watched(thing: str) -> Watched:
    """One training of the pair, for all checks that only look at it."""
    made = world(thing)
    seen = Watched(made, _digests(made.network))
    if _refused(made):
        return seen
    prepare, finish = made.strategy.prepare, made.strategy.finish

    def preparing(network: Network, streams: Mapping[str, Any]) -> None:
        prepare(network, streams)
        seen.wrapped, seen.named = _digests(network), _named(made.strategy.phases(network))

    def finishing(network: Network) -> Network:
        seen.trained, seen.outputs = _digests(network), _outputs(made)
        return finish(network)

    made.strategy.prepare = preparing  # type: ignore[method-assign]
    made.strategy.finish = finishing  # type: ignore[method-assign]
    seen.done = run(made)
    return seen


def _outputs(made: World) -> torch.Tensor:
    """What the network says of the training rows, in eval mode."""
    with evaluating(made.network), torch.no_grad():
        said: torch.Tensor = made.network(made.stream.batch(np.arange(ROWS), -1).inputs)[
            made.outcome
        ]
    return said


def check_settings(thing: str) -> None:
    """Settings are a frozen dataclass with defaults; an unknown one is refused by name."""
    file = plugins.load("strategy", thing.partition("/")[0])
    settings: Any = file.Settings
    expect(dataclasses.is_dataclass(settings), "Settings is a dataclass")
    expect(settings.__dataclass_params__.frozen, "Settings is frozen")
    expect(len(dataclasses.fields(settings)) <= 14, "a strategy has at most fourteen settings")
    expect(build(settings, {}) == settings(), "the defaults are settings")
    try:
        build(settings, {"no_such_setting": 1})
    except PlanError as error:
        expect("no_such_setting" in str(error), "the error repeats the unknown setting")
        return
    raise Breach("an unknown setting is refused")


def check_phases_name_existing_tensors(thing: str) -> None:
    """Every name of every group is a parameter or buffer of the network, in one group of a phase."""
    made = world(thing)
    if _refused(made):
        return
    made.strategy.prepare(made.network, made.streams)
    phases = made.strategy.phases(made.network)
    parameters = {n for n, _ in made.network.named_parameters()}
    buffers = {n for n, _ in made.network.named_buffers()}
    expect(len(phases) > 0, "a strategy has a phase")
    expect(len({p.name for p in phases}) == len(phases), "phases have names of their own")
    for phase in phases:
        every = [n for g in phase.groups for n in g.parameters]
        expect(len(every) == len(set(every)), f"'{phase.name}' names a parameter once")
        expect(set(every) <= parameters, f"'{phase.name}' names parameters that exist")
        moving = {n for g in phase.groups for n in g.buffers}
        expect(moving <= buffers, f"'{phase.name}' names buffers that exist")
        expect(set(phase.streams) <= made.streams.keys(), f"'{phase.name}' reads what is there")
        expect(phase.solved or (phase.epochs > 0 and phase.rate > 0), "a phase trains or is solved")


def check_cut_is_below_what_trains(thing: str) -> None:
    """No phase trains a tensor below its cut, else kept states would lie."""
    made = world(thing)
    if _refused(made):
        return
    made.strategy.prepare(made.network, made.streams)
    backbone = made.network.backbone
    for phase in made.strategy.phases(made.network):
        expect(0 <= phase.cut <= len(backbone.stages), "a cut counts stages")
        for name in _named((phase,)):
            if name.startswith("backbone."):
                place = backbone.stage_of(name.removeprefix("backbone."))
                above = place >= phase.cut or place == -1
                expect(above, f"'{name}' trains although it lies below the cut {phase.cut}")


def check_frozen_stays_bit_identical(thing: str) -> None:
    """What no phase names is the same to the bit until `finish`, under its name or, where it was wrapped,
    under another one; what one names moved. `finish` changes weights that were wrapped, and nothing else."""
    seen = watched(thing)
    if seen.done is None:
        return
    after = seen.trained
    replaced = {n for n in seen.plain.keys() - seen.wrapped.keys() if n.startswith("heads.")}
    before = {n: d for n, d in seen.plain.items() if n not in replaced}
    kept = set(after.values())
    frozen = before.keys() - seen.named
    drifted = [n for n in frozen if after.get(n, before[n]) != before[n] or before[n] not in kept]
    expect(not drifted, f"frozen tensors stay bit-identical; not {sorted(drifted)[:3]}")
    parameters = {n for n, _ in seen.world.network.named_parameters()} | seen.wrapped.keys()
    named = seen.named & parameters
    moved = [n for n in seen.named if after[n] != seen.wrapped[n]]
    expect(len(moved) > 0, "something that is named moves")
    still = sorted(n for n in named if after[n] == seen.wrapped[n])
    expect(len(still) <= 0.1 * len(named), f"what is named trains; not {still[:3]}")
    adaptable = {f"backbone.{n}.weight" for n in seen.world.network.backbone.adaptable()}
    merged = adaptable - after.keys()  # they had another name while they were wrapped
    changed = {n for n, d in _digests(seen.world.network).items() if before.get(n, d) != d}
    strange = sorted(changed - merged - seen.named)
    expect(not strange, f"`finish` changes what was wrapped alone; not {strange[:3]}")


def check_finish_gives_a_plain_network(thing: str) -> None:
    """The trained network has its backbone's tensors, and those that `rebuild` puts on a fresh one or in the
    place of its heads; no gradients asked for, eval mode."""
    seen = watched(thing)
    if seen.done is None:
        return
    made, fresh = seen.world, world(thing).network
    after = _tensors(made.network)
    came = {n for n in _tensors(fresh) if n.startswith("backbone.")}
    expect(came <= after.keys(), "finish() hands back the tensors that came")
    made.strategy.rebuild(fresh, after)
    again = {n: t.shape for n, t in _tensors(fresh).items()}
    expect(again == {n: t.shape for n, t in after.items()}, "rebuild() puts on what finish() left")
    expect(not any(m.training for m in made.network.modules()), "a trained network is in eval mode")
    asked = [n for n, p in made.network.named_parameters() if p.requires_grad]
    expect(not asked, "a trained network asks for no gradients")


def check_merging_changes_no_output(thing: str) -> None:
    """The network says after `finish` what it said before, within 1e-5."""
    seen = watched(thing)
    if seen.done is None:
        return
    expect(close(_outputs(seen.world), seen.outputs, 1e-5), "`finish` changes no output")


def check_a_kept_training_predicts_the_same(thing: str) -> None:
    """Tensors that were written and read back into a fresh network give the same outputs to the bit."""
    seen = watched(thing)
    if seen.done is None:
        return
    fresh = world(thing)
    with tempfile.TemporaryDirectory() as place:
        trained.save(Path(place), thing.replace("/", "-"), seen.world.network, seen.done)
        told = trained.load(
            Path(place), thing.replace("/", "-"), fresh.network, fresh.strategy.rebuild
        )
    expect(told == seen.done, "what was told of a training is kept with it")
    expect(torch.equal(_outputs(fresh), _outputs(seen.world)), "a kept training predicts the same")


class _Killed(Exception):
    """Ends a training as a killed process would."""


def check_a_killed_training_resumes_to_equal_weights(thing: str) -> None:
    """Broken off in the middle of any phase, and begun again, it ends with the weights of another training
    of the same seed, to the bit."""
    seen = watched(thing)
    if seen.done is None:
        return
    steps = [h["phase"] for h in seen.done.history]
    for phase in dict.fromkeys(steps):
        last = len(steps) - 1 - steps[::-1].index(phase)  # number of its last epoch
        with tempfile.TemporaryDirectory() as place, saved_at_every_epoch():
            kept = Checkpoint(Path(place), thing.replace("/", "-"))
            _broken_off(world(thing), kept, last * math.ceil(ROWS / BATCH) + 1)
            expect(kept.load() is not None, f"'{phase}' leaves a checkpoint")
            again = world(thing)
            run(again, checkpoint=kept)
        first, second = _digests(seen.world.network), _digests(again.network)
        differ = sorted(n for n in first if first[n] != second[n])
        expect(not differ, f"killed in '{phase}' it ends with other weights: {differ[:3]}")


def _broken_off(made: World, kept: Checkpoint, step: int) -> None:
    """Trains until a step, counted over all phases, and breaks off there."""
    left = iter(range(step))

    def alive() -> None:
        if next(left, None) is None:
            raise _Killed

    try:
        run(made, checkpoint=kept, alive=alive)
    except _Killed:
        return
    raise Breach("a training that is broken off ends there")


@contextmanager
def saved_at_every_epoch() -> Iterator[None]:
    """Checkpoints after each epoch, however short it is."""
    before, loop.SAVE_SECONDS = loop.SAVE_SECONDS, 0.0
    try:
        yield
    finally:
        loop.SAVE_SECONDS = before


def check_every_outcome_trains(thing: str) -> None:
    """Heads can be trained; the loss is finite, told by parts, and lower in the end."""
    for outcome in _outcomes(thing):
        made = world(thing, outcome, epochs=LONGER, augment=False)
        if _refused(made):
            return
        before = _loss(made)
        done = run(made)
        after = _loss(made)
        expect(np.isfinite(after), f"{outcome}: the loss stays finite")
        expect(after < before, f"{outcome}: training lowers its loss; {before:.4g} to {after:.4g}")
        for record in done.history:
            expect(np.isfinite(record["loss"]), f"{outcome}: every epoch tells a finite loss")


def _outcomes(thing: str) -> list[str]:
    """All outcomes that the reader offers, of fine-tuning and where HEADSTART_SLOW is set; else one of them,
    another for each pair in turn."""
    name, _, kind = thing.partition("/")
    every = [o for o in plugins.names("head") if _labelled(kind, o)]
    if name == "fine_tune" or "HEADSTART_SLOW" in os.environ:
        return every
    return [every[things().index(thing) % len(every)]]


def _labelled(kind: str, outcome: str) -> bool:
    """Whether the modality's reader offers what the outcome asks for; most ask for nothing."""
    asks = plugins.load("head", outcome).Head.asks
    return not asks or bool(getattr(plugins.Modality(kind).read, asks, ""))


def _loss(made: World) -> float:
    """Loss of the head on the training rows, in eval mode."""
    batch = made.stream.batch(np.arange(ROWS), -1)
    with torch.no_grad():
        outputs = made.network(batch.inputs)[made.outcome]
        head: Any = made.network.heads[made.outcome]
        return float(head.loss(outputs, batch.targets[made.outcome]))


def check_kept_states_change_nothing(thing: str) -> None:
    """From a state kept at a phase's cut the network says what it says from the inputs."""
    made = world(thing)
    if _refused(made):
        return
    made.strategy.prepare(made.network, made.streams)
    inputs = made.stream.batch(np.arange(6), -1).inputs
    for phase in made.strategy.phases(made.network):
        with torch.no_grad():
            whole = made.network(inputs)[made.outcome]
            features = made.network(inputs, want="features")
            kept: Mapping[str, torch.Tensor] = {FEATURES: features}
            if phase.cut < len(made.network.backbone.stages):
                kept = made.network(inputs, stop=phase.cut, want="state")
            again = made.network(kept, start=phase.cut)[made.outcome]
        expect(close(again, whole, 1e-5), f"'{phase.name}' may start from states kept at its cut")


@cache
def matrix() -> str:
    """The pairs of strategy and modality as a table in Markdown: yes, or no with the number of the reason,
    which stands below."""
    kinds, reasons = modalities.things(), list[str]()
    lines = [f"| strategy | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for name in plugins.names("strategy"):
        cells = []
        for kind in kinds:
            made = world(f"{name}/{kind}")
            why = made.strategy.refuse(made.network).rstrip(".")
            reasons += [why] if why and why not in reasons else []
            cells.append(f"no ({reasons.index(why) + 1})" if why else "yes")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    notes = [f"{place}. {why[:1].upper()}{why[1:]}." for place, why in enumerate(reasons, 1)]
    return "\n".join([*lines, "", *notes])


def write_matrix(page: Path) -> None:
    """Puts the matrix between the marks of a page."""
    text = page.read_text("utf-8")
    before, rest = text.split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{matrix()}\n{END}{rest.split(END)[1]}", "utf-8")


if __name__ == "__main__":
    write_matrix(Path("docs/strategies.md"))
