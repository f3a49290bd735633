"""What the source could do before it was adapted and can do after: ability, drift, and what is kept between.

An ability is measured by the old reading of the source's features: its own head on samples that its
generator draws, or a linear head solved on the untouched source's features of data that a person wants
remembered. Neither learns after the adaptation, so what they lose was forgotten (so Kirkpatrick et al. 2017,
arXiv:1612.00796, measure old tasks). Weights between the source's and the adapted ones are theta =
(1 - alpha) theta_0 + alpha theta_1 (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart import arms, previous, select
from headstart.arms import Features, Fitted
from headstart.core.generator import ABSENT
from headstart.core.network import Backbone, Network
from headstart.engine import streams
from headstart.engine.averages import between
from headstart.engine.freeze import evaluating
from headstart.errors import PlanError
from headstart.job import Job
from headstart.pretraining import samples
from headstart.pretraining.ask import Ask

DRAWN = 512  # samples that a generator draws
BATCH = 64
COMPARED = 64  # training rows on which representations are compared
ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # of the curve
WHAT = "what the source could do, before and after"
STEPS = 20  # a required retention is met to one part in so many
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Ability:
    """Something that the source can do.

    Attributes:
        what: in words.
        metric: what a row's score is.
        rows: tensors of a backbone -> (n,) score of each row.
    """

    what: str
    metric: str
    rows: Callable[[Tensors], np.ndarray]


class Memory:
    """What the source of a job can do; measured once, and only where it is asked for."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._first: Network | None = None

    @functools.cached_property
    def known(self) -> Ability | str:
        """What can be asked of the source: the data to be remembered, or what its generator draws; why
        nothing can, otherwise. Raises UserError for data that cannot be read."""
        return _ability(self.job)

    @functools.cached_property
    def before(self) -> np.ndarray:
        """(n,) score of each row with the untouched source, where something is known."""
        assert isinstance(self.known, Ability)
        return self.known.rows(self.job.backbone.state_dict())

    def first(self, features: Features) -> Network:
        """The untouched source with a head solved on its features of all training rows."""
        if self._first is None:
            job = self.job
            self._first = job.network(job.backbone)
            arms.solve_head(job, self._first, features, np.arange(len(job.train)), job.plan.seed)
        return self._first

    def check(self) -> None:
        """Refuses, before anything is trained, what could not be measured or kept to.

        Raises:
            PlanError: no such share, or nothing by which the ability could be measured.
            UserError: the data to be remembered cannot be read.
        """
        least, asked = self.job.plan.evidence.retain, self.job.plan.evidence.remember
        if not 0 <= least <= 1:
            raise PlanError(
                f"retain came as {least}; expected a share above 0 and at most 1, such as 0.95."
            )
        if not least and not asked:
            return
        if isinstance(self.known, str):  # never of data to be remembered: those are read or refused
            raise PlanError(f"retain = {least} cannot be kept to: {self.known}.")

    def transfer(self, features: Features, seconds: float) -> tuple[Fitted, str]:
        """The trained transfer, which keeps the share of the source's ability that the plan requires, and its
        strategy's name. What adds weights of its own `select` has refused."""
        made, strategy = select.transfer(self.job, features, seconds)
        return self._held(made, features), strategy

    def _held(self, made: Fitted, features: Features) -> Fitted:
        """The transfer with as much of the adaptation as leaves the required share."""
        job, least = self.job, self.job.plan.evidence.retain
        if not least or isinstance(self.known, str):
            return made
        if made.networks[0].backbone is job.backbone:
            job.say("The source's weights are untouched, so it keeps all that it could do.")
            return made
        first = self.first(features)
        before = float(self.before.mean())
        alpha, kept = _largest(self.known, first, made.networks, before, least)
        for network in made.networks:  # `made.predict` reads them
            network.load_state_dict(between(first, network, alpha).state_dict())
        job.say(
            f"The model is {alpha:.0%} of the way from the source's weights to the adapted ones: there it "
            f"keeps {kept / max(before, 1e-9):.1%} of what the source could do ({self.known.what}), and "
            f"{least:.0%} was asked for."
        )
        return dataclasses.replace(made, settings={**made.settings, "retained_way": alpha})

    def measured(
        self, transfer: Fitted, features: Features, rows: np.ndarray, targets: Any
    ) -> Mapping[str, Any]:
        """What the check "forgetting" reads.

        Args:
            rows, targets: of the opened test rows, for the curve.

        Returns:
            {"frozen": True} where nothing was trained; else {"what", "metric", "before" (1, n), "after"
            (seeds, n), "drift": {stage: CKA, mean over seeds}, "curve": [{"alpha", "score", "ability"}],
            "missing": [(what, why)]}.
        """
        job = self.job
        if transfer.networks[0].backbone is job.backbone:
            return {"frozen": True}
        if select.anew(job):
            return {"missing": [(WHAT, "nothing of the source is left in a network from scratch")]}
        known = self.known
        found: dict[str, Any] = {"drift": drift(job, transfer.networks)}
        if isinstance(known, str):
            return {**found, "missing": [(WHAT, known)]}
        if not plain(transfer.networks[0], job.backbone):
            return {**found, "missing": [(WHAT, "the strategy adds weights of its own")]}
        every = [network.backbone.state_dict() for network in transfer.networks]
        found.update(what=known.what, metric=known.metric)
        found["before"] = self.before[None]
        found["after"] = np.stack([known.rows(tensors) for tensors in every])
        ends = {0.0: float(self.before.mean()), 1.0: float(found["after"][0].mean())}
        found["curve"] = _curve(
            job, known, (self.first(features), transfer.networks[0]), ends, rows, targets
        )
        return found


