"""Which sources there are: those of the package, and those that a person has added under a name."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.core import plugins
from headstart.core.source import Loaded
from headstart.errors import PlanError, StorageError, nearest
from headstart.places import settings_root
from headstart.registry import files

FILE = "sources.toml"
FACTS = ("licence", "data_licence", "trained_on", "paper", "revision")
_NAME = re.compile(r"^[A-Za-z0-9][\w.-]{0,63}$")
_HEAD = (
    "# Sources that were added with `headstart sources add`; `digest` is that of their tensors.\n"
)


def path() -> Path:
    """The file of added sources."""
    return settings_root() / FILE


def added() -> list[dict[str, Any]]:
    """Entries that a person has added, in their order. Raises StorageError where the file is damaged."""
    place = path()
    try:
        values = tomllib.loads(place.read_text("utf-8")) if place.is_file() else {}
        listed = [dict(entry) for entry in values.get("source", [])]
        if not all({"name", "uri", "digest"} <= set(entry) for entry in listed):
            raise ValueError("an entry lacks its name, uri or digest")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise StorageError(
            f"The list of added sources {place} cannot be read ({error}). Mend it, or move it away and add "
            "the sources again."
        ) from error
    return listed


def find(name: str) -> dict[str, Any] | None:
    """The added entry of that name, or None. A URI is no name."""
    if ":" in name:
        return None
    return next((e for e in added() if e["name"] == name), None)


def of(modality: str) -> list[dict[str, Any]]:
    """Entries for one kind of data: the package's, best default first, then those that were added."""
    own = plugins.Modality(modality).catalogue()
    return [*own, *(e for e in added() if e.get("modality") == modality)]


def names() -> list[str]:
    """Everything by which a source of a catalogue can be asked for."""
    every = [e for n in plugins.names("modality") for e in plugins.Modality(n).catalogue()]
    return [*(str(e["uri"]) for e in every), *(str(e["name"]) for e in added())]


def entry(
    loaded: Loaded, name: str, uri: str, modality: str, facts: Mapping[str, str]
) -> dict[str, Any]:
    """What is kept of a source; facts that a person states go before those of its document."""
    source = loaded.source
    told = {key: facts.get(key) or str(getattr(source, key)) for key in FACTS}
    return {
        "name": name,
        "uri": uri,
        "modality": modality,
        "family": source.family,
        "digest": source.sha256,
        "parameters": source.parameters,
        **told,
        "stated": sorted(key for key in FACTS if facts.get(key)),
        "added": f"{datetime.date.today():%Y-%m-%d}",
    }


def free(name: str) -> None:
    """Raises PlanError for a name that is taken, or is none."""
    if not _NAME.match(name) or name in ("auto", "last"):
        raise PlanError(
            f"'{name}' is no name for a source. Expected letters, digits, - _ . (at most 64), and not 'auto'."
        )
    if find(name) is not None:
        raise PlanError(
            f"There is a source '{name}' already. Choose another name, or remove it first: headstart sources "
            f"remove {name}"
        )


def write(entries: Sequence[Mapping[str, Any]]) -> None:
    """Puts the whole list in place of the old one, or leaves that as it was. Raises StorageError."""
    import tomli_w

    place = path()
    with files.storing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
    text = _HEAD + tomli_w.dumps({"source": [dict(e) for e in entries]})
    files.write(place, text.encode())


def remove(name: str) -> dict[str, Any]:
    """Takes an added source off the list; its files stay. Raises PlanError for an unknown name."""
    entries = added()
    gone = next((e for e in entries if e["name"] == name), None)
    if gone is None:
        raise PlanError(
            f"No source was added as '{name}'. {nearest(name, [str(e['name']) for e in entries])}"
        )
    write([e for e in entries if e is not gone])
    return gone
