"""Pre-training on samples and their captions: columns, sources, what is held out, and what is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

import headstart
from headstart import job
from headstart.core import digest, licence, plugins
from headstart.core.network import Network
from headstart.core.objective import CAPTIONS, TWINS
from headstart.engine.streams import Views
from headstart.errors import DataError, PlanError, SourceError
from headstart.pretraining import call, document, door, guard, retrieval
from tests.pretraining import killing, pairs

ENCODER = "encoder?width=16&blocks=2&halved=1"
BERT = "bert?layers=1&width=16&heads=2&vocabulary=300&max_length=16"
ASKED = {"architecture": ENCODER, "objective": "clip", "modality": "series"}
PICTURES = {"from_": "builtin:formula?input_size=32", "objective": "clip", "licence": "MIT"}


class Heard:
    """Remembers what was said, and interrupts after some epochs."""

    def __init__(self, most: int = 10**6) -> None:
        self.said: list[str] = []
        self.epochs, self.most = 0, most

    def step(self, step: Any) -> None:
        self.epochs += step.name.startswith("clip")
        if self.epochs > self.most:
            raise KeyboardInterrupt

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small source of texts, that reads captions quickly."""
    home = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(home / "cache"))
        texts = [row["caption"] for row in pairs.waves(80)]
        made = headstart.pretrain(
            texts,
            modality="text",
            objective="masked_lm",
            architecture=BERT,
            epochs=1,
            output=str(home / "words"),
            licence="CC-BY-NC-4.0",
        )
    return f"file:{made.folder}"


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    return pairs.write(tmp_path / "waves.jsonl", pairs.waves())


def made(data: Any, words: str, **more: Any) -> door.Pretrained:
    """A short pre-training of the series encoder, unless the test says otherwise."""
    asked = {"epochs": 2, "output": "out", **ASKED, "caption_source": words}
    return headstart.pretrain(data, **{**asked, **more})


def prepared(data: Any, words: str, **more: Any) -> door.Ready:
    return door.prepare(*call.asked(data, **{**ASKED, "caption_source": words, **more}))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> door.Pretrained:
    """Pictures with captions in words, from the built-in sources of both kinds."""
    home = tmp_path_factory.mktemp("seen")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(home / "cache"))
        return headstart.pretrain(
            pairs.pictures(400),
            epochs=6,
            rate=2e-3,
            batch=64,
            columns={"target": "label"},
            output=str(home / "out"),
            **PICTURES,
        )


def test_pairs_that_were_never_learned_from_are_found_again(seen: door.Pretrained) -> None:
    facts, history = seen.document, seen.document["history"]
    assert history[-1]["loss"] < 0.6 * history[1]["loss"]
    assert facts["rank"][1] > 20
    assert not [n for n in facts["notes"] if "collapsed" in n or "chance" in n]
    told = facts["retrieval"]
    assert told["pairs"] == 40
    assert {(f["way"], f["depth"]) for f in told["figures"]} == {
        (way, depth) for way in ("image to caption", "caption to image") for depth in (1, 5)
    }
    for one in told["figures"]:
        assert one["chance"] < 0.2
        assert one["interval"][0] <= one["after"] <= one["interval"][1]
        assert one["interval"][0] > 2 * one["chance"], one
        assert one["before"] < one["interval"][0]
        last = history[-1]["retrieval"][one["way"]][(1, 5).index(one["depth"])]
        assert last == pytest.approx(one["after"])
    assert [h["epoch"] for h in history if "probe" in h] == list(range(7))
    card = (seen.folder / "README.md").read_text("utf-8")
    for part in ("## Retrieval", "image to caption", "## Linear probe", "encoder of the captions"):
        assert part in card


def test_what_is_written_finds_as_well_as_what_was_measured(seen: door.Pretrained) -> None:
    """Source, projections and encoder of the captions, opened anew, give the card's figures."""
    data = pairs.pictures(400)
    asked = {k: v for k, v in PICTURES.items() if k != "licence"}
    ready = door.prepare(*call.asked(data, columns={"target": "label"}, **asked))
    found = ready.samples
    modality = found.modality
    backbone = modality.backbones.stage(
        job.load(seen.uri, modality, offline=True), ready.transform
    ).eval()
    stream = found.held(ready.transform)
    batch = stream.batch(np.arange(len(stream)), -1)
    kept = load_file(seen.folder / document.KEPT)
    with torch.no_grad():
        features = Network(backbone, {})(batch.inputs, want="features")
        mine = functional.normalize(features @ kept["sample"].T, dim=1)
        other = functional.normalize(batch.targets[CAPTIONS] @ kept["caption"].T, dim=1)
    twins = batch.targets[TWINS].numpy()
    right = (twins[:, :1] == twins[:, 0][None]) | (twins[:, 1:] == twins[:, 1][None])
    first = (mine @ other.T).argmax(dim=1).numpy()
    hits = right[np.arange(len(first)), first].mean()
    figure = next(f for f in seen.document["retrieval"]["figures"] if f["depth"] == 1)
    assert hits == pytest.approx(figure["after"], abs=1e-6)
    assert 1 <= float(kept["log_scale"].exp()) <= 100.001
    assert seen.document["files"][document.KEPT] == digest.file(seen.folder / document.KEPT)


