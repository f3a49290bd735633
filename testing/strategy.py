"""Suite for strategies on every modality: each pair trains, or is refused with a reason.

A thing is "STRATEGY/MODALITY", run on the modality's tiny network and data.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
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
from headstart.engine.loop import Trained, Training, train
from headstart.engine.solve import solve
from headstart.engine.streams import Rows
from headstart.errors import PlanError

from . import modality as modalities
from ._things import TINY, Breach, Check, close, dataset, expect, listed, staged

KNOWN: dict[tuple[str, str], str] = {}

ROWS = 24
FOLDS = 4
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
    """A strategy with few epochs, a network of its own, and a stream of tiny rows."""

    strategy: Strategy
    network: Network
    stream: Rows
    outcome: str


def world(
    thing: str, outcome: str = "classify", *, epochs: int = EPOCHS, augment: bool = True
) -> World:
    """Fresh for every check; the backbone's weights are those of the tiny network."""
    name, _, kind = thing.partition("/")
    written = "classify" if outcome in INVENTED else outcome
    made, data = staged(f"{kind}/{TINY}"), dataset(kind, written)
    rows = np.arange(ROWS)
    raw = list(data.targets(rows))
    if outcome in INVENTED:
        raw = _invented(outcome, raw)
    head_file = plugins.load("head", outcome)
    targets = head_file.learn(raw)
    backbone = copy.deepcopy(made.backbone)
    head = head_file.Head(backbone.width, targets)
    transform = made.transform
    if head.reads == "positions":
        transform = made.modality.batch.make(made.loaded.source.preprocessing, data.fields, [])
    network = Network(backbone, {outcome: head}).eval()
    encoded = {outcome: targets.encode(raw)}
    stream = Rows(data, rows, transform, encoded, augment=augment, seed=0)
    return World(strategy(name, epochs), network, stream, outcome)


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
    made: Strategy = file.Strategy(
        file.Settings(**({"epochs": epochs} if "epochs" in fields else {}))
    )
    return made


def run(made: World, seed: int = 0) -> Trained:
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
        head.settle(solve(head.problem(ROWS), features, head.wanted(targets), folds=folds))

    streams = dict.fromkeys(made.strategy.streams, made.stream)
    return train(
        made.network,
        made.strategy,
        streams,
        training=Training(seed=seed, batch=8),
        solve=settle,
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
    return {n: digest.tensors([(n, t)]) for n, t in _tensors(network).items()}


def check_settings(thing: str) -> None:
    """Settings are a frozen dataclass with defaults; an unknown one is refused by name."""
    file = plugins.load("strategy", thing.partition("/")[0])
    settings: Any = file.Settings
    expect(dataclasses.is_dataclass(settings), "Settings is a dataclass")
    expect(settings.__dataclass_params__.frozen, "Settings is frozen")
    expect(len(dataclasses.fields(settings)) <= 12, "a strategy has at most twelve settings")
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
    made.strategy.prepare(made.network, dict.fromkeys(made.strategy.streams, made.stream))
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
        expect(phase.solved or (phase.epochs > 0 and phase.rate > 0), "a phase trains or is solved")


def check_cut_is_below_what_trains(thing: str) -> None:
    """No phase trains a tensor below its cut, else kept states would lie."""
    made = world(thing)
    if _refused(made):
        return
    made.strategy.prepare(made.network, dict.fromkeys(made.strategy.streams, made.stream))
    backbone = made.network.backbone
    for phase in made.strategy.phases(made.network):
        expect(0 <= phase.cut <= len(backbone.stages), "a cut counts stages")
        for name in _named((phase,)):
            if name.startswith("backbone."):
                place = backbone.stage_of(name.removeprefix("backbone."))
                above = place >= phase.cut or place == -1
                expect(above, f"'{name}' trains although it lies below the cut {phase.cut}")


def check_frozen_stays_bit_identical(thing: str) -> None:
    """What no phase names is the same to the bit after the whole training; what one names moved."""
    made = world(thing)
    if _refused(made):
        return
    made.strategy.prepare(made.network, dict.fromkeys(made.strategy.streams, made.stream))
    named = _named(made.strategy.phases(made.network))
    made = world(thing)
    before = _digests(made.network)
    run(made)
    after = _digests(made.network)
    drifted = [n for n in before if n not in named and after.get(n) != before[n]]
    expect(not drifted, f"frozen tensors stay bit-identical; not {drifted[:3]}")
    moved = [n for n in named if n in before and after.get(n) != before[n]]
    expect(len(moved) > 0, "something that is named moves")
    parameters = {n for n, _ in made.network.named_parameters()} & named
    still = sorted(n for n in parameters if n in before and after.get(n) == before[n])
    expect(len(still) <= 0.1 * len(parameters), f"what is named trains; not {still[:3]}")


def check_finish_gives_a_plain_network(thing: str) -> None:
    """The trained network has the tensors that it had, no gradients asked for, eval mode."""
    made = world(thing)
    if _refused(made):
        return
    before = {n: t.shape for n, t in _tensors(made.network).items()}
    run(made)
    after = {n: t.shape for n, t in _tensors(made.network).items()}
    expect(before == after, "finish() hands back the tensors that came")
    expect(not any(m.training for m in made.network.modules()), "a trained network is in eval mode")
    asked = [n for n, p in made.network.named_parameters() if p.requires_grad]
    expect(not asked, "a trained network asks for no gradients")


def check_training_follows_its_seed(thing: str) -> None:
    """Two trainings of one seed give the same weights to the bit."""
    made, again = world(thing), world(thing)
    if _refused(made):
        return
    run(made, seed=5)
    run(again, seed=5)
    first, second = _digests(made.network), _digests(again.network)
    differ = sorted(n for n in first if first[n] != second[n])
    expect(not differ, f"equal seeds give equal weights; not {differ[:3]}")


def check_every_outcome_trains(thing: str) -> None:
    """Every head can be trained; the loss is finite, told by parts, and lower in the end."""
    for outcome in plugins.names("head"):
        if not _labelled(thing.partition("/")[2], outcome):
            continue
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
    made.strategy.prepare(made.network, dict.fromkeys(made.strategy.streams, made.stream))
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
    """The pairs of strategy and modality as a table in Markdown: yes, or the reason of the refusal."""
    kinds = modalities.things()
    lines = [f"| strategy | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for name in plugins.names("strategy"):
        cells = []
        for kind in kinds:
            made = world(f"{name}/{kind}")
            cells.append(made.strategy.refuse(made.network) or "yes")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
