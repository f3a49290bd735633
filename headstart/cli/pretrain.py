"""Make a source of your own: pre-train on unlabelled data, labelled data or a generator."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Annotated, Any

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.cli import _options as o
from headstart.cli._progress import watcher
from headstart.core import licence, plugins
from headstart.errors import PlanError
from headstart.report import text

SHOWN = (6, "Make and use a model")
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA|generator:NAME",
        help="A folder of files, a CSV, Parquet or JSONL file, or a generator, which draws by formula.",
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        "--objective",
        metavar="NAME",
        help="What is learned; auto: clip where captions are named, supervised for a generator with "
        "labels, else simclr.",
    ),
]


def _text(flag: str, metavar: str, help_: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=help_, show_default=False)


Architecture = Annotated[
    str, _text("--architecture", "NAME", "Of a new network, such as resnet18?input_size=64.")
]
From = Annotated[str, _text("--from", "URI", "A source to go on from, instead of a new network.")]
Output = Annotated[str, _text("--output", "FOLDER", "Folder of the new source.")]
Epochs = Annotated[int | None, _text("--epochs", "N", "Passes over the samples.")]
Batch = Annotated[int, _text("--batch", "N", "Samples a step.")]
Rate = Annotated[float | None, _text("--rate", "R", "Learning rate.")]
Samples = Annotated[
    int, typer.Option("--samples", metavar="N", help="That a generator draws for an epoch.")
]
Licence = Annotated[
    str, typer.Option("--licence", metavar="NAME", help="Of the new source, an SPDX name.")
]
Label = Annotated[
    list[str] | None,
    _text("--label", "COLUMN", "A further column of labels beside --target. May be repeated."),
]
Caption = Annotated[
    str, _text("--caption", "COLUMN", "Column of captions, for the objective clip; else found.")
]
CaptionSource = Annotated[
    str, _text("--caption-source", "URI", "What encodes the captions; it is not trained.")
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda, mps or auto.")]


def verb(
    data: Data,
    objective: Objective = "auto",
    architecture: Architecture = "",
    from_: From = "",
    output: Output = "",
    epochs: Epochs = None,
    batch: Batch = 0,
    rate: Rate = None,
    settings: o.Set = None,
    samples: Samples = 4096,
    seed: o.Seed = None,
    licence: Licence = "unknown",
    modality: o.Modality = None,
    target: o.Target = None,
    inputs: o.Input = None,
    label: Label = None,
    caption: Caption = "",
    caption_source: CaptionSource = "auto",
    device: Device = "cpu",
    offline: o.Offline = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Make a source of your own: pre-train on unlabelled data, labelled data or a generator.

    Labels that the objective does not use (class folders, a column named label or by --target) serve to
    measure how far the features have come. The folder holds model.safetensors, model.json and README.md.
    """
    numbers = {"epochs": epochs, "batch": batch, "rate": rate, "samples": samples}
    words = {"architecture": architecture, "device": device, "licence": licence, "output": output}
    asked: dict[str, Any] = {
        **numbers,
        **words,
        "seed": seed or 0,
        "objective": objective,
        "from_": from_,
        "settings": _settings(settings or []),
        "modality": modality or "auto",
        "columns": {"target": target or "", "inputs": tuple(inputs or ())},
        "labels_in": tuple(label or ()),
        "caption": caption,
        "caption_source": caption_source,
        "offline": offline,
    }
    _carry_out(data, asked, dry_run=dry_run, json=json, quiet=quiet)


def _carry_out(data: str, asked: dict[str, Any], *, dry_run: bool, json: bool, quiet: bool) -> None:
    """Trains, or rehearses it, and shows what came of it. Raises PlanError."""
    if asked["objective"] != "auto":
        o.one_of("objective", asked["objective"], plugins.names("objective"))
    if dry_run:
        _rehearsed(api.rehearse_pretraining(data, **asked), json)
        return
    _carried_out(data, asked, json=json, quiet=quiet)


def _carried_out(data: str, asked: dict[str, Any], *, json: bool, quiet: bool) -> None:
    """Trains, and says what came of it."""
    with watcher(quiet=quiet) as told:
        made = api.pretrain(data, watcher=told, **asked)
    if json:
        console.document({"folder": str(made.folder), "uri": made.uri, **made.document})
    else:
        _show(made, quiet=quiet)


def _settings(given: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs. Raises PlanError."""
    made: dict[str, Any] = {}
    for pair in given:
        place, value = o.setting(pair)
        key = place.removeprefix("strategy.settings.")
        if "." in key:
            raise PlanError(
                f"--set {key}: a pre-training has no plan. Name a setting of the objective."
            )
        made[key] = value
    return made


def _rehearsed(found: Any, json: bool) -> None:
    """What a pre-training would do."""
    if json:
        console.document(found)
        return
    told = {**found, "set_aside": len(found["set_aside"])}
    console.facts([(text.label(k), text.fact(k, v)) for k, v in told.items() if k != "notes"])
    for note in found["notes"]:
        console.say(f"- {note}")
    console.say("Nothing was trained, and nothing was written.")


def _perplexity(told: Any) -> str:
    """Of what was held out, before and after."""
    values = f"{text.plain(told['before'])} before, {text.plain(told['after'])} after"
    return f"{values}, of {text.counted(told['samples'], 'sample')} held out"


def _recall(told: Any) -> list[tuple[str, str]]:
    """Recall at 1 of held-out pairs, both ways, with its interval and chance."""
    return [
        (
            one["way"],
            f"recall at 1 {text.number(one['after'], 'share')} ({text.interval(*one['interval'], 'share')}; "
            f"chance {text.number(one['chance'], 'share')}), of {text.plain(one['asked'])} held out",
        )
        for one in told["figures"]
        if one["depth"] == 1
    ]


def _allowed(facts: Any) -> list[tuple[str, str]]:
    """What the licences of the weights, their data and their parents forbid or leave open; nothing where they
    allow all."""
    answers = licence.answers(licence.of_source(facts, changed=False))
    less = [answer for answer in answers if answer.answer not in ("yes", "conditions")]
    return [console.may(dataclasses.asdict(answer)) for answer in less]


def _show(made: Any, *, quiet: bool) -> None:
    """The curve, what it cost, and what to do next."""
    facts = made.document
    if not quiet:
        probed = [h for h in facts["history"] if "probe" in h]
        if probed:
            rows = [[h["epoch"], text.plain(h["probe"]), text.plain(h["rank"], 1)] for h in probed]
            console.table(["epoch", "linear probe", "effective rank"], rows, (0, 1, 2))
            console.say()
        told = facts.get("perplexity")
        console.facts(
            [
                ("objective", facts["objective"]),
                *([("perplexity", _perplexity(told))] if told else []),
                *_recall(facts.get("retrieval", {"figures": ()})),
                ("samples seen", f"{facts['samples_seen']:,}"),
                ("time", text.duration(facts["seconds"])),
                ("licence", facts["licence"]),
                *_allowed(facts),
                ("card", str(made.folder / "README.md")),
            ]
        )
        if facts["set_aside"]:
            aside = text.counted(len(facts["set_aside"]), "row")
            console.say(f"{aside} set aside; model.json says why.")
    console.line(f"source: {made.uri}")
    console.line(f"next: headstart run DATA --source {shlex.quote(made.uri)}")
