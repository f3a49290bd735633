"""Class folders: `folder/<class>/**/file`, optionally below `train/` and `test/` (or `val/`)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headstart.core import digest
from headstart.core.dataset import SetAside
from headstart.core.reader import Read
from headstart.data.tables import Table, from_columns, is_table, join, open_table
from headstart.errors import DataError, nearest

IGNORED = {"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx"}
TRAIN = {"train", "training"}
TEST = {"test", "testing"}
VALIDATION = {"val", "valid", "validation", "dev"}
LAYOUT = "Expected one sub-folder per class with files in it: folder/cats/1.jpg, folder/dogs/2.jpg."


@dataclass(frozen=True)
class Listing:
    """Files of class folders as a table of path, label and, where fixed, split.

    Attributes:
        table: columns `modality` (path relative to the folder), "label", and "split" where given.
    """

    table: Table
    modality: str
    split: bool
    notes: tuple[str, ...]
    set_aside: tuple[SetAside, ...]


def scan(root: Path, readers: Mapping[str, Read], modality: str = "auto") -> Listing:
    """Lists class folders. Raises DataError for a missing, empty or one-class folder."""
    parts, notes = _parts(root)
    found = [
        (part, klass.name, file)
        for part, folder in parts
        for klass in _folders(folder)
        for file in walk(klass)
    ]
    modality = _modality(root, [f for _, _, f in found], readers, modality)
    suffixes = readers[modality].SUFFIXES
    used = [row for row in found if row[2].suffix.lower() in suffixes]
    stray = [f for _, _, f in found if f.suffix.lower() not in suffixes]
    loose = [f for _, folder in parts for f in _files(folder)]
    notes += _empty(parts, {(part, klass) for part, klass, _ in used})
    classes = sorted({klass for _, klass, _ in used})
    if len(classes) == 1:
        raise DataError(
            f"{root} has one class only, '{classes[0]}' ({len(used)} files). Expected two or more "
            "class folders; add a folder with examples of what it is not."
        )
    table = _table(root, used, modality, fixed=len(parts) > 1)
    return Listing(table, modality, len(parts) > 1, notes, _aside(root, stray, loose, modality))


def gather(root: Path, readers: Mapping[str, Read], modality: str = "auto") -> Listing:
    """Lists all files below a folder that a reader reads; the class folders' names are a column "label" where
    there are any. Raises DataError where there is no such file."""
    parts, _ = _parts(root)
    found = [(folder, file) for _, folder in parts for file in walk(folder)]
    if not found:
        raise DataError(f"{root} holds no files. Expected files of one kind in it or below it.")
    modality = _modality(root, [f for _, f in found], readers, modality)
    suffixes = readers[modality].SUFFIXES
    used = [(folder, file) for folder, file in found if file.suffix.lower() in suffixes]
    labels = [
        file.relative_to(folder).parts[0] if file.parent != folder else None
        for folder, file in used
    ]
    columns: dict[str, list[str | None]] = {
        modality: [_text(file.relative_to(root)) for _, file in used]
    }
    if any(labels):
        columns["label"] = labels
    made = from_columns(columns, name=str(root))
    stray = tuple(
        SetAside(
            _text(f.relative_to(root)), f"not a file of kind '{modality}'", "remove or convert it"
        )
        for _, f in found
        if f.suffix.lower() not in suffixes
    )
    mark = stamp(root, [file for _, file in used])
    return Listing(
        Table(made.name, made.schema, made.rows, made.stream, stamp=mark),
        modality,
        False,
        (),
        stray,
    )


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, sorted; hidden files and system files are left out."""
    for place, below, files in os.walk(folder):
        below[:] = sorted(b for b in below if not _hidden(b))
        for name in sorted(files):
            if not _hidden(name):
                yield Path(place, name)


def single_table(root: Path) -> Path | None:
    """The one table at the top of a folder that holds its list of examples, if there is one."""
    tables = [f for f in _files(root) if is_table(f)]
    return tables[0] if len(tables) == 1 and len(_folders(root)) <= 1 else None


def several_tables(root: Path) -> Table | None:
    """The tables at the top of a folder that holds nothing else to learn from, as one.

    Files called train and test (and validation) fix the split; otherwise the column "file" tells which rows
    came from which file. None where there is one table, or class folders.
    """
    found = [f for f in _files(root) if is_table(f)]
    if len(found) < 2 or len(_folders(root)) > 1:
        return None
    parts = {f.stem: open_table(f) for f in found}
    if len(parts) < len(found):
        raise DataError(
            f"{root} holds tables of one name ({', '.join(f.name for f in found)}). Expected every table "
            "once; rename or remove one."
        )
    columns = {name for table in parts.values() for name in table.columns}
    named = {name.lower() for name in parts}
    fixed = named <= TRAIN | TEST | VALIDATION and named & TRAIN and len(parts) > 1
    wanted = ("split", "subset") if fixed else ("file", "origin")
    column = next((name for name in wanted if name not in columns), "")
    if not column:
        raise DataError(
            f"The tables in {root} have columns called {' and '.join(wanted)}. Expected one of these names "
            "to be free for the file's own name; rename a column."
        )
    made = join(parts, column, str(root))
    told = f"{len(parts)} tables were read as one: {', '.join(f.name for f in found)}."
    return replace(made, notes=(told, *made.notes), origin="" if fixed else column)


