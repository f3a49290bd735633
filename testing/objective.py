"""Suite for objectives: each pre-trains a small network on real or tiny data, and its features are worth it.

A thing is the name of an objective. The real data are scikit-learn's handwritten digits, as pictures. What
cannot read these reads tiny texts: sentences of three topics, or, where tokens see only what stands before
them, words in three orders, which no count of words can tell apart. What learns from pairs gets captions
beside them, of which only features are known: a direction for the label, and one for how it is said.
"""

from __future__ import annotations

import dataclasses
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from headstart.core import digest, plugins
from headstart.core.dataset import Dataset
from headstart.core.network import Backbone, Network
from headstart.core.objective import CAPTIONS, TWINS, Objective
from headstart.core.plan import build
from headstart.core.strategy import Strategy
from headstart.core.task import Task
from headstart.data import opening
from headstart.engine import loop
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.streams import Looked, Pieces, Views
from headstart.engine.training import Trained, Training
from headstart.errors import ContractError, PlanError
from headstart.pretraining import encoder, guard
from headstart.pretraining.ask import Ask

from ._things import Breach, Check, dataset, expect, listed, samples, sources

KNOWN: dict[tuple[str, str], str] = {}

KIND, WORDS = "image", "text"
TEXTS = 900
ROWS, SIDE, BATCH, EPOCHS = 400, 24, 50, 5
RATE = 3e-3  # for eighty steps
SHORT, STEPS = 3, 2  # epochs, and steps in each, of trainings that are compared to the bit
FEWEST = 4.0  # directions that features have at least
TRAINED = "trained"
FEW = 12  # rows on which a pair of objective and modality is tried
SAID, SPACE = 3, 16  # ways in which a caption is put, and width of its features


def things() -> tuple[str, ...]:
    """Every objective."""
    return plugins.names("objective")


def checks() -> Iterator[tuple[str, Check]]:
    """Name and function of every check of this suite."""
    return listed(globals())


@cache
def digits() -> tuple[list[bytes], list[str]]:
    """All 1,797 handwritten digits as encoded pictures, and their names."""
    from sklearn.datasets import load_digits

    made = []
    data = load_digits()
    for values in data.images:
        held = io.BytesIO()
        Image.fromarray((values * 15.9).astype(np.uint8)).save(held, "BMP")
        made.append(held.getvalue())
    return made, [str(v) for v in data.target]


@cache
def sentences() -> tuple[list[str], list[str]]:
    """Tiny texts, and their topics."""
    tiny = dataset(WORDS, "classify", TEXTS)
    rows = np.arange(len(tiny))
    told = [str(next(iter(sample.values()))) for sample in tiny.samples(rows)]
    return told, [str(v) for v in tiny.targets(rows)]


@cache
def orders() -> tuple[list[str], list[str]]:
    """The same words in three orders: as they are listed, backwards, every fifth; round and round."""
    topics = plugins.Modality(WORDS).tiny.TOPICS
    words, rng = [w for some in topics.values() for w in some], np.random.default_rng(0)
    texts, labels = [], []
    for place in range(TEXTS):
        step, first = (1, -1, 5)[place % 3], int(rng.integers(len(words)))
        count = int(rng.integers(8, 14))
        texts.append(" ".join(words[(first + step * k) % len(words)] for k in range(count)))
        labels.append(str(place % 3))
    return texts, labels


@dataclass(frozen=True)
class Matter:
    """What an objective may learn from, and a small network that reads it.

    Attributes:
        samples: -> raw inputs and their labels.
        network: the maker's name in the modality's `tiny`, or the architecture of a new one, whose tokens are
            made of the samples.
    """

    kind: str
    samples: Callable[[], tuple[list[Any], list[str]]]
    network: str = "loaded"


MATTERS = (
    Matter(KIND, digits),
    Matter(WORDS, sentences, "bert?layers=2&width=32&heads=4&vocabulary=600&max_length=32"),
    Matter(WORDS, orders, "onward"),
)


