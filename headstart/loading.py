"""From the words that name a source to its document and network; earlier runs as sources."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch

from headstart import catalogue
from headstart.core import digest, machine, plugins
from headstart.core.plan import SourceChoice
from headstart.core.run import Record
from headstart.core.source import Loaded, configured
from headstart.errors import DamagedError, PackError, PlanError, SourceError, StorageError, nearest
from headstart.registry import document, packs, runs


def offline(choice: SourceChoice) -> bool:
    """Whether plan or environment forbids the network."""
    return bool(machine.forbidden(choice.offline))


@dataclass(frozen=True)
class Need:
    """What a default source is to serve.

    Attributes:
        rows: to learn from; `classes` among them, 0 where there are none.
        strategy: that was asked for, or "auto".
    """

    outcome: str = ""
    rows: int = 0
    classes: int = 0
    strategy: str = "auto"

    def met(self, entry: Mapping[str, Any]) -> bool:
        """Whether the source is made for the outcome, and for no less than these rows and classes."""
        fits = self.outcome in entry.get("outcomes", ())
        fits = fits and self.strategy in ("auto", *entry.get("strategies", (self.strategy,)))
        return fits and all(
            getattr(self, name) <= int(entry.get(f"most_{name}", getattr(self, name)))
            for name in ("rows", "classes")
        )


NONE = Need()


def choose_uri(
    uri: str, modality: plugins.Modality, need: Need = NONE
) -> tuple[str, dict[str, Any] | None]:
    """The URI that was asked for, or the best default, one made for the need before others; with its
    catalogue entry, where the package has one. A name that a person has added stands for its URI."""
    return _meant(uri, catalogue.find(uri), modality, need)


def _meant(
    uri: str, kept: Mapping[str, Any] | None, modality: plugins.Modality, need: Need
) -> tuple[str, dict[str, Any] | None]:
    """`choose_uri`, once it is known what was added under that name (`kept`)."""
    entries = {str(e["uri"]): e for e in modality.catalogue()}
    if uri == "auto":
        made = [u for u, e in entries.items() if need.met(e)]
        rest = [u for u, e in entries.items() if "outcomes" not in e]
        first = next(iter(made or rest or entries))
        return first, entries[first]
    uri = str(kept["uri"]) if kept else uri
    return uri, entries.get(uri.partition("?")[0])


def load(uri: str, modality: plugins.Modality, need: Need = NONE, *, offline: bool) -> Loaded:
    """Opens a source by its URI, SCHEME:REFERENCE[?setting=value&...], by the name that a person gave it, or
    the best for the need.

    Raises:
        SourceError: no such scheme or source; the nearest names are offered.
        DamagedError: it is not what it was when it was added under its name.
    """
    kept = catalogue.find(uri)
    uri, entry = _meant(uri, kept, modality, need)
    scheme, colon, rest = uri.partition(":")
    schemes = plugins.names("provider")
    if not colon or scheme not in schemes:
        raise SourceError(
            f"'{uri}' names no source. Expected SCHEME:NAME with one of the schemes "
            f"{', '.join(schemes)}, or the name of a source that was added. "
            f"{nearest(uri, [str(e['uri']) for e in modality.catalogue()] + catalogue.names())}"
        )
    reference, _, query = rest.partition("?")
    if entry is None and scheme == "builtin":
        offer = nearest(uri, [str(e["uri"]) for e in modality.catalogue()])
        raise SourceError(f"There is no built-in source '{uri}' for {modality.name} data. {offer}")
    provider: Any = plugins.load("provider", scheme)
    settings = dict(parse_qsl(query, keep_blank_values=True))
    own = supplied(provider, modality, offline=offline)
    loaded: Loaded = provider.open(reference, settings, offline=offline, entry=entry, **own)
    loaded = configured(loaded, settings)
    return _as_added(loaded, kept) if kept else loaded


def supplied(provider: Any, modality: plugins.Modality, *, offline: bool) -> dict[str, Any]:
    """What a provider says that it needs."""
    every: dict[str, Callable[[], Any]] = {
        "build": lambda: getattr(modality.backbones, "build", None),
        "reopen": lambda: functools.partial(reopen, modality=modality, offline=offline),
    }
    return {name: every[name]() for name in getattr(provider, "NEEDS", ())}


def _as_added(loaded: Loaded, kept: Mapping[str, Any]) -> Loaded:
    """The source with the facts that its owner stated. Raises DamagedError where it has changed."""
    source = loaded.source
    if source.sha256 != kept["digest"]:
        raise DamagedError(
            f"The source '{kept['name']}' is not what was added on {kept.get('added', 'an earlier day')}: "
            f"the digest of its tensors begins with {source.sha256[:12]}, not with {kept['digest'][:12]}. "
            f"Bring the old file back, or add it anew: headstart sources remove {kept['name']}"
        )
    facts = {key: str(kept[key]) for key in kept.get("stated", ()) if key in catalogue.FACTS}
    checked = (*loaded.checked, f"tensors: digest as when it was added on {kept.get('added', '?')}")
    source = dataclasses.replace(source, name=str(kept["name"]), **facts)
    return dataclasses.replace(loaded, source=source, checked=checked)


@dataclass(frozen=True)
class Earlier:
    """A run's network, opened again.

    Attributes:
        base: the source that it was made of; its module has the run's weights.
        changed: whether the run changed any of them.
    """

    folder: Path
    record: Record
    base: Loaded
    changed: bool


def reopen(reference: str, output: str, *, modality: plugins.Modality, offline: bool) -> Earlier:
    """The backbone that a run has adapted.

    Args:
        reference: a run's folder, id, the beginning of one, or "last".
        output: folder of runs; "": ./headstart-runs.

    Raises:
        SourceError: no such run, or one of another kind of data.
        DamagedError: run or base are not what they were.
    """
    try:
        folder = runs.find(reference, output)
        record = document.read(folder, predictions=False)
        pack = packs.load(folder / "pack")
    except PlanError as error:
        raise SourceError(
            f"'{reference}' is no run. {error} Weights of another make are opened by file:PATH (safetensors)."
        ) from error
    except (PackError, StorageError) as error:
        raise DamagedError(f"The run '{reference}' cannot be used as a source. {error}") from error
    if pack.modality != modality.name:
        raise SourceError(
            f"The run {record.id} learned from {pack.modality} data, so its network reads no "
            f"{modality.name} data. Choose a run of the same kind of data (headstart runs)."
        )
    base = load(str(pack.base.source["uri"]), modality, offline=offline)
    backbone = modality.backbones.stage(base, modality.batch.restore(pack.transform))
    try:
        packs.check_base(pack, digest.tensors(backbone.state_dict().items()))
    except PackError as error:
        raise DamagedError(str(error)) from error
    prefix = "backbone."
    told = {n.removeprefix(prefix): t for n, t in pack.tensors.items() if n.startswith(prefix)}
    _put(base, backbone, told, record.id)
    return Earlier(folder, record, base, bool(told))


def _put(base: Loaded, backbone: torch.nn.Module, told: Mapping[str, Any], run: str) -> None:
    """Copies a run's tensors into the base's module, by their names in the staged network."""
    every = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    own = {id(t) for t in (*base.module.parameters(), *base.module.buffers())}
    strange = [n for n in told if n not in every or id(every[n]) not in own]
    if strange:
        raise SourceError(
            f"The run {run} trained '{strange[0]}', which is no part of {base.source.uri} itself, so it "
            "cannot be handed on. Use the run's own source, or predict with the run."
        )
    with torch.no_grad():
        for name, tensor in told.items():
            every[name].copy_(tensor)
