"""Learn from data, or carry out a plan, and measure whether the transfer helped."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.cli import _options as o
from headstart.cli._progress import Steps, watcher
from headstart.core.evidence import Measure
from headstart.core.plan import Plan, differences
from headstart.report import text

SHOWN = (1, "Make and use a model")
ASIDE = 5  # rows set aside that are named on the screen
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA|PLAN.toml",
        help="A folder of class folders, a CSV, Parquet or JSONL file, a folder of such files, a data set "
        "of the hub as hf:NAME[:CONFIG][:SPLIT], or a plan.",
    ),
]


def verb(
    data: Data,
    source: o.Source = None,
    strategy: o.Strategy = None,
    augment: o.Augment = None,
    settings: o.Set = None,
    outcome: o.Outcome = None,
    modality: o.Modality = None,
    target: o.Target = None,
    also: o.Also = None,
    inputs: o.Input = None,
    group: o.Group = None,
    split: o.Split = None,
    leave_out: o.LeaveOut = None,
    sensitive: o.Sensitive = None,
    time: o.Time = None,
    sample: o.SampleBy = None,
    order: o.Order = None,
    horizon: o.Horizon = None,
    history: o.History = None,
    frequency: o.Frequency = None,
    known: o.Known = None,
    levels: o.Levels = None,
    per_class: o.PerClass = None,
    out_of_scope: o.OutOfScope = None,
    test_share: o.TestShare = None,
    tolerate: o.Tolerate = None,
    question: o.Question = None,
    decision: o.Decision = None,
    required: o.Required = None,
    owner: o.Owner = None,
    data_licence: o.DataLicence = None,
    for_: o.For = None,
    profile: o.Profile = None,
    seed: o.Seed = None,
    seeds: o.Seeds = None,
    remember: o.Remember = None,
    retain: o.Retain = None,
    budget: o.Budget = None,
    store: o.Store = None,
    cap_gb: o.CapGb = None,
    refit: o.Refit = False,
    output: o.Output = None,
    offline: o.Offline = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Learn from data, or carry out a plan, and measure whether the transfer helped.
    Options go over what a plan file says. The run's folder holds the model, the evidence and an HTML report.
    """
    plan = o.plan(data, {k: v for k, v in locals().items() if k in o.PLACES}, settings or [])
    (_rehearsed if dry_run else _carried_out)(plan, json, quiet)


def _carried_out(plan: Plan, json: bool, quiet: bool) -> None:
    """A run, and what it found."""
    with watcher(quiet=quiet) as told:
        made = api.adapt(plan=plan, watcher=told)
        path = made.report()
    if json:
        console.document(summary(made, str(path)))
    elif quiet:
        console.line(made.sentence)
    else:
        show(made, str(path))


def _rehearsed(plan: Plan, json: bool, quiet: bool) -> None:
    """What a run would do."""
    with watcher(quiet=quiet) as watching:
        found = api.dry_run(plan, Steps(watching))
    if json:
        console.document(found)
        return
    aside = found.get("set_aside", ())
    told = {**found, "set_aside": len(aside)}
    shown = {k: v for k, v in told.items() if k != "notes" and not (k == "classes" and not v)}
    console.facts([(text.label(k), text.fact(k, v)) for k, v in shown.items()])
    for one in aside[:ASIDE]:
        console.say(f"- set aside: {one['name']}: {one['reason']}; {one['remedy']}")
    if len(aside) > ASIDE:
        console.say(f"- and {len(aside) - ASIDE} more; --json names them all")
    for note in found.get("notes", ()):
        console.say(f"- {note}")
    console.say("Nothing was trained, and no run was written.")


def summary(made: Any, report: str) -> dict[str, Any]:
    """A run as one JSON document."""
    record = made.record
    return {
        "id": record.id,
        "verdict": made.verdict,
        "sentence": made.sentence,
        "better": getattr(made, "better", ""),
        "folder": str(made.folder),
        "report": report,
        "plan": differences(record.plan),
        "digests": record.digests,
        "source": record.source,
        "classes": record.classes,
        "measures": [
            {"check": f.check, **console.plain(m)} for f in record.findings for m in f.measures
        ],
        "missing": [
            {"what": what, "reason": why} for f in record.findings for what, why in f.missing
        ],
        "facts": record.facts,
        "notes": record.notes,
        "set_aside": record.set_aside,
    }