@cache
def data(matter: Matter) -> Dataset:
    """The samples as rows, with their labels in the column "label"."""
    cells, names = matter.samples()
    task = Task(modality=matter.kind, near_duplicates=False)
    made: Dataset = opening.from_arrays(
        cells,
        None,
        {matter.kind: plugins.Modality(matter.kind).read},
        task=task,
        metadata={"label": names},
    )
    return made


@dataclass
class World:
    """An objective, the small network that it trains, and what it reads."""

    objective: Objective
    network: Network
    stream: Views | Pieces
    matter: Matter


def world(thing: str, rows: int = ROWS, epochs: int = EPOCHS) -> World:
    """Fresh for every check, at the objective's defaults but for epochs and rate; of the first matter that it
    does not refuse."""
    file = plugins.load("objective", thing)
    objective: Objective = file.Objective(file.Settings(epochs=epochs, rate=RATE))
    for matter in MATTERS:
        network, transform = _small(matter)
        if not objective.refuse(network):
            whole = _stream(matter, transform, rows, objective)
            stream = Pieces(_cut(whole), transform) if objective.pieces else whole
            return World(objective, network, stream, matter)
    raise Breach(f"the objective learns from pictures or texts; it refuses {len(MATTERS)} networks")


def _cut(whole: Views) -> list[Any]:
    """Samples in the pieces that the transform cuts them into."""
    return [p for s in whole.dataset.samples(whole.rows) for p in whole.transform.pieces(s)]  # type: ignore[attr-defined]


def _small(matter: Matter) -> tuple[Network, Any]:
    """A tiny network and its transform."""
    modality, rows = plugins.Modality(matter.kind), data(matter)
    maker = getattr(modality.tiny, matter.network, None)
    if maker is not None:
        loaded = maker(0)
    else:
        loaded = encoder.begun(Ask(architecture=matter.network), modality, ()).loaded
    asked = dict(loaded.source.preprocessing)
    if matter.kind == KIND:
        asked |= {"augment": list(modality.batch.VIEWS), "input_size": [3, SIDE, SIDE]}
    fitted = samples(rows, len(rows)) if maker is None else []
    transform = modality.batch.make(asked, rows.fields, fitted)
    return Network(modality.backbones.stage(loaded, transform), {}).eval(), transform


def _stream(matter: Matter, transform: Any, rows: int, objective: Objective | None = None) -> Views:
    chosen = np.arange(rows)
    names = [str(v) for v in data(matter).metadata(np.arange(len(data(matter))))["label"]]
    known = sorted(set(names))
    labels = np.array([known.index(v) for v in names])[:rows]
    targets = {"label": labels, **(captions(labels) if objective and objective.pairs else {})}
    views = objective.views if objective else 1
    classes = {"label": len(known)}
    return Views(data(matter), chosen, transform, targets, classes=classes, views=views, seed=0)


def captions(labels: np.ndarray) -> dict[str, Any]:
    """Targets of an objective that learns from pairs: what a frozen source might say of captions that name
    the label in one of a few ways."""
    rng, count = np.random.default_rng(0), int(labels.max()) + 1
    way = np.arange(len(labels)) // count % SAID
    table = rng.normal(size=(count, 1, SPACE)) + 0.3 * rng.normal(size=(1, SAID, SPACE))
    numbers = labels * SAID + way
    twins = np.stack([numbers, np.arange(len(labels))], axis=1)
    return {CAPTIONS: Looked(table.reshape(-1, SPACE).astype(np.float32), numbers), TWINS: twins}


def run(made: World, **more: Any) -> Trained:
    """Trains through the engine's one loop."""
    checkpoint = more.pop("checkpoint", None)
    streams = {"train": made.stream}
    training = Training(batch=BATCH, **more)
    return loop.train(
        made.network, made.objective, streams, training=training, checkpoint=checkpoint
    )


@dataclass
class Learned:
    """Before and after: rank of the features, accuracy of a linear probe on all digits."""

    told: Trained
    rank: tuple[float, float]
    probe: tuple[float, float]


