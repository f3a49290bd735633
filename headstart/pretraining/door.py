"""Ask -> a new source: the one place where the parts of a pre-training meet."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart import job as jobs
from headstart.core import digest, plugins
from headstart.core import plan as plans
from headstart.core.modality import Transform
from headstart.core.network import Backbone, Network
from headstart.core.objective import PHASE, Objective
from headstart.core.run import Watcher
from headstart.core.source import Loaded
from headstart.engine import device as devices
from headstart.engine import ledger, loop
from headstart.engine import seed as seeds
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.streams import Drawn, Pieces, Views, counted
from headstart.engine.training import Trained, Training
from headstart.errors import DataError, PlanError, nearest
from headstart.job import Given
from headstart.pretraining import document, encoder, guard, retrieval, samples
from headstart.pretraining.ask import AUTO, Ask, Beside
from headstart.pretraining.encoder import Origin
from headstart.pretraining.retrieval import Retrieval
from headstart.pretraining.samples import Samples
from headstart.pretraining.surprise import Surprise
from headstart.select import FLOPS_A_SECOND
from headstart.version import __version__

VERSION = 2  # of the training itself; checkpoints of another version are not used
FEWEST = 8
STEPS = 4  # an epoch has at least as many where the batch is chosen
FOLDER = "headstart-sources"
FLOPS_HOW = (
    "counted on the eager network for one sample, times its passes: forward, twice that backward, and the "
    "teacher's forward where there is one; projectors not counted"
)


@dataclass(frozen=True)
class Pretrained:
    """A source on the disk.

    Attributes:
        folder: with model.safetensors, model.json and README.md.
        document: what model.json holds.
    """

    folder: Path
    document: Mapping[str, Any]

    @property
    def uri(self) -> str:
        """By which it is used: `--source URI`, `adapt(source=URI)`."""
        return f"file:{self.folder / document.WEIGHTS}"


@dataclass
class Ready:
    """All that a pre-training needs, opened; nothing is trained yet.

    Attributes:
        module, card: whose weights are written, and the document by which they are read again.
    """

    ask: Ask
    objective: str
    strategy: Objective
    samples: Samples
    origin: Origin
    transform: Transform
    backbone: Backbone
    costs: tuple[float, ...]
    batch: int
    folder: Path
    key: str
    module: Any
    card: Mapping[str, Any]

    def stream(self) -> Views | Drawn | Pieces:
        """What is learned from."""
        chosen = self.strategy
        return self.samples.stream(self.transform, chosen.views, self.ask.seed, chosen.labels)

    def whole(self) -> Views | Drawn:
        """What is learned from, as whole samples."""
        chosen = self.strategy
        return self.samples.samples(self.transform, chosen.views, self.ask.seed, chosen.labels)

    def surprise(self) -> Surprise | None:
        """Of what is held out, or None where nothing is."""
        found = self.samples
        if not found.held_pieces:
            return None
        stream = Pieces(found.held_pieces, self.transform)
        return Surprise(self.strategy, stream, len(found.held_rows), self.ask.seed)

    def retrieval(self) -> Retrieval | None:
        """Of held-out pairs, or None where there are none, or too few to be told apart."""
        found = self.samples
        if found.captions is None or not len(found.held_rows):
            return None
        ends = " and ".join(f.name for f in found.fields), found.captions.column
        ways = f"{ends[0]} to {ends[1]}", f"{ends[1]} to {ends[0]}"
        made = Retrieval(self.strategy, found.held(self.transform), ways)
        return made if min(made.candidates) >= retrieval.FEWEST else None


def pretrain(ask: Ask, given: Given | None = None, watcher: Watcher | None = None) -> Pretrained:
    """Carries out a pre-training; the same request goes on where it was interrupted.

    Raises:
        UserError: data, objective, architecture or output are wrong; nothing was written.
    """
    ready = prepare(ask, given)
    known = document.finished(ready.folder, ready.key)
    if known is not None:
        _say(watcher, [f"The same request has made {ready.folder} before; it is used as it is."])
        return Pretrained(ready.folder, known)
    _say(watcher, ready.samples.notes)
    if ready.samples.captions is not None:
        ready.samples.captions.features(watcher)
    network = Network(ready.backbone, {})
    watched = _guard(ready, network)
    epochs = int(ready.strategy.settings.epochs)
    training = Training(
        seed=ask.seed,
        batch=ready.batch,
        costs=ready.costs,
        device=devices.resolve(ask.device),
        name=ready.objective,
        after_epoch=watched,
    )
    start = _start(ready, network, watched)
    checkpoint = Checkpoint(jobs.cache_root() / "pretraining", ready.key)
    told = loop.train(
        network,
        ready.strategy,
        {"train": ready.stream()},
        training=training,
        checkpoint=checkpoint,
        watcher=watcher,
    )
    told.history.insert(0, start)
    paired = _paired(ready, network, told)
    warned = retrieval.warned(paired.get("retrieval", {"figures": ()}))
    _say(watcher, warned)
    told.notes.extend(warned)
    facts = {**_facts(ready, told, epochs), **paired}
    beside = getattr(ready.samples.modality.backbones, "beside", None)
    more = beside(ready.backbone, ready.transform) if beside is not None else {}
    kept = ready.strategy.keeps()
    return Pretrained(ready.folder, document.write(ready.folder, ready.module, facts, more, kept))


def _say(watcher: Watcher | None, sentences: Sequence[str]) -> None:
    for sentence in sentences if watcher is not None else ():
        watcher.say(sentence)


def _start(ready: Ready, network: Network, watched: guard.Guard) -> dict[str, Any]:
    """The first record of the history: measures before any training."""
    start: dict[str, Any] = {"epoch": 0, "rank": watched.first}
    if watched.probe is not None:
        start["probe"] = watched.probe(network)
    measured = {"perplexity": watched.surprise, "retrieval": watched.retrieval}
    for name, measure in measured.items():
        if isinstance(measure, Surprise | Retrieval):
            fresh = copy.deepcopy(ready.strategy)
            with seeds.seeded(ready.ask.seed, "prepare"):  # as the training will
                fresh.prepare(network, {"train": ready.stream()})
            start[name] = measure(network, fresh)
    return start


def prepare(ask: Ask, given: Given | None = None) -> Ready:
    """Opens data and network, and refuses what cannot work. Raises UserError."""
    found = samples.of(ask, given)
    name = _objective(ask, found)
    strategy = _strategy(name, ask.settings, going_on=bool(ask.source))
    _captioned(ask, name, strategy, found)
    found.hold_out(strategy.holds_out, ask.seed)
    origin = encoder.begun(ask, found.modality, found.fields)
    loaded, modality = origin.loaded, found.modality
    transform = _transform(loaded, strategy, found)
    probe = [transform(sample) for sample in _some(found)]
    inputs = transform.collate(probe)
    jobs.stage(modality, loaded, transform, inputs)
    # again, as what was staged for verification alone cannot be trained
    backbone: Backbone = modality.backbones.stage(loaded, transform)
    network = Network(backbone, {})
    _fits(name, strategy, found, network)
    batch = _batch(ask, strategy, found)
    # refused now where it cannot be written, not after hours
    module, card = encoder.described(origin, modality, backbone)
    about: list[Any] = [VERSION, found.digest, modality.name, name, strategy.settings, batch]
    about += [ask.seed, ask.device, digest.tensors(backbone.state_dict().items())]
    about += [transform.state(), ask.samples if ask.generator else 0]
    about += [found.captions.about] if found.captions is not None else []
    chosen = f"{name}-{Path(found.name.replace(':', '-').partition('?')[0]).stem}"
    return Ready(
        ask=ask,
        objective=name,
        strategy=strategy,
        samples=found,
        origin=origin,
        transform=transform,
        backbone=backbone,
        costs=jobs.stage_costs(backbone, inputs),
        batch=batch,
        folder=Path(ask.output).expanduser() if ask.output else Path(FOLDER) / chosen,
        key=digest.value(about),
        module=module,
        card=card,
    )


def _captioned(ask: Ask, name: str, strategy: Objective, found: Samples) -> None:
    """Joins captions to the samples for an objective of pairs. Raises PlanError, DataError."""
    if strategy.pairs:
        found.pair(ask)
    elif ask.captions != Beside():
        raise PlanError(
            f"Captions were named (--caption, --caption-source), but the objective '{name}' reads none. "
            "Leave them out, or choose the objective clip."
        )


def _transform(loaded: Loaded, strategy: Objective, found: Samples) -> Transform:
    """Preprocessing as the network wants it, with the views of its kind of data; samples that it cannot read
    are set aside."""
    preprocessing = {**loaded.source.preprocessing}
    strong = getattr(found.modality.batch, "VIEWS", None)
    if strong is not None and not strategy.pairs:  # a caption may name what these change
        preprocessing["augment"] = list(strong)
    transform: Transform = found.modality.batch.make(preprocessing, found.fields, found.examples)
    if strategy.pieces:
        found.cut(transform)
    else:
        found.readable(transform)
    return transform


def _some(found: Samples) -> list[Any]:
    """A few samples on which staging is verified."""
    if found.dataset is not None:
        return list(found.dataset.samples(found.rows[: jobs.PROBE_ROWS]))
    return list(found.examples[: jobs.PROBE_ROWS])


def _objective(ask: Ask, found: Samples) -> str:
    """The objective's name. Raises PlanError for an unknown one."""
    if ask.objective == AUTO:
        if ask.captions.column:
            return "clip"
        return "supervised" if found.draw is not None and found.classes else "simclr"
    known = plugins.names("objective")
    if ask.objective not in known:
        raise PlanError(f"There is no objective '{ask.objective}'. {nearest(ask.objective, known)}")
    return ask.objective