def test_the_licence_chain_names_both_parents(seen: door.Pretrained) -> None:
    parents = {p["uri"]: p for p in seen.document["parents"]}
    assert set(parents) == {"builtin:formula?input_size=32", "builtin:minilm"}
    assert parents["builtin:minilm"]["role"] == "encoder of the captions"
    for said in ("objective clip", "before that: pictures", "encoded by builtin:minilm"):
        assert said in seen.document["trained_on"]
    source = job.load(seen.uri, plugins.Modality("image"), offline=True).source
    links = licence.of_source({**vars(source)}, changed=True)
    weights = [link.what for link in links if link.kind == "weights"]
    assert {"weights formula", "weights all-MiniLM-L6-v2"} <= set(weights[1:])
    assert set(links[0].parents) >= {"weights formula", "weights all-MiniLM-L6-v2"}
    assert seen.document["data"]["licence"] == "unknown"


def test_terms_of_the_captions_source_bind_what_learned_from_it(waves: Path, words: str) -> None:
    one = made(waves, words, epochs=1, licence="MIT")
    source = job.load(one.uri, plugins.Modality("series"), offline=True).source
    told = {a.use: a for a in licence.answers(licence.of_source({**vars(source)}, changed=True))}
    assert told["commercial"].answer == "no"
    assert "CC-BY-NC-4.0" in told["commercial"].why
    assert told["commercial"].path[-1] == f"weights {one.document['parents'][0]['name']}"


def test_it_is_used_by_a_run_at_once(seen: door.Pretrained, tmp_path: Path) -> None:
    photos = plugins.Modality("image").tiny.write(tmp_path / "photos", "classify", 24, 0)
    run = headstart.adapt(
        str(photos),
        source=seen.uri,
        strategy="linear_probe",
        output="runs",
        seeds=1,
        scratch=False,
        champion=False,
        learning_curve=False,
    )
    assert run.record.source["licence"] == "MIT"
    assert len(run.record.source["parents"]) == 2


def test_the_objective_serves_other_kinds_of_data_alike(waves: Path, words: str) -> None:
    heard = Heard()
    one = made(waves, words, watcher=heard)
    facts = one.document
    assert facts["modality"] == "series"
    assert facts["captions"]["modality"] == "text"
    assert facts["retrieval"]["figures"][0]["way"] == "signal to caption"
    assert any("'caption', read as text" in s for s in heard.said)
    assert any("signal" in s for s in heard.said)
    job.load(one.uri, plugins.Modality("series"), offline=True)


