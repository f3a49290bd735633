"""Sources looked at without any data of a person's: list, card, check, and the list of added ones."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart import catalogue, loading
from headstart.core import licence, plugins
from headstart.core.network import Backbone
from headstart.core.source import Loaded, Source
from headstart.core.task import Task
from headstart.data import opening
from headstart.errors import DamagedError, MissingExtra, OfflineError, PlanError, SourceError
from headstart.errors import UserError as Wrong

ROWS = 12  # generated samples on which a network's input is prepared
INTACT, UNKNOWN, DIFFERS = "intact", "unknown", "differs"


@dataclass(frozen=True)
class Opened:
    """A source, and the kind of data that it was opened for.

    Attributes:
        backbone: staged; None where no installed modality reads it.
        why: why it could not be staged, or "".
    """

    loaded: Loaded
    modality: str
    backbone: Backbone | None
    why: str = ""


class Sources:
    """Pretrained models: call it for the catalogue; `show`, `verify`, `add` and `remove` one of them."""

    def __call__(self, modality: str = "") -> Sequence[Mapping[str, Any]]:
        """Catalogue of sources, the default of each modality first, then those that were added."""
        names = [modality] if modality else plugins.names("modality")
        hidden = ("location", "opens", "stated")
        return [
            {"modality": name, **{k: v for k, v in entry.items() if k not in hidden}}
            for name in names
            for entry in catalogue.of(name)
        ]

    def show(self, uri: str, modality: str = "", *, offline: bool = False) -> Mapping[str, Any]:
        """Who a source is: its document, its stages, and what its licences allow.

        Args:
            uri: SCHEME:REFERENCE, or the name under which it was added.
            modality: the kind of data that it shall read; "": found out.

        Raises:
            UserError: it cannot be opened.
        """
        found = opened(uri, modality, offline=offline)
        source = found.loaded.source
        links = licence.of_source(dataclasses.asdict(source), changed=True)
        document = dataclasses.asdict(source)
        backbone = found.backbone
        return {
            "uri": source.uri,
            "name": source.name,
            "modality": found.modality or UNKNOWN,
            "family": source.family,
            **{k: document[k] for k in ("licence", "data_licence", "trained_on", "paper")},
            "revision": source.revision,
            "digest": source.sha256,
            "parameters": source.parameters,
            "parents": [dict(parent) for parent in source.parents],
            "stages": list(backbone.stages) if backbone is not None else [],
            "features": backbone.width if backbone is not None else 0,
            "frozen": backbone.frozen if backbone is not None else found.why,
            "twin": found.loaded.rebuild is not None,
            "preprocessing": {k: _brief(v) for k, v in source.preprocessing.items()},
            "checked": list(found.loaded.checked),
            **_listed(uri, found.modality),
            "answers": [dataclasses.asdict(answer) for answer in licence.answers(links)],
        }

    def verify(self, uri: str, modality: str = "", *, offline: bool = False) -> Mapping[str, Any]:
        """Whether what lies on the disk is what was declared for it.

        Returns:
            {"uri", "state": "intact", "unknown" or "differs", "sentence", "digest", "checked"}: "unknown"
            where nobody has declared a digest.

        Raises:
            UserError: there is no such source, or it cannot be opened for another reason than damage.
        """
        kept = [e for e in catalogue.added() if uri in (e["name"], e["uri"])]
        asked = str(kept[0]["name"]) if kept else uri
        try:
            found = opened(asked, modality, offline=offline, staged=False)
        except DamagedError as error:
            return _verified(uri, DIFFERS, str(error), "", ())
        source, checked = found.loaded.source, found.loaded.checked
        if not checked:
            sentence = (
                f"It can be read, but nobody has declared a digest for {uri}, so whether it is what it was "
                "cannot be told. Add it under a name to pin what it is now: headstart sources add"
            )
            return _verified(uri, UNKNOWN, sentence, source.sha256, ())
        sentence = f"{uri} is what was declared: {'; '.join(checked)}."
        return _verified(uri, INTACT, sentence, source.sha256, checked)

    def add(
        self, uri: str, name: str, modality: str = "", *, offline: bool = False, **facts: str
    ) -> Mapping[str, Any]:
        """Adds a source to a person's own list, by which it is shown and used as `source=NAME`; its digest is
        kept, and what differs later is refused.

        Args:
            facts: licence, data_licence, trained_on, paper, revision, as far as its document does not say.

        Raises:
            PlanError: the name is taken, or a fact is none of these, or its document says otherwise.
            SourceError: the source cannot be opened, or no installed kind of data reads it.
        """
        strange = sorted(set(facts) - set(catalogue.FACTS))
        if strange:
            raise PlanError(
                f"'{strange[0]}' is nothing that is kept of a source; expected one of "
                f"{', '.join(catalogue.FACTS)}."
            )
        catalogue.free(name)
        if catalogue.find(uri) is not None or uri == "auto":
            raise PlanError(f"'{uri}' is a name already. Give the URI that it stands for.")
        whole = absolute(uri)
        found = opened(whole, modality, offline=offline)
        if found.backbone is None:
            raise SourceError(
                f"No installed kind of data reads {uri}. {found.why} Name one with --modality."
            )
        told = {k: v for k, v in facts.items() if v}
        _agreed(uri, found.loaded.source, told)
        entry = catalogue.entry(found.loaded, name, whole, found.modality, told)
        catalogue.write([*catalogue.added(), entry])
        return entry

    def remove(self, name: str) -> Mapping[str, Any]:
        """Takes a source off the list; its files stay. Raises PlanError for an unknown name."""
        return catalogue.remove(name)


def _agreed(uri: str, source: Source, told: Mapping[str, str]) -> None:
    """Raises PlanError where the source's own document states another fact than a person."""
    for name, value in told.items():
        stated = licence.said(getattr(source, name))
        if stated not in (UNKNOWN, value):
            raise PlanError(
                f"{name} came as '{value}', but the document of {uri} says '{stated}'. Leave it out, or mend "
                "the document where it is wrong."
            )


