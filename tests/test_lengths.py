"""Few rows get steps enough: defaults of epochs and patience grow, named ones stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headstart import job, select
from headstart.core import plugins
from headstart.core.plan import Plan, SourceChoice
from headstart.core.task import Task
from headstart.lengths import STEPS, lengthened
from headstart.strategies import bss, contrastive, fine_tune, from_scratch, l2_sp


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
    a_pass = -(-(rows - 1) // batch)  # a last row by itself joins the step before
    epochs, patience = epochs_of(lengthened(plain, rows, batch))
    before, waited = epochs_of(plain)
    least = max(STEPS, before * a_pass)
    assert least <= epochs * a_pass < least + a_pass
    share = max(waited, min(waited / before * epochs, epochs / 4))
    assert patience == pytest.approx(share, abs=1)


def test_what_may_be_spent_bounds_them():
    plain = fine_tune.Strategy(fine_tune.Settings())
    own, _ = epochs_of(plain)
    assert epochs_of(lengthened(plain, 10, 32, most=50)) == (50, 10)
    assert lengthened(plain, 10, 32, most=own - 1) is plain


def test_steps_of_whole_batches_are_counted_as_they_are():
    """The rest of a pass is no step of a strategy that compares the rows of a batch."""
    epochs, _ = epochs_of(lengthened(bss.Strategy(bss.Settings()), 45, 32))
    assert epochs * (45 // 32) >= STEPS


def test_auto_leaves_no_candidate_out_for_its_steps(tmp_path, monkeypatch):
    """Each is lengthened by what all leave of the budget, and together they keep to it."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    photos = plugins.Modality("image").tiny.write(tmp_path / "photos", "classify", 30, 0)
    made = job.open_job(Plan(task=Task(data=str(photos)), source=SourceChoice("builtin:formula")))
    found = [one for _, one in select._affordable(made)]
    assert [one.settings.cut for one in found] == [settings.cut for settings in fine_tune.AUTO]
    for one, settings in zip(found, fine_tune.AUTO, strict=True):
        assert one.settings.epochs > settings.epochs
    assert sum(select._cost(made, one) for one in found) <= select.FREE_FLOPS


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
