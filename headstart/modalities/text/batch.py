"""Tokens: a sealed tokenizer, truncation that is counted, augmentation, padding at the end.

Where words carry labels, each is read by its first token: `starts` marks these. So is each word of a passage
that answers a question; a passage that is too long comes in windows.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from headstart.core import digest
from headstart.core.augment import Policy, Variations
from headstart.core.dataset import Field, Sample
from headstart.core.modality import Arrays
from headstart.core.tally import Tally
from headstart.errors import BadRow, SourceError
from headstart.modalities.text import _tokens, _windows, read
from headstart.modalities.text import augment as kinds
from headstart.modalities.text._windows import WINDOWS

AUGMENTATIONS = ("word_dropout", "word_swap")
VARIATIONS = kinds.VARIATIONS

DROPOUT = 0.1
"""Share of words that `word_dropout` leaves out on average (EDA, arXiv:1901.11196, recommends 0.1)."""
SWAPS = 0.1
"""Swaps per word that `word_swap` makes."""

SETTINGS = ("max_length", "pad_id", "types", "pooling", "normalise", "lower_case")


class Transform:
    """Text to token numbers.

    The state holds the tokenizer itself, so that it can be restored without the source and without
    a network.

    Attributes:
        digest: of the tokenizer, the length limit and what the pooling does with the tokens.
        counts: "truncated": texts that had more tokens than `max_length`; "words behind the end": words
            that were cut off so, and get no label; "passages read in windows", and "windows" of these;
            "questions cut", which filled more than half a window. Of different samples.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = dict(state)
        self.max_length = int(state["max_length"])
        self.fields: tuple[str, ...] = tuple(state["fields"])
        self.words = bool(state.get("words", False))
        self.passage = bool(state.get("passage", False))
        most = 0 if self.passage else self.max_length
        self.tokenizer = _tokenizer(state["tokenizer_json"], most, self.words)
        text = state["tokenizer_json"].encode()
        sealed = {k: v for k, v in self._state.items() if k != "tokenizer_json"}
        self.digest = digest.value({**sealed, "tokenizer": hashlib.sha256(text).hexdigest()})
        self.counts = Tally()
        self.policy: Policy | None = None

    @property
    def variations(self) -> Variations:
        """Those that leave words where labels are, where words carry labels or answers."""
        if self.passage:
            return kinds.TOKENS
        return kinds.IN_PLACE if self.words else VARIATIONS

    def varied(self, policy: Policy) -> Transform:
        """The same with variations by name."""
        made = copy.copy(self)
        made.policy = policy
        return made

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Arrays:
        """{"ids": (L,) int64}, and "types" (L,) where the source tells first from second text; where words
        carry labels "starts" (L,) bool, true at the first token of each. Of a question and its passage as
        `_windows.cut` gives them.

        Raises:
            BadRow: the tokenizer finds nothing to read.
        """
        if self.words:
            return self._each(read.words(sample[self.fields[0]]), rng)
        plain = texts = [read.plain(sample[name]) for name in self.fields]
        if self.passage:
            return self._windows(texts, rng)
        if self._state["lower_case"]:
            texts = [t.lower() for t in texts]
        if rng is not None:
            texts = [self._varied(t, rng) for t in texts]
        encoding = self._encode(texts)
        if not any(m == 0 for m in encoding.special_tokens_mask):
            raise BadRow("no token of the text is known", "check the text's language and encoding")
        if encoding.overflowing:
            self.counts.note(plain, {"truncated": 1})
        arrays = {"ids": np.asarray(encoding.ids, np.int64)}
        if self._state["types"]:
            arrays["types"] = np.asarray(encoding.type_ids, np.int64)
        return arrays

    def _varied(self, text: str, rng: np.random.Generator) -> str:
        if self.policy is None:
            return augment(text, rng)
        words = kinds.applied(text.split(), self.policy, rng, blank=self.unknown)
        return " ".join(words)

    def pieces(self, sample: Sample) -> tuple[Arrays, ...]:
        """All of a sample's texts in windows of at most `max_length` tokens, {"ids": (L,) int64} each; every
        text begins a window of its own.

        Raises:
            BadRow: the tokenizer finds nothing to read.
        """
        tokenizer = _tokenizer(self._state["tokenizer_json"], self.max_length)
        texts = [read.plain(sample[name]) for name in self.fields]
        if self._state["lower_case"]:
            texts = [t.lower() for t in texts]
        whole = [tokenizer.encode(t) for t in texts if t.strip()]
        windows = [window for one in whole for window in (one, *one.overflowing)]
        kept = [w for w in windows if not all(w.special_tokens_mask)]
        if not kept:
            raise BadRow("no token of the text is known", "check the text's language and encoding")
        return tuple({"ids": np.asarray(w.ids, np.int64)} for w in kept)

    def _each(self, words: list[str], rng: np.random.Generator | None) -> Arrays:
        """Tokens of listed words. A word that leaves no token, or is dropped at random, becomes the unknown
        one, so that labels stay where they are."""
        given = words
        if self._state["lower_case"]:
            words = [w.lower() for w in words]
        if rng is not None and self.policy is not None:
            words = kinds.applied(list(words), self.policy, rng, blank=self.unknown)
        elif rng is not None:
            dropped = rng.random(len(words)) < DROPOUT
            words = [self.unknown if d else w for w, d in zip(words, dropped, strict=True)]
        encoding = self.tokenizer.encode(words, is_pretokenized=True)
        if lost := _lost(encoding, len(words)):
            words = [self.unknown if i in lost else w for i, w in enumerate(words)]
            encoding = self.tokenizer.encode(words, is_pretokenized=True)
        numbers = np.array([-1 if n is None else n for n in encoding.word_ids])
        starts = (numbers >= 0) & (numbers != np.concatenate([[-1], numbers[:-1]]))
        if not starts.any():
            raise BadRow("there is no word", "write the text or drop the row")
        if encoding.overflowing:
            behind = len(words) - int(starts.sum())
            self.counts.note(given, {"truncated": 1, "words behind the end": behind})
        return {"ids": np.asarray(encoding.ids, np.int64), "starts": starts}

    def _windows(self, texts: list[str], rng: np.random.Generator | None) -> Arrays:
        """Tokens of a question and its passage; dropped ones become the unknown one."""
        given, places = texts, read.places(texts[1])
        if self._state["lower_case"]:  # letter by letter, so that places stay where they are
            texts = ["".join(c.lower() if len(c.lower()) == 1 else c for c in t) for t in texts]
        encoding = self.tokenizer.encode(texts[0], texts[1])
        ids = np.asarray(encoding.ids, np.int64)
        blank = self.tokenizer.token_to_id(self.unknown)
        if rng is not None and blank is not None:
            special = np.asarray(encoding.special_tokens_mask, bool)
            if self.policy is None:
                hidden = rng.random(len(ids)) < DROPOUT
            else:
                hidden = kinds.hidden(len(ids), self.policy, rng)
            ids[~special & hidden] = blank
        arrays, lost = _windows.cut(encoding, ids, places, most=self.max_length)
        windows = int(arrays[WINDOWS][-1]) + 1
        several = windows > 1
        done = {"passages read in windows": int(several), "windows": windows * several}
        self.counts.note(given, {**done, "questions cut": int(bool(lost))})
        if not self._state["types"]:
            del arrays["types"]
        return arrays

    @cached_property
    def unknown(self) -> str:
        """What stands for a word that cannot be read: the tokenizer's own mark, or a question mark."""
        return str(json.loads(self._state["tokenizer_json"])["model"].get("unk_token") or "?")

    def _encode(self, texts: Sequence[str]) -> Any:
        """One text alone, two as a pair, more as "name: text" lines."""
        if len(texts) <= 2:
            return self.tokenizer.encode(texts[0], texts[1] if len(texts) == 2 else None)
        lines = (f"{n}: {t}" for n, t in zip(self.fields, texts, strict=True))
        return self.tokenizer.encode("\n".join(lines))

    def length(self, arrays: Arrays) -> int:
        """Tokens, special ones included."""
        return len(arrays["ids"])

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """{"ids": (N, L) int64, "mask": (N, L) bool}, and "types" (N, L) int64 or "starts" (N, L) bool where
        there are any; of passages "starts" and "windows" (N, L) int64."""
        longest = max(len(item["ids"]) for item in items)
        ids = np.full((len(items), longest), self._state["pad_id"], np.int64)
        mask = np.zeros((len(items), longest), bool)
        types = np.zeros((len(items), longest), np.int64)
        starts = np.zeros((len(items), longest), np.int64 if self.passage else bool)
        windows = np.zeros((len(items), longest), np.int64)
        for row, item in enumerate(items):
            n = len(item["ids"])
            ids[row, :n] = item["ids"]
            mask[row, :n] = True
            types[row, :n] = item.get("types", 0)
            starts[row, :n] = item.get("starts", 0)
            windows[row, :n] = item.get(WINDOWS, 0)
        batch = {"ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask)}
        if self._state["types"]:
            batch["types"] = torch.from_numpy(types)
        if self.words or self.passage:
            batch["starts"] = torch.from_numpy(starts)
        if self.passage:
            batch[WINDOWS] = torch.from_numpy(windows)
        return batch

    def state(self) -> Mapping[str, Any]:
        """The tokenizer's JSON text and the settings; no part of it is fitted."""
        return dict(self._state)

    def profile(self, name: str) -> Transform:
        """Itself: tokenizing has no fast variant."""
        return self


@lru_cache(maxsize=8)
def _tokenizer(text: str, max_length: int, words: bool = False) -> Tokenizer:
    """Thread-safe once made: truncation and padding are set here and never again."""
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception for text it cannot read
        raise SourceError(
            f"The source's tokenizer cannot be read ({error}). Fetch the source again."
        ) from error
    tokenizer.no_padding()
    if max_length:
        tokenizer.enable_truncation(max_length)
    else:
        tokenizer.no_truncation()
    if words and hasattr(tokenizer.pre_tokenizer, "add_prefix_space"):
        tokenizer.pre_tokenizer.add_prefix_space = True  # listed words come without their blanks
    return tokenizer


def augment(text: str, rng: np.random.Generator) -> str:
    """The text with a few words left out and a few neighbours swapped; never empty."""
    words = text.split()
    if len(words) < 3:
        return text
    kept = [w for w, draw in zip(words, rng.random(len(words)), strict=True) if draw >= DROPOUT]
    words = kept or words
    for _ in range(rng.binomial(len(words), SWAPS)):
        if len(words) > 1:
            i = int(rng.integers(len(words) - 1))
            words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words)


