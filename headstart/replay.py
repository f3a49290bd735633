"""A run once more from its plan: the same digests, the same weights; the test split stays closed."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headstart import baseline, job, scope
from headstart.core.dataset import SetAside
from headstart.core.run import Record, Watcher
from headstart.data import opening
from headstart.engine.extract import Extraction
from headstart.errors import BadRow, DataError, PlanError
from headstart.job import Job
from headstart.registry import packs
from headstart.registry.packs import PackParts
from headstart.retention import Memory
from headstart.serving.predictor import Predictions, changed, stepped

TOLERANCE = 1e-5


def replay(
    folder: Path, record: Record, watcher: Watcher | None = None, *, data: str = ""
) -> Mapping[str, Any]:
    """Trains again with the recorded executor and profile, and compares with the shipped weights.

    Args:
        data: where the run's data are now; "": where they were.

    Returns:
        {"equal": bool, "bitwise": bool, "largest_difference": float, "digests": {name: bool}}.

    Raises:
        DataError: the data are not what they were, or were given in memory.
    """
    pack = packs.load(folder / "pack")
    made, out = _featured(pack, record, watcher, data)
    same = {
        "data": True,
        "source": made.loaded.source.sha256 == record.digests["source"],
        "split": made.split.digest == record.digests["split"],
    }
    if out.features is None:
        raise PlanError("The features were not kept; enlarge the store with --cap-gb.")
    with tempfile.TemporaryDirectory() as scratch:
        made.trained = Path(scratch)  # trainings are repeated, not read back
        transfer, _ = Memory(made).transfer(out.features, out.seconds)
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


def reopened(
    pack: PackParts,
    record: Record,
    instead: str,
    watcher: Watcher | None = None,
    *,
    data: str | None = None,
) -> Job:
    """A run's data and source, opened again with what its pack keeps of the preprocessing.

    Args:
        instead: what to do where the data were arrays.
        data: where they are now; "": where they were, but whoever asks may say; None: where they were.

    Raises:
        DataError: the data were given in memory, are not there, or are not what they were.
    """
    if not record.plan.task.data:
        raise DataError(
            f"The run {record.id} learned from arrays in memory, which were not kept. {instead}"
        )
    engine = dataclasses.replace(record.plan.engine, executor=executor_of(record))
    task = record.carried_out.task
    place = data or task.data
    moved = dataclasses.replace(task, data=place)
    plan = dataclasses.replace(record.carried_out, engine=engine, task=moved)
    try:
        made = job.open_job(plan, None, watcher, sealed=pack.transform)
    except DataError as error:
        raise DataError(
            f"The data of the run {record.id} ('{place}') cannot be opened: {error} A path without a root "
            "counts from the folder in which the run was made; go there"
            + (", or say where they are now (--data PATH)." if data is not None else ".")
        ) from error
    if made.dataset.digest != record.digests["data"]:
        raise DataError(
            f"{place} is not what the run {record.id} learned from (its digest differs). Bring back the "
            "same files, or start a new run."
        )
    return made


def _featured(
    pack: PackParts, record: Record, watcher: Watcher | None, data: str | None = None
) -> tuple[Job, Extraction]:
    """The run opened again, and the features of its training rows. Raises DataError."""
    instead = "Call headstart.adapt with the same arrays and plan."
    made = reopened(pack, record, instead, watcher, data=data)
    out = made.extract(made.train)
    job.drop_late(made, out)
    return made, out


def champion(
    folder: Path, record: Record, inputs: Any, watcher: Watcher | None = None
) -> Predictions:
    """Predictions of the run's simple champion, or of the simple model that did better on the test rows.

    It is code of other libraries, which no pack can hold without a pickle, so it is fitted anew on the run's
    training rows: to the same model, as its settings are chosen on these rows alone.

    Raises:
        DataError: the data are not what they were, or were given in memory; or the inputs cannot be read.
        PlanError: the run has no simple champion, or predicts positions.
    """
    name = champion_of(record)
    if not name:
        raise PlanError(f"The run {record.id} was compared with no simple model; leave it out.")
    pack = packs.load(folder / "pack")
    made, _ = _featured(pack, record, watcher)
    if not baseline.refits(made):
        raise PlanError(
            f"The simple model of the outcome {made.outcome} is not fitted again for prediction. Expected a "
            "run of whole samples; predict with the run's own model."
        )
    reader = made.modality.read
    rows = opening.open_samples(
        inputs,
        made.dataset.fields,
        reader,
        modality=made.modality.name,
        form=pack.recipe.get("form"),
        watcher=watcher,
    )
    places, samples, bad = _readable(made, rows)
    fitted, targets = baseline.again(made, name)
    said = fitted(samples) if samples else np.empty((0, 1))
    return Predictions(
        names=rows.names(places),
        labels=targets.decode(said) if samples else [],
        probabilities=said if targets.classes else None,
        classes=targets.classes,
        bad=[*rows.set_aside, *bad],
        notes=(*rows.notes, f"Predicted by the simple model '{name}', fitted again."),
        table=stepped(rows, places, said, targets) if samples else None,
    )


def _readable(made: Job, rows: Any) -> tuple[np.ndarray, list[Any], list[SetAside]]:
    """Places and samples of the rows that the run's transform takes, and the others: what the run's own
    model cannot read, no test row was either."""
    kept, samples, bad = [], [], []
    for place, sample in enumerate(job.Lazy(rows, np.arange(len(rows)))):
        try:
            made.transform(sample)
        except BadRow as error:
            bad.append(SetAside(rows.names(np.array([place]))[0], error.reason, error.remedy))
            continue
        kept.append(place)
        samples.append(sample)
    return np.array(kept, np.int64), samples, bad


def champion_of(record: Record) -> str:
    """The simple model that did better on the test rows than the transfer, else the champion; or ""."""
    found = record.finding("verdict")
    groups = [m.group for m in found.measures] if found else []
    better = [str(e.data.get("better", "")) for e in found.exhibits] if found else []
    arms = [*better, *(g for g in groups if g.startswith("simple champion: "))]
    return next((arm.partition(": ")[2] for arm in arms if arm), "")


def executor_of(record: Record) -> str:
    """The recorded executor's file name."""
    return str(record.facts.get("executor", "")).partition(" ")[0] or "auto"
