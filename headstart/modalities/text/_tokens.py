"""A tokenizer of the person's own texts: byte-level byte-pair encoding, and what its tokens stand for.

Sennrich et al. 2016 (arXiv:1508.07909) over bytes as in GPT-2 (Radford et al. 2019): any text in any script
is read without an unknown token.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from headstart.core.dataset import Field, Sample
from headstart.core.network import Vocabulary
from headstart.errors import DataError
from headstart.modalities.text import read

BYTES = 256
FEWEST = 100  # tokens of more than one byte that a tokenizer must have found
TWICE = 2  # times that a pair must occur to become a token
END = "<|endoftext|>"
MARKS = {
    "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "gpt2": (END,),
}
"""Special tokens by architecture, their numbers in this order; the first is the padding."""
BLANKS = ("[MASK]", "<mask>")
ROLES = {
    "pad_token": ("[PAD]", "<pad>", END),
    "unk_token": ("[UNK]", "<unk>", END),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": BLANKS,
    "bos_token": ("<s>", END),
    "eos_token": ("</s>", END),
}
"""What well-known tokens are for, by transformers' names."""


def train(
    samples: Sequence[Sample], fields: Sequence[Field], *, architecture: str, size: int
) -> str:
    """A tokenizer of at most `size` tokens, as JSON text; the same texts give the same one.

    Raises:
        DataError: the texts are too few for one.
    """
    told = [0, 0]

    def texts() -> Iterator[str]:
        for sample in samples:
            for field in fields:
                text = read.plain(sample[field.name])
                told[0], told[1] = told[0] + bool(text.strip()), told[1] + len(text)
                yield text

    marks = MARKS[architecture]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=TWICE,
        special_tokens=list(marks),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    found = tokenizer.get_vocab_size() - len(marks) - BYTES
    if found < min(FEWEST, size - len(marks) - BYTES):
        raise DataError(
            f"The {told[0]} texts, {told[1]:,} characters in all, are too few to make a tokenizer of: "
            f"{found} pieces of words come twice or more, and {FEWEST} or more were expected. Add texts, or "
            "go on from a source with a tokenizer of its own (--from builtin:minilm)."
        )
    tokenizer.post_processor = _around(tokenizer, architecture)
    return str(tokenizer.to_str())


def _around(tokenizer: Tokenizer, architecture: str) -> Any:
    """What stands around a text and around a pair."""
    first, last = ("[CLS]", "[SEP]") if architecture == "bert" else (END, END)
    marks = [(mark, tokenizer.token_to_id(mark)) for mark in dict.fromkeys((first, last))]
    second = 1 if architecture == "bert" else 0
    return processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:{second} {last}:{second}",
        special_tokens=marks,
    )


@lru_cache(maxsize=8)
def known(text: str, embedding: str, onward: bool, pad: int) -> Vocabulary:
    """What the tokens of a tokenizer stand for.

    Args:
        text: the tokenizer as JSON.
        embedding, onward: as of `Vocabulary`.
        pad: number of the padding.
    """
    told, tokenizer = json.loads(text), Tokenizer.from_str(text)
    special = {pad} | {int(t["id"]) for t in told.get("added_tokens", ()) if t.get("special")}
    encoding = tokenizer.encode("a")
    marked = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
    special |= {number for number, mark in marked if mark}
    special |= {n for n in (tokenizer.token_to_id(str(told["model"].get("unk_token"))),) if n}
    blank = next((n for n in map(tokenizer.token_to_id, BLANKS) if n is not None), None)
    special |= {blank} if blank is not None else set()
    return Vocabulary(
        name="ids",
        embedding=embedding,
        size=tokenizer.get_vocab_size(),
        special=tuple(sorted(special)),
        blank=blank,
        onward=onward,
    )


def roles(text: str) -> dict[str, str]:
    """Special tokens by what transformers calls them, as far as they are known by name."""
    tokenizer = Tokenizer.from_str(text)
    found = {}
    for role, names in ROLES.items():
        name = next((n for n in names if tokenizer.token_to_id(n) is not None), None)
        if name is not None:
            found[role] = name
    return found