def _listed(uri: str, modality: str) -> Mapping[str, Any]:
    """What the catalogue adds to a source's document.

    Returns:
        {"note", "size_mb", "settings", "default_for"}: the last has those of outcomes, strategies, most_rows
        and most_classes that are stated; beyond them another source is the default. Empty values where the
        catalogue says nothing.
    """
    plain = uri.partition("?")[0]
    kept = catalogue.of(modality) if modality else []
    entry = next((e for e in kept if uri == e.get("name") or plain == e["uri"]), {})
    limits = ("outcomes", "strategies", "most_rows", "most_classes")
    return {
        "note": str(entry.get("note", "")),
        "size_mb": entry.get("size_mb"),
        "settings": dict(entry.get("settings", {})),
        "default_for": {k: entry[k] for k in limits if k in entry},
    }


def _verified(
    uri: str, state: str, sentence: str, digest: str, checked: Sequence[str]
) -> Mapping[str, Any]:
    return {
        "uri": uri,
        "state": state,
        "sentence": sentence,
        "digest": digest,
        "checked": list(checked),
    }


def absolute(uri: str) -> str:
    """The URI with the files that it names by their whole paths, so that it can be used from anywhere."""
    scheme, colon, rest = uri.partition(":")
    reference, mark, query = rest.partition("?")
    settings = [part.partition("=") for part in query.split("&")] if mark else []
    whole = [f"{k}{e}{_whole(v)}" for k, e, v in settings]
    return f"{scheme}{colon}{_whole(reference)}{mark}{'&'.join(whole)}"


def _whole(text: str) -> str:
    place = Path(text).expanduser()
    return str(place.resolve()) if text and place.exists() else text


def opened(uri: str, modality: str = "", *, offline: bool, staged: bool = True) -> Opened:
    """A source for the kind of data that was named, that its catalogue names, or that reads it.

    Raises:
        UserError: nobody can open it.
    """
    names = (modality,) if modality else _known(uri) or plugins.names("modality")
    first, found, reasons = _any(uri, names, offline)
    if not staged:
        return Opened(found, "", None)
    loaded = found
    left = names[names.index(first) :]  # those before it could not open it
    for name in sorted(left, key=lambda n: -_shared(n, found) if len(left) > 1 else 0):
        try:
            parts = plugins.Modality(name)
            loaded = found if name == first else loading.load(uri, parts, offline=offline)
            return Opened(loaded, name, _staged(parts, loaded))
        except (SourceError, MissingExtra) as error:
            reasons.append(str(error))
        except (
            KeyError,
            TypeError,
            AttributeError,
        ):  # it lacks what that kind's preprocessing reads
            continue
    return Opened(loaded, "", None, next(iter(reasons), ""))


def _known(uri: str) -> tuple[str, ...]:
    """The kinds of data that a catalogue names for it; () where none does."""
    kept = catalogue.find(uri)
    if kept is not None:
        return (str(kept["modality"]),) if kept.get("modality") else ()
    plain = uri.partition("?")[0]
    every = plugins.names("modality")
    return tuple(
        n for n in every if any(e["uri"] == plain for e in plugins.Modality(n).catalogue())
    )


def _any(uri: str, names: Sequence[str], offline: bool) -> tuple[str, Loaded, list[str]]:
    """The first kind of data that can open the source, the source, and why those before it could not."""
    first: Wrong | None = None
    reasons: list[str] = []
    for name in names:
        try:
            return name, loading.load(uri, plugins.Modality(name), offline=offline), reasons
        except (DamagedError, OfflineError, PlanError):
            raise
        except (SourceError, MissingExtra) as error:
            first = first or error
            reasons.append(str(error))
    raise first or SourceError(f"'{uri}' could not be opened. See: headstart sources")


def _shared(name: str, loaded: Loaded) -> int:
    """How many words of the source's preprocessing that kind's own networks use too."""
    try:
        own = plugins.Modality(name).tiny.loaded(0).source.preprocessing
    except MissingExtra:
        return -1
    return len(set(own) & set(loaded.source.preprocessing))


def _staged(modality: plugins.Modality, loaded: Loaded) -> Backbone:
    """The network, staged for samples that the modality draws itself. Raises SourceError."""
    with tempfile.TemporaryDirectory(prefix="headstart-") as place:
        data = modality.tiny.write(Path(place) / "tiny", "classify", ROWS, 0)
        task = Task(data=str(data), outcome="classify", modality=modality.name)
        dataset = opening.open_data(
            task, {modality.name: modality.read}, cache=Path(place) / "cache"
        )
        samples = list(dataset.samples(np.arange(len(dataset))))
        transform = modality.batch.make(loaded.source.preprocessing, dataset.fields, samples)
        backbone: Backbone = modality.backbones.stage(loaded, transform)
    return backbone


def _brief(value: Any) -> Any:
    """Settings as they are; long ones (a tokenizer) by their length."""
    text = str(value)
    return value if len(text) <= 200 else f"{len(text):,} characters"
