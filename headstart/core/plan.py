"""A plan: task + source + strategy + engine settings + evidence asked for + budget + seed; one TOML."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from headstart.core import digest
from headstart.core.task import Task
from headstart.errors import PlanError, nearest

T = TypeVar("T")
MOST = 20.0  # times the usual strength of an augmentation


@dataclass(frozen=True)
class SourceChoice:
    """Which source.

    Attributes:
        uri: "auto", or SCHEME:REFERENCE[?setting=value&...].
        offline: forbids the network; HEADSTART_OFFLINE=1 does so too.
    """

    uri: str = "auto"
    offline: bool = False


@dataclass(frozen=True)
class StrategyChoice:
    """Which strategy ("auto": chosen by validation), with the settings that differ from its defaults."""

    name: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Engine:
    """How it is carried out.

    Attributes:
        profile: "exact" (fp32), or "fast" (reduced-scale decoding, bf16, int8; differs by percents).
        executor: "auto", or a file name of `engine/executors/`.
        device: "auto", "cpu", "cuda", ...
        batch: rows per training batch.
        store: folder of the feature store; "": the user's cache folder; "memory": none on disk.
        cap_gb: size that the store may reach, in 10^9 bytes.
        threads: decoding threads; 0: one per core.
        refit: forget fitted preprocessing (scalers, vocabularies) kept for this data.
    """

    profile: str = "exact"
    executor: str = "auto"
    device: str = "auto"
    batch: int = 32
    store: str = ""
    cap_gb: float = 20.0
    threads: int = 0
    refit: bool = False


@dataclass(frozen=True)
class EvidenceChoice:
    """Which evidence is asked for.

    Attributes:
        seeds: training seeds per arm.
        scratch: whether the from-scratch twin is trained.
        champion: whether the simple champions are fitted.
        checks: file names of `evidence/`; empty: all that serve the outcome.
        twin_floor_tflop: 10^12 operations that the twin may always use; above it, ten times the
            transfer's.
        learning_curve: whether the probe's score at 10, 20, 50 and 100 % of the labels is measured.
        remember: labelled data that the source knows, on which forgetting is measured; strategies that
            remember hear their training part; "": what the source's own generator draws, where it has one.
        retain: share of the source's ability there that the model must keep; 0: no requirement.
    """

    seeds: int = 3
    scratch: bool = True
    champion: bool = True
    checks: tuple[str, ...] = ()
    twin_floor_tflop: float = 1.0
    learning_curve: bool = True
    remember: str = ""
    retain: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """How training rows are varied, where the strategy asks for it.

    Attributes:
        augment: names of the kind of data, each with a factor behind it where it shall be weaker or stronger
            ("rotation:0.5"); "mixup" and "cutmix", which blend the inputs of two rows; "auto": `operations`
            drawn for each row; (): what is usual for the source.
        operations: how many "auto" draws for a row.
        magnitude: of all of them; 1: as documented.
    """

    augment: tuple[str, ...] = ()
    operations: int = 2
    magnitude: float = 1.0

    def __post_init__(self) -> None:
        if self.operations < 1:
            raise PlanError(f"operations came as {self.operations}; expected 1 or more.")
        if not 0 < self.magnitude <= MOST:
            raise PlanError(
                f"magnitude came as {self.magnitude}; expected a number above 0 and up to "
                f"{MOST:g}; 1 is the usual one."
            )


@dataclass(frozen=True)
class Plan:
    """All that decides a run.

    Attributes:
        budget: longest time for the model, as "5 min", "90 s", "1 h"; "": none.
        output: folder of runs; "": ./headstart-runs.
    """

    task: Task = field(default_factory=Task)
    source: SourceChoice = field(default_factory=SourceChoice)
    strategy: StrategyChoice = field(default_factory=StrategyChoice)
    engine: Engine = field(default_factory=Engine)
    evidence: EvidenceChoice = field(default_factory=EvidenceChoice)
    augmentation: Augmentation = field(default_factory=Augmentation)
    budget: str = ""
    output: str = ""
    seed: int = 0

    @property
    def digest(self) -> str:
        """Of everything that can change results: not of output folder, threads, store or cap."""
        engine = dataclasses.replace(self.engine, store="", cap_gb=0.0, threads=0)
        return digest.value(dataclasses.replace(self, output="", engine=engine))

    @property
    def seconds(self) -> float | None:
        """The budget in seconds, or None. Raises PlanError."""
        return seconds(self.budget) if self.budget else None


def seconds(text: str) -> float:
    """Reads "90", "90 s", "5 min", "1.5 h" as seconds. Raises PlanError."""
    units = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyz ").strip()
    unit = text.strip()[len(number) :].strip()
    try:
        return float(number) * units[unit]
    except (ValueError, KeyError):
        raise PlanError(
            f"The budget '{text}' is no time. Expected a number and s, min or h: '5 min'."
        ) from None


def build(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """A frozen dataclass from plain values; unknown keys and wrong types are told apart.

    Raises:
        PlanError: with the place, what came, what was expected, and the nearest key.
    """
    hints = typing.get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    made: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{where}{key}"
        if key not in known:
            offer = (
                nearest(key, known) if known else "There is nothing to be set here: leave it out."
            )
            raise PlanError(f"Unknown key '{path}' in the plan. {offer}")
        made[key] = _fit(hints[key], value, path)
    return kind(**made)


def _fit(hint: Any, value: Any, path: str) -> Any:
    """One value to its annotated type."""
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise PlanError(f"'{path}' came as {value!r}; expected a table of settings.")
        return build(hint, value, f"{path}.")
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType or origin is typing.Union:
        if value is None and type(None) in inner:
            return None
        return _fit(next(a for a in inner if a is not type(None)), value, path)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise PlanError(f"'{path}' came as {value!r}; expected a list.")
        return tuple(_fit(inner[0], v, path) for v in value)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise PlanError(f"'{path}' came as {value!r}; expected a table.")
        return dict(value)
    return _scalar(hint, value, path)


def _scalar(hint: Any, value: Any, path: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    right = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    if not right:
        raise PlanError(
            f"'{path}' came as {value!r} ({type(value).__name__}); expected {hint.__name__}."
        )
    return value


def read(path: Path) -> Plan:
    """A plan from a TOML file. Raises PlanError."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise PlanError(f"There is no plan at {path}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} is not TOML: {error}.") from error
    return build(Plan, values)


def differences(thing: Any) -> dict[str, Any]:
    """The settings of a frozen dataclass that differ from its defaults, as plain nested values."""
    changed: dict[str, Any] = {}
    for f in fields(thing):
        value = getattr(thing, f.name)
        if is_dataclass(value) and not isinstance(value, type):
            inner = differences(value)
            if inner:
                changed[f.name] = inner
        elif value != _default(f):
            changed[f.name] = list(value) if isinstance(value, tuple) else value
    return changed


def _default(f: dataclasses.Field[Any]) -> Any:
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return f.default
