"""Planted chains of licences, each with the answers to: commercial use, sharing, changing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.core.licence import ANSWERS, TABLE, USES, Link, answers, of_source, said, terms
from headstart.errors import DataError

YES, IF, OPEN, NOT_SAID, NO = ANSWERS


def pack(*links: Link) -> tuple[Link, ...]:
    """A pack of one's own that is made of `links`."""
    return (Link("pack", "adapter", "own", parents=tuple(k.what for k in links)), *links)


def base(licence: str, **more: object) -> Link:
    return Link("base", "weights", licence, **{"carried": False, **more})  # type: ignore[arg-type]


def tuned(licence: str) -> Link:
    return base(licence, carried=True, changed=True)


def data(licence: str) -> Link:
    return Link("photos", "data", licence, carried=False)


def other(licence: str) -> Link:
    return Link("x", "adapter", licence)


KEPT_OUT = Link("x", "code", "GPL-3.0-only", carried=False)
CODE = Link("headstart", "code", "Apache-2.0", carried=False)
# What a chain is, its links, the answers, and the link that decides where that is no "conditions".
PLANTED = [
    ("everything free", pack(base("CC0-1.0"), data("own")), (YES, YES, YES), ""),
    ("free software", pack(base("Apache-2.0"), data("own"), CODE), (IF, YES, IF), ""),
    ("MIT weights that are shipped", pack(tuned("MIT"), data("own")), (IF, IF, IF), ""),
    ("MIT code, weights for non-commercial use", pack(tuned("CC-BY-NC-4.0"), CODE), (NO, IF, IF), "base"),
    ("head on a non-commercial base", pack(base("CC-BY-NC-4.0")), (NO, YES, IF), "base"),
    ("weights without licence", pack(base("unknown")), (NOT_SAID, YES, NOT_SAID), "base"),
    ("weights without licence, shipped", pack(tuned("")), (NOT_SAID,) * 3, "base"),
    ("licence called other", pack(tuned("other")), (NOT_SAID,) * 3, "base"),
    ("licence nobody knows", pack(tuned("Acme-Model-Terms-7")), (NOT_SAID,) * 3, "base"),
    ("data without licence", pack(base("MIT"), data("unknown")), (OPEN,) * 3, "photos"),
    ("non-commercial data", pack(base("MIT"), data("CC-BY-NC-4.0")), (OPEN, IF, IF), "photos"),
    ("data for research", pack(tuned("MIT"), data("research-only")), (OPEN, OPEN, IF), "photos"),
    ("share-alike data", pack(tuned("MIT"), Link("texts", "data", "CC-BY-SA-4.0")), (IF, IF, IF), ""),
    ("no derivatives, tuned", pack(tuned("CC-BY-ND-4.0")), (IF, NO, IF), "base"),
    ("no derivatives, as they are", pack(base("CC-BY-ND-4.0", carried=True)), (IF, IF, IF), ""),
    ("no derivatives, non-commercial", pack(tuned("CC-BY-NC-ND-4.0")), (NO, NO, IF), "base"),
    ("share-alike weights", pack(tuned("CC-BY-SA-4.0")), (IF, IF, IF), ""),
    ("copyleft", pack(tuned("GPL-3.0-or-later")), (IF, IF, IF), ""),
    ("old and new GPL", pack(tuned("GPL-2.0-only"), other("GPL-3.0-only")), (IF, NO, IF), "x"),
    ("GPL 2 or later and 3", pack(tuned("GPL-2.0-or-later"), other("GPL-3.0-only")), (IF, IF, IF), ""),
    ("GPL 3 and AGPL", pack(tuned("AGPL-3.0-only"), other("GPL-3.0-only")), (IF, IF, IF), ""),
    ("share-alike in GPL 3", pack(tuned("CC-BY-SA-4.0"), other("GPL-3.0-only")), (IF, IF, IF), ""),
    ("share-alike in GPL 2", pack(tuned("CC-BY-SA-4.0"), other("GPL-2.0-only")), (IF, NO, IF), "x"),
    ("two kinds of share-alike", pack(tuned("CC-BY-SA-4.0"), other("CC-BY-NC-SA-4.0")), (NO, NO, IF), "x"),
    ("GPL and non-commercial", pack(tuned("GPL-3.0-only"), other("CC-BY-NC-4.0")), (NO, NO, IF), "x"),
    ("GPL and limits on use", pack(tuned("GPL-3.0-only"), other("OpenRAIL-M")), (IF, NO, IF), "x"),
    ("GPL code that is not shipped", pack(tuned("CC-BY-NC-4.0"), KEPT_OUT), (NO, IF, IF), "base"),
    ("limits on use", pack(tuned("CreativeML-OpenRAIL-M")), (IF, IF, IF), ""),
    ("terms of a company", pack(tuned("llama3")), (IF, IF, IF), ""),
    ("research only", pack(tuned("research-only")), (NO, NO, IF), "base"),
    ("proprietary", pack(base("proprietary")), (NO, YES, NO), "base"),
    ("either of two", pack(tuned("MIT OR GPL-3.0-only")), (IF, IF, IF), ""),
    ("the better of two", pack(tuned("CC-BY-NC-4.0 OR Apache-2.0")), (IF, IF, IF), ""),
    ("both of two", pack(tuned("MIT AND CC-BY-NC-4.0")), (NO, IF, IF), "base"),
    ("both of two that clash", pack(tuned("GPL-2.0-only AND CC-BY-SA-4.0")), (IF, NO, IF), "base"),
    ("with an exception", pack(tuned("GPL-3.0-only WITH GCC-exception-3.1")), (IF, IF, IF), ""),
    ("spelt with a blank", pack(tuned("Apache 2.0")), (IF, IF, IF), ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "links", "right", "decides"), PLANTED, ids=[p[0] for p in PLANTED]
)
def test_planted_chains(
    name: str, links: tuple[Link, ...], right: tuple[str, ...], decides: str
) -> None:
    found = answers(links)
    assert tuple(a.use for a in found) == USES
    assert tuple(a.answer for a in found) == right
    for one in found:
        if one.answer in (OPEN, NOT_SAID, NO):
            assert one.path[-1] == decides and one.path[0] == "pack"
            assert one.why
        if one.answer == IF:
            assert one.conditions


