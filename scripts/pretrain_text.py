"""Makes the built-in causal language model from nothing: a small GPT-2 learns the definitions of WordNet.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python scripts/pretrain_text.py --wordnet wordnet/usr/share/wordnet --out DIR --seed 0

WordNet 3.0 may be used, copied, modified and distributed for any purpose with its notice. Its synsets are
written as short texts, neighbours of one kind together; `headstart.pretrain` makes a byte-pair tokenizer of
them and learns by `causal_lm`. One text in fifty is kept out of all that: on it bits a byte are measured,
beside models that count bytes and pairs of bytes. DIR gets the folder that the package ships. A stopped run
goes on with the same command, to the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import headstart
from headstart import job
from headstart.core import plugins
from headstart.core.dataset import Field
from headstart.engine.seed import generator
from headstart.pretraining.document import CARD, DOCUMENT, WEIGHTS

NAME = "small_causal_lm"
PARTS = ("noun", "verb", "adj", "adv")
ABOVE = ("@", "@i")  # pointers to what a synset is a kind or an instance of
FIELD = ";c"  # to the field that it belongs to
LONG = 440  # characters of a text
OUT_OF = 50  # one text in so many is never learned from
ARCHITECTURE = "gpt2?layers=3&width=128&heads=4&vocabulary=2500&max_length=128&dropout=0"
BATCH, RATE, EPOCHS = 32, 2e-3, 2
NOTICE = "LICENSE.wordnet"
BITS = "## Bits a byte"
MEASURED = 400  # held-out texts
LICENCE, DATA_LICENCE = "Apache-2.0", "LicenseRef-WordNet-3.0"
PAPER = "Radford et al. 2019, Language models are unsupervised multitask learners; Miller 1995"
WEAK = [
    "definitions and short examples are all that it has read: no news, no dialogue, no code, English alone",
    "far too small to write sense or to know facts; its features help where words of a class are related",
    "windows of 128 tokens; a token sees only what stands before it, so early places know little",
    "WordNet's view of the world is that of its authors before 2006; biases of definitions were not examined",
]


class Synset:
    """One entry: its words, what it is a kind of, its field, its definition with examples."""

    def __init__(self, line: str, part: str) -> None:
        facts, _, gloss = line.partition(" | ")
        cells = facts.split()
        count = int(cells[3], 16)
        self.key = part + cells[0]
        self.words = [w.partition("(")[0].replace("_", " ") for w in cells[4 : 4 + 2 * count : 2]]
        at = 4 + 2 * count
        links = [cells[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(cells[at]))]
        letters = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
        self.above = [letters[kind] + place for sign, place, kind, _ in links if sign in ABOVE]
        self.field = [letters[kind] + place for sign, place, kind, _ in links if sign == FIELD]
        self.gloss = gloss.strip()

    def told(self, every: Mapping[str, Synset]) -> str:
        """The entry as a line of text."""
        said = ", ".join(self.words[:4])
        kinds = [every[k].words[0] for k in self.above[:1] if k in every]
        fields = [every[k].words[0] for k in self.field[:1] if k in every]
        about = "".join(f" ({name})" for name in kinds) + "".join(f" [{name}]" for name in fields)
        return f"{said}{about}: {self.gloss}."


def synsets(folder: Path) -> dict[str, Synset]:
    """All entries of WordNet's data files. Exits with a sentence where there is none."""
    made: dict[str, Synset] = {}
    for part in PARTS:
        file = folder / f"data.{part}"
        if not file.is_file():
            continue
        lines = file.read_text("utf-8").splitlines()
        every = [Synset(line, part) for line in lines if not line.startswith("  ")]
        made |= {one.key: one for one in every}
    if not made:
        raise SystemExit(f"{folder} has no data.noun and the like. Give WordNet's dict folder.")
    return made


def notice(folder: Path) -> str:
    """The licence that stands at the head of WordNet's data files."""
    file = next(f for f in (folder / f"data.{part}" for part in PARTS) if f.is_file())
    head = [line for line in file.read_text("utf-8").splitlines() if line.startswith("  ")]
    return "\n".join([" ".join(line.split()[1:]) for line in head] + [""])


def texts(every: Mapping[str, Synset]) -> list[str]:
    """Entries, those that are kinds of one thing behind each other, in texts of at most `LONG` characters or
    one entry."""
    groups: dict[str, list[Synset]] = {}
    for one in every.values():
        groups.setdefault(one.above[0] if one.above else one.key[:-4], []).append(one)
    made: list[str] = []
    for line in (one.told(every) for group in groups.values() for one in group):
        if made and len(made[-1]) + len(line) < LONG:
            made[-1] += "\n" + line
        else:
            made.append(line)
    return made