def arms(record: Any) -> list[Measure]:
    """The score of every arm, the transfer first."""
    finding = record.finding("verdict")
    return [m for m in finding.measures if m.group] if finding else []


def show(made: Any, report: str) -> None:
    """The verdict, the arms, the times, and what to do next."""
    record, found = made.record, arms(made.record)
    console.verdict(made.verdict, made.sentence)
    if found:
        console.say()
        rows = [[m.group, *text.measured(m), text.sized(m.n, m.method)] for m in found]
        console.table(
            ["arm", found[0].name, f"{100 * found[0].level:.0f} % interval", "test rows"],
            rows,
            (1, 2, 3),
        )
    targets = _targets(record)
    if targets:
        console.say()
        console.say("targets learned together", "bold")
        columns = [
            "target",
            "score",
            "together",
            "alone",
            "difference",
            "95 % interval",
            "",
        ]
        console.table(columns, targets, (2, 3, 4, 5))
    outside = _outside(record)
    if outside:
        console.say()
        console.table(
            ["rows of no known class", "value", "95 % interval", "rows"], outside, (1, 2, 3)
        )
    console.say()
    console.facts([*_made_of(record), *_kept(record), *_times(record)])
    console.line(f"report: {report}")
    console.line(f"run: {made.folder}")
    if record.set_aside:
        aside = text.counted(len(record.set_aside), "row")
        console.say(f"{aside} set aside; the report says why.")
    console.say()
    # an output folder of its own is not where `predict` looks for an id
    name = str(made.folder) if record.plan.output else record.id
    better = getattr(made, "better", "") if record.facts.get("champion_again") else ""
    if better:
        console.say(
            f"The better one on the test rows is '{better}'. It cannot be packed, only fitted again:"
        )
    asked = " --champion" if better else ""
    console.line(f"next: headstart predict {shlex.quote(name)} INPUT...{asked}")


def _targets(record: Any) -> list[list[str]]:
    """What each of several targets gained or lost by being learned together."""
    finding = record.finding("multitask")
    told = [e for e in finding.exhibits if e.name == "targets"] if finding else []
    measures = finding.measures if finding else ()
    gains = [text.measured(m) for m in measures if m.name.startswith("gain over")]
    made = []
    for row, (value, ends) in zip(told[0].data["rows"] if told else (), gains, strict=True):
        name, _, score, together, alone, *_, word = row
        made.append(
            [str(name), str(score), text.plain(together), text.plain(alone), value, ends, str(word)]
        )
    return made


def _outside(record: Any) -> list[list[str]]:
    """How rows out of scope were told, where the task names a label for them."""
    finding = record.finding("scope") if record.plan.task.out_of_scope else None
    measures = finding.measures if finding else ()
    return [[m.name, *text.measured(m), text.plain(m.n)] for m in measures if not m.group]


def _kept(record: Any) -> list[tuple[str, str]]:
    """What the source can still do, where it was trained on and that was measured."""
    finding = record.finding("forgetting")
    told = {m.name: m for m in finding.measures} if finding else {}
    kept = told.get("source ability kept")
    if kept is None or kept.low is None:
        return []
    value, interval = text.measured(kept)
    return [("the source keeps", f"{value} of what it could do ({interval})")]


def _made_of(record: Any) -> list[tuple[str, str]]:
    """Source and strategy that were taken."""
    settings = record.facts.get("strategy_settings") or {}
    told = ", ".join(f"{k} {text.fact(k, v)}" for k, v in settings.items())
    strategy = str(record.facts.get("strategy", ""))
    pairs = [
        ("source", str(record.source.get("uri", ""))),
        ("strategy", f"{strategy} ({told})" if strategy and told else strategy),
    ]
    return [(name, value) for name, value in pairs if value]


def _times(record: Any) -> list[tuple[str, str]]:
    names = {"seconds_model": "time to the model", "seconds_verdict": "time to the verdict"}
    return [
        (said, text.duration(float(record.facts[k])))
        for k, said in names.items()
        if record.facts.get(k) is not None
    ]