def test_the_path_leads_through_the_parents() -> None:
    links = (
        Link("pack", "adapter", "own", parents=("tuned",)),
        Link("tuned", "weights", "MIT", parents=("first",), changed=True),
        Link("first", "weights", "CC-BY-NC-4.0", parents=("web pages",), carried=False),
        Link("web pages", "data", "unknown", carried=False),
    )
    commercial, share, _ = answers(links)
    assert commercial.path == ("pack", "tuned", "first")
    assert "CC-BY-NC-4.0" in commercial.why
    assert share.answer == NOT_SAID or share.path[-1] != "first"  # nobody passes the base on


def source(name: str, sha: str, terms: str, *parents: dict[str, object]) -> dict[str, object]:
    return {"name": name, "uri": f"file:{sha}", "sha256": sha, "licence": terms, "parents": parents}


def test_parents_that_share_a_name_are_all_in_the_chain() -> None:
    first = source("model", "a" * 64, "CC-BY-NC-4.0")
    second = source("model", "b" * 64, "MIT")
    links = of_source(source("model", "c" * 64, "MIT", first, second), changed=True)
    weights = [link.what for link in links if link.kind == "weights"]
    assert weights == ["weights model", "weights model (aaaaaaaa)", "weights model (bbbbbbbb)"]
    assert set(weights[1:]) < set(links[0].parents)
    commercial = answers(links)[0]
    assert commercial.answer == NO
    assert commercial.path == tuple(weights[:2])


def test_a_source_that_two_parents_share_is_one_link() -> None:
    base = source("base", "a" * 64, "MIT")
    pair = (source("one", "b" * 64, "MIT", base), source("two", "c" * 64, "MIT", base))
    links = of_source(source("both", "d" * 64, "MIT", *pair), changed=True)
    assert [link.what for link in links].count("weights base") == 1
    assert sum(link.kind == "weights" for link in links) == 4


def test_conditions_are_told_once_and_all() -> None:
    both = answers(pack(tuned("CC-BY-SA-4.0"), Link("x", "adapter", "OpenRAIL-M")))[0]
    assert len(both.conditions) == len(set(both.conditions)) == 3


def test_a_chain_that_names_what_it_does_not_hold() -> None:
    with pytest.raises(DataError, match="no link of the chain"):
        answers([Link("pack", "adapter", "own", parents=("base",))])
    with pytest.raises(DataError, match="name of its own"):
        answers([base("MIT"), base("MIT")])
    with pytest.raises(DataError, match="needs links"):
        answers([])
    with pytest.raises(DataError, match="'weights'"):
        Link("x", "weight", "MIT")


@pytest.mark.parametrize(
    "word", ["", None, "None", "NOASSERTION", " unknown ", "other", float("nan")]
)
def test_what_nobody_stated_is_unknown(word: object) -> None:
    assert said(word) == "unknown"
    assert terms(word).commercial == "unknown"


@pytest.mark.parametrize(
    "broken", ["(MIT", "MIT AND", "MIT Apache-2.0 OR", "AND", ")", "MIT OR (", "()"]
)
def test_a_broken_expression_grants_nothing(broken: str) -> None:
    assert terms(broken).commercial == "unknown" or broken == "MIT OR ("


@given(
    st.lists(st.sampled_from(sorted(TABLE)), min_size=1, max_size=4), st.sampled_from(sorted(TABLE))
)
def test_another_link_never_allows_more(names: list[str], more: str) -> None:
    links = [Link(f"w{i}", "weights", n, changed=True) for i, n in enumerate(names)]
    few, many = answers(links), answers([*links, Link("more", "weights", more, changed=True)])
    for before, after in zip(few, many, strict=True):
        assert ANSWERS.index(after.answer) >= ANSWERS.index(before.answer)
