"""Variations by name, of every kind of data: what is offered, that each is seeded, and what it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.core import plugins
from headstart.core.augment import Policy
from headstart.modalities.audio import variations as sounds
from headstart.modalities.graph import augment as graphs
from headstart.modalities.image import augment as pictures
from headstart.modalities.series import _augment as series
from headstart.modalities.table import augment as tables
from headstart.modalities.text import augment as texts
from testing import modality as suite

KINDS = plugins.names("modality")
ASKED = {
    "image": {"rotation", "scaling", "colour_jitter"},
    "text": {"word_dropout", "word_swap"},
    "audio": {"time_mask", "gain", "pitch", "shift"},
    "series": {"jitter", "scaling", "time_warp"},
    "table": {"feature_noise", "corruption"},
    "graph": {"node_dropping", "edge_dropping"},
}
NEVER_BY_ITSELF = {
    "image": {"flip", "vertical_flip", "invert"},
    "text": set[str](),
    "audio": {"reverse"},
    "series": {"sign_flip", "reverse", "permutation"},
    "table": set[str](),
    "graph": {"edge_moving"},
}


def alone(name: str, size: float = 1.0) -> Policy:
    return Policy(((name, size),))


def rng(*parts: int) -> np.random.Generator:
    return np.random.default_rng([9, *parts])


def differ(first: Any, second: Any) -> bool:
    return not suite._same(first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_offered_and_what_auto_may_draw(kind: str) -> None:
    offered = plugins.Modality(kind).batch.VARIATIONS
    assert ASKED[kind] <= set(offered)
    assert all(one.what for one in offered.values())
    by_name = {name for name, one in offered.items() if not one.automatic}
    assert NEVER_BY_ITSELF[kind] <= by_name


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_seeded_changes_rows_and_is_no_part_of_what_is_sealed(kind: str) -> None:
    transform, data = suite._transform(kind)
    some = suite.samples(data, 10)
    plain = [transform(s) for s in some]
    for name in transform.variations:
        varied = transform.varied(alone(name, 1.5))
        assert varied.digest == transform.digest
        assert json.dumps(varied.state()) == json.dumps(transform.state())
        first = [varied(s, rng(i)) for i, s in enumerate(some)]
        second = [varied(s, rng(i)) for i, s in enumerate(some)]
        other = [varied(s, rng(i, 1)) for i, s in enumerate(some)]
        assert not any(map(differ, first, second)), name
        assert any(map(differ, first, plain)), name
        assert any(map(differ, first, other)), name
        assert not any(map(differ, [varied(s) for s in some], plain)), name
        batch, before = transform.collate(first), transform.collate(plain)
        assert {n: t.dtype for n, t in batch.items()} == {n: t.dtype for n, t in before.items()}
        if kind != "graph":
            assert all(
                np.isfinite(t.numpy()).all() for t in batch.values() if t.is_floating_point()
            )
    assert not any(map(differ, [transform(s) for s in some], plain))


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_largest_magnitude_nothing_breaks(kind: str) -> None:
    transform, data = suite._transform(kind)
    for name in transform.variations:
        varied = transform.varied(alone(name, 20.0))
        made = transform.collate([varied(s, rng(i)) for i, s in enumerate(suite.samples(data, 4))])
        for tensor in made.values():
            assert np.isfinite(tensor.numpy().astype(float)).all(), name


def picture() -> Image.Image:
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[4:8, 6:20] = (250, 120, 10)
    pixels[12:20, 10:14] = (30, 200, 90)
    return Image.fromarray(pixels)


def test_pictures_turn_and_mirror_as_they_say() -> None:
    whole = np.asarray(picture())
    upside = pictures.KINDS["vertical_flip"](picture(), 2.0, rng())
    np.testing.assert_array_equal(np.asarray(upside), whole[::-1])
    mirrored = pictures.KINDS["flip"](picture(), 2.0, rng())
    np.testing.assert_array_equal(np.asarray(mirrored), whole[:, ::-1])
    negative = pictures.KINDS["invert"](picture(), 2.0, rng())
    np.testing.assert_array_equal(np.asarray(negative), 255 - whole)
    half = Policy((("flip", 1.0),))
    turned = [pictures.applied(picture(), half, rng(i)) for i in range(100)]
    changed = sum(bool((np.asarray(t) != whole).any()) for t in turned)
    assert 30 < changed < 70
    for change in pictures.KINDS.values():
        assert change(picture(), 1.0, rng()).size == picture().size


def test_a_weaker_magnitude_changes_pictures_less() -> None:
    whole = np.asarray(picture()).astype(float)

    def far(name: str, size: float) -> float:
        made = [np.asarray(pictures.KINDS[name](picture(), size, rng(i))) for i in range(20)]
        return float(np.mean([np.abs(m - whole).mean() for m in made]))

    for name in (
        "rotation",
        "scaling",
        "shift",
        "shear",
        "colour_jitter",
        "noise",
        "erase",
    ):
        assert 0 < far(name, 0.2) < far(name, 1.0), name


def test_words_stay_where_labels_are() -> None:
    words = [f"word{i}" for i in range(60)]
    for name in texts.IN_PLACE:
        made = texts.applied(words, alone(name), rng(), blank="?")
        assert len(made) == len(words) and made != words
    kept = texts.applied(words, alone("word_dropout"), rng(), blank="?")
    assert 0 < len(kept) < len(words) and [w for w in words if w in kept] == kept
    swapped = texts.applied(words, alone("word_swap"), rng(), blank="?")
    assert sorted(swapped) == sorted(words) and swapped != words
    assert texts.applied(["no", "words"], alone("word_dropout", 9.0), rng(), blank="?") == [
        "no",
        "words",
    ]
    assert not texts.hidden(50, Policy(()), rng()).any()
    assert 0 < texts.hidden(500, alone("word_mask"), rng()).sum() < 100


def test_texts_with_labels_or_answers_offer_what_leaves_places_alone() -> None:
    modality = plugins.Modality("text")
    for outcome, offered in (("label_each", {"word_mask", "typos"}), ("answer", {"word_mask"})):
        data = suite.dataset("text", outcome)
        rows = suite.samples(data)
        sealed = modality.tiny.loaded(0).source.preprocessing
        transform = modality.batch.make(sealed, data.fields, rows)
        assert set(transform.variations) == offered
        varied = transform.varied(Policy(tuple((n, 3.0) for n in offered)))
        plain, made = transform(rows[0]), varied(rows[0], rng(3))
        assert (made["starts"] > 0).sum() == (plain["starts"] > 0).sum()
        assert differ(plain, made)


def test_a_pitch_moves_and_the_length_stays() -> None:
    rate, low = 8000, 440.0
    tone = np.sin(2 * np.pi * low * np.arange(rate) / rate).astype(np.float32)

    def peak(sound: np.ndarray) -> float:
        return float(
            np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * rate / len(sound)
        )

    assert peak(tone) == pytest.approx(low, abs=2)
    found = []
    for i in range(8):
        made = sounds.WAVES["pitch"](tone, 1.0, rng(i))
        assert made.shape == tone.shape and made.dtype == np.float32
        found.append(peak(made))
    ratio = 2 ** (2 / 12)
    assert all(low / ratio - 20 <= f <= low * ratio + 20 for f in found)
    assert max(found) - min(found) > 20
    long = sounds.stretched(tone, 12_000)
    assert len(long) == 12_000 and peak(long) == pytest.approx(low, abs=8)
    assert np.abs(long[2000:10_000]).max() == pytest.approx(1.0, abs=0.15)


def test_stripes_lie_where_there_is_sound() -> None:
    cells = np.ones((16, 40))
    made = sounds.spectrogram(cells, (("time_mask", 8.0),), rng(), blank=0.0, real=20)
    assert (made[:, 20:] == 1).all() and (made == 0).any() and (cells == 1).all()
    band = sounds.spectrogram(cells, (("frequency_mask", 8.0),), rng(), blank=0.0, real=20)
    assert {tuple(row) for row in band} <= {(0.0,) * 40, (1.0,) * 40} and (band == 0).any()
    assert "frequency_mask" not in sounds.OF_WAVES


def test_series_keep_their_gaps_and_length() -> None:
    values = np.column_stack([np.sin(np.arange(50.0)), np.arange(50.0), np.eye(50)[7]])
    for name in series.KINDS:
        made = series.applied(values, 2, alone(name), rng(1))
        assert made.shape == values.shape
        if name in series.OF_VALUES:
            np.testing.assert_array_equal(made[:, 2], values[:, 2])
    back = series.applied(values, 2, alone("reverse", 2.0), rng())
    np.testing.assert_array_equal(back, values[::-1])
    pieces = series.applied(values, 2, alone("permutation"), rng(2))
    assert sorted(pieces[:, 1]) == sorted(values[:, 1])


def test_corrupted_levels_are_one_of_the_levels() -> None:
    changed = set()
    for i in range(60):
        number, level = np.full(1, 7.0), np.array([1.0, 0.0, 0.0, 0.0, 0.0])  # three levels
        tables.vary([tables.Part(number), tables.Part(level, 3)], alone("corruption", 5.0), rng(i))
        assert level.sum() == 1.0 and level[3:].sum() == 0.0
        changed |= {("level", int(level.argmax())), ("number", number[0] == 7.0)}
    assert changed == {("level", k) for k in range(3)} | {("number", True), ("number", False)}


def test_a_missing_number_is_not_made_a_value_but_by_one_drawn_anew() -> None:
    for name in ("feature_noise", "feature_scaling"):
        gone, there = np.array([0.0, 1.0]), np.array([0.5, 0.0])
        parts = [tables.Part(gone, missing=True, flagged=True), tables.Part(there, flagged=True)]
        tables.vary(parts, alone(name), rng())
        assert gone.tolist() == [0.0, 1.0] and there[0] != 0.5 and there[1] == 0.0
    gone = np.array([0.0, 1.0])
    tables.vary([tables.Part(gone, missing=True, flagged=True)], alone("corruption", 9.0), rng())
    assert gone[0] != 0.0 and gone[1] == 0.0


def test_rows_of_a_table_are_varied_where_they_have_numbers() -> None:
    column = {"name": "x", "center": 0.0, "scale": 1.0, "gaps": True}
    batch = plugins.Modality("table").batch
    transform = batch.restore({"columns": [column], "bandwidth": 1.0})
    for varied in (transform, transform.varied(alone("feature_noise"))):
        drawn = np.stack([varied({"x": None}, rng(i))["row"] for i in range(20)])
        assert set(drawn[:, 0].tolist()) == {0.0}, "no noise on what is not there"
        drawn = np.stack([varied({"x": 1.0}, rng(i))["row"] for i in range(20)])
        assert len(set(drawn[:, 0].tolist())) == 20


def test_marked_nodes_stay_and_edges_go_both_ways() -> None:
    nodes = np.arange(60.0, dtype=np.float32).reshape(30, 2) + 1
    ring = np.stack([np.arange(30), (np.arange(30) + 1) % 30], axis=1)
    edges = np.concatenate([ring, ring[:, ::-1]])
    for name in graphs.VARIATIONS:
        parts = graphs.Parts(nodes.copy(), edges, np.arange(60)[:, None])
        made = graphs.applied(parts, alone(name, 3.0), rng(4), marks=2, blank=0)
        np.testing.assert_array_equal(made.nodes[:2], nodes[:2])
        pairs = {tuple(e) for e in made.edges.tolist()}
        assert {(b, a) for a, b in pairs} == pairs and len(made.edges) == len(made.bonds)
        assert made.edges.max() < len(made.nodes)
        changed = len(made.nodes) != 30 or len(pairs) != 60 or (made.nodes != nodes).any()
        assert changed or {tuple(e) for e in edges.tolist()} != pairs, name


def test_the_page_lists_what_is_offered() -> None:
    page = (Path(__file__).parents[2] / "docs" / "augmentation.md").read_text("utf-8")
    told = page.partition("<!-- names -->")[2].partition("<!-- end -->")[0].strip().splitlines()[2:]
    wanted = [
        f"| {kind} | `{name}` | {one.what} | {'yes' if one.automatic else 'no'} |"
        for kind in KINDS
        for name, one in plugins.Modality(kind).batch.VARIATIONS.items()
    ]
    assert sorted(told) == sorted(wanted)
