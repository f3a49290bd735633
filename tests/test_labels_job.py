"""A run whose words carry labels, from a list of words to entities of new texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import api
from headstart.core.evidence import Exhibit
from headstart.report.exhibits import exhibited

NAMES = {"per": ["ann", "bob", "carla", "dora lee"], "loc": ["rome", "oslo", "new york", "bern"]}


def write(path: Path, rows: int = 60) -> Path:
    """Sentences in which people go to places."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(rows):
        words, tags = [f"<{i}>"], ["O"]
        for kind, link in (("per", "went to"), ("loc", "again"), ("per", "too")):
            name = str(rng.choice(NAMES[kind])).split()
            rest = link.split()
            words += name + rest
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1), *["O"] * len(rest)]
        made.append({"words": words, "tags": tags})
    path.write_text("\n".join(json.dumps(m) for m in made), "utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("labels")
    return hs.adapt(
        write(folder / "rows.jsonl"),
        strategy="linear_probe",
        seeds=1,
        scratch=False,
        learning_curve=False,
        output=str(folder / "runs"),
    )


def test_it_ends_with_a_verdict_on_whole_spans(run: api.Run) -> None:
    assert run.verdict in ("helped", "harmed", "no evidence")
    assert "F1 of whole spans" in run.sentence
    found = {(m.name, m.group): m for f in run.record.findings for m in f.measures}
    assert found["span F1", ""].value > 0.8
    assert {"per", "loc"} <= {group for _, group in found}


def test_the_pack_finds_entities_in_new_texts(run: api.Run) -> None:
    told = api.open_run(run.folder).predict({"words": ["dora lee went to new york again .", "too"]})
    assert told.spans is not None
    assert [(s.label, s.text, s.first) for s in told.spans[0]] == [
        ("per", "dora lee", 0),
        ("loc", "new york", 4),
    ]
    assert told.spans[1] == []
    assert len(told.labels[0]) == 8


def test_the_report_shows_sentences_escaped(run: api.Run) -> None:
    page = run.report().read_text("utf-8")
    assert "Which label has each position" in page
    marks = [{"first": 1, "last": 1, "label": "<i>", "right": False}]
    data = {"rows": [{"row": 0, "predicted": "x", "true": "y", "marks": marks}]}
    samples = {0: {"kind": "units", "units": ["<b>", "&", "end"]}}
    drawn = str(exhibited(Exhibit("e", "samples", "t", data), samples))
    assert '&lt;b&gt; <mark class="wrong">&amp;<small> &lt;i&gt;</small></mark> end' in drawn


def test_a_replay_gives_the_same_weights(run: api.Run) -> None:
    assert run.replay()["equal"]
