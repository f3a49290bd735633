"""CSV, TSV, Parquet and JSONL: types, guesses, and cells that cannot be used."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.core.dataset import Field
from headstart.data.tables import open_table
from headstart.errors import DataError, PlanError

REVIEWS = "text,label\n" + "".join(f"a good film {i},pos\na bad film {i},neg\n" for i in range(10))


def numbers(rows: int = 40, target: str = "y") -> str:
    lines = [f"{i % 7},{i * 0.5},{'ab'[i % 2]},{i % 3}" for i in range(rows)]
    return "\n".join([f"p,q,r,{target}", *lines])


def every(made):
    return np.arange(len(made))


def test_text_and_target_are_guessed_and_told(written, opened):
    made = opened(written("r.csv", REVIEWS))
    assert (made.modality, made.fields, made.target) == ("text", (Field("text", "text"),), "label")
    assert made.targets(every(made))[:2] == ["pos", "neg"]
    assert made.samples(np.array([0])) == [{"text": "a good film 0"}]
    assert made.names(np.array([0])) == ["row 1"]
    assert any("Target: the column 'label'" in n for n in made.notes)
    assert any("'text', read as text" in n for n in made.notes)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_is_found(written, opened, delimiter):
    made = opened(written("r.csv", REVIEWS.replace(",", delimiter)))
    assert len(made) == 20 and made.target == "label"


def test_decimal_commas_of_semicolon_files(written, opened):
    text = "p;q;label\n" + "".join(f"{i},5;{i};{'ab'[i % 2]}\n" for i in range(8))
    made = opened(written("r.csv", text))
    assert made.samples(np.array([2]))[0] == {"p": 2.5, "q": 2.0}


def test_points_beside_decimal_commas_part_thousands(written, opened):
    cells = [("1.234", "7.25"), ("950", "0.5"), ("12.500", "3")] * 3
    rows = "".join(f"{a};{b};{i},5;{'ab'[i % 2]}\n" for i, (a, b) in enumerate(cells))
    made = opened(written("r.csv", "a;b;c;label\n" + rows))
    first, second = made.samples(np.array([0, 1]))
    assert first == {"a": 1234.0, "b": 7.25, "c": 0.5} and second["a"] == 950.0
    assert any("'a': as other columns have decimal commas" in n for n in made.notes)


def test_points_without_a_decimal_comma_anywhere_are_decimal_and_that_is_said(written, opened):
    rows = "".join(f"{1 + i / 1000:.3f};{i};{'ab'[i % 2]}\n" for i in range(1, 9))
    made = opened(written("r.csv", "a;b;label\n" + rows))
    assert made.samples(np.array([0]))[0] == {"a": 1.001, "b": 1.0}
    assert any("read as decimal points" in n for n in made.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(written, opened, encoding):
    made = opened(written("r.csv", REVIEWS.replace("film", "Blödsinn é").encode(encoding)))
    assert made.samples(np.array([0])) == [{"text": "a good Blödsinn é 0"}]
    told = any("1252" in n or "UTF-16" in n for n in made.notes)
    assert told == (encoding in ("utf-16", "cp1252"))


def test_mixed_encodings_are_read_line_by_line(written, opened):
    lines = REVIEWS.replace("film", "café").splitlines(keepends=True)
    data = b"".join(s.encode("cp1252" if i == 4 else "utf-8") for i, s in enumerate(lines))
    made = opened(written("r.csv", data))
    assert [s["text"] for s in made.samples(np.array([2, 3]))] == ["a good café 1", "a bad café 1"]
    assert any("1 line is no UTF-8 (first: line 5, byte" in n for n in made.notes)


def test_neither_encoding_names_the_byte(written, opened):
    data = REVIEWS.encode().replace(b"good film 3", b"good \x81 film", 1)
    with pytest.raises(DataError, match=r"byte \d+ \(0x81\).*iconv"):
        opened(written("r.csv", data))


def test_quoted_cells_hold_delimiters_and_line_breaks(written, opened):
    made = opened(written("r.csv", REVIEWS + '"one, two\nthree",pos\n'))
    assert made.samples(np.array([20])) == [{"text": "one, two\nthree"}]


def test_rows_with_too_many_cells_are_set_aside(written, opened):
    made = opened(written("r.csv", REVIEWS + "a film, of sorts,pos\n"))
    assert len(made) == 20 and "3 cells instead of 2" in made.set_aside[0].reason


def test_empty_texts_are_set_aside(written, opened):
    made = opened(written("r.csv", REVIEWS + ",pos\n"), tolerate=0.1)
    assert [a.name for a in made.set_aside] == ["row 21"]
    with pytest.raises(DataError, match="is empty"):
        opened(written("r.csv", REVIEWS + ",pos\n  ,neg\n"))


def test_missing_labels_are_set_aside(written, opened):
    made = opened(written("r.csv", REVIEWS + "a film,\na movie,NaN\n"), tolerate=0.1)
    assert [a.reason for a in made.set_aside] == ["no label in 'label'"] * 2
    assert set(made.targets(every(made))) == {"pos", "neg"}


def test_table_takes_all_columns_it_claims(written, opened):
    made = opened(written("t.csv", numbers()))
    assert made.modality == "table"
    assert made.fields == (Field("p", "number"), Field("q", "number"), Field("r", "category"))
    assert made.samples(np.array([3]))[0] == {"p": 3.0, "q": 1.5, "r": "b"}
    assert made.outcome == "classify" and set(made.targets(every(made))) == {0, 1, 2}


def test_types_are_decided_over_the_whole_file(written, opened):
    text = numbers(3000) + "\nn/a,,a,1\n"
    made = opened(written("t.csv", text))
    assert made.samples(np.array([3000]))[0] == {"p": None, "q": None, "r": "a"}


def test_leading_zeros_stay_text(written):
    table = open_table(written("t.csv", "zip,y\n01234,1\n12345,2\n"))
    assert table.schema.field("zip").type == pa.string()


def test_infinite_inputs_are_set_aside_and_missing_ones_kept(written, opened):
    made = opened(written("t.csv", numbers() + "\n1,inf,a,1\nnan,2,b,0\n"))
    assert [(a.name, a.reason) for a in made.set_aside] == [("row 41", "'q' is infinite")]
    assert made.samples(np.array([40]))[0]["p"] is None


def test_many_numbers_are_regressed(written, opened):
    text = "p,price\n" + "".join(f"{i % 7},{i * 1.5}\n" for i in range(40))
    made = opened(written("t.csv", text), {"target": "price"})
    assert made.outcome == "regress" and made.targets(np.array([2])) == [3.0]
    assert any("regress" in n for n in made.notes)


def test_targets_that_are_no_finite_numbers_are_set_aside(written, opened):
    text = "p,price\n" + "".join(f"{i % 7},{i * 1.5}\n" for i in range(60))
    made = opened(written("t.csv", text + "1,inf\n1,nan\n"), {"target": "price"})
    assert [a.reason for a in made.set_aside] == [
        "the target in 'price' is infinite",
        "no label in 'price'",
    ]


def test_regressing_text_is_refused(written, opened):
    with pytest.raises(DataError, match=r"should be a number.*'pos'"):
        opened(written("r.csv", REVIEWS), outcome="regress")


@pytest.mark.parametrize(
    "role", ["target", "group", "time", "split", "inputs", "drop", "sensitive"]
)
def test_unknown_column_gets_the_nearest(written, opened, role):
    name = "labell" if role in ("target", "group", "time", "split") else ("labell",)
    with pytest.raises(DataError, match=r"no column 'labell'.*Did you mean 'label'"):
        opened(written("r.csv", REVIEWS), {role: name})


def test_no_target_to_guess(written, opened):
    text = "p,q\n" + "".join(f"{i}.5,{i * i}.25\n" for i in range(60))
    with pytest.raises(DataError, match=r"looks like a target.*p, q"):
        opened(written("t.csv", text))


def test_target_guessed_as_last_column_with_few_values(written, opened):
    made = opened(written("t.csv", numbers(target="kind")))
    assert made.target == "kind" and any("guessed as the last one" in n for n in made.notes)


def test_one_class_and_rare_class(written, opened):
    with pytest.raises(DataError, match="have one class"):
        opened(written("a.csv", "text,label\na b,x\nc d,x\n"))
    with pytest.raises(DataError, match="one example only: 'odd'"):
        opened(written("b.csv", REVIEWS + "a film,odd\n"))


def test_columns_with_a_part_are_no_inputs(written, opened):
    lines = [f"{i % 5},{i % 4},{i},m,{i % 2}" for i in range(30)]
    path = written("t.csv", "\n".join(["p,site,day,sex,y", *lines]))
    made = opened(path, {"group": "site", "time": "day", "sensitive": ("sex",)})
    assert [f.name for f in made.fields] == ["p"]
    assert made.columns == {"group": "site", "time": "day"} and made.sensitive == ("sex",)
    assert set(made.metadata(np.array([0]))) == {"site", "day", "sex"}


def test_dropped_columns_are_gone(written, opened):
    made = opened(written("t.csv", numbers()), {"drop": ("q",)})
    assert [f.name for f in made.fields] == ["p", "r"] and not made.metadata(np.array([0]))


def test_columns_that_number_the_rows_are_no_inputs(written, opened):
    lines = [f"{i + 100},k{i},{i % 5},{i % 2}" for i in range(30)]
    made = opened(written("t.csv", "\n".join(["number,key,p,y", *lines])))
    assert [f.name for f in made.fields] == ["p"]
    assert any("only identifies rows" in n for n in made.notes)


def test_split_column_is_found(written, opened):
    lines = [f"a b {i},{'xy'[i % 2]},{'train' if i < 20 else 'test'}" for i in range(30)]
    made = opened(written("r.csv", "\n".join(["text,label,split", *lines])))
    assert made.columns == {"split": "split"}


def test_rows_without_time_are_set_aside(written, opened):
    lines = [f"{i % 5},{i},{i % 2}" for i in range(30)] + ["1,,1"]
    made = opened(written("t.csv", "\n".join(["p,day,y", *lines])), {"time": "day"})
    assert made.set_aside[0].reason == "no time in 'day'"


def test_named_inputs_make_several_fields(written, opened):
    text = "title,text,label\n" + "".join(f"t {i},b {i},{'xy'[i % 2]}\n" for i in range(8))
    path = written("r.csv", text)
    made = opened(path, {"inputs": ("title", "text")})
    assert [f.name for f in made.fields] == ["title", "text"]
    assert [f.name for f in opened(path).fields] == ["text"]


def test_input_that_is_the_target_is_refused(written, opened):
    with pytest.raises(DataError, match="also as target"):
        opened(written("r.csv", REVIEWS), {"inputs": ("label",), "target": "label"})


def test_fixed_modality(written, opened):
    with pytest.raises(DataError, match="nothing can read"):
        opened(written("r.csv", REVIEWS), modality="image")
    with pytest.raises((DataError, PlanError), match=r"no modality 'texts'.*'text'"):
        opened(written("r.csv", REVIEWS), modality="texts")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "no rows"),
        ("a.csv", "x,x,label\n1,2,3\n", "more than one column called 'x'"),
        ("a.parquet", "no parquet", "cannot be read as PARQUET"),
        ("a.jsonl", "{no json", "cannot be read as JSONL"),
        ("a.xlsx", "x", "ends in '.xlsx'"),
    ],
)
def test_unreadable_tables(written, opened, name, content, told):
    with pytest.raises(DataError, match=told):
        opened(written(name, content))


def test_parquet_with_bytes_and_hub_records(tmp_path, opened, picture):
    cells = [picture() for _ in range(8)]
    plain = pa.table({"image": cells, "label": ["a", "b"] * 4, "note": list("ijklmnop")})
    hub = pa.table({"image": [{"bytes": c, "path": "x"} for c in cells], "label": ["a", "b"] * 4})
    pq.write_table(plain, tmp_path / "p.parquet")
    pq.write_table(hub, tmp_path / "h.parquet")
    first, second = opened(tmp_path / "p.parquet"), opened(tmp_path / "h.parquet")
    assert first.fields == second.fields == (Field("image", "bytes"),)
    assert first.digests(every(first)) == second.digests(every(second))
    assert first.samples(np.array([1])) == [{"image": cells[1]}]
    assert first.metadata(np.array([1])) == {"note": ["j"]}


def test_jsonl(written, opened):
    lines = [f'{{"text": "a b {i}", "label": "{"xy"[i % 2]}"}}' for i in range(8)]
    made = opened(written("r.jsonl", "\n".join(lines)))
    assert len(made) == 8 and made.modality == "text"


def test_jsonl_rows_of_another_type_are_set_aside_by_their_line(written, opened):
    lines = [f'{{"text": "a b {i}", "label": "{"xy"[i % 2]}", "w": {i}}}' for i in range(30)]
    lines[4] = '{"text": ["a", "b"], "label": "x", "w": 4}'
    lines[9] = '{"text": "a b 9", "label": '
    lines[12] = '{"text": "a b 12", "label": "x", "w": "many"}'
    lines[20] = "17"
    made = opened(written("r.jsonl", "\n".join(lines)), tolerate=0.2)
    assert len(made) == 26
    told = {a.name: a.reason for a in made.set_aside}
    assert set(told) == {"line 5", "line 10", "line 13", "line 21"}
    assert told["line 5"] == "'text' holds a list of text, in most other rows a text"
    assert "no JSON" in told["line 10"] and "no object, but 17" in told["line 21"]


def test_equal_rows_with_different_labels_are_noted(written, opened):
    made = opened(written("r.csv", REVIEWS + "a good film 0,neg\n"))
    assert any("1 group of equal rows" in n and "row 1 and row 21" in n for n in made.notes)


def test_many_batches(written, opened):
    rows = 5000
    text = "text,label\n" + "".join(f"words {i},{'xy'[i % 2]}\n" for i in range(rows))
    made = opened(written("r.csv", text))
    wanted = np.array([4999, 0, 2048, 1024, 1023])
    assert made.samples(wanted) == [{"text": f"words {i}"} for i in wanted]
    assert len(set(made.digests(np.arange(rows)))) == rows


def test_a_row_that_does_not_exist(written, opened):
    with pytest.raises(DataError, match="Row 20 was asked for"):
        opened(written("r.csv", REVIEWS)).targets(np.array([20]))


def test_parquet_is_read_in_batches_of_some_megabytes(tmp_path):
    cells = [bytes([i]) * 2_000_000 for i in range(30)]
    path = tmp_path / "big.parquet"
    columns = {"cell": cells, "label": ["a", "b"] * 15}
    pq.write_table(pa.table(columns), path, row_group_size=6, compression="none")
    pool, table = pa.default_memory_pool(), open_table(path)
    base, most, seen = pool.bytes_allocated(), 0, []
    for batch in table.stream():
        seen += batch.column("cell").to_pylist()
        most = max(most, pool.bytes_allocated() - base)
    assert seen == cells
    assert most < 30_000_000, "of 60 MB only the batch at hand is held, beside the column's page"
