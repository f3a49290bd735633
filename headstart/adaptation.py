"""Plan -> run: the one place where training's parts meet; alone opens the test split."""

from __future__ import annotations

import dataclasses
import platform
import resource
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart import arms, baseline, curve, gains, job, permission, realism, scope, select
from headstart.arms import Features, Fitted
from headstart.core import digest, plugins
from headstart.core.dataset import SetAside
from headstart.core.evidence import Arm, Case, Exhibit, Finding, serves
from headstart.core.plan import Plan
from headstart.core.run import Record, Watcher
from headstart.engine.extract import Extraction
from headstart.engine.noted import noted
from headstart.errors import DataError
from headstart.groups import neighbours
from headstart.job import Given, Job
from headstart.registry import document, packs, runs
from headstart.registry.packs import Base, PackParts, Probe
from headstart.retention import Memory
from headstart.scope import Guard
from headstart.serving.predictor import Predictor, changed
from headstart.targets import alone
from headstart.version import __version__

PARITY_ROWS = 8
PARITY = {"exact": 1e-4, "fast": 5e-2}
# Two laptop or server cores with memory under load; stated as an assumption in the report.
WATTS = (15.0, 60.0)
NOT_MEASURED = (
    "label quality beyond duplicates",
    "fairness between transferred and scratch models",
    "robustness and drift",
)
UNKNOWN = "inputs of no known class"
ROWS_OF_NUMBERS = ("forgetting", "realism", "targets")  # facts that checks read and no record keeps


