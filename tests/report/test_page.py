"""The report: every part is there, verdicts are words and shapes, hostile texts stay texts."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from headstart.core.evidence import Exhibit, Finding
from headstart.core.task import Ahead, Columns, TaskCard
from headstart.report import charts, exhibits, facts, page, text
from tests.report import sample
from tests.report.picture import png

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Tree(HTMLParser):
    """Collects elements and attributes; checks that elements nest."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def read(html: str) -> tuple[Tree, str]:
    """The parsed page, and its text with single spaces."""
    tree = Tree()
    tree.feed(html)
    tree.close()
    assert not tree.open
    return tree, re.sub(r"[ \n\t]+", " ", " ".join(tree.words))


PAGES: dict[str, Any] = {
    "helped": lambda: (sample.record("helped"), sample.samples()),
    "harmed": lambda: (sample.record("harmed"), sample.samples()),
    "no evidence": lambda: (sample.record("no evidence"), sample.samples()),
    "regression": lambda: (sample.regression(), {}),
    "crowded": lambda: (sample.crowded(), sample.samples()),
    "hostile": sample.hostile,
    "bare": lambda: (
        dataclasses.replace(sample.record(), findings=(), facts={}, notes=(), set_aside=()),
        {},
    ),
}


@pytest.fixture(params=list(PAGES))
def html(request: pytest.FixtureRequest) -> str:
    record, samples = PAGES[request.param]()
    return page.render(record, samples=samples)


def test_the_page_nests_and_refers_to_nothing_outside(html: str) -> None:
    tree, _ = read(html)
    for name, attributes in tree.elements:
        assert name not in {
            "script",
            "iframe",
            "object",
            "embed",
            "link",
            "form",
            "a",
            "base",
            "foreignobject",
            "use",
        }
        for key, value in attributes.items():
            assert not key.startswith("on"), (name, key)
            if key in {"src", "href", "xlink:href", "action", "srcset", "background"}:
                inline = exhibits.SOUND if name == "audio" else exhibits.PICTURE
                assert inline.fullmatch(value or "")
    assert "url(" not in html
    assert "@import" not in html
    html.encode("utf-8")


def test_no_control_characters(html: str) -> None:
    assert not page.CONTROL.search(html)


@pytest.mark.parametrize(
    ("word", "mark"), [("helped", "helped"), ("harmed", "harmed"), ("no evidence", "none")]
)
def test_the_verdict_is_word_shape_and_sentence(word: str, mark: str) -> None:
    record = sample.record(word)
    html = page.render(record, samples={})
    _, words = read(html)
    badge = html[html.index('class="badge"') :][:600]
    assert charts.MARKS[mark] in badge
    assert f"<span>{word}</span>" in badge
    assert len({charts.MARKS[m] for m in ("helped", "harmed", "none")}) == 3
    assert page.verdict(record)["sentence"] in words
    assert page.verdict(record)["sentence"].count(". ") == 0


def test_without_a_verdict_the_page_says_so() -> None:
    record = dataclasses.replace(sample.record(), findings=())
    assert page.verdict(record)["word"] == "not measured"
    assert "was not measured in this run" in read(page.render(record, samples={}))[1]


def test_all_parts_are_there() -> None:
    _, words = read(page.render(sample.record(), samples=sample.samples()))
    for part in (
        "Which disease does this wheat leaf show?", "Whether a field is sprayed", "Crop advice, North",
        "What was observed", "What is inferred", "detectable difference", "Photographs come from phones",
        "champion: logistic regression", "80.1\u00a0%", "n = 240, 3 seeds", "required, 90.0\u00a0%",
        "The most confident mistakes", "field_000.png", "Leaves yellowing", "Akteur", "powdery mildew",
        "confidence that was stated", "share of the labels used", "camera = phone",
        "12.7\u00a0s", "14.3\u00a0TFLOP",
        "310\u00a0J", "Licence chain", "Apache-2.0", "ImageNet-1k", "the file is cut off", "copy it again",
        "guessed from the folder names", "robustness to blur", "no later rows were given",
        "no meter was readable",
        "headstart replay 20261121-101500-3fa2", 'uri = "timm:resnet18.a1_in1k"', "9b1c44e07d52",
        "A kind that nobody has drawn yet", "bootstrap over seeds",
    ):  # fmt: skip
        assert part in words, part


def test_observed_and_inferred_are_kept_apart() -> None:
    record = sample.record()
    observed = {line["name"] for line in page.listed(record, "observed")}
    inferred = {line["name"] for line in page.listed(record, "inferred")}
    assert "transfer gain" in observed
    assert "detectable difference" in inferred
    assert not observed & inferred


def test_hostile_texts_stay_texts() -> None:
    record, samples = sample.hostile()
    html = page.render(record, samples=samples)
    assert "<script" not in html.lower()
    assert "<b>.png" not in html
    assert html.count("</style>") == 1
    tree, words = read(html)
    assert sample.EVIL in words
    assert "{{ 7 * 7 }}" in words
    assert not [name for name, _ in tree.elements if name == "img"]


