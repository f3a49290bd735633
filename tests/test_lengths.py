"""Few rows get steps enough: defaults of epochs and patience grow, named ones stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headstart.lengths import STEPS, lengthened
from headstart.strategies import contrastive, fine_tune, from_scratch, l2_sp


def epochs_of(strategy: object) -> tuple[int, int]:
    settings = strategy.settings  # type: ignore[attr-defined]
    return settings.epochs, settings.patience


@pytest.mark.parametrize(("rows", "batch"), [(8, 32), (33, 32), (100, 32), (150, 4)])
@pytest.mark.parametrize(
    "plain",
    [
        fine_tune.Strategy(fine_tune.Settings()),
        fine_tune.Strategy(fine_tune.AUTO[-1]),
        l2_sp.Strategy(l2_sp.Settings()),
        from_scratch.Strategy(from_scratch.Settings()),
    ],
)
def test_least_steps(plain, rows, batch):
    """No fewer than `STEPS` steps, hardly more, and patience for a quarter of them at most."""
    a_pass = -(-rows // batch)
    epochs, patience = epochs_of(lengthened(plain, rows, batch))
    before, waited = epochs_of(plain)
    least = max(STEPS, before * a_pass)
    assert least <= epochs * a_pass < least + a_pass
    share = max(waited, min(waited / before * epochs, epochs / 4))
    assert patience == pytest.approx(share, abs=1)


def test_many_rows_stay():
    """Where the defaults take steps enough, the very strategy comes back."""
    plain = fine_tune.Strategy(fine_tune.Settings())
    assert lengthened(plain, 10_000, 32) is plain


@pytest.mark.parametrize("named", ["epochs", "patience"])
def test_named_settings_stay(named):
    plain = fine_tune.Strategy(fine_tune.Settings())
    assert lengthened(plain, 10, 32, [named]) is plain
    assert lengthened(plain, 10, 32, ["rate"]) is not plain


def test_fixed_lengths_stay():
    """A training without early stopping has the length that its paper gave it."""
    for plain in (
        contrastive.Strategy(contrastive.Settings()),
        fine_tune.Strategy(replace(fine_tune.Settings(), patience=0)),
    ):
        assert lengthened(plain, 10, 32) is plain


def test_wrapped_settings_come_along():
    plain = fine_tune.Strategy(fine_tune.Settings())
    plain.common = replace(plain.common, label_smoothing=0.2)
    assert lengthened(plain, 10, 32).common.label_smoothing == 0.2
