"""What people, the command line and pages call."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart import adaptation, arms, augmentation, permission, select, sequences
from headstart import job as jobs
from headstart import replay as replaying
from headstart.core import machine, plugins
from headstart.core import plan as plans
from headstart.core.plan import Plan
from headstart.core.run import Record, Watcher
from headstart.core.task import Columns, TaskCard
from headstart.errors import PlanError, nearest
from headstart.features.store import LmdbStore
from headstart.groups import neighbours
from headstart.groups.doors import cluster as cluster
from headstart.groups.doors import listed
from headstart.groups.doors import similar as similar
from headstart.groups.neighbours import Similar
from headstart.groups.stored import learned
from headstart.inspection import Sources
from headstart.job import Given
from headstart.options import place
from headstart.pretraining import call as pretraining
from headstart.pretraining.call import pretrain as pretrain
from headstart.registry import document, packs, tracking
from headstart.registry import runs as registry
from headstart.report import page
from headstart.retention import Memory
from headstart.sequences import Chain
from headstart.serving.export import Exported as Exported
from headstart.serving.export import export as export
from headstart.serving.predictor import Predictions, Predictor
from headstart.serving.predictor import open_pack as open_pack

REPORT = "report.html"


class Run:
    """A finished run: its record, verdict, report and model.

    Attributes:
        folder: where it lies.
        record: all that was measured, as plain values.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: Record = document.read(folder)
        self._predictor: Predictor | None = None

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def verdict(self) -> str:
        """ "helped", "no evidence" or "harmed"; "not measured" where nothing was compared."""
        return str(_verdict(self.record).get("verdict", "not measured"))

    @property
    def sentence(self) -> str:
        """The verdict for a person, in one sentence."""
        return str(_verdict(self.record).get("sentence", "Nothing was compared with the transfer."))

    @property
    def better(self) -> str:
        """The simple model that scored higher on the test rows than this run's; "" where none did."""
        return str(_verdict(self.record).get("better", ""))

    def predict(
        self,
        inputs: Any,
        watcher: Watcher | None = None,
        *,
        scope: bool = False,
        champion: bool = False,
    ) -> Predictions:
        """Predicts files, folders, tables or values in memory.

        Args:
            scope: whether each row is also told to lie inside or outside the known classes; always so
                where the task named a label for rows outside.
            champion: whether the simple model predicts instead: the one in `better`, else the champion. No
                pack can hold it, so it is fitted again on the run's data.

        Raises:
            DataError: nothing of it can be read; single bad rows are listed in the result.
            PackError: the base is not the one that the model was made on.
            PlanError: there is no such simple model, or it tells no scope.
        """
        if champion and scope:
            raise PlanError(
                "A simple model tells no rows out of scope; leave out scope or champion."
            )
        if champion:
            return replaying.champion(self.folder, self.record, inputs, watcher)
        if self._predictor is None:
            self._predictor = open_pack(self.folder / "pack", self.record.plan.source.offline)
        return self._predictor.predict(inputs, watcher, scope=scope)

    def similar(
        self, inputs: Any, k: int = 5, *, by: str = "cosine", watcher: Watcher | None = None
    ) -> Similar:
        """The k training rows that are nearest to each input by the source's own stored features.

        Args:
            inputs: files, texts, or rows with the fields of training.
            by: "cosine" or "euclidean".

        Raises:
            DataError: the inputs cannot be read; or what the run learned from was in memory, is gone or is
                not what it was.
        """
        pack = packs.load(self.folder / "pack")
        instead = "Call headstart.similar with these arrays instead."
        made = replaying.reopened(pack, self.record, instead)
        return neighbours.similar(learned(made), listed(inputs), k, by)

    def export(self, folder: str | os.PathLike[str], **asked: Any) -> Exported:
        """Writes the model as a folder that timm, transformers, PEFT or torchvision load; as
        `headstart.export`."""
        return export(self, folder, **asked)

    def report(self) -> Path:
        """Path of the HTML report; it is drawn again if it is not there."""
        path = self.folder / REPORT
        if not path.exists():
            _write_report(self.record, path, {})
        return path

    def replay(
        self, watcher: Watcher | None = None, *, data: str | os.PathLike[str] = ""
    ) -> Mapping[str, Any]:
        """Trains the model again from the recorded plan and compares it with the pack; the test split
        stays closed.

        Args:
            data: where the run's data are now, on a colleague's machine say; "": where they were.

        Raises:
            DataError: the data are not there, are not what they were, or were given in memory.
        """
        return replaying.replay(self.folder, self.record, watcher, data=os.fspath(data))

    def __repr__(self) -> str:
        return f"Run {self.id}: {self.verdict}. {self.sentence}"

    def _repr_html_(self) -> str:
        """The report, for a notebook."""
        import html

        text = html.escape(self.report().read_text("utf-8"), quote=True)
        return f'<iframe srcdoc="{text}" width="100%" height="700" style="border:0"></iframe>'