def _ability(job: Job) -> Ability | str:
    if job.plan.evidence.remember:
        return _of_data(job)
    uri = job.loaded.source.uri.partition("?")[0]
    entry = next((e for e in job.modality.catalogue() if e["uri"] == uri), {})
    if "generator" not in entry:
        return "no data of what the source knew; name some with --remember DATA"
    if job.backbone.source_head is None:
        return "the source's own head is not there"
    return _drawn(job, str(entry["generator"]))


def _of_data(job: Job) -> Ability:
    """The head that was solved for the data to be remembered reads their test rows, which no training has
    seen."""
    held = previous.remembered(job)
    other, network = held.job, held.network
    opened = other.seal.open("what is to be remembered")
    tested = other.extract(opened)
    labels = other.targets.encode(other.dataset.targets(tested.rows))

    def rows(tensors: Tensors) -> np.ndarray:
        asked = _with(network, tensors)
        stream = arms.rows_stream(other, tested.rows, augment=False)
        said = arms.outputs(other, asked, stream)
        return np.asarray(other.score.rows(said[None], labels)[0])

    return Ability(f"{held.name}, {len(labels)} held-out rows", other.score.name, rows)


def _drawn(job: Job, generator: str) -> Ability:
    """The source's own head on what its generator draws; several labels of a sample count alike."""
    drawn = samples.of(Ask(data=f"generator:{generator}", seed=0), None)
    cells, labels = drawn.draw(DRAWN, torch.Generator().manual_seed(1))
    name, sizes = job.dataset.fields[0].name, list(drawn.classes.values())
    read = [job.transform({name: next(iter(cell.values()))}) for cell in cells]
    truth = np.stack([labels[column] for column in drawn.classes], 1)

    def rows(tensors: Tensors) -> np.ndarray:
        backbone = _loaded(job.backbone, tensors)
        head = copy.deepcopy(job.backbone.source_head)
        said = []
        with evaluating(backbone), torch.inference_mode():
            for start in range(0, len(read), BATCH):
                inputs = job.transform.collate(read[start : start + BATCH])
                said.append(head(backbone.pool(backbone.run(inputs))))  # type: ignore[misc]
        parts = torch.cat(said).split(sizes, 1)
        right = np.stack(
            [np.asarray(p.argmax(1)) == t for p, t in zip(parts, truth.T, strict=True)], 1
        )
        known = truth != ABSENT
        return (right & known).sum(1) / np.maximum(known.sum(1), 1)

    return Ability(
        f"{DRAWN} samples that its generator ({generator}) draws", "share of labels right", rows
    )


