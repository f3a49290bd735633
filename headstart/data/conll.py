"""CoNLL files: a word and its tag on each line, a blank line between sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from headstart.core.dataset import SetAside
from headstart.errors import DataError

SUFFIXES = (".conll", ".bio", ".iob", ".iob2")
WORDS, TAGS = "words", "tags"


class Sentences(NamedTuple):
    """Columns of words and tags, and the sentences that cannot be used."""

    columns: dict[str, list[list[str]]]
    set_aside: tuple[SetAside, ...]


def read(path: Path) -> Sentences:
    """All sentences of a file. The word is the first field, the tag the last; fields stand apart by tabs,
    or by blanks where a line has no tab. Lines that begin with "-DOCSTART-", and comments ("# ..." before
    a sentence), hold no word.

    Raises:
        DataError: the file is no UTF-8, or holds no sentence.
    """
    words, tags, aside = list[list[str]](), list[list[str]](), list[SetAside]()
    for number, lines in enumerate(_sentences(path)):
        fields = [(n, line.split("\t") if "\t" in line else line.split()) for n, line in lines]
        bare = next((n for n, f in fields if len(f) < 2 or not f[0] or not f[-1].strip()), None)
        if bare is not None:
            reason = f"line {bare} has no word and tag"
            aside.append(
                SetAside(f"sentence {number + 1}", reason, "write both, with a tab between")
            )
            continue
        words.append([f[0] for _, f in fields])
        tags.append([f[-1].strip() for _, f in fields])
    if not words:
        raise DataError(
            f"{path.name} holds no sentence with words and tags. Expected a word, a tab and a tag on each "
            "line, and a blank line between sentences."
        )
    return Sentences({WORDS: words, TAGS: tags}, tuple(aside))


def _sentences(path: Path) -> Iterator[list[tuple[int, str]]]:
    """Numbered lines of every sentence."""
    held: list[tuple[int, str]] = []
    try:
        with path.open(encoding="utf-8-sig") as handle:
            for number, line in enumerate(handle, 1):
                line = line.rstrip("\r\n")
                if not line.strip() or line.startswith("-DOCSTART-"):
                    if held:
                        yield held
                    held = []
                elif held or not (line.startswith("# ") and "\t" not in line):
                    held.append((number, line))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 ({error.reason}). Save it as UTF-8: iconv -t utf-8."
        ) from error
    if held:
        yield held
