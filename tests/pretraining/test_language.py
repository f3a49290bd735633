"""Pre-training on texts: new networks with their tokenizer, sources that go on, and what is written."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

import headstart
from headstart import job
from headstart.core import digest, plugins
from headstart.engine.streams import Pieces
from headstart.errors import DataError, PlanError, SourceError
from headstart.pretraining import call, document, door
from tests.pretraining import killing

BERT = "bert?layers=1&width=16&heads=2&vocabulary=400&max_length=16"
GPT2 = BERT.replace("bert", "gpt2")
THINGS = ("kettle", "window", "garden", "ladder", "pillow", "lantern", "basket", "hammer")
ACTS = ("opened", "carried", "painted", "forgot", "repaired", "borrowed", "covered", "counted")
WHEN = ("yesterday", "tomorrow", "every morning", "in the winter", "without a word", "after lunch")


def texts(rows: int = 80) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        f"Somebody {rng.choice(ACTS)} the {rng.choice(THINGS)} and {rng.choice(ACTS)} another "
        f"{rng.choice(THINGS)} {rng.choice(WHEN)}, number {i}."
        for i in range(rows)
    ]


def made(data: Any = None, **more: Any) -> door.Pretrained:
    """A short pre-training of a small BERT, unless the test says otherwise."""
    asked = {
        "architecture": BERT,
        "objective": "masked_lm",
        "modality": "text",
        "epochs": 2,
        "output": "out",
    }
    return headstart.pretrain(texts() if data is None else data, **{**asked, **more})


def prepared(data: Any = None, **more: Any) -> door.Ready:
    asked = {"architecture": BERT, "objective": "masked_lm", "modality": "text", **more}
    return door.prepare(*call.asked(texts() if data is None else data, **asked))


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize(("asked", "share"), [("", 0.1), ("&dropout=0", 0.0)])
def test_dropout_of_a_new_network_is_in_percent(name: str, asked: str, share: float) -> None:
    objective = "masked_lm" if name == "bert" else "causal_lm"
    ready = prepared(architecture=BERT.replace("bert", name) + asked, objective=objective)
    found = {m.p for m in ready.backbone.modules() if isinstance(m, torch.nn.Dropout)}
    assert found == {share}


@pytest.fixture(scope="module", params=["masked_lm", "causal_lm"])
def learned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> door.Pretrained:
    """A finished source of either kind."""
    home = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(home / "cache"))
        names = [t.split()[3] for t in texts()]
        return headstart.pretrain(
            texts(),
            names,
            modality="text",
            objective=request.param,
            architecture=BERT if request.param == "masked_lm" else GPT2,
            epochs=12,
            rate=5e-3,
            output=str(home / "out"),
            licence="MIT",
        )


def test_perplexity_of_texts_held_out_falls_and_is_told(learned: door.Pretrained) -> None:
    facts = learned.document
    told, history = facts["perplexity"], facts["history"]
    assert told["samples"] == 8
    assert told["before"] == history[0]["perplexity"]
    assert told["after"] == history[-1]["perplexity"] < 0.7 * told["before"]
    assert [h["epoch"] for h in history] == list(range(13))
    assert "probe" in history[0]
    card = (learned.folder / "README.md").read_text("utf-8")
    assert "never learned from" in card
    assert f"{told['after']:,.1f}" in card


def test_the_folder_is_read_by_other_libraries_to_the_same_features(
    learned: door.Pretrained,
) -> None:
    from transformers import AutoModel, AutoTokenizer

    modality = plugins.Modality("text")
    loaded = job.load(learned.uri, modality, offline=True)
    fields = prepared(architecture="", from_=learned.uri, objective=learned.document["objective"])
    transform = fields.transform
    inputs = transform.collate([transform({"input": t}) for t in texts(5)])
    backbone = modality.backbones.stage(loaded, transform).eval()
    model = AutoModel.from_pretrained(learned.folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(learned.folder)
    read = tokenizer(texts(5), padding=True, truncation=True, return_tensors="pt")
    assert torch.equal(read["input_ids"], inputs["ids"])
    with torch.no_grad():
        theirs = model(**{k: read[k] for k in ("input_ids", "attention_mask")}).last_hidden_state
        ours, mask = backbone.positions(backbone.run(inputs))
    assert torch.allclose(theirs[mask], ours[mask], atol=1e-5)


def test_it_says_where_it_comes_from_whatever_opens_it(learned: door.Pretrained) -> None:
    modality = plugins.Modality("text")
    uris = (learned.uri, f"file:{learned.folder}", f"hf:{learned.folder}")
    opened = [job.load(uri, modality, offline=True).source for uri in uris]
    for source in opened:
        assert source.licence == "MIT"
        assert learned.document["objective"] in source.trained_on
        assert source.sha256 == opened[0].sha256
        assert source.preprocessing["max_length"] == 16
    weights = learned.folder / document.WEIGHTS
    assert learned.document["sha256"] == digest.file(weights)


def test_a_run_uses_it() -> None:
    learned = made(objective="causal_lm", architecture=GPT2, epochs=1, licence="MIT")
    labels = ["tool" if "hammer" in t or "ladder" in t else "other" for t in texts()]
    run = headstart.adapt(
        texts(),
        labels,
        modality="text",
        source=learned.uri,
        strategy="fine_tune",
        settings={"epochs": 2, "rate": 1e-3},
        output="runs",
        seeds=1,
        scratch=False,
        champion=False,
        learning_curve=False,
    )
    assert run.record.source["licence"] == "MIT"
    assert len(run.predict(texts(3)).labels) == 3


def test_what_next_tokens_were_learned_on_generates() -> None:
    from transformers import AutoModelForCausalLM

    one = made(objective="causal_lm", architecture=GPT2, epochs=1)
    model = AutoModelForCausalLM.from_pretrained(one.folder).eval()
    said = model.generate(torch.tensor([[0]]), max_new_tokens=5, do_sample=False)
    assert said.shape[1] > 1
    with torch.no_grad():
        scores = model(torch.tensor([[0, 7, 9]])).logits
    assert torch.isfinite(scores).all()


def test_altered_weights_are_refused() -> None:
    one = made(epochs=1)
    place = one.folder / document.WEIGHTS
    held = place.read_bytes()
    place.write_bytes(held[:-4] + b"\0\0\0\1")
    with pytest.raises(SourceError, match="SHA-256"):
        job.load(one.uri, plugins.Modality("text"), offline=True)


def test_a_source_goes_on_with_its_own_tokenizer_and_head_first() -> None:
    first = made()
    second = made(architecture="", from_=first.uri, epochs=1, output="second")
    facts = second.document
    assert facts["settings"]["head_epochs"] == 1  # only where a source goes on
    assert facts["settings"]["rate"] == pytest.approx(1e-4)
    assert first.document["settings"]["head_epochs"] == 0
    assert [h.get("phase") for h in facts["history"]] == [None, "head", "pre-training"]
    assert "learned alone" in facts["perplexity"]["how"]
    assert facts["perplexity"]["before"] == facts["history"][1]["perplexity"]
    assert facts["parents"][0]["uri"].startswith("hf:")
    same = (first.folder / "tokenizer.json").read_text() == (
        second.folder / "tokenizer.json"
    ).read_text()
    assert same
    old, new = (load_file(one.folder / document.WEIGHTS) for one in (first, second))
    assert set(old) == set(new)
    assert not all(torch.equal(old[n], new[n]) for n in old)


def test_a_head_alone_leaves_the_network_to_the_bit() -> None:
    first = made()
    second = made(
        architecture="", from_=first.uri, epochs=1, rate=1e-30, output="second"
    )  # moves nothing that fp32 could hold
    old, new = (load_file(one.folder / document.WEIGHTS) for one in (first, second))
    assert all(torch.allclose(old[n], new[n], atol=1e-20) for n in old)
    history = second.document["history"]
    assert history[1]["perplexity"] < history[0]["perplexity"]


def test_long_texts_are_read_in_windows_and_none_is_left_out() -> None:
    long = " ".join(texts(12))
    ready = prepared([long, *texts(40)], seed=1)
    found, tokenizer = ready.samples, Tokenizer.from_str(ready.transform.state()["tokenizer_json"])
    tokenizer.no_truncation()
    special = set(ready.backbone.vocabulary.special)
    pieces = [*(found.pieces or ()), *found.held_pieces]
    assert all(len(p["ids"]) <= 16 for p in pieces)
    kept = sum(sum(int(i) not in special for i in p["ids"]) for p in pieces)
    asked = sum(len(tokenizer.encode(t, add_special_tokens=False).ids) for t in [long, *texts(40)])
    assert kept == asked
    note = next(n for n in found.notes if "pieces" in n)
    assert f"all are read in {len(pieces)} pieces" in note
    assert isinstance(ready.stream(), Pieces)
    assert len(ready.stream()) + len(found.held_pieces) == len(pieces)


def test_several_columns_are_windows_of_their_own() -> None:
    path = Path("two.csv")
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["title", "body"])
        writer.writerows([t, f"{t} It went on and on."] for t in texts(40))
    ready = prepared(path, columns={"inputs": ("title", "body")})
    every = [*(ready.samples.pieces or ()), *ready.samples.held_pieces]
    assert len(every) >= 80


def test_equal_texts_are_held_out_together() -> None:
    ready = prepared([*texts(40), *texts(40)])
    found = ready.samples
    assert len(found.held_rows) >= 8
    dataset: Any = found.dataset
    held, kept = set(dataset.digests(found.held_rows)), set(dataset.digests(found.rows))
    assert not held & kept


def test_batches_have_pieces_of_like_length_and_every_piece_comes_once() -> None:
    ready = prepared([" ".join(t.split()[: 2 + i % 9]) for i, t in enumerate(texts(80))])
    stream: Any = ready.stream()
    order = stream.order(np.random.default_rng(0), 8)
    assert sorted(order) == list(range(len(stream)))
    lengths = np.array([len(p["ids"]) for p in stream.pieces])

    def waste(places: np.ndarray) -> float:
        full = lengths[places[: len(places) // 8 * 8]].reshape(-1, 8)
        return float(1 - full.sum() / (8 * full.max(1)).sum())

    assert waste(order) < 0.5 * waste(np.random.default_rng(0).permutation(len(stream)))
    assert not np.array_equal(order, stream.order(np.random.default_rng(1), 8))


def test_the_same_texts_give_the_same_tokenizer() -> None:
    first, second = (prepared().transform.state()["tokenizer_json"] for _ in range(2))
    assert first == second
    tokenizer = Tokenizer.from_str(first)
    other = "Ünïcode, 漢字 and a newline\nthat nobody saw."
    assert tokenizer.decode(tokenizer.encode(other, add_special_tokens=False).ids).strip() == other


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"architecture": GPT2}, PlanError, "sees only what stands before.*These fit:.*causal_lm"),
        ({"objective": "causal_lm"}, PlanError, "only be copied.*These fit:.*masked_lm"),
        ({"objective": "masked"}, PlanError, "reads tokens.*masked_lm"),
        ({"data": []}, DataError, ""),
        ({"data": ["word"] * 30}, DataError, "too few to make a tokenizer.*--from"),
        ({"architecture": "bert?width=18&heads=4"}, PlanError, "shared among heads=4"),
        ({"architecture": "bert?wide=8"}, PlanError, "no setting 'wide'"),
        ({"architecture": "bert?layers=none"}, PlanError, "layers came as 'none'"),
        ({"architecture": "bert?dropout=95"}, PlanError, "dropout=95 came; expected percent, 90"),
        ({"architecture": "gpt"}, PlanError, "no architecture 'gpt'.*gpt2"),
        ({"settings": {"share_": 1}}, PlanError, "share_"),
    ],
)
def test_what_cannot_work_is_refused(
    asked: dict[str, Any], error: type[Exception], said: str
) -> None:
    asked = dict(asked)
    with pytest.raises(error, match=f"(?s){said}"):
        made(asked.pop("data", None), **asked)
    assert not Path("out", "model.json").exists()


def test_data_that_hold_no_words_are_refused() -> None:
    waves = [np.sin(np.arange(30) * (0.1 + 0.01 * k)).tolist() for k in range(20)]
    for objective in ("masked_lm", "causal_lm"):
        with pytest.raises(PlanError, match="reads no tokens"):
            headstart.pretrain(waves, modality="series", objective=objective, output="out")


def test_killed_and_repeated_gives_the_same_bytes(tmp_path: Path) -> None:
    data = tmp_path / "texts.csv"
    data.write_text("text\n" + "\n".join(f'"{t}"' for t in texts()), "utf-8")
    asked = ["--objective", "masked_lm", "--architecture", BERT, "--epochs", "20"]
    again = killing.killed_and_repeated(data, asked, tmp_path)
    one = headstart.pretrain(
        data, objective="masked_lm", architecture=BERT, epochs=20, output=tmp_path / "whole"
    )
    assert again["sha256"] == one.document["sha256"]
    assert again["history"] == one.document["history"]


def test_perplexity_of_a_network_that_knows_nothing_is_about_the_number_of_tokens() -> None:
    ready = prepared(architecture=GPT2, objective="causal_lm")
    measured = ready.surprise()
    assert measured is not None
    from headstart.core.network import Network

    found = measured(Network(ready.backbone, {}))
    assert math.isclose(found, ready.backbone.vocabulary.size, rel_tol=0.2)


def test_a_plain_text_is_read_line_by_line_and_a_table_by_its_header(tmp_path: Path) -> None:
    """A first line, commas and a stray quote are text there."""
    lines = ['The kettle, "so they said, was hot', *texts(30), ""]
    (tmp_path / "plain.txt").write_text("\n".join(lines), "utf-8")
    ready = door.prepare(*call.asked(str(tmp_path / "plain.txt"), architecture=BERT))
    assert ready.samples.modality.name == "text" and ready.samples.count == 31
    assert any("read as 31 texts, one a line" in note for note in ready.samples.notes)
    rows = ["text\tlabel", *(f"{line}\tplain" for line in texts(30))]
    (tmp_path / "table.txt").write_text("\n".join(rows), "utf-8")
    ready = door.prepare(*call.asked(str(tmp_path / "table.txt"), architecture=BERT))
    assert ready.samples.count == 30 and ready.samples.fields[0].name == "text"