@cache
def learned(thing: str) -> Learned:
    """One short pre-training, for several checks."""
    made = world(thing)
    network = made.network
    every = _stream(made.matter, made.stream.transform, len(data(made.matter)))
    probe = guard.prober(every, every.targets["label"], np.arange(len(every)), 0)
    if probe is None:
        raise ValueError("all matters have classes")
    places = np.arange(guard.LOOKED_AT)
    before = guard.rank(loop.features(network, every, places)), probe(network)
    told = run(made)
    after = guard.rank(loop.features(network, every, places)), probe(network)
    return Learned(told, (before[0], after[0]), (before[1], after[1]))


def check_settings(thing: str) -> None:
    """Settings are a frozen dataclass with defaults; an unknown one is refused by name."""
    file = plugins.load("objective", thing)
    settings: Any = file.Settings
    expect(dataclasses.is_dataclass(settings), "Settings is a dataclass")
    expect(settings.__dataclass_params__.frozen, "Settings is frozen")
    expect(len(dataclasses.fields(settings)) <= 12, "an objective has at most twelve settings")
    expect({"epochs", "rate"} <= {f.name for f in dataclasses.fields(settings)}, "epochs and rate")
    expect(issubclass(file.Objective, Objective), "Objective is one")
    expect(issubclass(file.Objective, Strategy), "an objective is a strategy")
    try:
        build(settings, {"no_such_setting": 1})
    except PlanError as error:
        expect("no_such_setting" in str(error), "the error repeats the unknown setting")
        return
    raise Breach("an unknown setting is refused")


def check_loss_falls(thing: str) -> None:
    """The loss of the last epoch lies below that of the first, and every part is finite."""
    told = learned(thing).told
    losses = [h["loss"] for h in told.history]
    expect(all(np.isfinite(list(_numbers(h))).all() for h in told.history), "every part is finite")
    expect(losses[-1] < losses[0], f"the loss falls; {losses[0]:.4g} to {losses[-1]:.4g}")


def _numbers(record: dict[str, Any]) -> Iterator[float]:
    return (float(v) for k, v in record.items() if k != "phase")


def check_features_do_not_collapse(thing: str) -> None:
    """The features keep several directions."""
    before, after = learned(thing).rank
    expect(after >= FEWEST, f"features keep {FEWEST:g} directions; {before:.1f} to {after:.1f}")


def check_a_probe_beats_random_weights(thing: str) -> None:
    """A linear probe on the features names the labels better than one on those of random weights."""
    before, after = learned(thing).probe
    expect(after > before, f"a probe gains; {before:.3f} to {after:.3f}")


def check_killed_and_resumed_gives_equal_weights(thing: str) -> None:
    """A training that was killed in its third epoch goes on to the weights of one that was not."""
    whole, cut, again = (_short(thing) for _ in range(3))
    run(whole)
    kept, loop.SAVE_SECONDS = loop.SAVE_SECONDS, 0.0
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = Checkpoint(Path(folder), thing)
            _killed(cut, place)
            expect(place.path.exists(), "a checkpoint is left")
            told = run(again, checkpoint=place)
    finally:
        loop.SAVE_SECONDS = kept
    first, second = _tensors(whole.network), _tensors(again.network)
    differ = sorted(n for n in first if first[n] != second[n])
    expect(not differ, f"the same weights; not {differ[:3]}")
    expect(len(told.history) == SHORT, "the history is whole")


def _short(thing: str) -> World:
    return world(thing, rows=STEPS * BATCH, epochs=SHORT)


def _killed(made: World, place: Checkpoint) -> None:
    """Ends the training at the last step of its last epoch."""
    steps = iter(range(SHORT * STEPS))

    def alive() -> None:
        if next(steps) == SHORT * STEPS - 1:
            raise KeyboardInterrupt

    try:
        run(made, alive=alive, checkpoint=place)
    except KeyboardInterrupt:
        return
    raise Breach("the training was not interrupted")


def _tensors(network: Network) -> dict[str, str]:
    every = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {n: digest.tensors([(n, t)]) for n, t in every.items()}


