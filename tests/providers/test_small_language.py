"""The built-in causal language model: card, digest, staging, what it predicts, and its script."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart import job
from headstart.core import licence, plugins, staging
from headstart.core.dataset import Field
from headstart.errors import DamagedError
from headstart.providers import hf
from scripts import pretrain_text

FOLDER = Path(__file__).parents[2] / "headstart" / "weights" / pretrain_text.NAME
URI = "builtin:small-causal-lm"
KIND = plugins.Modality("text")
FIELDS = (Field("text", "text", ("text",)),)
SAID = ("corpus", "seed", "samples_seen", "flops", "seconds", "energy_kwh", "known_weaknesses")
needs_weights = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the weights are not in this checkout"
)


def card() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "model.json").read_text("utf-8")))


def staged(loaded: Any) -> tuple[Any, Any]:
    transform = KIND.batch.make(loaded.source.preprocessing, FIELDS, [])
    return KIND.backbones.stage(loaded, transform).eval(), transform


@needs_weights
def test_the_card_names_these_weights_and_says_where_they_come_from() -> None:
    known, file = card(), FOLDER / "model.safetensors"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == known["sha256"]
    assert sum(f.stat().st_size for f in FOLDER.rglob("*")) <= 4 * 2**20
    assert all(known[name] not in (None, "", []) for name in SAID)
    assert "Princeton University" in (FOLDER / pretrain_text.NOTICE).read_text("utf-8")
    entry = next(e for e in KIND.catalogue() if e["uri"] == URI)
    same = ("licence", "trained_on", "data_licence", "paper", "revision", "sha256")
    assert {n: entry[n] for n in same} == {n: known[n] for n in same}
    assert next(iter(KIND.catalogue()))["uri"] != URI, "it is not the default"


@needs_weights
def test_it_loads_is_staged_and_verified() -> None:
    loaded = job.load(URI, KIND, offline=True)
    backbone, transform = staged(loaded)
    inputs = transform.collate(
        [transform({"text": t}) for t in ("a small dog", "to run fast away")]
    )
    staging.verify(backbone, KIND.backbones.reference(loaded, inputs), inputs)
    assert (
        backbone.vocabulary.onward
        and sum(p.numel() for p in backbone.parameters()) == (card()["parameters"])
    )


@needs_weights
def test_it_expects_english_and_its_random_twin_does_not() -> None:
    loaded = job.load(URI, KIND, offline=True)
    text = "dog (animal): a domestic animal that is kept by people."
    surprises = []
    for module in (loaded.module, loaded.rebuild(0)):
        backbone, transform = staged(type(loaded)(loaded.source, module, loaded.config, None))
        ids = torch.from_numpy(transform.pieces({"text": text})[0]["ids"])[None]
        with torch.no_grad():
            state = backbone.run({"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)})
            places = backbone.positions(state)[0][0, :-1]
        scores = places @ backbone.get_parameter(backbone.vocabulary.embedding).T
        surprises.append(float(torch.nn.functional.cross_entropy(scores, ids[0, 1:])))
    assert surprises[0] < 0.75 * surprises[1]


@needs_weights
def test_other_weights_in_its_place_are_refused(tmp_path: Path) -> None:
    for file in FOLDER.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    whole = bytearray((tmp_path / "model.safetensors").read_bytes())
    whole[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(bytes(whole))
    with pytest.raises(DamagedError):
        hf.open(str(tmp_path), {}, offline=True)


def test_the_licence_of_wordnet_asks_for_its_notice() -> None:
    terms = licence.terms(pretrain_text.DATA_LICENCE)
    assert {use: terms.answer(use, True) for use in licence.USES} == dict.fromkeys(
        licence.USES, "conditions"
    )


HEAD = "  1 This database is provided by Princeton University  \n"
THINGS = ("kettle", "window", "garden", "ladder", "pillow", "lantern", "basket", "hammer")


def dictionary(folder: Path) -> Path:
    """Files as WordNet's: the things are kinds of an artifact."""
    folder.mkdir()
    lines = ["00000100 06 n 01 artifact 0 000 | a man-made object taken as a whole  "]
    for number in range(240):
        word, other = THINGS[number % 8], THINGS[number // 8 % 8]
        gloss = (
            f'a {word} that stands beside the {other}; "they carried the {word} number {number}"'
        )
        lines.append(
            f"{number + 1000:08} 06 n 02 {word}_{number} 0 {other} 0 001 @ 00000100 n 0000 | {gloss}  "
        )
    (folder / "data.noun").write_text(HEAD + "\n".join(lines) + "\n", "utf-8")
    return folder


def test_entries_become_texts_with_what_they_are_a_kind_of(tmp_path: Path) -> None:
    every = pretrain_text.synsets(dictionary(tmp_path / "dict"))
    texts = pretrain_text.texts(every)
    assert sum(t.count("\n") + 1 for t in texts) == len(every) == 241
    told = 'window 1, kettle (artifact): a window that stands beside the kettle; "they carried'
    assert any(told in t for t in texts)
    assert max(map(len, texts)) <= pretrain_text.LONG
    with pytest.raises(SystemExit, match=r"no data\.noun"):
        pretrain_text.synsets(tmp_path)


def test_counts_of_bytes_and_pairs_are_in_bits() -> None:
    told = pretrain_text.counted(["ab" * 5000], ["ab" * 1000])
    assert told["bytes"] == pytest.approx(1.0, abs=0.05)  # two bytes, equally often
    assert told["pairs of bytes"] < 0.1  # one follows the other


def test_the_script_makes_such_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrain_text, "OUT_OF", 8)
    small = "gpt2?layers=1&width=16&heads=2&vocabulary=400&max_length=64&dropout=0"
    asked = ["--wordnet", str(dictionary(tmp_path / "dict")), "--out", str(tmp_path / "made")]
    asked += ["--epochs", "2", "--architecture", small]
    monkeypatch.setattr(sys, "argv", ["pretrain_text.py", *asked])
    pretrain_text.main()
    assert "bits a byte" in capsys.readouterr().out
    folder = tmp_path / "made" / pretrain_text.NAME
    known = json.loads((folder / "model.json").read_text("utf-8"))
    assert all(known[name] not in (None, "", []) for name in SAID)
    assert known["data_licence"] == known["data"]["licence"] == pretrain_text.DATA_LICENCE
    assert 0 < known["bits_a_byte"]["network"] < 8.5
    assert "Princeton" in (folder / pretrain_text.NOTICE).read_text("utf-8")
    made = job.load(f"hf:{folder}", KIND, offline=True)
    assert made.source.licence == "Apache-2.0" and made.source.data_licence.startswith("LicenseRef")