def _loaded(backbone: Backbone, tensors: Tensors) -> Backbone:
    """A copy with other tensors. Raises PlanError where they do not fit."""
    made = copy.deepcopy(backbone)
    try:
        made.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise PlanError(
            "The adapted network has another shape for the data to be remembered."
        ) from error
    return made.eval()


def _with(network: Network, tensors: Tensors) -> Network:
    return Network(_loaded(network.backbone, tensors), dict(network.heads.items()))  # type: ignore[arg-type]


def plain(network: Network, source: Backbone) -> bool:
    """Whether the network has the source's tensors and no others."""
    return list(network.backbone.state_dict()) == list(source.state_dict())


def _largest(
    known: Ability, first: Network, networks: Sequence[Network], before: float, share: float
) -> tuple[float, float]:
    """The largest alpha at which the mean ability over networks is at least that share of the source's own,
    and that ability; 0 and the source's own where there is none."""
    for step in range(STEPS, 0, -1):
        alpha = step / STEPS
        every = [
            known.rows(between(first, n, alpha).backbone.state_dict()).mean() for n in networks
        ]
        if np.mean(every) >= share * before:
            return alpha, float(np.mean(every))
    return 0.0, before


def _curve(
    job: Job,
    known: Ability,
    ends: tuple[Network, Network],
    kept: Mapping[float, float],
    rows: np.ndarray,
    targets: Any,
) -> list[dict[str, float]]:
    """Score on the task and ability along the way between two networks; `kept`: what is known of it."""
    stream, made = arms.rows_stream(job, rows, augment=False), []
    for alpha in ALPHAS:
        network = between(*ends, alpha)
        said = arms.outputs(job, network, stream)
        ability = kept.get(alpha)
        if ability is None:
            ability = float(known.rows(network.backbone.state_dict()).mean())
        made.append(
            {
                "alpha": alpha,
                "score": arms.score(job, said, targets),
                "ability": ability,
            }
        )
    return made


def drift(job: Job, networks: Sequence[Network]) -> dict[str, float]:
    """Stage -> linear CKA of what it gives before and after, on some training rows, mean over networks; 1 is
    no drift (Kornblith et al. 2019, arXiv:1905.00414)."""
    some = job.train[np.linspace(0, len(job.train) - 1, min(COMPARED, len(job.train))).astype(int)]
    stream = arms.rows_stream(job, np.unique(some), augment=False)
    inputs = next(streams.plain(stream, networks[0], COMPARED)).inputs
    before = list(_grams(job.backbone, inputs))
    every = [
        [similar(b, a) for b, a in zip(before, _grams(network.backbone, inputs), strict=False)]
        for network in networks
    ]
    return dict(zip(job.backbone.stages, np.mean(every, 0).tolist(), strict=True))


def _grams(backbone: Backbone, inputs: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """Inner products (n, n) of the rows' states after every stage."""
    state = inputs
    with evaluating(backbone), torch.inference_mode():
        for number in range(len(backbone.stages)):
            state = backbone.run(state, number, number + 1)
            parts = [t.flatten(1).double() for t in state.values() if t.is_floating_point()]
            yield torch.stack([part @ part.T for part in parts]).sum(0)


def similar(first: Tensor, second: Tensor) -> float:
    """Linear CKA of two (n, n) matrices of inner products; NaN where one says nothing."""
    one, two = (g - g.mean(0) - g.mean(1, keepdim=True) + g.mean() for g in (first, second))
    return float((one * two).sum() / (one.norm() * two.norm()))