def adapt(plan: Plan, given: Given | None = None, watcher: Watcher | None = None) -> Path:
    """Carries out a plan; returns the folder of the finished run.

    Raises:
        UserError: data, source or plan are wrong; nothing was written.
    """
    made = job.open_job(plan, given, watcher)
    runs.ready(plan)
    select.check(made)
    permission.check(made)
    memory = Memory(made)
    memory.check()
    features, seconds = _features(made)
    transfer, strategy = memory.transfer(features, seconds)
    _inform(made, transfer, features)
    folder = runs.start(plan)
    try:
        guard = scope.guard(made, features, transfer)
        parts = scope.sealed(guard, shipped(made, transfer, strategy, folder.name))
        _pack(made, transfer, parts, folder)
        made.facts["seconds_model"] = time.perf_counter() - made.began
        model = Model(transfer, strategy, features, guard, memory)
        record = _judge(made, model, folder.name)
        document.write(record, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _inform(made: Job, transfer: Fitted, features: Features) -> None:
    """Targets that ask for it learn from held-out rows how far off the model is, and what rows are like."""
    informed = getattr(made.targets, "informed", None)
    if informed is not None:
        places, said = transfer.held_out
        # a trained network has features of its own
        own = features if strategy_is_solved(made, transfer) else None
        made.targets = informed(said, made.labels[places], own, made.groups)


def _features(made: Job) -> tuple[Features, float]:
    """Stored features of the training rows; rows that cannot be read are taken out."""
    out = made.extract(made.train)
    if made.plan.engine.profile == "fast" and not _fast_is_as_good(made):
        out = made.extract(made.train)
    job.drop_late(made, out)
    made.facts.update(executor=out.executor, rows_forwarded=out.forwards, store_bytes=out.bytes)
    if out.features is None:
        raise ValueError("pooled features are always kept")
    return out.features, out.seconds


def _fast_is_as_good(made: Job, most: int = 300) -> bool:
    """Whether the cross-validated score on sample rows is not worse; otherwise the plan says "exact" now."""
    rng = np.random.default_rng(made.plan.seed)
    places = np.sort(rng.permutation(len(made.train))[:most])
    rows, scores = made.train[places], {}
    for profile in ("exact", "fast"):
        out = made.extract(rows, profile=profile)
        kept = places[np.isin(rows, out.rows)]
        network = made.network(made.backbone)
        solution = arms.solve_head(made, network, out.features, kept, made.plan.seed)  # type: ignore[arg-type]
        held, said = arms.judged(made, solution, kept, made.plan.seed)
        scores[profile] = arms.score(made, said, made.labels[held])
    loss = 100 * (scores["exact"] - scores["fast"])
    told = f"on {len(places)} training rows, cross-validated: exact {scores['exact']:.3f}, fast "
    told += f"{scores['fast']:.3f}"
    if loss > 0.5:
        engine = dataclasses.replace(made.plan.engine, profile="exact")
        made.plan = dataclasses.replace(made.plan, engine=engine)
        made.say(f"The profile 'fast' scores worse ({told}), so 'exact' is used instead.")
        return False
    made.say(f"The profile 'fast' is used ({told}).")
    return True


def shipped(made: Job, transfer: Fitted, strategy: str, run_id: str) -> PackParts:
    """What a pack holds of a trained job."""
    probe = made.train[:PARITY_ROWS]
    whole = strategy_is_solved(made, transfer)
    return PackParts(
        base=Base(dataclasses.asdict(made.loaded.source), made.weights),
        outcome=made.outcome,
        modality=made.modality.name,
        targets=made.targets.state(),
        transform=made.transform.state(),
        fields=made.dataset.fields,
        recipe={
            "run": run_id,
            "strategy": strategy,
            "settings": transfer.settings,
            "executor": executor_name(made) if whole else "eager",
            "profile": made.plan.engine.profile,
            "device": made.device,
            "seed": made.plan.seed,
            **({"form": dict(made.dataset.form)} if made.dataset.form else {}),
            **gains.states(made),
        },
        card={**_card(made), **_held(transfer.networks[0].heads[made.outcome])},
        licences=tuple(permission.licences(made, changed=not whole)),
        probe=Probe(
            tuple(d.hex() for d in made.dataset.digests(probe)), transfer.predict(probe)[0]
        ),
        tensors=changed(transfer.networks[0], list(made.backbone.state_dict().items())),
    )


def _pack(made: Job, transfer: Fitted, parts: PackParts, folder: Path) -> None:
    """Saves the pack; it must predict the same after it was reloaded."""
    tolerance, rows = PARITY[made.plan.engine.profile], made.train[:PARITY_ROWS]

    def predict_with(pack: PackParts) -> np.ndarray:
        loaded = job.load(made.loaded.source.uri, made.modality, offline=True)
        reopened = Predictor(pack, loaded, made.cache / "compiled")
        said, read = reopened.outputs(made.dataset, rows)
        if made.further:
            gains.same(made, transfer, rows, reopened.others(read), tolerance)
        return said

    packs.save(folder / "pack", parts, predict_with, tolerance=tolerance)


def strategy_is_solved(made: Job, transfer: Fitted) -> bool:
    """Whether the shipped network has the source's own backbone."""
    return transfer.networks[0].backbone is made.backbone


def executor_name(made: Job) -> str:
    """File name of the executor that computed the features ("onnx 1.31" -> "onnx")."""
    return str(made.facts["executor"]).partition(" ")[0] or "eager"


def _card(made: Job) -> dict[str, Any]:
    card = made.plan.task.card
    return {
        "title": card.question or f"{made.outcome} on {Path(made.plan.task.data).name or 'arrays'}",
        "question": card.question or "not stated",
        "decision": card.decision or "not stated",
        "owner": card.owner or "not stated",
        "assumptions": list(card.assumptions),
        "classes": list(made.targets.classes),
        "training rows": len(made.train),
        **({"further targets": [one.name for one in made.further]} if made.further else {}),
    }


def _held(head: Any) -> dict[str, str]:
    """What a model tells of the rows that it holds; {} for one that holds none."""
    if not head.inside:
        return {}
    told = "of the training rows are in this pack, as numbers. Share it as you would share them."
    return {"rows inside": f"{head.inside:,} {told}"}


@dataclass(frozen=True)
class Model:
    """What was trained: the transfer, its strategy's name, the stored features of the training rows, and
    the detector of rows out of scope, and what the source could do."""

    transfer: Fitted
    strategy: str
    features: Features
    guard: Guard | None
    memory: Memory


def _judge(made: Job, model: Model, run_id: str) -> Record:
    """Trains what transfer is compared with, opens the test split once, and measures."""
    transfer = model.transfer
    baselines = _baselines(made, transfer)
    singles = gains.singles(made, model.features)
    points = curve.measured(made, model.features) if made.plan.evidence.learning_curve else None
    tested, inside, groups = _opened(made, run_id)
    rows = tested.rows[inside]
    fitted = {"transfer": transfer, **baselines}
    read = {role: one.arm(rows) for role, one in fitted.items()}
    targets = made.targets.encode(made.dataset.targets(rows))
    _count(made, model, baselines, points)
    groups = None if groups is None else groups[inside]
    _measure(made, model, singles, (rows, targets, groups))
    made.facts["seconds_verdict"] = time.perf_counter() - made.began
    case = Case(
        outcome=made.outcome,
        classes=made.targets.classes,
        targets=targets,
        arms=read,
        validation_targets=made.labels[transfer.held_out[0]],
        validation_outputs=transfer.held_out[1],
        score=made.score,
        groups=groups,
        metadata=_metadata(made, rows),
        facts=made.facts,
        seed=made.plan.seed,
        outside=scope.tested(model.guard, tested.features, inside, groups),
        nearest=neighbours.tested(made, model.features, tested.features[inside])
        if made.outcome == "classify"
        else None,
    )
    findings = check(case, made.plan.evidence.checks)
    for name in ROWS_OF_NUMBERS:  # the findings have what they say
        made.facts.pop(name, None)
    return _record(made, case, findings, rows, run_id)


def _opened(made: Job, run_id: str) -> tuple[Extraction, np.ndarray, np.ndarray | None]:
    """Opens the test split: features of the rows that can be judged, which of them are of known classes, and
    their groups. Raises DataError where no row of a known class can be read."""
    opened = made.seal.open(f"run {run_id}")
    known = scope.known(made, opened)
    rows = np.sort(np.concatenate([_judgeable(made, opened[known]), opened[~known]]))
    tested = made.extract(rows)
    late = [SetAside(b.name, b.reason, b.remedy) for b in tested.set_aside]
    made.set_aside.extend(late)
    if late:
        made.say(f"{len(late)} test rows could not be read and were set aside.")
    inside = scope.known(made, tested.rows)
    if tested.features is None or not inside.any():
        raise DataError("No test row of a known class can be read; see the rows set aside.")
    return tested, inside, _groups(made, tested.rows)


def _measure(made: Job, model: Model, singles: Any, tested: tuple[Any, Any, Any]) -> None:
    """What some checks read beside the arms, each only where it is asked for.

    Args:
        tested: rows of known classes, their targets and their groups.
    """
    rows, targets, groups = tested
    checks, transfer = made.plan.evidence.checks, model.transfer
    if not checks or "forgetting" in checks:
        made.facts["forgetting"] = model.memory.measured(transfer, model.features, rows, targets)
    made.facts["realism"] = realism.measured(made, transfer, model.features)
    if singles:
        made.facts["targets"] = gains.cases(made, transfer, singles, rows, groups)


def _judgeable(made: Job, rows: np.ndarray) -> np.ndarray:
    """Test rows whose target can be predicted; those of a class without a training row are set aside.

    Raises:
        DataError: none is left.
    """
    kept, lost = [], []
    for row, target in zip(rows, made.dataset.targets(rows), strict=True):
        try:
            made.targets.encode([target])
            kept.append(row)
        except DataError:
            lost.append(row)
    reason, remedy = "no training row has its class", "add examples of the class to learn from"
    names = made.dataset.names(np.asarray(lost, np.int64)) if lost else []
    made.set_aside.extend(SetAside(name, reason, remedy) for name in names)
    if lost:
        made.say(
            f"{len(lost)} of {len(rows)} test rows have a class that no training row has; they were set "
            "aside, and the scores speak of the others."
        )
    if not kept:
        raise DataError(f"No training row has a class of the {len(rows)} test rows: {remedy}.")
    return np.asarray(kept, np.int64)


def _baselines(made: Job, transfer: Fitted) -> dict[str, Fitted]:
    """The from-scratch twin where one is possible, and the champion."""
    found: dict[str, Fitted] = {}
    asked = made.plan.evidence
    if select.anew(made):
        made.say("This is the network from scratch itself, so no other one is trained beside it.")
    elif asked.scratch and select.trainable(made):
        found["scratch"] = arms.twin(alone(made), transfer)
    elif asked.scratch and made.loaded.rebuild is not None:
        made.say("This source is not trained on a task, so there is no from-scratch twin.")
    elif asked.scratch:
        why = made.backbone.frozen or "it has no pretrained weights"
        made.say(f"There is no from-scratch twin of this source: {why}.")
    if asked.champion:
        found |= baseline.champions(made)
    return found


def check(case: Case, asked: Sequence[str]) -> tuple[Finding, ...]:
    """Every check that serves the outcome and has something to speak of, or those that were asked for, by
    name."""
    found = []
    for name in asked or plugins.names("evidence"):
        file: Any = plugins.load("evidence", name)
        idle = not asked and getattr(file, "CONCERNS", "") not in ("", *case.facts)
        if serves(file, case.outcome) and not idle:
            found.append(file.check(case))
    return tuple(found)


def _groups(made: Job, rows: np.ndarray) -> np.ndarray | None:
    name = made.dataset.columns.get("group")
    if not name:
        return None
    values = [str(v) for v in made.dataset.metadata(rows)[name]]
    return np.unique(values, return_inverse=True)[1]


def _metadata(made: Job, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Columns beside the inputs that slices may look at; the split column tells nothing, and a further
    target is no group of rows."""
    hidden = {
        made.dataset.columns.get("split"),
        made.dataset.columns.get("time"),
        *made.dataset.also,
    }
    return {
        name: np.array([str(v) for v in values], dtype=object)
        for name, values in made.dataset.metadata(rows).items()
        if name not in hidden
    }


def _count(
    made: Job,
    model: Model,
    baselines: Mapping[str, Fitted],
    points: Mapping[str, Any] | None,
) -> None:
    """What the checks read beside the arms."""
    scratch = baselines.get("scratch")
    made.facts.update(
        outcome=made.outcome,
        strategy=model.strategy,
        strategy_settings=model.transfer.settings,
        flops_transfer=model.transfer.flops,
        trained_parameters=model.transfer.parameters,
        peak_bytes=_peak(),
        energy_watts=WATTS,
        licences=permission.licences(made, changed=not strategy_is_solved(made, model.transfer)),
        openings=made.seal.openings(),
        train_rows=len(made.train),
        pretrained=made.loaded.rebuild is not None,
        transferred=not select.anew(made),
        transform_counts=dict(made.transform.counts),
        split_how=made.split.how,
        not_measured=[*NOT_MEASURED, *([] if made.plan.task.out_of_scope else [UNKNOWN])],
        learning_curve=points,
        required=made.plan.task.card.required,
        champion_again=bool(made.plan.task.data) and baseline.refits(made),
        arms={role: dict(one.settings) for role, one in baselines.items()},
        versions={"headstart": __version__, "python": platform.python_version()},
    )
    permission.tell(made, made.facts["licences"])
    if scratch is not None:
        made.facts["flops_scratch"] = scratch.flops
    for name, count in made.transform.counts.items():
        if count:
            made.say(
                f"Preprocessing, each different row that was prepared counted once: {name}, {count}."
            )


def _record(
    made: Job, case: Case, findings: tuple[Finding, ...], rows: np.ndarray, run_id: str
) -> Record:
    told: Arm = case.arms["transfer"]
    predictions = {
        "rows": rows.tolist(),
        "names": made.dataset.names(rows),
        "targets": np.asarray(case.targets),
        "outputs": told.outputs[0],
    }
    source = {**dataclasses.asdict(made.loaded.source), "preprocessing": "sealed in the pack"}
    return Record(
        id=run_id,
        plan=made.plan,
        digests={
            "data": made.dataset.digest,
            "source": made.loaded.source.sha256,
            "base": made.weights,
            "plan": made.plan.digest,
            "code": code_digest(),
            "split": made.split.digest,
            "transform": made.transform.digest,
            "predictions": digest.value([case.targets, told.outputs[0]]),
        },
        source=source,
        classes=made.targets.classes,
        findings=_annotated(made, findings, rows),
        predictions=predictions,
        facts=made.facts,
        notes=tuple(made.notes),
        set_aside=tuple(dataclasses.asdict(s) for s in made.set_aside),
    )


def _annotated(made: Job, findings: tuple[Finding, ...], rows: np.ndarray) -> tuple[Finding, ...]:
    """The findings with what preprocessing noted of each sample that they show."""

    def annotated(exhibit: Exhibit) -> Exhibit:
        listed = [dict(row) for row in exhibit.data.get("rows", ())]
        known = [row for row in listed if "row" in row]
        places = np.array([int(row["row"]) for row in known], np.int64)
        for row, notes in zip(
            known, noted(made.transform, made.dataset, rows[places]), strict=False
        ):
            row |= {"notes": "; ".join(notes)} if notes else {}
        return dataclasses.replace(exhibit, data={**exhibit.data, "rows": listed})

    return tuple(
        dataclasses.replace(
            found,
            exhibits=tuple(annotated(e) if e.kind == "samples" else e for e in found.exhibits),
        )
        for found in findings
    )


def _peak() -> int:
    """Largest resident size of this process, bytes; macOS counts bytes, others kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def code_digest() -> str:
    """Of the package's own Python files."""
    root = Path(__file__).parent
    return digest.value(
        [(str(p.relative_to(root)), p.read_text("utf-8")) for p in sorted(root.rglob("*.py"))]
    )
