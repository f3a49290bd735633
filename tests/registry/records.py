"""A run's record with one of everything that is hard to keep, and equality that knows NaN."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from headstart.core.evidence import Exhibit, Finding, Measure
from headstart.core.plan import Plan, build
from headstart.core.run import Record

NAN = float("nan")


def record(**changes) -> Record:
    """A record with one of everything that is hard to keep."""
    plan = build(
        Plan,
        {
            "task": {
                "data": "photos",
                "columns": {"inputs": ["a", "b"]},
                "card": {"required": 0.9},
            },
            "strategy": {"name": "fine_tune", "settings": {"rate": 1e-3, "stop": math.inf}},
            "evidence": {"checks": ["verdict"]},
            "seed": 3,
        },
    )
    finding = Finding(
        check="accuracy",
        measures=(
            Measure("accuracy", 0.9, 0.85, 0.94, 200, "share", "majority", "bootstrap"),
            Measure("rows", 12, None, None, 12, "rows", "", "counted"),
            Measure(
                "gap", NAN, -math.inf, math.inf, 0, "points", "", "none", "inferred", "cats", 0.9
            ),
        ),
        exhibits=(Exhibit("m", "matrix", "Confusion", {"rows": [[1, 2], [3, NAN]], "$ref": "é"}),),
        missing=(("twin", "no time"),),
    )
    generator = np.random.default_rng(0)
    made = Record(
        id="20261121-101500-3fa2",
        plan=plan,
        digests={"data": "ab", "plan": plan.digest},
        source={"uri": "timm:x", "preprocessing": {"mean": [0.5, NAN]}},
        classes=("cat", "dog"),
        findings=(finding,),
        predictions={
            "names": ["a/ä.jpg", "b.jpg"],
            "targets": np.array([0, 1]),
            "outputs": generator.random((2, 3)).astype(np.float32)[:, :2],
        },
        facts={"seconds": 1.5, "flops": NAN, "openings": 1, "deep": {"x": [None, True, -math.inf]}},
        notes=("guessed the target",),
        set_aside=({"name": "c.jpg", "reason": "broken", "remedy": "replace it"},),
    )
    return replace(made, **changes)


def same(left, right) -> bool:
    """Equality in which NaN equals NaN and arrays are compared by type and bytes."""
    if isinstance(left, np.ndarray):
        return (
            left.dtype == right.dtype and left.shape == right.shape and np.array_equal(left, right)
        )
    if isinstance(left, float) and math.isnan(left):
        return isinstance(right, float) and math.isnan(right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, (list, tuple)):
        alike = type(left) is type(right) and len(left) == len(right)
        return alike and all(same(a, b) for a, b in zip(left, right, strict=True))
    if hasattr(left, "__dataclass_fields__"):
        names = left.__dataclass_fields__
        return type(left) is type(right) and all(
            same(getattr(left, n), getattr(right, n)) for n in names
        )
    return type(left) is type(right) and left == right