def adapt(
    data: Any = None,
    targets: Sequence[Any] | None = None,
    *,
    plan: Plan | None = None,
    watcher: Watcher | None = None,
    source: str = "auto",
    strategy: str = "auto",
    settings: Mapping[str, Any] | None = None,
    columns: Columns | Mapping[str, Any] | None = None,
    card: TaskCard | Mapping[str, Any] | None = None,
    budget: str = "",
    output: str = "",
    seed: int = 0,
    **options: Any,
) -> Run:
    """Moves a pretrained model to labelled data and measures whether that helped.

    Args:
        data: folder of class folders; CSV, Parquet or JSONL file; or inputs in memory.
        targets: labels of inputs in memory.
        plan: a whole plan, instead of everything below.
        source: "auto", or SCHEME:REFERENCE ("timm:resnet18.a1_in1k", "hf:./my-bert").
        strategy: "auto", or a name of `strategies/`, with its `settings`.
        columns: which columns play which part (target, inputs, group, time, split ...).
        card: question, decision, required value, assumptions, owner.
        budget: longest time for the model ("5 min").
        options: `offline`, or any setting of `Task`, `Engine`, `EvidenceChoice`, `Augmentation` by name.

    Raises:
        UserError: with what came, what was expected and what to do; nothing was written.
    """
    given = Given(data, targets) if targets is not None else None
    if plan is None:
        named = {} if data is None or given is not None else {"data": os.fspath(data)}
        values: dict[str, Any] = {
            "task": {"columns": columns or {}, "card": card or {}, **named},
            "source": {"uri": source},
            "strategy": {"name": strategy, "settings": dict(settings or {})},
            "engine": {},
            "evidence": {},
            "augmentation": {},
            "budget": budget,
            "output": os.fspath(output) if output else "",
            "seed": seed,
        }
        place(values, options)
        plan = plans.build(Plan, values)
    return _finish(adaptation.adapt(plan, given, watcher), given, watcher)


def _finish(folder: Path, given: Given | None, watcher: Watcher | None) -> Run:
    """Draws the report and tells the tracker; the run itself is complete by now."""
    run = Run(folder)
    _write_report(run.record, folder / REPORT, _shown(run.record, given))
    told = tracking.later(folder, folder.parent)
    if told and watcher is not None:
        watcher.say(told)
    return run


def _write_report(record: Record, path: Path, samples: Mapping[int, Mapping[str, Any]]) -> None:
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(page.render(record, samples=samples), "utf-8")
    os.replace(beside, path)


def _shown(record: Record, given: Given | None) -> dict[int, Mapping[str, Any]]:
    """Pictures or texts of the samples that exhibits speak of, by place among the test rows."""
    exhibits = [e for f in record.findings for e in f.exhibits if e.kind == "samples"]
    rows = [r for e in exhibits for r in e.data.get("rows", ()) if "row" in r]
    if not rows:
        return {}
    dataset = jobs.open_dataset(record.plan, given, None)
    show = plugins.Modality(dataset.modality).show
    places = [int(r["row"]) for r in rows]
    samples = dataset.samples(np.asarray(record.predictions["rows"])[places])
    return {p: show.exhibit(s, dataset.fields) for p, s in zip(places, samples, strict=True)}


