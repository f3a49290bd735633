"""A run once more from its plan: the same digests, the same weights; the test split stays closed."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart import job, scope, select
from headstart.core.run import Record, Watcher
from headstart.errors import DataError, PlanError
from headstart.registry import packs
from headstart.serving.predictor import changed

TOLERANCE = 1e-5


def replay(folder: Path, record: Record, watcher: Watcher | None = None) -> Mapping[str, Any]:
    """Trains again with the recorded executor and profile, and compares with the shipped weights.

    Returns:
        {"equal": bool, "bitwise": bool, "largest_difference": float, "digests": {name: bool}}.

    Raises:
        DataError: the data are not what they were, or were given in memory.
    """
    if not record.plan.task.data:
        raise DataError(
            f"The run {record.id} learned from arrays in memory, which were not kept. "
            "Call headstart.adapt with the same arrays and plan."
        )
    pack = packs.load(folder / "pack")
    engine = dataclasses.replace(record.plan.engine, executor=executor_of(record))
    plan = dataclasses.replace(record.plan, engine=engine)
    made = job.open_job(plan, None, watcher, sealed=pack.transform)
    same = {
        "data": made.dataset.digest == record.digests["data"],
        "source": made.loaded.source.sha256 == record.digests["source"],
        "split": made.split.digest == record.digests["split"],
    }
    if not same["data"]:
        raise DataError(
            f"The data at {record.plan.task.data} are not what the run {record.id} learned from "
            "(their digest differs). Bring back the same files, or start a new run."
        )
    out = made.extract(made.train)
    job.drop_late(made, out)
    if out.features is None:
        raise PlanError("The features were not kept; enlarge the store with --cap-gb.")
    with tempfile.TemporaryDirectory() as scratch:
        made.trained = Path(scratch)  # trainings are repeated, not read back
        transfer, _ = select.transfer(made, out.features, out.seconds)
    tensors = changed(transfer.networks[0], list(made.backbone.state_dict().items()))
    packed = {name for name in pack.tensors if not name.startswith(scope.PREFIX)}
    if tensors.keys() != packed:
        return {"equal": False, "bitwise": False, "largest_difference": None, "digests": same}
    gaps = [
        float((tensors[n] - pack.tensors[n]).abs().max()) for n in tensors if tensors[n].numel()
    ]
    worst = max(gaps, default=0.0)
    return {
        "equal": worst <= TOLERANCE and all(same.values()),
        "bitwise": worst == 0.0,
        "largest_difference": worst,
        "digests": same,
    }


def executor_of(record: Record) -> str:
    """The recorded executor's file name."""
    return str(record.facts.get("executor", "")).partition(" ")[0] or "auto"
