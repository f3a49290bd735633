"""Data sets of the Hugging Face hub: `hf:NAME[:CONFIG][:SPLIT]`, or a folder that holds a copy of one.

Only Parquet files are read, with pyarrow; no code that comes with a data set is run. The README's front
matter says which files are which configuration and split and what class numbers mean; where it does not,
the files' own names and schema do. A set without Parquet files is taken from the hub's own conversion.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.core import machine
from headstart.core.licence import said
from headstart.core.source import UNKNOWN
from headstart.data.layout import PARTS
from headstart.data.tables import Table, join, open_table
from headstart.errors import DataError, MissingExtra, OfflineError, nearest

PREFIX = "hf:"
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
CONVERTED = "refs/convert/parquet"
DEFAULT = "default"
_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_SHARD = re.compile(r"[-_.]?(\d{4,5}(-of-\d{4,5})?)$")


@dataclass(frozen=True)
class Set:
    """A data set's files, told apart.

    Attributes:
        folder: where the files lie.
        files: configuration -> split -> Parquet files, relative to the folder, in order.
        classes: configuration -> column -> class names by number.
        default: the configuration that is meant where none is named.
    """

    folder: Path
    files: Mapping[str, Mapping[str, Sequence[str]]]
    classes: Mapping[str, Mapping[str, Sequence[str]]]
    default: str = "default"


def named(data: str) -> bool:
    """Whether the data are asked for by a name of the hub."""
    return data.startswith(PREFIX)


def is_copy(folder: Path) -> bool:
    """Whether a folder says of itself that it is a data set of the hub."""
    front = _front(folder / "README.md")
    return bool({"configs", "dataset_info"} & front.keys()) and any(_files(folder))


def open_set(data: str, *, offline: bool) -> tuple[Table, Path]:
    """The rows that "hf:NAME[:CONFIG][:SPLIT]" names, and the folder that paths in cells start from.

    Without a split all are read, and those of training and test fix the split.

    Raises:
        DataError: no such data set, configuration or split, or no Parquet file in it.
        OfflineError: it is not on this machine and the network is forbidden.
    """
    place, *rest = _parts(data.removeprefix(PREFIX))
    found = (
        _local(Path(place)) if Path(place).expanduser().is_dir() else _fetched(place, rest, offline)
    )
    config, split = _asked(found, rest, data)
    return _table(found, config, split, data), found.folder


def licence(data: str) -> str:
    """The licence that the card beside data states: README.md of a folder, or of a data set that lies in the
    hub's cache; "unknown" where none does. Asks nobody.

    Several licences bind together ("mit AND cc-by-4.0"). A card's word is its author's, and is not checked.
    """
    if not data:
        return UNKNOWN
    place = _parts(data.removeprefix(PREFIX))[0]
    folder = Path(place).expanduser()
    front = _front(folder / "README.md" if folder.is_dir() else _kept_card(place, data))
    told = front.get("license", front.get("licence"))
    listed = told if isinstance(told, list) else [told]
    every = [front.get("license_name") if said(one) == UNKNOWN else one for one in listed]
    if not every or UNKNOWN in map(said, every):
        return UNKNOWN
    return " AND ".join(said(one) for one in every)


def _kept_card(name: str, data: str) -> Path:
    """The card of a data set of the hub, as an earlier reading left it in the cache; a path without a file
    where there is none."""
    if not named(data) or not _NAME.match(name) or name.startswith("."):
        return Path(name) / "README.md"
    try:
        found = _hub().try_to_load_from_cache(name, "README.md", repo_type="dataset")
    except Exception:  # no library, or a name that it does not take
        found = None
    return Path(found) if isinstance(found, str) else Path(name) / "README.md"


def _parts(text: str) -> list[str]:
    """Name, configuration, split; a folder may have a colon in its path."""
    if Path(text).expanduser().is_dir():
        return [str(Path(text).expanduser())]
    place, *rest = text.split(":")
    return [str(Path(place).expanduser()) if place.startswith("~") else place, *rest]


# --- where it lies


def _local(folder: Path) -> Set:
    """A folder with a copy of a data set."""
    found = _listed(folder, sorted(p.relative_to(folder).as_posix() for p in _files(folder)))
    if not found.files:
        raise DataError(
            f"{folder} holds no Parquet file. Expected a data set as the hub has it: README.md, and Parquet "
            "files below it."
        )
    return found


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*.parquet"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _fetched(name: str, asked: Sequence[str], offline: bool) -> Set:
    """A data set of the hub: only the files that were asked for are fetched."""
    if not _NAME.match(name) or name.startswith("."):
        raise DataError(
            f"There is no folder '{name}', and it is no hub name. Expected hf:OWNER/NAME, with :CONFIG and "
            ":SPLIT behind it where there are several, or hf:FOLDER."
        )
    hub = _hub()
    if reason := machine.forbidden(offline, *OFFLINE):
        return _cached(hub, name, reason)
    try:
        revision = None
        known = _parquet(hub.HfApi().list_repo_files(name, repo_type="dataset"))
        if not known:
            revision = CONVERTED
            known = _parquet(
                hub.HfApi().list_repo_files(name, repo_type="dataset", revision=revision)
            )
        if not known:
            raise _without_parquet(name)
        readme = Path(_snapshot(hub, name, ["README.md"], None))
        told = _listed(readme, known)
        config, split = _asked(told, asked, f"{PREFIX}{name}")
        wanted = [f for s, files in told.files[config].items() if split in ("", s) for f in files]
        folder = Path(_snapshot(hub, name, wanted, revision))
    except DataError:
        raise
    except Exception as error:  # the hub's errors share no base class
        raise _worded(hub, error, name) from error
    return replace(told, folder=folder)


def _snapshot(hub: Any, name: str, patterns: list[str], revision: str | None) -> str:
    return str(
        hub.snapshot_download(name, repo_type="dataset", allow_patterns=patterns, revision=revision)
    )


def _parquet(files: Sequence[str]) -> list[str]:
    return sorted(f for f in files if f.endswith(".parquet"))


def _cached(hub: Any, name: str, reason: str) -> Set:
    """What an earlier run fetched; asks nobody."""
    for revision in (None, CONVERTED):
        try:
            folder = hub.snapshot_download(
                name, repo_type="dataset", local_files_only=True, revision=revision
            )
        except Exception:  # the hub's errors share no base class
            continue
        found = _listed(
            Path(folder), sorted(p.relative_to(folder).as_posix() for p in _files(Path(folder)))
        )
        if found.files:
            return found
    raise OfflineError(
        f"The data set '{name}' is not on this machine, and {reason} forbids the network. Fetch it once "
        "while online, or copy it here and name its folder: hf:FOLDER."
    )


def _hub() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "Data sets of the hub need the library 'huggingface_hub', which is not installed. "
            "Install it with: pip install 'headstart[text]'"
        ) from error
    return huggingface_hub


def _worded(hub: Any, error: Exception, name: str) -> DataError:
    """The hub's error in plain words."""
    if isinstance(error, hub.errors.GatedRepoError):
        return DataError(
            f"The hub gives '{name}' only to people who accepted its terms. Accept them on the hub's page of "
            "the data set and log in with 'hf auth login'."
        )
    if isinstance(error, (hub.errors.RevisionNotFoundError, hub.errors.EntryNotFoundError)):
        return _without_parquet(name)
    if isinstance(error, (hub.errors.RepositoryNotFoundError, hub.errors.HFValidationError)):
        return DataError(f"The hub knows no data set '{name}'. Check the spelling (OWNER/NAME).")
    return DataError(
        f"The hub could not be reached for the data set '{name}' ({type(error).__name__}). Check the "
        "network, or copy the data set here and name its folder: hf:FOLDER."
    )


