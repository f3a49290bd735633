"""What a model may be used for: its chain of licences, and the uses that a person has asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from headstart.core import licence
from headstart.core.source import UNKNOWN
from headstart.data import hub
from headstart.errors import PlanError, nearest
from headstart.job import Job
from headstart.version import __version__

WORDS = {"commercial": "commercial use", "share": "being shared", "modify": "being changed"}
REFUSED = ("no", UNKNOWN)


def licences(made: Job, *, changed: bool) -> list[dict[str, Any]]:
    """The chain of the model: weights, what they learned from, the person's data, what a strategy read
    beside them, this code.

    Args:
        changed: whether the model carries the source's weights, changed.
    """
    source = licence.of_source(dataclasses.asdict(made.loaded.source), changed=changed)
    place = Path(made.plan.task.data).name or "arrays in memory"
    told = made.plan.task.card.data_licence or hub.licence(made.plan.task.data)
    data = licence.Link("data of the task", "data", told, origin=place)
    code = licence.Link(
        "headstart", "code", "Apache-2.0", origin=f"version {__version__}", carried=False
    )
    beside = made.links
    parents = (source[0].what, data.what, *(link.what for link in beside), code.what)
    model = licence.Link("the model", "adapter", "own", origin="this run", parents=parents)
    return [dataclasses.asdict(link) for link in (model, *source, data, *beside, code)]


def check(made: Job) -> None:
    """Refuses, before anything is computed, a source whose licences do not grant what was asked for (`uses`
    of the task's card), whatever strategy is taken.

    Raises:
        PlanError: an unknown use, or one that is forbidden or not granted, with the link that decides.
    """
    advice = "Choose another source (headstart sources), or leave the use out."
    demand(licences(made, changed=False), made.plan.task.card.uses, advice)


def demand(chain: Iterable[Mapping[str, Any]], uses: Iterable[str], advice: str) -> None:
    """Refuses uses that a chain of licences does not grant.

    Args:
        chain: links as `licences` gives them.
        uses: of `licence.USES`.
        advice: a sentence on what to do instead.

    Raises:
        PlanError: an unknown use, or one that is forbidden or not granted, with the link that decides.
    """
    asked = tuple(uses)
    for use in asked:
        if use not in licence.USES:
            raise PlanError(f"There is no use '{use}'. {nearest(use, licence.USES)}")
    for answer in _answers(chain, asked):
        if answer.answer in REFUSED:
            raise PlanError(f"{_sentence(answer)} {advice}")


def tell(made: Job, chain: Iterable[Mapping[str, Any]]) -> None:
    """Notes of each use that was asked for what the chain of the finished model answers, unless it is yes."""
    for answer in _answers(chain, made.plan.task.card.uses):
        if answer.answer == "conditions":
            made.say(
                f"{WORDS[answer.use].capitalize()} is granted if you {'; '.join(answer.conditions)}."
            )
        elif answer.answer != "yes":
            made.say(_sentence(answer))


def _answers(chain: Iterable[Mapping[str, Any]], uses: Iterable[str]) -> list[licence.Answer]:
    every = {a.use: a for a in licence.answers(licence.Link(**link) for link in chain)}
    return [every[use] for use in uses]


def _sentence(answer: licence.Answer) -> str:
    """What is not granted, and by which link."""
    word = {"no": "forbidden", UNKNOWN: "not granted"}.get(answer.answer, "not settled")
    way = " > ".join(answer.path)
    return (
        f"The model was asked to allow {WORDS[answer.use]} (--for {answer.use}), which is {word}: "
        f"{answer.why} (decided by {way})."
    )
