"""Reading texts: what is claimed, what is a bad row, what is a near-duplicate."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.core.dataset import Field
from headstart.errors import BadRow
from headstart.modalities.text import read

TEXT = Field("text", "text")
HERE = Path("/")

REVIEWS = [f"The room number {i} was clean and the staff were kind." for i in range(20)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (REVIEWS, "text"),
        (["great", "awful", "refund please", "late again", "never more"], "text"),
        (["New York", "Los Angeles", "San Diego"] * 10, None),
        ([f"Braund, Mr. Owen Harris {n}" for n in ("Smith", "Jones", "Brown", "White")], None),
        ([f"id-{i:05d}" for i in range(20)], None),
        ([f"photos/{i}.jpg" for i in range(20)], None),
        ([f"2024-01-{i + 1:02d} 10:00" for i in range(20)], None),
        ([1.5, 2.5, 3.5], None),
        (["yes", "no"] * 20, None),
        ([f"今日は天気が良いですね{i}号" for i in range(10)], "text"),
        ([], None),
    ],
)
def test_claims_sentences_and_leaves_codes(values: list[object], kind: str | None) -> None:
    assert read.claim("column", values, HERE) == kind


def test_claims_names_of_text_files_that_exist(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hello there.")
    assert read.claim("file", ["a.txt", "b.txt"], tmp_path) == "path"
    assert read.claim("file", ["x.txt", "y.txt"], tmp_path) is None


def test_files_are_decoded_and_a_mark_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe")
    assert read.load("a.txt", Field("file", "path"), tmp_path) == "Grüße"


def test_undecodable_bytes_name_place_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Grüße".encode("latin1"))
    with pytest.raises(BadRow) as caught:
        read.load("a.txt", Field("file", "path"), tmp_path)
    assert "byte 2 is 0xfc" in caught.value.reason
    assert "iconv" in caught.value.remedy


def test_a_missing_file_is_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(BadRow, match="cannot be read"):
        read.load("gone.txt", Field("file", "path"), tmp_path)


@pytest.mark.parametrize("text", ["", "  \n\t", "\u00a0\u2003", None, float("nan"), "\x00\x07"])
def test_blank_texts_are_bad_rows(text: object) -> None:
    sample = {"text": read.load(text, TEXT, HERE)}
    with pytest.raises(BadRow, match="empty"):
        read.check(sample, [TEXT])


def test_one_of_two_texts_may_be_blank() -> None:
    fields = (TEXT, Field("title", "text"))
    read.check({"text": "", "title": "A title"}, fields)


def _near(first: str, second: str) -> int:
    a, b = (read.signature({"text": t}, [TEXT]) for t in (first, second))
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


LONG = " ".join(f"word{i % 37} thing{i % 11} place{i % 23}" for i in range(120))


def test_case_and_punctuation_do_not_tell_texts_apart() -> None:
    assert _near("Hello, World!", "hello world") == 0


def test_a_long_text_with_one_word_changed_is_near() -> None:
    assert _near(LONG, LONG + " indeed") <= read.NEAR


def test_other_texts_are_far() -> None:
    other = " ".join(f"apple{i % 31} river{i % 13} cloud{i % 17}" for i in range(120))
    assert _near(LONG, other) > 10
    assert _near("My dog is brown.", "My dog is black.") > read.NEAR


def test_content_tells_fields_apart() -> None:
    fields = (Field("a", "text"), Field("b", "text"))
    first = read.content({"a": "x", "b": ""}, fields)
    assert first != read.content({"a": "", "b": "x"}, fields)
