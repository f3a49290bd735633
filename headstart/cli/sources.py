"""List, look at, check or add pretrained models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.cli._options import one_of
from headstart.core import plugins

SHOWN = (20, "Find and tidy")
COLUMNS = ("uri", "modality", "licence", "trained_on")
app = typer.Typer(pretty_exceptions_enable=False)
Modality = Annotated[
    str,
    typer.Option(
        "--modality", metavar="NAME", help="The kind of data that it reads.", show_default=False
    ),
]
Uri = Annotated[
    str,
    typer.Argument(metavar="URI", help="SCHEME:REFERENCE, or the name of a source that was added."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Forbid every use of the network.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def _fact(flag: str, help_: str) -> Any:
    return typer.Option(flag, metavar="TEXT", help=help_, show_default=False)


@app.callback(invoke_without_command=True)
def every(context: typer.Context, modality: Modality = "", json: Json = False) -> None:
    """List the pretrained models in the catalogue, the default of each kind of data first."""
    if context.invoked_subcommand is None:
        _list(modality, json)


@app.command("list")
def listed(modality: Modality = "", json: Json = False) -> None:
    """List the pretrained models in the catalogue, and those that were added."""
    _list(modality, json)


def _list(modality: str, json: bool) -> None:
    _kind(modality)
    found = api.sources(modality)
    if json:
        console.document(found)
        return
    known = [c for c in COLUMNS if any(entry.get(c) for entry in found)]
    rows = [[_cell(entry, c) for c in known] for entry in found]
    console.table([c.replace("_", " ") for c in known], rows)


def _cell(entry: Mapping[str, Any], column: str) -> str:
    """A source that was added is shown by the name that it is asked for by."""
    return str(entry["name"] if column == "uri" and "added" in entry else entry.get(column, ""))


@app.command("show")
def show(uri: Uri, modality: Modality = "", offline: Offline = False, json: Json = False) -> None:
    """Show one source: who it is, its stages, and what its licences allow."""
    _kind(modality)
    found = api.sources.show(uri, modality, offline=offline)
    if json:
        console.document(found)
        return
    stages = found["stages"]
    named = ", ".join(stages if len(stages) <= 6 else [*stages[:3], "...", *stages[-2:]])
    told = [
        *((k.replace("_", " "), found[k]) for k in ("uri", "name", "modality", "family")),
        *((k.replace("_", " "), found[k]) for k in ("licence", "trained_on", "data_licence")),
        *((k, found[k]) for k in ("paper", "revision", "digest")),
        ("checked", "; ".join(found["checked"]) or "no digest was declared"),
        ("parameters", f"{found['parameters']:,}"),
        ("stages", f"{len(stages)}: {named}" if stages else "unknown"),
        ("features", found["features"] or "unknown"),
        *([("trained", f"never: {found['frozen']}")] if found["frozen"] else []),
        ("made from", "; ".join(map(_parent, found["parents"])) or "nothing that is recorded"),
        ("input", _input(found["preprocessing"])),
        *_listed(found),
    ]
    console.facts(told)
    console.say("\nMay a model that carries these weights")
    console.facts([console.may(answer) for answer in found["answers"]])


def _listed(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the catalogue says of the source, as far as it says anything."""
    asked, settings = found["default_for"], found["settings"]
    limits = [
        f"up to {asked[key]:,} {noun}"
        for key, noun in (("most_rows", "rows"), ("most_classes", "classes"))
        if key in asked
    ]
    serves = [*asked.get("outcomes", ()), *(f"strategy {s}" for s in asked.get("strategies", ()))]
    told = [
        ("default for", "; ".join([*serves, *limits])),
        ("settings", "; ".join(f"{k} ({_setting(v)})" for k, v in settings.items())),
        ("size", f"{found['size_mb']:g} MB" if found["size_mb"] else ""),
        ("note", found["note"]),
    ]
    return [(name, value) for name, value in told if value]


def _setting(said: Mapping[str, Any]) -> str:
    """Default and range of a setting of the URI."""
    ends = f", {said['least']:,} to {said['most']:,}" if {"least", "most"} <= set(said) else ""
    return f"{said['default']}{ends}"


def _input(preprocessing: Mapping[str, Any]) -> str:
    told = "; ".join(f"{k} {_plain(v)}" for k, v in preprocessing.items())
    return told or "prepared as the data are; no settings of the source"


def _parent(parent: Mapping[str, Any]) -> str:
    return f"{parent.get('uri', 'unknown')} ({parent.get('licence', 'unknown')})"


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@app.command("verify")
def verify(uri: Uri, modality: Modality = "", offline: Offline = False, json: Json = False) -> None:
    """Compare a source with the digest declared for it. Exit code 1 where it is damaged or another."""
    _kind(modality)
    found = api.sources.verify(uri, modality, offline=offline)
    if json:
        console.document(found)
    else:
        style = {"differs": "bold red", "intact": "green"}.get(found["state"], "")
        console.say(found["state"], style)
        console.say(found["sentence"])
    if found["state"] == "differs":
        raise typer.Exit(1)


@app.command("add")
def add(
    uri: Uri,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="To ask for it by.")],
    modality: Modality = "",
    licence: Annotated[str, _fact("--licence", "Licence of the weights, by its SPDX name.")] = "",
    data_licence: Annotated[str, _fact("--data-licence", "Licence of what it learned from.")] = "",
    trained_on: Annotated[str, _fact("--trained-on", "What it learned from.")] = "",
    offline: Offline = False,
    json: Json = False,
) -> None:
    """Add a source to your own list under a name; what it is now is kept by its digest."""
    _kind(modality)
    facts = {"licence": licence, "data_licence": data_licence, "trained_on": trained_on}
    made = api.sources.add(uri, name, modality, offline=offline, **facts)
    if json:
        console.document(made)
        return
    console.say(
        f"{made['name']} is {made['uri']}, for {made['modality']} data, licence {made['licence']}, digest "
        f"{made['digest'][:12]}. Use it with --source {made['name']}."
    )


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As it was added.")],
    json: Json = False,
) -> None:
    """Take a source off your own list; its files stay."""
    gone = api.sources.remove(name)
    if json:
        console.document(gone)
    else:
        console.say(f"{gone['name']} was taken off the list; {gone['uri']} is where it was.")


def _kind(modality: str) -> None:
    if modality:
        one_of("modality", modality, plugins.names("modality"))
