"""Policies: names and factors are read, unknown ones refused with the known, auto draws evenly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from headstart.core import augment
from headstart.core.augment import Policy, Variation
from headstart.core.plan import Augmentation
from headstart.errors import PlanError

KNOWN = {
    "rotation": Variation("turned"),
    "scaling": Variation("larger"),
    "invert": Variation("a negative", automatic=False),
}


def made(*asked: str, drawn: int = 2, magnitude: float = 1.0, known: object = KNOWN) -> Policy:
    return augment.policy(
        augment.read(asked),
        known,  # type: ignore[arg-type]
        kind="image",
        drawn=drawn,
        magnitude=magnitude,
    )


def test_names_keep_their_order_and_take_factors() -> None:
    assert made("scaling", "invert:0.5").steps == (("scaling", 1.0), ("invert", 0.5))
    assert made("rotation:2", magnitude=3.0).steps == (("rotation", 6.0),)
    assert made("rotation").draw(np.random.default_rng(0)) == (("rotation", 1.0),)
    assert made() == Policy(())


def test_auto_leaves_out_what_may_change_the_class_and_draws_evenly() -> None:
    policy = made("auto:0.5", drawn=3)
    assert policy.steps == (("rotation", 0.5), ("scaling", 0.5))
    drawn = [policy.draw(np.random.default_rng([1, i])) for i in range(500)]
    assert {len(steps) for steps in drawn} == {3}
    counts = Counter(name for steps in drawn for name, _ in steps)
    assert set(counts) == {"rotation", "scaling"}
    assert abs(counts["rotation"] - 750) < 4 * np.sqrt(1500 * 0.25)
    assert drawn == [policy.draw(np.random.default_rng([1, i])) for i in range(500)]


REFUSED = [
    (("rotate",), "Did you mean 'rotation'? Known: auto, rotation, scaling, invert."),
    (("zzz",), "Known: auto, "),
    (("auto", "invert"), "'invert' was named beside it"),
    (("rotation", "rotation:2"), "named twice"),
    (("rotation:0",), "came with the factor '0'"),
    (("rotation:-1",), "expected a number above 0"),
    (("rotation:strong",), "came with the factor 'strong'"),
    (("rotation:21",), "up to 20"),
    (("rotation:nan",), "came with the factor 'nan'"),
]


@pytest.mark.parametrize(("asked", "told"), REFUSED)
def test_what_cannot_be_is_refused(asked: tuple[str, ...], told: str) -> None:
    with pytest.raises(PlanError) as caught:
        made(*asked)
    assert told in str(caught.value)


def test_where_nothing_is_offered_names_and_auto_are_refused() -> None:
    with pytest.raises(PlanError, match="offer none by name"):
        made("rotation", known={})
    with pytest.raises(PlanError, match="auto has nothing to draw from"):
        made("auto", known={"invert": KNOWN["invert"]})


def test_the_plan_refuses_numbers_that_are_none() -> None:
    with pytest.raises(PlanError, match="operations came as 0"):
        Augmentation(operations=0)
    with pytest.raises(PlanError, match="magnitude came as 0"):
        Augmentation(magnitude=0.0)