def test_only_inline_png_pass() -> None:
    good = png(1, 2, 3)
    record = sample.record()
    for bad in (
        "data:image/svg+xml;base64,AA==",
        "https://a.b/c.png",
        good + '"',
        good + "\n",
        " " + good,
        "data:image/png;base64,",
    ):
        assert "<img" not in page.render(record, samples={0: {"kind": "picture", "data": bad}})
    assert f'src="{good}"' in page.render(record, samples={0: {"kind": "picture", "data": good}})


def test_a_sound_plays_under_its_picture_and_only_inline() -> None:
    wav = "data:audio/wav;base64,UklGRg=="
    record = sample.record()
    shown = {"kind": "sound", "picture": png(1, 2, 3), "sound": wav}
    html = page.render(record, samples={0: shown})
    assert html.count("<audio") == 1
    assert f'src="{wav}"' in html
    assert f'src="{png(1, 2, 3)}"' in html
    assert "media-src data:" in html
    read(html)
    for bad in ("https://a.b/c.wav", "data:audio/mpeg;base64,AA==", wav + '"', wav + "\n", ""):
        html = page.render(record, samples={0: {**shown, "sound": bad}})
        assert "<audio" not in html
        assert bad not in html or not bad
    html = page.render(record, samples={0: {**shown, "picture": "https://a.b/c.png"}})
    assert "<audio" in html and "<img" not in html


def test_many_classes_are_shown_as_pairs() -> None:
    html = page.render(sample.crowded(), samples={})
    assert "Predicted as" in html
    assert 'class="heat' not in html


@pytest.mark.parametrize("kind", [*exhibits.KINDS, "hologram"])
@pytest.mark.parametrize(
    "data", [{}, {"x": None, "rows": 3, "labels": [1]}, {"counts": [[]], "labels": []}]
)
def test_broken_exhibits_never_break_the_page(kind: str, data: dict[str, Any]) -> None:
    finding = Finding("odd", (), (Exhibit("odd", kind, "An odd one", data),))
    record = dataclasses.replace(sample.record(), findings=(finding,))
    read(page.render(record, samples={}))


def test_a_curve_of_many_points_and_of_none() -> None:
    assert "no points" in charts.curve({"x": [], "y": []})
    drawn = charts.curve({"x": list(range(300)), "y": [i * 1.7 for i in range(300)]})
    assert drawn.count('class="point"') <= 300


def test_ticks_are_round_and_inside() -> None:
    assert charts.ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert charts.ticks(3.0, 3.0) == [3.0]
    for low, high in ((-7.3, 11.9), (0.52, 0.97), (1e-9, 3e-9), (0, 1e12)):
        found = charts.ticks(low, high)
        assert 2 <= len(found) <= 7
        assert all(low - 1e-6 * abs(low) <= t <= high * (1 + 1e-9) for t in found)


def test_set_aside_rows_are_counted_when_there_are_many() -> None:
    rows = tuple(
        {"name": f"{i}.png", "reason": "broken", "remedy": "copy"}
        for i in range(facts.MOST_ROWS + 7)
    )
    _, words = read(page.render(dataclasses.replace(sample.record(), set_aside=rows), samples={}))
    assert "Set aside (47 rows)" in words
    assert "and 7 more" in words


def test_steps_are_counted_in_whole_numbers() -> None:
    for steps in (9, 12, 24, 96):
        found = charts.ticks(1 - 0.06 * steps, 1.06 * steps, whole=True)
        assert 2 <= len(found) <= 7 and all(t == int(t) for t in found), found
    steps = list(range(1, 13))
    drawn = str(charts.curve({"x": steps, "y": [0.5 * k for k in steps], "beside": [1.0] * 12}))
    below = drawn.partition("xticks")[2]
    assert ">5<" in below and "2.50" not in below


def test_overlapping_windows_are_told_with_their_stretches() -> None:
    assert text.sized(90, "mean; interval over 3 stretches of overlapping windows") == (
        "90 in 3 stretches"
    )
    assert text.sized(90, "interval over 2 seeds and 40 groups of test rows") == "90 in 40 groups"
    assert text.sized(90, "interval over 90 groups of test rows") == "90"
    assert text.sized(90, "one seed; Wilson interval over test rows") == "90"


def test_a_skill_is_a_number_without_a_unit() -> None:
    assert text.number(0.2671, "skill") == "0.267"
    assert text.interval(0.2, 0.31, "skill") == "0.200\N{EN DASH}0.310"


def test_a_forecast_asks_for_the_coming_steps() -> None:
    record = sample.record()
    task = dataclasses.replace(
        record.plan.task,
        data="/data/hours.csv",
        columns=Columns(target="load"),
        forecast=Ahead(24),
        card=TaskCard(),
    )
    plan = dataclasses.replace(record.plan, task=task)
    told = dataclasses.replace(record, plan=plan, classes=(), facts={"outcome": "forecast"})
    assert page.title(told) == "What are the next 24 steps of load in hours.csv?"
