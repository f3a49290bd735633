"""Questions, texts and answers out of tables: which column is which, and rows that cannot be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.core.dataset import Field
from headstart.core.task import Columns, Task
from headstart.data import splits
from headstart.data.dataset import ArrowDataset
from headstart.data.opening import from_arrays, open_data
from headstart.errors import DataError
from headstart.modalities.series import read as series
from headstart.modalities.text import read

TEXTS = [
    f"Ship {n} left port {n} for the {n}th time, and came to the port of Rome." for n in range(9)
]


def rows() -> list[dict[str, Any]]:
    return [
        {
            "context": text,
            "question": f"{asked} was it in text {n}?",
            "answer": answer,
            "answer_start": text.index(answer),
            "site": f"s{n // 3}",
        }
        for n, text in enumerate(TEXTS)
        for asked, answer in (("Which ship", f"Ship {n}"), ("Which city", "Rome"))
    ]


def opened(made: list[dict[str, Any]], folder: Path, **asked: Any) -> ArrowDataset:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(m) for m in made), "utf-8")
    columns = Columns(**asked.pop("columns", {}))
    task = Task(data=str(path), columns=columns, tolerate=1.0, **asked)
    return open_data(task, {"text": read}, cache=folder / "cache")


def told(data: ArrowDataset) -> list[str]:
    return [t.text for t in data.targets(np.arange(len(data)))]


def test_columns_are_guessed_by_their_names(tmp_path: Path) -> None:
    data = opened(rows(), tmp_path)
    assert data.outcome == "answer"
    assert data.fields == (Field("question", "text"), Field("context", "passage"))
    assert told(data)[:2] == ["Ship 0", "Rome"]
    assert any("a span of 'context' that answers 'question'" in n for n in data.notes)
    assert data.columns["group"] == "context"
    again = opened(rows(), tmp_path)
    assert again.digest == data.digest and told(again) == told(data)


def test_questions_of_one_text_stay_on_one_side(tmp_path: Path) -> None:
    data = opened(rows(), tmp_path, near_duplicates=False)
    split = splits.make_split(data, Task(near_duplicates=False), 0)
    texts = [s["context"] for s in data.samples(np.arange(len(data)))]
    assert not {texts[i] for i in split.train} & {texts[i] for i in split.test}
    grouped = opened(rows(), tmp_path, columns={"group": "site"})
    assert grouped.columns["group"] == "site"
    same = opened(rows(), tmp_path, columns={"group": "context"})
    assert same.columns["group"] == "context"


def test_columns_of_other_names_are_named_and_told_apart(tmp_path: Path) -> None:
    names = {
        "context": "page",
        "question": "wanted",
        "answer": "found",
        "answer_start": "found_start",
    }
    other = [{names.get(k, k): v for k, v in row.items()} for row in rows()]
    for inputs in (("wanted", "page"), ("page", "wanted")):
        columns = {"inputs": inputs, "target": "found"}
        data = opened(other, tmp_path, outcome="answer", columns=columns)
        assert [f.name for f in data.fields] == ["wanted", "page"]
        assert not data.set_aside


def test_answers_as_the_hub_writes_them(tmp_path: Path) -> None:
    nested = [
        {
            "question": r["question"],
            "context": r["context"],
            "answers": {"text": [r["answer"], "x"], "answer_start": [r["answer_start"], 0]},
        }
        for r in rows()
    ]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(nested), path)
    data = open_data(Task(data=str(path)), {"text": read}, cache=tmp_path / "cache")
    assert told(data)[:2] == ["Ship 0", "Rome"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer_start": 9_000}, "outside the text, which ends at"),
        ({"answer_start": -3}, "outside the text, which ends at"),
        ({"answer_start": 1}, "does not stand at 1, where the text says 'hip 0'"),
        ({"answer": "Oslo", "answer_start": None}, "does not stand in the text"),
        ({"answer": "port", "answer_start": None}, "stands in the text several times"),
        ({"answer": "", "answer_start": None}, "there is no answer"),
        ({"answer": None}, "there is no answer"),
        ({"question": " "}, "'question' is empty"),
        ({"context": None, "answer_start": None}, "'context' is empty"),
    ],
)
def test_rows_that_cannot_be_right_are_set_aside(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    made = rows()
    made[0] |= {"answer": "Ship 0"[:6]} | change
    if change == {"answer_start": 1}:
        made[0]["answer"] = "Ship "[:5]
    data = opened(made, tmp_path)
    (aside,) = data.set_aside
    assert aside.name == "row 1"
    assert reason in aside.reason and aside.remedy


def test_a_single_occurrence_needs_no_start(tmp_path: Path) -> None:
    made = [{k: v for k, v in row.items() if k != "answer_start"} for row in rows()]
    data = opened(made, tmp_path)
    assert not data.set_aside
    first = data.targets(np.arange(2))
    assert first[1].begin == TEXTS[0].index("Rome")


def test_a_target_of_another_name_is_no_answer(tmp_path: Path) -> None:
    made = [row | {"label": f"kind {n % 2}"} for n, row in enumerate(rows())]
    data = opened(made, tmp_path, columns={"target": "label", "inputs": ("question",)})
    assert data.outcome == "classify"
    assert opened(made, tmp_path, columns={"target": "label"}).outcome == "classify"


def test_what_holds_no_answers_is_refused_with_its_columns(tmp_path: Path) -> None:
    made = [{"text": t, "label": "a"} for t in TEXTS]
    with pytest.raises(DataError, match="has the columns text, label"):
        opened(made, tmp_path, outcome="answer")
    with pytest.raises(DataError, match="data of the kind 'series' have no text"):
        from_arrays(
            np.zeros((4, 8)),
            ["a"] * 4,
            {"series": series},
            task=Task(outcome="answer", modality="series"),
        )
    mixed = [row | {"n": 3} for row in rows()]
    columns = {"inputs": ("n", "context"), "target": "answer"}
    with pytest.raises(DataError, match="no"):
        opened(mixed, tmp_path, outcome="answer", columns=columns)


def test_columns_in_memory_do_too() -> None:
    columns = {name: [row[name] for row in rows()] for name in rows()[0]}
    data = from_arrays(columns, None, {"text": read}, task=Task(columns=Columns(target="answer")))
    assert data.outcome == "answer" and told(data)[:2] == ["Ship 0", "Rome"]