def stamp(root: Path, files: list[Path]) -> str:
    """Digest of the files' names, sizes and times of change."""
    told = []
    for file in files:
        try:
            stat = file.stat()
            told.append((os.fsencode(file).hex(), stat.st_size, stat.st_mtime_ns))
        except OSError:
            told.append((os.fsencode(file).hex(), -1, -1))
    return digest.value([str(root.resolve()), told])


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not _hidden(p.name))
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be listed: {error.strerror}.") from error


def _folders(folder: Path) -> list[Path]:
    return [p for p in _listed(folder) if p.is_dir()]


def _files(folder: Path) -> list[Path]:
    return [p for p in _listed(folder) if p.is_file()]


def _parts(root: Path) -> tuple[list[tuple[str, Path]], tuple[str, ...]]:
    """("train" | "test", folder) pairs; one pair with "" where the folder fixes no split."""
    named = {p.name.lower(): p for p in _folders(root)}
    train = sorted(TRAIN & set(named))
    test, validation = sorted(TEST & set(named)), sorted(VALIDATION & set(named))
    known = set(named) <= TRAIN | TEST | VALIDATION
    if not (known and train and (test or validation) and all(map(_folders, named.values()))):
        return [("", root)], ()
    if not test:
        test, validation = validation, []
    pairs = [("train", named[n]) for n in train + validation] + [("test", named[n]) for n in test]
    note = f"The folders fix the split: {'/, '.join(train)}/ to learn from, {test[0]}/ as test."
    extra = f" {validation[0]}/ was added to the part to learn from." if validation else ""
    return pairs, (note + extra,)


def _modality(root: Path, files: list[Path], readers: Mapping[str, Read], asked: str) -> str:
    """The modality whose file endings match most files."""
    if asked != "auto" and asked not in readers:
        raise DataError(f"There is no modality '{asked}'. {nearest(asked, readers)}")
    endings = Counter(f.suffix.lower() for f in files)
    names = [asked] if asked != "auto" else list(readers)
    matches = {name: sum(endings[s] for s in readers[name].SUFFIXES) for name in names}
    best = max(names, key=lambda name: matches[name])
    if matches[best]:
        return best
    can = "; ".join(f"{n}: {' '.join(readers[n].SUFFIXES)}" for n in names if readers[n].SUFFIXES)
    if not files:
        raise DataError(f"{root} holds no files in class folders. {LAYOUT}")
    seen = ", ".join(f"{n} {s or 'without ending'}" for s, n in endings.most_common(3))
    raise DataError(
        f"None of the {len(files)} files below {root} can be read ({seen}). Expected {can}. "
        "Convert the files."
    )


def _empty(parts: list[tuple[str, Path]], used: set[tuple[str, str]]) -> tuple[str, ...]:
    """Notes on class folders without a usable file."""
    return tuple(
        f"The class folder '{klass.relative_to(folder.parent)}' holds no usable file; "
        "that class is not learned."
        for part, folder in parts
        for klass in _folders(folder)
        if (part, klass.name) not in used
    )


def _table(root: Path, used: list[tuple[str, str, Path]], modality: str, *, fixed: bool) -> Table:
    columns = {
        modality: [_text(file.relative_to(root)) for _, _, file in used],
        "label": [klass.encode("utf-8", "replace").decode() for _, klass, _ in used],
    }
    if fixed:
        columns["split"] = [part for part, _, _ in used]
    made = from_columns(columns, name=str(root))
    files = [file for _, _, file in used]
    return Table(made.name, made.schema, made.rows, made.stream, stamp=stamp(root, files))


def _text(path: Path) -> str:
    """The path as text; a name that is no UTF-8 keeps its odd bytes as \\x.. and is not found."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def _aside(root: Path, stray: list[Path], loose: list[Path], modality: str) -> tuple[SetAside, ...]:
    odd = [
        SetAside(
            _text(f.relative_to(root)), f"not a file of kind '{modality}'", "remove or convert it"
        )
        for f in stray
    ]
    lost = [
        SetAside(
            _text(f.relative_to(root)), "in no class folder", "move it into the folder of its class"
        )
        for f in loose
    ]
    return tuple(odd + lost)