def _strategy(name: str, settings: Mapping[str, Any], *, going_on: bool = False) -> Objective:
    """With the defaults of a training that goes on from a source, where the objective has some."""
    file: Any = plugins.load("objective", name)
    first = getattr(file, "CONTINUED", {}) if going_on else {}
    made: Objective = file.Objective(plans.build(file.Settings, {**first, **settings}))
    return made


def reason(name: str, strategy: Objective, found: Samples, network: Network) -> str:
    """Why an objective does not fit these samples and this network, or ""."""
    if strategy.labels and not found.classes:
        return "it needs labels, and the data have none"
    if strategy.pairs and found.captions is None:
        return "it needs a caption beside each sample, and none was asked for"
    return strategy.refuse(network)


def _fits(name: str, strategy: Objective, found: Samples, network: Network) -> None:
    """Raises PlanError with the objectives that do fit."""
    why = reason(name, strategy, found, network)
    if not why:
        return
    others = [
        other
        for other in plugins.names("objective")
        if not reason(other, _strategy(other, {}), found, network)
    ]
    fit = f"These fit: {', '.join(others)}." if others else "No objective fits it."
    raise PlanError(
        f"The objective '{name}' does not fit {found.modality.name} data read by this network: {why}. {fit}"
    )


def _batch(ask: Ask, strategy: Objective, found: Samples) -> int:
    """Samples a step. Raises PlanError, DataError where there are too few."""
    count, out = found.length, len(found.held_rows)
    beside = f" beside {out} that are held out" if out else ""
    least = 2 if strategy.compares else 1
    if ask.batch and ask.batch < least:
        raise PlanError(
            f"A batch of {ask.batch} came; this objective compares {least} or more samples."
        )
    if ask.batch > count:
        raise PlanError(
            f"A batch of {ask.batch} was asked for, but there are {count} samples{beside}. Expected at "
            f"most as many; "
            f"give --batch {max(least, count // 2)} or fewer, or more data."
        )
    if count < FEWEST:
        raise DataError(
            f"There are {count} samples to learn from{beside}. Expected {FEWEST} or more; add some, or draw "
            "them with a generator."
        )
    return ask.batch or max(FEWEST, min(strategy.batch, count // STEPS))


def _guard(ready: Ready, network: Network) -> guard.Guard:
    """The guard over plain samples of the stream, with the probe where labels are free for it."""
    stream, rng = ready.whole(), np.random.default_rng(ready.ask.seed)
    places = np.sort(rng.permutation(ready.samples.count)[: guard.LOOKED_AT])
    probe = None
    labels = ready.samples.labels
    if labels and not ready.strategy.labels:
        first = next(iter(labels.values()))
        probe = guard.prober(stream, first, np.arange(len(first)), ready.ask.seed)
    return guard.Guard(
        stream=stream,
        places=places,
        floor=ready.strategy.floor,
        epochs=int(ready.strategy.settings.epochs),
        first=guard.rank(loop.features(network, stream, places)),
        probe=probe,
        surprise=ready.surprise(),
        retrieval=ready.retrieval(),
    )


def _facts(ready: Ready, told: Trained, epochs: int) -> dict[str, Any]:
    """What the document holds: how to read the weights, and where they come from."""
    ask, found = ready.ask, ready.samples
    seen = epochs * counted(found.length, ready.batch, whole=True)[1]
    cores = torch.get_num_threads()
    watts = ledger.WATTS_PER_CORE
    above = list(ready.origin.parents)
    one = len({h["phase"] for h in told.history if "phase" in h}) < 2
    rest = [{k: h[k] for k in h if not (one and k == "phase")} for h in told.history]
    return {
        **ready.card,
        "name": ready.folder.name,
        "modality": found.modality.name,
        "licence": ask.licence,
        "trained_on": f"{found.name}, by the objective {ready.objective}"
        + "".join(f"; before that: {p['trained_on']}" for p in above)
        + (f"; {found.captions.said}" if found.captions else ""),
        "data_licence": samples.licence(ask),
        "paper": "unknown",
        "revision": ready.key[:12],
        "parameters": sum(p.numel() for p in ready.backbone.parameters()),
        "objective": ready.objective,
        "settings": dataclasses.asdict(ready.strategy.settings),
        "batch": ready.batch,
        "seed": ask.seed,
        "samples_seen": seen,
        "flops": told.flops,
        "flops_how": FLOPS_HOW,
        "seconds": round(told.seconds, 1),
        "energy_kwh": [told.seconds * cores * w / 3.6e6 for w in watts],
        "energy_how": f"assumed, not measured: {cores} cores at {watts[0]:g} to {watts[1]:g} W",
        "data": {"name": found.name, "digest": found.digest, "licence": samples.licence(ask)},
        "parents": [*above, *([found.captions.parent] if found.captions else [])],
        "rank": [told.history[0]["rank"], told.history[-1]["rank"]],
        "history": rest,
        **_perplexity(ready, told),
        "notes": [*found.notes, *told.notes],
        "set_aside": [dataclasses.asdict(one) for one in found.set_aside],
        "headstart": __version__,
        "asked": ready.key,
    }


def _paired(ready: Ready, network: Network, told: Trained) -> dict[str, Any]:
    """What the document says of captions and of how well held-out pairs are found again; {} without."""
    made, measured = ready.samples.captions, ready.retrieval()
    if made is None:
        return {}
    if measured is None:
        return {"captions": made.facts}
    found = retrieval.facts(measured, network, told.history, len(ready.samples.held_rows))
    return {"captions": made.facts, "retrieval": found}


def _perplexity(ready: Ready, told: Trained) -> dict[str, Any]:
    """Of what was held out, before and after the backbone learned; {} where nothing was."""
    measured = ready.surprise()
    if measured is None:
        return {}
    before = [h for h in told.history if h.get("phase", "") != PHASE]
    how = "before: with new weights around the network that had learned nothing"
    if len(before) > 1:
        how = f"before: with a head that had learned alone in {len(before) - 1} epochs"
    elif not any(True for _ in ready.strategy.parameters()):
        how = "before: the network as it was"
    values = {"before": before[-1]["perplexity"], "after": told.history[-1]["perplexity"]}
    return {"perplexity": {**values, "samples": measured.samples, "how": how}}


def rehearse(ask: Ask, given: Given | None = None) -> Mapping[str, Any]:
    """What a pre-training would do. Nothing is trained or written."""
    ready = prepare(ask, given)
    strategy, found = ready.strategy, ready.samples
    steps = found.length // ready.batch
    each = sum(ready.costs) * (strategy.forwards + 2) * strategy.views
    epochs = int(strategy.settings.epochs)
    return {
        "data": found.name,
        "modality": found.modality.name,
        "samples": found.count,
        "held_out": len(found.held_rows),
        **({"captions": found.captions.facts} if found.captions else {}),
        "labels": dict(found.classes),
        "objective": ready.objective,
        "settings": dataclasses.asdict(strategy.settings),
        "network": ready.origin.loaded.source.uri,
        "parameters": sum(p.numel() for p in ready.backbone.parameters()),
        "batch": ready.batch,
        "steps": steps * epochs,
        "seconds_training": round(each * steps * ready.batch * epochs / FLOPS_A_SECOND, 1),
        "output": str(ready.folder),
        "set_aside": [dataclasses.asdict(one) for one in found.set_aside],
        "notes": list(found.notes),
    }
