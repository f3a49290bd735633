"""Options of `run` as a plan: a plan file's settings first, the command line's over them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.core import plan as plans
from headstart.core import plugins
from headstart.core.plan import Plan
from headstart.errors import PlanError, nearest
from headstart.options import listed

PROFILES = ("exact", "fast")
SECTIONS = ("task", "source", "strategy", "engine", "evidence", "augmentation")
PLACES = {  # option -> its place in the plan
    "source": "source.uri",
    "offline": "source.offline",
    "strategy": "strategy.name",
    "outcome": "task.outcome",
    "modality": "task.modality",
    "target": "task.columns.target",
    "also": "task.columns.also",
    "inputs": "task.columns.inputs",
    "group": "task.columns.group",
    "split": "task.columns.split",
    "leave_out": "task.columns.leave_out",
    "sensitive": "task.columns.sensitive",
    "time": "task.columns.time",
    "sample": "task.columns.sample",
    "order": "task.columns.order",
    "horizon": "task.forecast.horizon",
    "history": "task.forecast.history",
    "frequency": "task.forecast.frequency",
    "known": "task.forecast.known",
    "levels": "task.levels",
    "per_class": "task.per_class",
    "out_of_scope": "task.out_of_scope",
    "test_share": "task.test_share",
    "tolerate": "task.tolerate",
    "question": "task.card.question",
    "decision": "task.card.decision",
    "required": "task.card.required",
    "owner": "task.card.owner",
    "data_licence": "task.card.data_licence",
    "for_": "task.card.uses",
    "profile": "engine.profile",
    "store": "engine.store",
    "cap_gb": "engine.cap_gb",
    "refit": "engine.refit",
    "seeds": "evidence.seeds",
    "remember": "evidence.remember",
    "retain": "evidence.retain",
    "augment": "augmentation.augment",
    "seed": "seed",
    "budget": "budget",
    "output": "output",
}


def _option(
    flag: str, help_: str, panel: str, metavar: str | None = None, least: int | None = None
) -> Any:
    return typer.Option(
        flag, help=help_, rich_help_panel=panel, metavar=metavar, show_default=False, min=least
    )


MODEL, DATA, CARD, WORK, SHOW = (
    "The model",
    "The data",
    "The task card",
    "How it is carried out",
    "What is shown",
)
Source = Annotated[
    str | None,
    _option("--source", "auto, or SCHEME:REFERENCE (see: headstart sources).", MODEL, "URI"),
]
Strategy = Annotated[
    str | None, _option("--strategy", "auto, or what to train, by name.", MODEL, "NAME")
]
Set = Annotated[
    list[str] | None,
    _option(
        "--set",
        "A setting of the strategy, or of the plan by its dotted place (engine.batch=64). May be repeated.",
        MODEL,
        "KEY=VALUE",
    ),
]
Augment = Annotated[
    list[str] | None,
    _option(
        "--augment",
        "Augmentations of the kind of data by name, a factor behind a colon: rotation:0.5,scaling; or auto. "
        "May be repeated.",
        MODEL,
        "NAME[,NAME]",
    ),
]
Outcome = Annotated[
    str | None,
    _option(
        "--outcome",
        "classify, ordinal, regress, tag, label_each, forecast or answer; otherwise read off the targets.",
        DATA,
        "NAME",
    ),
]
Modality = Annotated[
    str | None,
    _option("--modality", f"{', '.join(plugins.names('modality'))}; or guessed.", DATA, "NAME"),
]
Target = Annotated[
    str | None,
    _option(
        "--target",
        "Column to be predicted; for tags and forecasts also several: A,B.",
        DATA,
        "COLUMN",
    ),
]
Also = Annotated[
    list[str] | None,
    _option(
        "--also",
        "Further target that is learned beside it, never an input; COLUMN=OUTCOME: not guessed. May be "
        "repeated.",
        DATA,
        "COLUMN",
    ),
]
Input = Annotated[
    list[str] | None, _option("--input", "Column to predict from. May be repeated.", DATA, "COLUMN")
]
Split = Annotated[
    str | None,
    _option(
        "--split",
        "Column of parts (train, test), or COLUMN=VALUE[,VALUE]: those rows are the test.",
        DATA,
        "COLUMN",
    ),
]
LeaveOut = Annotated[
    str | None,
    _option(
        "--leave-out",
        "Values of the split column whose rows are neither learned from nor tested on.",
        DATA,
        "VALUE[,VALUE]",
    ),
]
Group = Annotated[
    str | None,
    _option("--group", "Column whose equal values never straddle the split.", DATA, "COLUMN"),
]
Sensitive = Annotated[
    list[str] | None,
    _option("--sensitive", "Column for slices, never an input. May be repeated.", DATA, "COLUMN"),
]
Time = Annotated[
    str | None,
    _option("--time", "Column of time: the test split is the latest part.", DATA, "COLUMN"),
]
SampleBy = Annotated[
    str | None,
    _option("--sample", "Column whose equal values make one sample of many rows.", DATA, "COLUMN"),
]
Order = Annotated[
    str | None,
    _option("--order", "Column that orders the rows of a sample: their time.", DATA, "COLUMN"),
]
Horizon = Annotated[
    int | None,
    _option("--horizon", "Steps to forecast: the outcome is forecast.", DATA, "STEPS", least=1),
]
History = Annotated[
    int | None,
    _option("--history", "Steps to forecast from; 0: four periods.", DATA, "STEPS", least=0),
]
Frequency = Annotated[
    str | None,
    _option("--frequency", "One step: h, 15min, D, W, M; otherwise read off.", DATA, "STEP"),
]
Known = Annotated[
    list[str] | None,
    _option(
        "--known",
        "Input known ahead: a column, hour, weekday or yearday. May be repeated.",
        DATA,
        "NAME",
    ),
]
Levels = Annotated[
    str | None,
    _option(
        "--levels",
        "Values of the target from the lowest to the highest: the outcome is ordinal.",
        DATA,
        "LOW,...,HIGH",
    ),
]
PerClass = Annotated[
    int | None, _option("--per-class", "Labelled rows per class to learn from; 0: all.", DATA, "N")
]
OutOfScope = Annotated[
    str | None,
    _option("--out-of-scope", "Label that means: none of the known classes.", DATA, "LABEL"),
]
Remember = Annotated[
    str | None,
    _option(
        "--remember",
        "Labelled data that the source knows: what of it is forgotten is measured. lwf, ewc, replay and si "
        "hear a part of it.",
        MODEL,
        "DATA",
    ),
]
Retain = Annotated[
    float | None,
    _option("--retain", "Share of the source's ability that must be kept: 0.95.", MODEL, "SHARE"),
]
TestShare = Annotated[
    float | None,
    _option("--test-share", "Share of the rows in the sealed test split.", DATA, "SHARE"),
]
Tolerate = Annotated[
    float | None, _option("--tolerate", "Share of the rows that may be set aside.", DATA, "SHARE")
]
Question = Annotated[
    str | None, _option("--question", "The question asked, as the report's title.", CARD, "TEXT")
]
Decision = Annotated[
    str | None, _option("--decision", "The decision that the answer informs.", CARD, "TEXT")
]
Required = Annotated[
    float | None, _option("--required", "The score that the decision needs.", CARD, "SCORE")
]
Owner = Annotated[str | None, _option("--owner", "Who answers for the model.", CARD, "TEXT")]
DataLicence = Annotated[
    str | None,
    _option(
        "--data-licence", "Licence of the data by its SPDX name; own, if it is yours.", CARD, "NAME"
    ),
]
For = Annotated[
    list[str] | None,
    _option(
        "--for",
        "Use that the licences have to grant: commercial, share or modify. May be repeated.",
        CARD,
        "USE",
    ),
]
Profile = Annotated[
    str | None, _option("--profile", "exact, or fast (differs by percents).", WORK, "NAME")
]
Seed = Annotated[
    int | None, _option("--seed", "Seed of split, training and resampling.", WORK, "N")
]
Seeds = Annotated[int | None, _option("--seeds", "Training seeds per arm.", WORK, "N")]
Budget = Annotated[
    str | None, _option("--budget", "Longest time for the model: '5 min'.", WORK, "TIME")
]
Store = Annotated[
    str | None,
    _option("--store", "Folder of the feature store; 'memory': none on disk.", WORK, "FOLDER"),
]
CapGb = Annotated[
    float | None, _option("--cap-gb", "Size that the feature store may reach.", WORK, "GB")
]
Refit = Annotated[bool, _option("--refit", "Fit scalers and vocabularies of this data anew.", WORK)]
Output = Annotated[str | None, _option("--output", "Folder of runs.", WORK, "FOLDER")]
Offline = Annotated[bool, _option("--offline", "Forbid every use of the network.", WORK)]
DryRun = Annotated[
    bool, _option("--dry-run", "Say what would be done, and what it would take; do nothing.", SHOW)
]
Json = Annotated[bool, _option("--json", "Print one JSON document on stdout.", SHOW)]
Quiet = Annotated[bool, _option("--quiet", "Print the verdict line only.", SHOW)]


def plan(data: str, given: Mapping[str, Any], settings: Sequence[str]) -> Plan:
    """The plan of a command line.

    Args:
        data: data, or a plan file (a file whose name ends in .toml).
        given: values by option's name (the keys of `PLACES`); None and False are left out.
        settings: "key=value" of the strategy, or of the plan by dotted place.

    Raises:
        PlanError: with the option, what came, and the nearest right value.
    """
    values: dict[str, Any] = {}
    if data.endswith(".toml"):
        values = plans.differences(plans.read(Path(data)))
    elif data:
        _put(values, "task.data", data)
    for name, value in given.items():
        if value is not None and value is not False and value != []:
            check = CHECKS.get(name)
            _put(values, PLACES[name], check(value) if check else value)
    for text in settings:
        place, value = setting(text)
        _put(values, place, value)
    made = plans.build(Plan, values)
    if not made.task.data:
        raise PlanError(
            'The plan names no data. Add `data = "..."` under [task], or give the data\'s path.'
        )
    _ = made.seconds  # a budget that is no time is told before anything is read
    return made


def _put(values: dict[str, Any], place: str, value: Any) -> None:
    """Sets a value at a dotted place, making tables on the way."""
    *tables, last = place.split(".")
    for table in tables:
        inner = values.setdefault(table, {})
        if not isinstance(inner, dict):
            raise PlanError(f"'{place}' cannot be set: '{table}' is {inner!r}, not a table.")
        values = inner
    values[last] = value


def setting(text: str) -> tuple[str, Any]:
    """Place in the plan and value of one `--set`. Raises PlanError."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise PlanError(f"--set came as '{text}'; expected KEY=VALUE, as in --set l2=0.01.")
    if "." not in key:
        return f"strategy.settings.{key}", _parsed(value.strip())
    head = key.partition(".")[0]
    if head not in SECTIONS:
        raise PlanError(f"--set {key}: a plan has no section '{head}'. {nearest(head, SECTIONS)}")
    return key, _parsed(value.strip())


