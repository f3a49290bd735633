"""Generated sentences in which words decide, and a small random BERT to read them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

from headstart.core import digest
from headstart.core.source import UNKNOWN, Loaded, Source

TOPICS = {
    "garden": ("roses", "soil", "seeds", "compost", "tulips", "hedge", "spade", "rain"),
    "kitchen": ("butter", "oven", "dough", "salt", "pepper", "onion", "pan", "recipe"),
    "harbour": ("ships", "anchor", "crane", "tide", "cargo", "captain", "pier", "ropes"),
}
COMMON = ("the old", "my first", "a cheap", "this new", "that long", "our only", "every small")
OPENINGS = ("Yesterday", "In the end", "As always", "Without doubt", "To my surprise", "Later")
VERBS = ("needed", "ruined", "went well with", "reminded me of", "lay beside", "was worth")
MOODS = ("awful", "poor", "middling", "decent", "superb")
MAX_LENGTH = 64


def _sentence(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    first, second, third = rng.choice(words, 3, replace=False)
    opening, verb = rng.choice(OPENINGS), rng.choice(VERBS)
    a, b = rng.choice(COMMON, 2, replace=False)
    text = f"{opening} {a} {first} {verb} {b} {second}"
    return f"{text}, and so did the {third}." if rng.random() < 0.5 else f"{text}."


def write(folder: Path, outcome: str, rows: int, seed: int) -> Path:
    """Writes `texts.csv` with the columns `text` and `label`, `texts.conll` for "label_each", or
    `questions.csv` for "answer"; returns its path.

    Classes are topics with words of their own. For "regress" the label is a score from 0 to 4 by one
    word of judgement, with a little noise. For "label_each" every word of a topic carries the topic. For
    "answer" a text says of three things what they were, and is asked twice.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    if outcome == "label_each":
        return _tagged(folder, rows, rng)
    if outcome == "answer":
        return _asked(folder, rows, rng)
    path = folder / "texts.csv"
    names = list(TOPICS)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text", "label"])
        for i in range(rows):
            topic = names[i % len(names)]
            text = f"{_sentence(rng, TOPICS[topic])} Number {i}."
            if outcome == "regress":
                mood = int(rng.integers(len(MOODS)))
                score = mood + rng.normal(0, 0.1)
                writer.writerow([f"{text} It was {MOODS[mood]}.", f"{score:.3f}"])
            else:
                writer.writerow([text, topic])
    return path


def _tagged(folder: Path, rows: int, rng: np.random.Generator) -> Path:
    """Sentences with a tag on each word: B-garden, or O."""
    path = folder / "texts.conll"
    kinds = {word: f"B-{topic}" for topic, words in TOPICS.items() for word in words}
    names = list(TOPICS)
    sentences = []
    for i in range(rows):
        words = _sentence(rng, TOPICS[names[i % len(names)]]).replace(",", " ,").split()
        words = [*words[:-1], words[-1].rstrip("."), ".", f"{i}"]
        sentences.append("".join(f"{w}\t{kinds.get(w, 'O')}\n" for w in words))
    path.write_text("\n".join(sentences), "utf-8")
    return path


def _asked(folder: Path, rows: int, rng: np.random.Generator) -> Path:
    """Questions, two on each text, with the answer and its first character."""
    path = folder / "questions.csv"
    nouns = sorted(word for words in TOPICS.values() for word in words)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["context", "question", "answer", "answer_start"])
        for i in range(0, rows, 2):
            things, moods = rng.choice(nouns, 3, replace=False), rng.choice(MOODS, 3, replace=False)
            said = (f"the {t} was {m}" for t, m in zip(things, moods, strict=True))
            text = f"{rng.choice(OPENINGS)} {', and '.join(said)}. Number {i // 2}."
            for thing, mood in list(zip(things, moods, strict=True))[: min(2, rows - i)]:
                start = text.index(f"the {thing} ") + len("the ")
                writer.writerow([text, f"Which was {mood}?", thing, start])
    return path


def _tokenizer() -> str:
    """A word-level tokenizer over the words above, as JSON text."""
    pieces = " ".join(
        [*OPENINGS, *COMMON, *VERBS, *MOODS, *(w for ws in TOPICS.values() for w in ws)]
    )
    words = sorted(set(pieces.lower().split()) | {".", ",", "and", "so", "did", "number", "it"})
    vocabulary = {
        w: i for i, w in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words))
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return str(tokenizer.to_str())


def loaded(seed: int) -> Loaded:
    """A BERT of 2 layers and width 32 with random weights; mean pooling."""
    config = BertConfig(
        vocab_size=Tokenizer.from_str(_tokenizer()).get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=0,
    )
    return _drawn(seed, "bert", lambda: BertModel(config, add_pooling_layer=False))


def onward(seed: int) -> Loaded:
    """A GPT-2 of 2 layers and width 32, whose tokens see only what stands before them; mean pooling."""
    config = GPT2Config(
        vocab_size=Tokenizer.from_str(_tokenizer()).get_vocab_size(),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=MAX_LENGTH,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )
    return _drawn(seed, "gpt2", lambda: GPT2Model(config))


def _drawn(seed: int, family: str, make: Callable[[], nn.Module]) -> Loaded:
    def build(number: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            return make().train(False)

    module = build(seed)
    source = Source(
        uri=f"builtin:tiny-text?seed={seed}",
        name=f"tiny random {family}",
        family=family,
        revision=f"seed {seed}",
        sha256=digest.tensors(module.state_dict().items()),
        licence="Apache-2.0",
        trained_on="nothing: random weights drawn from a seed",
        data_licence="CC0-1.0",
        parents=(),
        paper="arXiv:1810.04805" if family == "bert" else UNKNOWN,
        parameters=sum(p.numel() for p in module.parameters()),
        preprocessing={
            "tokenizer_json": _tokenizer(),
            "max_length": MAX_LENGTH,
            "pooling": "mean",
            "normalise": False,
            "pad_id": 0,
            "types": family == "bert",
        },
    )
    facts = {"library": "transformers", "architecture": family}
    return Loaded(source=source, module=module, config=facts, rebuild=build)