def test_interrupted_and_repeated_gives_the_same_bytes(
    waves: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(waves, words, epochs=4, output="whole")
    with pytest.raises(KeyboardInterrupt):
        made(waves, words, epochs=4, output="cut", watcher=Heard(most=2))
    assert not (Path("cut") / "model.json").exists()
    shutil.copytree(Path("cache") / "pretraining", Path("other") / "pretraining")
    monkeypatch.setenv("HEADSTART_CACHE", "other")  # captions are encoded anew, to the same numbers
    heard = Heard()
    cut = made(waves, words, epochs=4, output="cut", watcher=heard)
    assert heard.epochs == 2  # two were left
    for name in (document.WEIGHTS, document.KEPT):
        assert digest.file(cut.folder / name) == digest.file(whole.folder / name)
    assert cut.document["history"] == whole.document["history"]
    assert cut.document["retrieval"] == whole.document["retrieval"]


def test_killed_and_repeated_gives_the_same_bytes(waves: Path, words: str, tmp_path: Path) -> None:
    asked = ["--objective", "clip", "--architecture", ENCODER, "--modality", "series"]
    asked += ["--caption-source", words, "--epochs", "20"]
    again = killing.killed_and_repeated(waves, asked, tmp_path)
    one = made(waves, words, epochs=20, output=tmp_path / "whole")
    for name in ("sha256", "files", "history", "retrieval"):
        assert again[name] == one.document[name], name


def test_each_caption_is_encoded_once(
    waves: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pairs.waves()
    for row in rows:
        row["caption"] = row["caption"].partition(",")[0]
    data = pairs.write(waves.with_name("few.jsonl"), rows)
    ready = prepared(data, words)
    captions = ready.samples.captions
    assert captions is not None
    assert len(captions) == len({row["caption"] for row in rows}) < 20
    batch = ready.stream().batch(np.arange(8), 0)
    assert batch.targets[CAPTIONS].shape == (8, 16)
    assert torch.equal(
        batch.targets[CAPTIONS], torch.from_numpy(captions.read[batch.targets[TWINS][:, 0]])
    )

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the features are in the store")

    again = prepared(data, words)
    monkeypatch.setattr(type(again.samples.captions.backbone), "run", never)
    assert np.array_equal(again.samples.captions.features(), captions.read)


def test_captions_that_cannot_be_read_are_set_aside(waves: Path, words: str) -> None:
    rows = pairs.waves()
    rows[3]["caption"], rows[7]["caption"], rows[9]["caption"] = "", None, "  \n"
    one = made(pairs.write(waves, rows), words, epochs=1)
    aside = {bad["name"]: bad["reason"] for bad in one.document["set_aside"]}
    assert set(aside) == {"row 4", "row 8", "row 10"}
    assert all("caption" in reason for reason in aside.values())
    assert one.document["samples_seen"] <= 51


def test_a_sample_with_several_captions_is_held_out_with_all_of_them(words: str) -> None:
    rows = pairs.waves(40)
    data = [{**row, "caption": f"{row['caption']}, {told}"} for row in rows for told in "ab"]
    ready = prepared(data, words)
    found: Any = ready.samples
    held, kept = (set(found.dataset.digests(r)) for r in (found.held_rows, found.rows))
    assert len(found.held_rows) == 8
    assert len(held) == 4
    assert not held & kept
    measured = ready.retrieval()
    assert measured is not None
    assert measured.candidates == (8, 4)
    twins = ready.stream().targets[TWINS]
    assert len(np.unique(twins[:, 1])) == 36


def test_views_leave_alone_what_a_caption_may_name() -> None:
    data = pairs.pictures(24)
    ready = door.prepare(*call.asked(data, objective="clip"))
    strong = door.prepare(*call.asked({"image": data["image"]}, objective="simclr"))
    assert "light" in strong.transform.augment
    assert "light" not in ready.transform.augment
    assert isinstance(ready.stream(), Views)


def test_the_column_is_named_or_found_and_said(waves: Path, words: str) -> None:
    rows = [
        {
            "signal": row["signal"],
            "text": "One of many.",
            "title": f"Wave {place}",
            "what it does": row["caption"],
        }
        for place, row in enumerate(pairs.waves())
    ]
    data = pairs.write(waves, rows)
    assert (
        prepared(data, words).samples.captions.column == "title"
    )  # by its name; 'text' never varies
    named = prepared(data, words, caption="what it does", objective="auto")
    assert named.objective == "clip"
    assert named.samples.captions.column == "what it does"
    rows = [{k: v for k, v in row.items() if k not in ("text", "title")} for row in rows]
    found = prepared(pairs.write(waves, rows), words)
    assert found.samples.captions.column == "what it does"
    assert "Captions: the column 'what it does', read as text." in found.samples.notes


def test_names_of_classes_serve_as_captions(waves: Path, words: str) -> None:
    columns = {"target": "kind", "inputs": ("signal",)}
    ready = prepared(waves, words, caption="kind", columns=columns)
    assert len(ready.samples.captions) == 4
    assert ready.samples.labels.keys() == {"kind"}


def test_a_rehearsal_says_what_would_be_done(waves: Path, words: str) -> None:
    found = call.rehearse(waves, caption_source=words, output="out", **ASKED)
    assert found["captions"]["column"] == "caption"
    assert found["captions"]["different"] > 10
    assert found["held_out"] == 6
    assert not Path("out").exists()


def test_captions_of_other_pairs_are_found_no_better_than_by_chance(words: str) -> None:
    rows = pairs.waves(60)
    told = np.random.default_rng(2).permutation([row["caption"] for row in rows])
    data = [{**row, "caption": str(text)} for row, text in zip(rows, told, strict=True)]
    heard = Heard()
    one = made(data, words, watcher=heard)
    assert any("no better than by chance" in s for s in heard.said)
    assert any("no better than by chance" in n for n in one.document["notes"])


def _without(column: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != column} for row in pairs.waves()]


def _said(value: Any) -> list[dict[str, Any]]:
    return [{"signal": row["signal"], "caption": value} for row in pairs.waves()]


@pytest.mark.parametrize(
    ("rows", "asked", "error", "said"),
    [
        (_without("caption"), {}, DataError, "no column beside that holds captions.*--caption"),
        (pairs.waves(), {"caption": "captoin"}, DataError, "Did you mean 'caption'"),
        (_said("a wave"), {}, DataError, "all the same"),
        (_said(""), {"caption": "caption"}, DataError, "is empty in the first rows"),
        (_said(7), {}, DataError, "cannot be read as captions"),
        (_said(["a wave", "one"]), {}, DataError, "several captions.*a row for each"),
        (pairs.waves(6), {}, DataError, "5 samples to learn from beside 1 that"),
        (pairs.waves(), {"batch": 100}, PlanError, "there are 54 samples"),
        (pairs.waves(), {"batch": 1}, PlanError, "compares 2 or more"),
        (pairs.waves(), {"objective": "simclr"}, PlanError, "'simclr' reads none"),
        (pairs.waves(), {"caption_source": "builtin:formula"}, SourceError, "for text data"),
        (pairs.waves(), {"settings": {"temperature": 0.0}}, PlanError, "from 0.01 to 1"),
        (pairs.waves(), {"settings": {"out": 0}}, PlanError, "out came as 0"),
    ],
)
def test_what_cannot_work_is_refused(
    rows: list[dict[str, Any]],
    asked: dict[str, Any],
    error: type[Exception],
    said: str,
    waves: Path,
    words: str,
) -> None:
    with pytest.raises(error, match=f"(?s){said}"):
        made(pairs.write(waves, rows), words, **asked)
    assert not Path("out", "model.json").exists()


def test_data_without_a_second_column_are_refused(tmp_path: Path) -> None:
    photos = plugins.Modality("image").tiny.write(tmp_path / "photos", "classify", 24, 0)
    with pytest.raises(DataError, match="no column beside that holds captions"):
        headstart.pretrain(photos, objective="clip", output="out")
    with pytest.raises(DataError, match="a generator draws comes without captions"):
        headstart.pretrain("generator:kernels", objective="clip", output="out")


def test_clip_is_not_offered_where_there_are_no_captions(waves: Path) -> None:
    with pytest.raises(PlanError, match="These fit: ") as told:
        headstart.pretrain(waves, output="out", **{**ASKED, "objective": "masked_lm"})
    assert "clip" not in str(told.value).partition("These fit: ")[2]


def test_recall_counts_every_right_answer_and_no_tie() -> None:
    right = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], bool)
    scores = np.array([[0.1, 0.9, 0.5, 0.2], [0.9, 0.8, 0.1, 0.3], [0.4, 0.4, 0.4, 0.4]])
    ranks, count = retrieval.ranked(scores, right)
    assert ranks.tolist() == [0, 3, 3]
    assert count.tolist() == [2, 1, 1]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_chance_is_what_random_orders_find(depth: int) -> None:
    rng, right = np.random.default_rng(0), np.array([1, 3, 6, 2])
    found = [np.mean([rng.permutation(8)[:depth].min() < n for n in right]) for _ in range(4000)]
    assert retrieval.chance(right, 8, depth) == pytest.approx(np.mean(found), abs=0.02)