def counted(learned: Sequence[str], held: Sequence[str]) -> dict[str, float]:
    """Bits a byte of models that count bytes, and pairs of bytes, with a share of every byte added."""
    known = [np.frombuffer(f"\0{t}\0".encode(), np.uint8).astype(np.int64) for t in learned]
    asked = [np.frombuffer(f"\0{t}\0".encode(), np.uint8).astype(np.int64) for t in held]
    pairs = np.zeros((256, 256))
    for text in known:
        np.add.at(pairs, (text[:-1], text[1:]), 1.0)
    single = (pairs.sum(0) + 0.1) / (pairs.sum() + 25.6)
    double = (pairs + single) / (pairs.sum(1, keepdims=True) + 1.0)
    size = sum(len(t) - 2 for t in asked)
    alone = -sum(float(np.log2(single[t[1:]]).sum()) for t in asked) / size
    after = -sum(float(np.log2(double[t[:-1], t[1:]]).sum()) for t in asked) / size
    return {"bytes": round(alone, 3), "pairs of bytes": round(after, 3)}


@torch.inference_mode()
def bits(uri: str, held: Sequence[str]) -> float:
    """Bits a byte of the network, the end of a text among what is to be named."""
    kind = plugins.Modality("text")
    loaded = job.load(uri, kind, offline=True)
    fields = (Field("text", "text", ("text",)),)
    transform = kind.batch.make(loaded.source.preprocessing, fields, [])
    backbone: Any = kind.backbones.stage(loaded, transform)
    table = backbone.get_parameter(backbone.vocabulary.embedding)
    total = 0.0
    for text in held:
        for piece in transform.pieces({"text": text}):
            ids = torch.from_numpy(piece["ids"])[None]
            state = backbone.run({"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)})
            scores = backbone.positions(state)[0][0, :-1] @ table.T
            total += float(torch.nn.functional.cross_entropy(scores, ids[0, 1:], reduction="sum"))
    return total / math.log(2) / sum(len(t.encode()) for t in held)


def learn(asked: argparse.Namespace) -> None:
    """Corpus, training, measures, card."""
    every = texts(synsets(asked.wordnet))
    order = generator(asked.seed, "wordnet").permutation(len(every))
    held = [every[i] for i in order[: len(every) // OUT_OF]]
    learned = [every[i] for i in sorted(order[len(held) :])][: asked.texts or None]
    corpus = hashlib.sha256("\0".join(learned).encode()).hexdigest()
    print(f"{len(learned):,} texts, {sum(map(len, learned)):,} characters, {len(held):,} held out")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "wordnet.parquet"
        pq.write_table(pa.table({"text": learned}), data)
        made = headstart.pretrain(
            data,
            objective="causal_lm",
            architecture=asked.architecture,
            output=asked.out / NAME,
            epochs=asked.epochs,
            rate=RATE,
            batch=BATCH,
            seed=asked.seed,
            licence=LICENCE,
            columns={"inputs": ["text"]},
        )
    write(made.folder, asked, corpus, measured(made.folder, learned, held))


def measured(folder: Path, learned: Sequence[str], held: Sequence[str]) -> dict[str, Any]:
    """Bits a byte on some held-out texts."""
    some = held[:MEASURED]
    plain = counted(learned, some)
    found = round(bits(f"hf:{folder}", some), 3)
    print(f"bits a byte: {found}; of counts {plain}")
    return {"texts": len(some), "network": found, **plain}


def write(folder: Path, asked: argparse.Namespace, corpus: str, told: Mapping[str, Any]) -> None:
    """What is known of this source alone, into its document and its card."""
    known = json.loads((folder / DOCUMENT).read_text("utf-8"))
    trained_on = "WordNet 3.0 (Princeton University), its synsets written as texts, by causal_lm"
    facts = {
        **known,
        "name": NAME,
        "trained_on": trained_on,
        "data_licence": DATA_LICENCE,
        "paper": PAPER,
        "revision": "1",
        "command": f"python scripts/pretrain_text.py --wordnet DICT --out DIR --seed {asked.seed}"
        f" --epochs {asked.epochs}",
        "corpus": {
            "origin": "Debian package wordnet-base 1:3.0-37, dict files of WordNet 3.0",
            "sha256_of_texts": corpus,
            "licence": "WordNet 3.0 licence, its text in LICENSE.wordnet",
        },
        "bits_a_byte": {**told, "what": "of texts that were never learned from"},
        "known_weaknesses": WEAK,
    }
    (folder / NOTICE).write_text(notice(asked.wordnet), "utf-8")
    facts["data"] = {**known["data"], "name": "WordNet 3.0", "licence": DATA_LICENCE}
    (folder / DOCUMENT).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    card = (folder / CARD).read_text("utf-8").partition(BITS)[0].rstrip()
    card = card.replace("wordnet.parquet", "WordNet 3.0")
    card = card.replace("licence of the data | unknown", f"licence of the data | {DATA_LICENCE}")
    read = (
        f"Of {told['texts']} texts that were never learned from: {told['network']}; a count of bytes "
        f"{told['bytes']}, one of pairs of bytes {told['pairs of bytes']}."
    )
    lines = [card, "", BITS, "", read, "", "## Known weaknesses", ""]
    lines += [f"- {one}" for one in WEAK]
    (folder / CARD).write_text("\n".join([*lines, ""]), "utf-8")
    size = (folder / WEIGHTS).stat().st_size
    print(f"{folder / WEIGHTS}: {size:,} bytes, sha256 {facts['sha256']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--texts", type=int, default=0, help="that are learned from; 0: all")
    parser.add_argument("--architecture", default=ARCHITECTURE)
    learn(parser.parse_args())


if __name__ == "__main__":
    main()