def _parsed(text: str) -> Any:
    """A value as TOML reads it; what is no TOML is a text."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def one_of(option: str, value: str, known: Iterable[str]) -> str:
    """The value, if it is known. Raises PlanError with the nearest names."""
    names = list(known)
    if value not in names:
        raise PlanError(f"--{option} came as '{value}'. {nearest(value, names)}")
    return value


def _share(option: str) -> Callable[[float], float]:
    def check(value: float) -> float:
        if not 0 <= value < 1:
            raise PlanError(
                f"--{option} came as {value:g}; expected a share from 0 to below 1, as 0.25."
            )
        return value

    return check


def _count(option: str, least: int) -> Callable[[int], int]:
    def check(value: int) -> int:
        if value < least:
            raise PlanError(f"--{option} came as {value}; expected {least} or more.")
        return value

    return check


def _named(values: list[str]) -> list[str]:
    """Names, each by itself. Raises PlanError where there is none."""
    found = listed(",".join(values))
    if not found:
        raise PlanError("--augment came without a name; name one, such as auto, or leave it out.")
    return found


CHECKS: dict[str, Callable[[Any], Any]] = {
    "profile": lambda v: one_of("profile", v, PROFILES),
    "strategy": lambda v: one_of("strategy", v, ("auto", *plugins.names("strategy"))),
    "outcome": lambda v: one_of("outcome", v, ("auto", *plugins.names("head"))),
    "modality": lambda v: one_of("modality", v, ("auto", *plugins.names("modality"))),
    "test_share": _share("test-share"),
    "tolerate": _share("tolerate"),
    "per_class": _count("per-class", 0),
    "seeds": _count("seeds", 1),
    "levels": lambda v: [level.strip() for level in v.split(",")],
    "augment": _named,
    "leave_out": lambda v: [value.strip() for value in v.split(",") if value.strip()],
}