def dry_run(plan: Plan, watcher: Watcher | None = None) -> Mapping[str, Any]:
    """What a run would do: split, source, predicted time and disk. Nothing is trained, no run is written.

    `twin_seconds` are for the comparison with the same network from scratch, at the usual speed of two
    processor cores; it may take ten times as long as the model where that is more, and 0 means none is made.
    """
    made = jobs.open_job(plan, watcher=watcher, keep=False)
    select.check(made)
    permission.check(made)
    permission.tell(made, permission.licences(made, changed=False))
    Memory(made).check()
    rows = len(made.train) + made.seal.count
    seconds = rows * made.flops / select.FLOPS_A_SECOND
    compared = select.trainable(made) and not select.anew(made)
    twin = arms.twin_floor(plan) if compared else 0.0
    return {
        "data": made.plan.task.data,
        "modality": made.modality.name,
        "outcome": made.outcome,
        "rows": len(made.dataset),
        "classes": list(made.targets.classes),
        "train": len(made.train),
        "test": made.seal.count,
        "split": made.split.how,
        "set_aside": [dataclasses.asdict(one) for one in made.set_aside],
        "source": made.loaded.source.uri,
        "licence": made.loaded.source.licence,
        "strategy": plan.strategy.name,
        "augmentation": ", ".join(plan.augmentation.augment) or augmentation.USUAL,
        "predicted_seconds": round(seconds, 3),
        "twin_seconds": round(twin / select.FLOPS_A_SECOND, 1),
        "predicted_store_bytes": int(rows * made.backbone.width * 4),
        "notes": list(made.notes),
    }


def rehearse_pretraining(data: Any, **asked: Any) -> Mapping[str, Any]:
    """What `pretrain` would do with these arguments. Nothing is trained or written."""
    return pretraining.rehearse(data, **asked)


def open_run(name: str | Path, output: str = "") -> Run:
    """A run by its id, the beginning of it, "last", or its folder. Raises PlanError."""
    return Run(registry.find(name, output))


def sequence(run: str | Path, output: str = "") -> Chain:
    """What the last network of a chain of runs still knows of every task, and backward transfer.

    Args:
        run: the last one, by its id, the beginning of it, "last", or its folder; each was adapted from the
            one before (`source="run:..."`).

    Raises:
        PlanError: it is no chain, or a strategy in it added weights of its own.
        DataError: the data of a run are not there, or not what they were.
    """
    return sequences.measured(registry.find(run, output))


def _verdict(record: Record) -> Mapping[str, Any]:
    """What the verdict's finding says; empty where nothing was compared."""
    found = record.finding("verdict")
    exhibits = found.exhibits if found else ()
    return next((e.data for e in exhibits if e.kind == "sentence"), {})


def runs(output: str = "") -> Sequence[Mapping[str, Any]]:
    """Finished runs, newest first: id, data, source, strategy, verdict, folder."""
    listed = []
    for entry in registry.list(output):
        record = entry.record
        listed.append(
            {
                "id": record.id,
                "data": record.plan.task.data or "arrays",
                "source": record.source.get("uri", ""),
                "strategy": record.facts.get("strategy", ""),
                "verdict": str(_verdict(record).get("verdict", "not measured")),
                "folder": str(entry.folder),
            }
        )
    return listed


def compare(first: str, second: str, output: str = "") -> Mapping[str, Any]:
    """Two runs: what differs in plan, digests and assumptions, and their measures side by side."""
    a, b = open_run(first, output), open_run(second, output)
    plan_a, plan_b = (_flat(plans.differences(r.record.plan)) for r in (a, b))
    digests = {k: (a.record.digests.get(k), b.record.digests.get(k)) for k in a.record.digests}
    said = [r.record.plan.task.card.assumptions for r in (a, b)]
    return {
        "runs": [a.id, b.id],
        "verdicts": [a.verdict, b.verdict],
        "plan": {
            k: [plan_a.get(k), plan_b.get(k)]
            for k in sorted(plan_a.keys() | plan_b.keys())
            if plan_a.get(k) != plan_b.get(k)
        },
        "digests": {k: list(pair) for k, pair in digests.items() if pair[0] != pair[1]},
        "assumptions": {
            "only_first": sorted(set(said[0]) - set(said[1])),
            "only_second": sorted(set(said[1]) - set(said[0])),
        },
        "measures": _measures(a.record, b.record),
    }


def _flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{where}{key}."))
        else:
            flat[f"{where}{key}"] = value
    return flat