def make(
    preprocessing: Mapping[str, Any], fields: Sequence[Field], samples: Sequence[Sample]
) -> Transform:
    """The transform that the source's sealed preprocessing asks for. Nothing is fitted, but for a new network
    (`vocabulary` tokens), whose tokenizer is made of the samples' texts.

    Raises:
        SourceError: the source brings no tokenizer.
        DataError: the texts are too few to make one.
    """
    if "vocabulary" in preprocessing:
        made = _tokens.train(
            samples,
            fields,
            architecture=str(preprocessing["family"]),
            size=int(preprocessing["vocabulary"]),
        )
        kept = {k: v for k, v in preprocessing.items() if k != "vocabulary"}
        preprocessing = {**kept, "tokenizer_json": made}
    if "tokenizer_json" not in preprocessing:
        raise SourceError(
            "The source brings no tokenizer, so it cannot read text. Choose a text source, such as "
            "builtin:minilm."
        )
    state = {
        "tokenizer_json": _compact(preprocessing["tokenizer_json"]),
        "fields": [f.name for f in fields],
        "max_length": 512,
        "pad_id": 0,
        "types": False,
        "pooling": "mean",
        "normalise": False,
        "lower_case": False,
    }
    state.update({k: preprocessing[k] for k in SETTINGS if k in preprocessing})
    state["types"] = bool(state["types"]) and len(fields) == 2  # all zero for a single text
    if fields[0].kind == read.UNITS:
        state["words"] = True
    if any(f.kind == read.PASSAGE for f in fields):
        state["passage"] = True
    return Transform(state)


def _lost(encoding: Any, words: int) -> set[int]:
    """Words without a token; those behind the end do not count."""
    seen = {n for n in encoding.word_ids if n is not None}
    return set(range(max(seen, default=-1) + 1 if encoding.overflowing else words)) - seen


def _compact(text: str) -> str:
    """The same tokenizer as JSON without white space."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise SourceError(
            f"The source's tokenizer is not JSON ({error}). Fetch the source again."
        ) from error


def restore(state: Mapping[str, Any]) -> Transform:
    """The transform whose `state` this is."""
    return Transform(state)