def _without_parquet(name: str) -> DataError:
    return DataError(
        f"The data set '{name}' holds no Parquet files, and the hub has not converted it. Export it as "
        "CSV or Parquet and give that file."
    )


# --- what it is


def _listed(folder: Path, files: Sequence[str]) -> Set:
    """Configurations, splits and class names by README.md, else by the files' names."""
    front = _front(folder / "README.md")
    made = _by_readme(front, files) or _by_names(files)
    infos = front.get("dataset_info") or []
    infos = infos if isinstance(infos, list) else [infos]
    classes = {
        str(info.get("config_name", DEFAULT)): _class_names(info.get("features"))
        for info in infos
        if isinstance(info, Mapping)
    }
    listed = [c for c in front.get("configs") or [] if isinstance(c, Mapping)]
    first = next((c["config_name"] for c in listed if c.get("default")), DEFAULT)
    return Set(folder, made, classes, str(first))


def _front(path: Path) -> dict[str, Any]:
    """The README's front matter; {} where there is none or it is broken."""
    try:
        text = path.read_text("utf-8")
    except OSError:
        return {}
    if not text.startswith("---"):
        return {}
    try:
        import yaml

        found = yaml.safe_load(text.split("---", 2)[1])
    except (ModuleNotFoundError, IndexError, ValueError):
        return {}
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _by_readme(front: Mapping[str, Any], files: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """By `configs: [{config_name, data_files: [{split, path}]}]`."""
    made: dict[str, dict[str, list[str]]] = {}
    for config in front.get("configs") or []:
        listed = config.get("data_files") if isinstance(config, Mapping) else None
        listed = [{"split": "train", "path": listed}] if isinstance(listed, str) else listed or []
        splits: dict[str, list[str]] = {}
        for entry in listed:
            entry = {"split": "train", "path": entry} if isinstance(entry, str) else entry
            paths = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
            found = [f for f in files if any(fnmatch(f, p) or f == p for p in paths)]
            if found:
                splits.setdefault(str(entry["split"]), []).extend(found)
        if splits:
            made[str(config.get("config_name", DEFAULT))] = splits
    return made


def _by_names(files: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """By paths: [data/|CONFIG/]SPLIT-00000-of-00002.parquet, or CONFIG/SPLIT/0000.parquet."""
    made: dict[str, dict[str, list[str]]] = {}
    for file in files:
        *folders, name = file.split("/")
        stem = _SHARD.sub("", name.removesuffix(".parquet"))
        if not stem and folders:
            stem = folders.pop()
        stem = stem.removeprefix("partial-")
        split = next((s for s in (stem, *re.split(r"[-_.]", stem)) if s.lower() in PARTS), stem)
        config = "/".join(f for f in folders if f != "data") or DEFAULT
        made.setdefault(config, {}).setdefault(split or "train", []).append(file)
    return made


def _class_names(features: Any) -> dict[str, list[str]]:
    """Column -> class names, of `dtype: {class_label: {names: {'0': cat, ...}}}`."""
    found = {}
    for one in features if isinstance(features, list) else []:
        kind = one.get("dtype") if isinstance(one, Mapping) else None
        label = kind.get("class_label") if isinstance(kind, Mapping) else None
        names = label.get("names") if isinstance(label, Mapping) else None
        if isinstance(names, Mapping):
            found[str(one["name"])] = [str(names[k]) for k in sorted(names, key=int)]
        elif isinstance(names, list):
            found[str(one["name"])] = [str(n) for n in names]
    return found


def _by_schema(path: Path) -> dict[str, list[str]]:
    """The same, of the schema that the `datasets` library writes into a file."""
    try:
        told = json.loads((pq.read_schema(path).metadata or {}).get(b"huggingface", b"{}"))
        features = told["info"]["features"]
        return {
            str(column): [str(n) for n in kind["names"]]
            for column, kind in features.items()
            if isinstance(kind, Mapping) and kind.get("_type") == "ClassLabel" and "names" in kind
        }
    except (ValueError, KeyError, TypeError, pa.ArrowInvalid):
        return {}


def _asked(found: Set, rest: Sequence[str], data: str) -> tuple[str, str]:
    """Configuration and split; one word may be either. Raises DataError."""
    configs = list(found.files)
    words = [w for w in rest if w]
    if len(words) > 2:
        raise DataError(f"'{data}' has too many parts. Expected hf:NAME[:CONFIG][:SPLIT].")
    config = found.default if found.default in configs else configs[0]
    if words and words[0] in configs:
        config = words.pop(0)
    elif len(words) == 2 or (words and config != found.default and len(configs) > 1):
        raise DataError(f"'{data}' has no configuration '{words[0]}'. {nearest(words[0], configs)}")
    elif config != found.default and len(configs) > 1:
        raise DataError(
            f"'{data}' has several configurations: {', '.join(configs[:12])}. Name one: {data}:{configs[0]}"
        )
    split = words[0] if words else ""
    if split and split not in found.files[config]:
        known = [*found.files[config], *(configs if len(configs) > 1 else [])]
        raise DataError(f"'{data}' has no split '{split}'. {nearest(split, known)}")
    return config, split


# --- its rows


def _table(found: Set, config: str, split: str, name: str) -> Table:
    """The rows of the splits, with class names for numbers, as one table."""
    splits = found.files[config]
    notes, kept = list[str](), dict[str, Table]()
    usual = {s: files for s, files in splits.items() if s.lower() in PARTS}
    wanted = {split: splits[split]} if split else usual or dict(splits)
    if len(wanted) < len(splits) and not split:
        notes.append(
            f"Left out, as it is neither training nor test: {_told(set(splits) - set(wanted))}."
        )
    for part, files in wanted.items():
        names = found.classes.get(config) or found.classes.get(DEFAULT)
        names = names or _by_schema(found.folder / files[0])
        table = _with_names(_shards(found.folder, files), names)
        if blind := _unlabelled(table, names):
            notes.append(f"The split '{part}' was left out: its '{blind}' is nowhere known.")
            continue
        kept[part] = table
    if not kept:
        raise DataError(f"'{name}': no split with labels is left of {_told(splits)}.")
    parts = {PARTS.get(s.lower(), "") for s in kept}
    fixed = len(parts) > 1 and "train" in parts and "" not in parts
    column = _column("split" if fixed else "part", kept) if len(kept) > 1 else ""
    made = join(kept, column, name)
    return replace(made, notes=(*made.notes, *notes), origin="" if fixed else column)


def _told(names: Any) -> str:
    return ", ".join(f"'{n}'" for n in sorted(names))


def _column(name: str, tables: Mapping[str, Table]) -> str:
    """A name for the column of splits that no table has. Raises DataError."""
    if any(name in t.columns for t in tables.values()):
        raise DataError(
            f"The data set has a column '{name}' beside its splits, so these cannot be told apart. Name one "
            "split: hf:NAME:train."
        )
    return name


def _shards(folder: Path, files: Sequence[str]) -> Table:
    return join({f: open_table(folder / f) for f in files}, "", files[0])


def _with_names(table: Table, classes: Mapping[str, Sequence[str]]) -> Table:
    """The table with class names where columns hold class numbers; a number that names no class, such as
    -1, is a missing label."""
    here = {
        c: pa.array(n)
        for c, n in classes.items()
        if c in table.columns and pa.types.is_integer(table.schema.field(c).type)
    }
    if not here:
        return table
    schema = pa.schema(
        [pa.field(f.name, pa.string()) if f.name in here else f for f in table.schema]
    )

    def name(batch: pa.RecordBatch, column: str) -> pa.Array:
        numbers, names = batch.column(column), here[column]
        known = pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, len(names)))
        return names.take(pc.if_else(known, numbers, pa.scalar(None, numbers.type)))

    def stream() -> Iterator[pa.RecordBatch]:
        for batch in table.stream():
            columns = [name(batch, n) if n in here else batch.column(n) for n in schema.names]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    stamp = f"{table.stamp}|{json.dumps({c: list(classes[c]) for c in here})}"
    return replace(table, schema=schema, stream=stream, lead=None, stamp=stamp)


def _unlabelled(table: Table, classes: Mapping[str, Sequence[str]]) -> str:
    """A column of classes without a single one, or ""."""
    for column in classes:
        if column in table.columns and all(c.null_count == len(c) for c in table.column(column)):
            return column
    return ""