def test_pictures_of_real_things_and_the_names_of_their_classes(public_data: Path) -> None:
    """A tower that learned from captions names unseen photographs better than random weights."""
    import pyarrow.parquet as pq

    file = public_data / "cifar10" / "cifar10_subset.parquet"
    if not file.is_file():
        pytest.skip("HEADSTART_DATA holds no cifar10")
    table, rng = pq.read_table(file).to_pylist(), np.random.default_rng(0)
    rows = [table[i] for i in rng.permutation(len(table))]
    learned, unseen = rows[:1000], rows[1000:1800]
    told = [f"a photo of one {r['label']}" for r in learned]
    one = headstart.pretrain(
        {"picture": [r["image"] for r in learned], "words": told},
        caption="words",
        architecture="test_resnet?input_size=32",
        epochs=6,
        rate=3e-3,
        batch=32,
        output="out",
    )
    modality = plugins.Modality("image")
    ready = door.prepare(
        *call.asked(
            [r["image"] for r in unseen],
            [r["label"] for r in unseen],
            objective="simclr",
            architecture="test_resnet?input_size=32",
        )
    )
    labels = ready.samples.labels["label"]
    probe = guard.prober(ready.whole(), labels, np.arange(len(labels)), 0)
    assert probe is not None
    loaded = job.load(one.uri, modality, offline=True)
    after = probe(Network(modality.backbones.stage(loaded, ready.transform), {}).eval())
    before = probe(Network(ready.backbone, {}).eval())
    assert after > before + 0.02, (before, after)


def test_the_document_is_plain_json(waves: Path, words: str) -> None:
    one = made(waves, words, epochs=1)
    told = json.loads((one.folder / "model.json").read_text("utf-8"))
    assert told == json.loads(json.dumps(one.document))
    assert told["retrieval"]["pairs"] == 6
