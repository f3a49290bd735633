"""What a plan asks of augmentation: variations of single rows, and blends of the inputs of two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headstart.core import augment, common
from headstart.core.augment import Policy
from headstart.core.modality import Transform
from headstart.core.plan import Augmentation
from headstart.core.strategy import Strategy
from headstart.errors import PlanError

# Names that blend rows, and the settings and alphas that they stand for: what the papers have for pictures.
BLENDS = {"mixup": ("mixup_inputs", 0.2), "cutmix": ("cutmix", 1.0)}
ASKED = "augment"
USUAL = "what is usual for the source, where the strategy varies rows"


@dataclass(frozen=True)
class Asked:
    """What a plan asks for.

    Attributes:
        policy: of single rows; None: what is usual for the source, where the strategy augments.
        common: settings of `Common` that the named blends stand for.
    """

    policy: Policy | None = None
    common: Mapping[str, float] = field(default_factory=dict)


def asked(wanted: Augmentation, transform: Transform, kind: str) -> Asked:
    """What the plan asks for of these rows.

    Args:
        kind: name of the kind of data.

    Raises:
        PlanError: a name that this kind of data does not know, or a factor that is none.
    """
    if not wanted.augment:
        return Asked()
    named = augment.read(wanted.augment)
    blends = {
        setting: alpha * named.pop(name) * wanted.magnitude
        for name, (setting, alpha) in BLENDS.items()
        if name in named
    }
    policy = augment.policy(
        named,
        getattr(transform, "variations", {}),
        kind=kind,
        drawn=wanted.operations,
        magnitude=wanted.magnitude,
        beside=tuple(BLENDS),
    )
    return Asked(policy, blends)


def varied(transform: Transform, policy: Policy | None) -> Transform:
    """The transform that does what a policy draws; itself where there is none, or nothing in it to be done
    that it does not offer."""
    if policy is None or not hasattr(transform, "varied"):
        return transform
    made: Transform = transform.varied(policy)
    return made


def given(strategy: Strategy, found: Asked, settings: Mapping[str, Any]) -> Strategy:
    """The strategy with what the plan asks for of augmentation beside its own settings, which go first."""
    if found.policy is None:
        return strategy
    own = strategy.settings
    if hasattr(own, ASKED) and ASKED not in settings:
        used = bool(found.policy.steps)  # where only blends are named, single rows stay as they are
        changed = strategy.altered(augment=used)
    else:
        changed = strategy
    added = {name: alpha for name, alpha in found.common.items() if name not in settings}
    changed.common = dataclasses.replace(strategy.common, **added)
    return changed


def refused(strategy: Strategy, found: Asked, transform: Transform, *, trains: bool) -> str:
    """Why a named strategy cannot do what the plan asks for of augmentation, or "".

    Args:
        trains: whether something is trained step by step.
    """
    if found.policy is not None and not trains:
        return (
            "nothing is trained step by step, so augmentation would do nothing; leave --augment out, or "
            "choose a strategy that trains, such as fine_tune"
        )
    if (
        found.policy is not None
        and found.policy.steps
        and not getattr(strategy.settings, ASKED, False)
    ):
        return "augmentations were named, but augment came as false; leave one of the two out"
    if strategy.common.blends and not strategy.blends:
        return (
            "it learns from what is known of each row alone, which a blend of two inputs is not; choose "
            f"{common.OF_FEATURES}, or leave {common.WHOLE} and cutmix out"
        )
    return _unblended(strategy.common, transform)


def check(found: Asked, transform: Transform) -> None:
    """Refuses blends that no strategy could have of these inputs. Raises PlanError."""
    why = _unblended(common.Common(**found.common), transform)
    if why:
        raise PlanError(f"--augment cannot be had here: {why}.")


def _unblended(settings: common.Common, transform: Transform) -> str:
    """Why inputs as the transform makes them cannot be blended, or ""."""
    dense, grid = (tuple(getattr(transform, n, ())) for n in ("dense", "grid"))
    return common.unblended(settings, dense=dense, grid=grid)