def check_watching_changes_nothing(thing: str) -> None:
    """What is measured after every epoch leaves the weights as they would be."""
    plain, watched = _short(thing), _short(thing)
    run(plain)

    def measure(network: Network, record: dict[str, Any]) -> tuple[str, ...]:
        torch.rand(7)
        record["rank"] = guard.rank(loop.features(network, watched.stream, np.arange(BATCH)))
        return ("measured",)

    told = run(watched, after_epoch=measure)
    expect(_tensors(plain.network) == _tensors(watched.network), "the same weights")
    expect(all("rank" in h for h in told.history), "measures are in the record")
    expect(told.notes == ["measured"], "a sentence is noted once")


def check_samples_and_captions_share_a_space(thing: str) -> None:
    """An objective that learns from pairs says where samples and captions lie, rows of length one, and keeps
    what it takes; any other has no captions."""
    made = world(thing, rows=BATCH, epochs=1)
    batch = made.stream.batch(np.arange(FEW), -1)
    if not made.objective.pairs:
        try:
            made.objective.sides(made.network, batch)
        except ContractError:
            return
        raise Breach("sides() is refused where nothing is learned from pairs")
    made.objective.prepare(made.network, {"train": made.stream})
    with torch.no_grad():
        sides = made.objective.sides(made.network, batch)
    expect(sides[0].shape == sides[1].shape, "samples and captions have one width")
    expect(len(sides[0]) == FEW, "a row a sample")
    for side in sides:
        expect(bool(torch.allclose(side.norm(dim=1), torch.ones(FEW), atol=1e-5)), "length one")
    expect(bool(made.objective.keeps()), "what leads into the common space is kept")


class Formula(Backbone):
    """Nothing that could be trained."""

    width = 4
    stages = ("all",)


def check_a_network_without_weights_is_refused(thing: str) -> None:
    """A network by formula has nothing to train; the reason is a sentence."""
    made = plugins.load("objective", thing)
    why = made.Objective(made.Settings()).refuse(Network(Formula(), {}))
    expect(len(why.split()) >= 5, "a refusal is a sentence")


@cache
def pairs(thing: str) -> dict[str, str]:
    """Network -> "trained", or why the objective refused it, for a tiny network of every modality."""
    file = plugins.load("objective", thing)
    made = {}
    for name in (n.partition("/")[0] for n in sources() if n.endswith("/tiny")):
        tiny = plugins.Modality(name).tiny
        for maker in ("loaded", "onward"):
            if hasattr(tiny, maker):
                objective = file.Objective(file.Settings(epochs=1, rate=RATE))
                made[f"{name}/{maker}"] = _pair(objective, name, getattr(tiny, maker)(0))
    return made


def _pair(objective: Objective, name: str, loaded: Any) -> str:
    """Trains an epoch on the tiny data of a modality, or says why not."""
    modality, rows = plugins.Modality(name), dataset(name, "classify")
    asked = loaded.source.preprocessing
    transform = modality.batch.make(asked, rows.fields, samples(rows))
    network = Network(modality.backbones.stage(loaded, transform), {}).eval()
    if why := objective.refuse(network):
        return why
    chosen, labels = np.arange(FEW), np.arange(FEW) % 2
    views = objective.views
    targets = {"label": labels, **(captions(labels) if objective.pairs else {})}
    stream: Any = Views(rows, chosen, transform, targets, classes={"label": 2}, views=views, seed=0)
    if objective.pieces:
        stream = Pieces(_cut(stream), transform)
    try:
        told = loop.train(network, objective, {"train": stream}, training=Training(batch=FEW // 2))
    except PlanError as refused:  # by what the inputs look like, before the first step
        return str(refused)
    expect(np.isfinite(told.history[-1]["loss"]), f"the loss on {name} is finite")
    return TRAINED


def check_every_modality_is_learned_from_or_refused(thing: str) -> None:
    """A pair of objective and modality trains, or is refused before training with a sentence."""
    for name, said in pairs(thing).items():
        expect(
            said == TRAINED or len(said.split()) >= 5, f"{name} is refused with a sentence: {said}"
        )
    expect(TRAINED in pairs(thing).values(), "there is a modality that it learns from")


def matrix() -> str:
    """Objectives and networks as a Markdown table: trained, or refused."""
    names = list(pairs(things()[0]))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for thing in things():
        told = pairs(thing)
        cells = ("yes" if told[n] == TRAINED else "no" for n in names)
        lines.append(f"| {thing} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