def _measures(a: Record, b: Record) -> list[dict[str, Any]]:
    def table(record: Record) -> dict[tuple[str, str], Any]:
        every = [m for f in record.findings for m in f.measures if not m.group]
        return {(m.name, m.baseline): m for m in every}

    left, right = table(a), table(b)
    return [
        {
            "name": name,
            "baseline": baseline,
            "unit": left[name, baseline].unit,
            "first": dataclasses.asdict(left[name, baseline]),
            "second": dataclasses.asdict(right[name, baseline]),
        }
        for name, baseline in left
        if (name, baseline) in right
    ]


sources = Sources()


def _open_store(store: str) -> LmdbStore:
    return LmdbStore(Path(store).expanduser() if store else jobs.cache_root() / "store")


def store_list(store: str = "") -> Sequence[Mapping[str, Any]]:
    """Namespaces of the feature store, most recently used first."""
    return [_plain(kept) for kept in _open_store(store).list()]


def _plain(kept: Any) -> Mapping[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(kept).items()}


def store_clear(store: str = "", space: str = "") -> int:
    """Deletes one namespace by the beginning of its name, or all; returns the bytes freed."""
    opened = _open_store(store)
    if not space:
        return opened.clear()
    found = [kept for kept in opened.list() if kept.space.name.startswith(space)]
    if len(found) != 1:
        known = [kept.space.name for kept in opened.list()]
        raise PlanError(f"'{space}' names {len(found)} namespaces. {nearest(space, known)}")
    return opened.clear(found[0].space)


def doctor() -> list[Mapping[str, str]]:
    """Checks of this installation: Python, libraries, folders, disk, network switch."""
    version = sys.version.split()[0]
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    told = [_told("Python", "ok" if fits else "warn", version, "Python 3.11 to 3.13 is tested")]
    told.append(_told("torch", *_found(["torch"]), "pip install headstart"))
    for extra, libraries in _extras().items():
        what = f"headstart[{extra}]"
        told.append(_told(what, *_found(libraries), f"pip install '{what}'"))
    return [*told, *_folders(), _network()]


def _extras() -> dict[str, list[str]]:
    """What each extra brings, as the installed package says; those that gather others are left out."""
    brought: dict[str, list[str]] = {}
    try:
        lines = importlib.metadata.requires("headstart") or []
    except importlib.metadata.PackageNotFoundError:  # run from a folder
        lines = []
    for line in lines:
        extra = re.search(r"extra == ['\"]([^'\"]+)", line)
        if extra and extra[1] not in ("all", "dev"):
            brought.setdefault(extra[1], []).append(re.split(r"[^\w.-]", line)[0])
    return brought


def _found(libraries: Sequence[str]) -> tuple[str, str]:
    """ "ok" and the versions, or "warn" and what lacks."""
    versions = {library: _version(library) for library in libraries}
    lacking = [library for library, version in versions.items() if not version]
    if lacking:
        return "warn", f"not installed: {', '.join(lacking)}"
    return "ok", ", ".join(f"{library} {version}" for library, version in versions.items())


def _version(library: str) -> str:
    """Of a distribution; "?" where another one brings its module; "" where nothing does."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "?" if importlib.util.find_spec(library.replace("-", "_")) else ""


def _folders() -> list[Mapping[str, str]]:
    root = jobs.cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free / 1e9
    except OSError as error:
        remedy = "set HEADSTART_CACHE to a folder that can be written"
        return [_told("cache folder", "fail", f"{root}: {error.strerror}", remedy)]
    writable = os.access(root, os.W_OK)
    status = "fail" if not writable else "ok" if free > 5 else "warn"
    detail = f"{root}, {free:.0f} GB free"
    return [_told("cache folder", status, detail, "free some space, or set HEADSTART_CACHE")]


def _network() -> Mapping[str, str]:
    off = f"forbidden by {machine.OFFLINE}" if machine.forbidden() else ""
    detail = off or "used only when a hub name is asked for"
    return _told("network", "ok", detail, "")


def _told(what: str, status: str, detail: str, remedy: str) -> Mapping[str, str]:
    return {
        "what": what,
        "status": status,
        "detail": detail,
        "remedy": "" if status == "ok" else remedy,
    }
