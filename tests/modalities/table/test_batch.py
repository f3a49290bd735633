"""Encoding of rows: fitted on training rows, gaps marked, unseen levels counted, sealed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from headstart.core.dataset import Field
from headstart.errors import DataError
from headstart.modalities.table import batch

AGE, CITY = Field("age", "number"), Field("city", "category")
RNG = np.random.default_rng(0)
ROWS = [
    {"age": float(a), "city": c}
    for a, c in zip(RNG.normal(40, 10, 90), ["Oslo", "Lima", "Cairo"] * 30, strict=True)
]


def test_numbers_are_centred_scaled_and_bent() -> None:
    transform = batch.make({}, (AGE,), ROWS)
    rows = np.stack([transform(s)["row"] for s in ROWS])
    assert abs(np.median(rows)) < 1e-6
    assert 0.7 < rows.std() < 1.2
    assert abs(transform({"age": 1e9})["row"][0]) <= batch.CLIP


def test_an_outlier_moves_the_scale_little() -> None:
    plain = batch.make({}, (AGE,), ROWS)
    spoiled = batch.make({}, (AGE,), [*ROWS, {"age": 1e9}])
    sample = {"age": 45.0}
    assert abs(plain(sample)["row"][0] - spoiled(sample)["row"][0]) < 0.05


def test_gaps_get_the_middle_and_a_mark() -> None:
    transform = batch.make({}, (AGE,), [*ROWS, {"age": None}])
    assert transform.width == 2
    assert transform({"age": None})["row"].tolist() == [0.0, 1.0]
    assert transform({"age": 40.0})["row"][1] == 0.0


def test_a_gap_that_training_never_had_is_counted() -> None:
    transform = batch.make({}, (AGE,), ROWS)
    assert transform({"age": None})["row"].tolist() == [0.0]
    for seed in (0, 1):
        transform({"age": None}, np.random.default_rng(seed))
    assert transform.counts == {"missing": 1}, "each row once, augmented or not"


def test_levels_rare_unseen_and_missing() -> None:
    rows = [*ROWS, {"age": 1.0, "city": "Perth"}]
    transform = batch.make({}, (CITY,), rows)
    assert transform.width == 5  # three levels, other, missing
    assert transform({"city": "Perth"})["row"].tolist() == [0, 0, 0, 1, 0]
    assert transform.counts == {}
    assert transform({"city": "Rome"})["row"].tolist() == [0, 0, 0, 1, 0]
    assert transform({"city": None})["row"].tolist() == [0, 0, 0, 0, 1]
    assert transform.counts == {"unseen level in 'city'": 1, "missing": 1}


def test_many_levels_keep_the_frequent_ones() -> None:
    rows = [{"city": f"c{i}"} for i in range(80) for _ in range(2 + i // 40)]
    transform = batch.make({}, (CITY,), rows)
    assert transform.width == batch.MOST_LEVELS + 3  # how often, other, missing
    assert transform({"city": "c79"})["row"][-2] == 0
    often = [transform({"city": c})["row"][-3] for c in ("c79", "c0", "nowhere")]
    assert often == pytest.approx([1.0, np.log(3) / np.log(4), 0.0])
    again = batch.restore(json.loads(json.dumps(transform.state())))
    assert again({"city": "c0"})["row"].tolist() == transform({"city": "c0"})["row"].tolist()


def test_constants_of_an_earlier_version_are_read_as_they_were() -> None:
    """Packs keep their preprocessing for ever: these constants were sealed before there were dates."""
    number = {"name": "age", "center": 40.0, "scale": 10.0, "gaps": True}
    levels = {"name": "city", "levels": ["Lima", "Oslo"], "rare": ["Perth"]}
    transform = batch.restore({"columns": [number, levels], "bandwidth": 2.0})
    assert transform({"age": None, "city": "Perth"})["row"].tolist() == [0, 1, 0, 0, 1, 0]
    assert transform({"age": 40.0, "city": "Oslo"})["row"].tolist() == [0, 0, 0, 1, 0, 0]


def test_columns_that_say_nothing_are_left_out() -> None:
    rows = [{"age": 5.0, "city": s["city"]} for s in ROWS]
    assert batch.make({}, (AGE, CITY), rows).width == 5
    with pytest.raises(DataError, match="No column varies"):
        batch.make({}, (AGE,), rows)
    with pytest.raises(DataError, match="there are none"):
        batch.make({}, (AGE,), [])


def test_a_number_that_is_mostly_one_value_is_scaled_by_its_deviation() -> None:
    rows = [{"age": 0.0}] * 90 + [{"age": 1.0}] * 10
    transform = batch.make({}, (AGE,), rows)
    assert 1.0 < transform({"age": 1.0})["row"][0] < batch.CLIP


def test_constants_come_from_training_rows_alone() -> None:
    """A transform of other rows differs; one row more changes the digest."""
    first, second = batch.make({}, (AGE,), ROWS), batch.make({}, (AGE,), ROWS[:50])
    assert first.digest != second.digest
    assert first.fitted


def test_the_median_distance_is_that_of_the_encoded_rows() -> None:
    transform = batch.make({}, (AGE, CITY), ROWS)
    rows = np.stack([transform(s)["row"] for s in ROWS]).astype(float)
    pairs = np.linalg.norm(rows[:, None] - rows[None], axis=2)[np.triu_indices(len(rows), 1)]
    assert transform.bandwidth == pytest.approx(np.median(pairs), rel=1e-5)


def test_augmentation_moves_numbers_and_drops_columns() -> None:
    transform = batch.make({}, (AGE, CITY), ROWS)
    plain = transform(ROWS[0])["row"]
    rngs = (np.random.default_rng(i) for i in range(300))
    drawn = np.stack([transform(ROWS[0], rng)["row"] for rng in rngs])
    kept = drawn[:, 1:].any(1)
    assert 0.8 < kept.mean() < 0.97
    assert np.isin(drawn[:, 1:], (0.0, 1.0)).all(), "levels stay levels"
    moved = drawn[:, 0][drawn[:, 0] != 0] - plain[0]
    assert 0.07 < moved.std() < 0.13
