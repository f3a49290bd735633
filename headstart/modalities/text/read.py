"""Texts: files and cells to samples. A sample is {field name: text}, or a list of words where each has a
label, or a question and the passage that answers it; no network library is loaded.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.errors import BadRow

SUFFIXES = (".txt",)
FILE_KIND = "path"
NEAR = 3
MANY = False
UNITS = "words"
PASSAGE = "passage"

SHORT_WORDS = 16
"""Below this count a text has too few shingles for a stable sketch: only equal texts are near."""
SHINGLE = 3
LONGEST_BYTES = 50_000_000

_WORD = re.compile(r"\w+")
_UNIT = re.compile(r"\w+|[^\w\s]")
_LIKE_A_FILE = re.compile(r"^\S+\.[A-Za-z]\w{1,4}$")


def claim(name: str, values: Sequence[Any], root: Path) -> str | None:
    """ "path" for names of .txt files, "text" for sentences, "words" for lists of words; None for codes,
    categories, numbers.

    A category repeats itself and is short; a sentence has several words, mostly letters, and seldom
    comes twice. A few words that hardly repeat ("refund please") are text as well, names of people
    and places ("Braund, Mr. Owen") are not: all their words are capitalised.
    """
    lists = [v for v in values if isinstance(v, list) and v]
    if lists:
        told = [w for v in lists for w in v]
        lettered = sum(any(c.isalpha() for c in w) for w in told if isinstance(w, str))
        return "words" if lettered > len(told) / 2 else None
    texts = [v.strip() for v in values if isinstance(v, str) and v.strip()]
    if not texts or len(texts) < len(values) * 0.5:
        return None
    if all(t.lower().endswith(SUFFIXES) for t in texts):
        return "path" if any((root / t).is_file() for t in texts) else None
    if sum(bool(_LIKE_A_FILE.match(t)) for t in texts) > len(texts) / 2:
        return None
    letters = sum(sum(c.isalpha() for c in t) for t in texts) / sum(map(len, texts))
    if letters < 0.5:
        return None
    size = sum(len(t.split()) for t in texts) / len(texts)
    distinct = len(set(texts)) / len(texts)
    unspaced = size < 2 and _foreign(texts) and sum(map(len, texts)) / len(texts) >= 5
    phrases = size >= 1.5 and _small(texts) >= 0.3
    if size >= 6 or (distinct > 0.5 and (phrases or unspaced)):
        return "text"
    return None


def _small(texts: Sequence[str]) -> float:
    """Share of words that begin with a small letter."""
    words = [w for t in texts for w in t.split() if w[0].isalpha()]
    return sum(w[0].islower() for w in words) / max(1, len(words))


def _foreign(texts: Sequence[str]) -> bool:
    """Whether most characters are of scripts written without spaces (Chinese, Japanese, Thai)."""
    joined = "".join(texts)
    return sum(ord(c) >= 0x0E00 for c in joined) > len(joined) / 2


def load(cell: Any, field: Field, root: Path) -> str | list[str]:
    """One cell to its text, or to its words; a missing cell is the empty text. Raises BadRow."""
    if field.kind == UNITS:
        return words(cell)
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if field.kind == "path" and not isinstance(cell, bytes):
        return _decode(_bytes_of(root / str(cell)))
    return _decode(cell) if isinstance(cell, bytes) else str(cell)


def words(cell: Any) -> list[str]:
    """A list of words as it is, a text cut into words and marks. Raises BadRow for an empty word."""
    if not isinstance(cell, list):
        text = "" if cell is None else str(cell)
        return [text[a:b] for a, b in places(text)]
    found = ["" if w is None else str(w) for w in cell]
    blank = next((i for i, w in enumerate(found) if not w.strip()), None)
    if blank is not None:
        raise BadRow(f"word {blank + 1} of {len(found)} is empty", "write it, or take it out")
    return found


def places(cell: Any) -> list[tuple[int, int]]:
    """First character of every word, and the one behind its last; of listed words as if one blank stood
    between them."""
    if not isinstance(cell, list):
        return [m.span() for m in _UNIT.finditer("" if cell is None else str(cell))]
    found, start = [], 0
    for word in cell:
        found.append((start, start + len(str(word))))
        start += len(str(word)) + 1
    return found


def plain(value: str | list[str]) -> str:
    """A raw value as one text."""
    return value if isinstance(value, str) else " ".join(value)


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LONGEST_BYTES:
            raise BadRow(
                f"the file has {size / 1e6:.0f} MB, more than the {LONGEST_BYTES / 1e6:.0f} MB that "
                "a text may have",
                "cut it into parts",
            )
        return path.read_bytes()
    except OSError as error:
        raise BadRow(
            f"the file {path} cannot be read ({error.strerror})", "restore it or drop the row"
        ) from error


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRow(
            f"the text is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}",
            "save the file as UTF-8 (iconv -f latin1 -t utf-8 converts Western European text)",
        ) from error


def check(sample: Sample, fields: Sequence[Field]) -> None:
    """Raises BadRow when all texts of the sample are blank; where one answers the other, when either is."""
    blank = [
        f.name
        for f in fields
        if not any(not c.isspace() and c.isprintable() for c in plain(sample[f.name]))
    ]
    if len(blank) == len(fields):
        raise BadRow("the text is empty", "write the text or drop the row")
    if blank and any(f.kind == PASSAGE for f in fields):
        raise BadRow(f"'{blank[0]}' is empty", "write it, or drop the row")


def content(sample: Sample, fields: Sequence[Field]) -> bytes:
    """UTF-8 bytes of the texts, in the order of the fields' names; listed words a line each."""
    names = sorted(f.name for f in fields)
    sample = {n: v if isinstance(v, str) else "\n".join(v) for n, v in sample.items()}
    if len(names) == 1:
        return str(sample[names[0]]).encode("utf-8", "surrogatepass")
    parts = [n.encode() + b"\0" + sample[n].encode("utf-8", "surrogatepass") for n in names]
    return b"\0\0".join(parts)


def signature(sample: Sample, fields: Sequence[Field]) -> bytes:
    """64 bits: near-duplicates differ in at most NEAR of them.

    Words are compared without case, accents of composition, or punctuation. Long texts get a simhash
    over shingles of three words (Charikar, "Similarity estimation techniques from rounding
    algorithms", STOC 2002); short ones an exact hash, which changes wholly with any word.
    """
    text = "\n".join(plain(sample[f.name]) for f in fields)
    found = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    if len(found) < SHORT_WORDS:
        told = " ".join(found) or text
        return _hash64(told)
    shingles = {" ".join(found[i : i + SHINGLE]) for i in range(len(found) - SHINGLE + 1)}
    packed = np.frombuffer(b"".join(map(_hash64, sorted(shingles))), np.uint8).reshape(-1, 8)
    votes = np.unpackbits(packed, axis=1).mean(axis=0)  # (64,)
    return np.packbits(votes > 0.5).tobytes()


def _hash64(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
