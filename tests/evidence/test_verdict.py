"""The verdict: found where planted, absent where clean, and honest about what it could not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.planted_worlds import World, report, tally
from headstart.core.evidence import Arm, Case
from headstart.errors import ContractError
from headstart.evidence import verdict
from tests.evidence import cases


def word(case: Case) -> str:
    return verdict.verdict_of(verdict.check(case))


def test_a_planted_gain_is_found_with_its_sign() -> None:
    assert word(cases.classify(accuracies={"transfer": 0.9, "scratch": 0.6})) == "helped"
    assert word(cases.classify(accuracies={"transfer": 0.6, "champion": 0.9})) == "harmed"


def test_where_the_network_from_scratch_wins_another_source_is_the_next_step() -> None:
    def sentence(**accuracies: float) -> str:
        (exhibit,) = verdict.check(cases.classify(accuracies=accuracies)).exhibits
        return str(exhibit.data["sentence"])

    told = sentence(transfer=0.6, scratch=0.9)
    assert "headstart sources" in told and "--strategy from_scratch" in told
    assert "headstart sources" not in sentence(transfer=0.6, champion=0.9), "--champion is told"
    assert "headstart sources" not in sentence(transfer=0.9, scratch=0.6)


def test_a_clean_case_gives_no_evidence_and_says_what_could_be_seen() -> None:
    found = verdict.check(cases.classify(accuracies={"transfer": 0.8, "scratch": 0.8}))
    (exhibit,) = found.exhibits
    detectable = cases.measure(found, "detectable difference")
    assert verdict.verdict_of(found) == "no evidence"
    assert f"{detectable.value:.1f} points" in exhibit.data["sentence"]
    assert 2 < detectable.value < 20


def test_numbers_get_a_verdict_too() -> None:
    found = verdict.check(cases.regress(noise={"transfer": 0.4, "scratch": 0.8}))
    gain = cases.measure(found, "transfer gain")
    assert verdict.verdict_of(found) == "helped"
    assert gain.unit == "R2"
    assert gain.value == pytest.approx(0.64 - 0.16, abs=0.15)
    assert word(cases.regress(noise={"transfer": 0.6, "scratch": 0.6})) == "no evidence"


def test_a_simple_model_that_scores_higher_is_named_whatever_the_baseline() -> None:
    case = cases.classify(accuracies={"transfer": 0.7, "scratch": 0.6, "champion": 0.85})
    arms = dict(case.arms)
    arms["scratch"] = replace(
        arms["scratch"], validation=np.ones(3)
    )  # chosen, though it is the worst
    (exhibit,) = verdict.check(replace(case, arms=arms)).exhibits
    assert exhibit.data["verdict"] == "helped"
    assert exhibit.data["better"] == "champion"
    assert "On these rows 'champion' scored higher, by 1" in exhibit.data["sentence"]
    chosen = verdict.check(case).exhibits[0].data  # then the figures are said already
    assert chosen["sentence"].count("95 % interval") == 1
    assert "On these rows 'champion' scored higher." in chosen["sentence"]


def test_no_simple_model_is_named_where_none_scores_higher() -> None:
    for others in ({"scratch": 0.6, "champion": 0.6}, {"scratch": 0.95}):
        case = cases.classify(accuracies={"transfer": 0.8, **others})
        (exhibit,) = verdict.check(case).exhibits
        assert exhibit.data["better"] == ""
        assert "scored higher" not in exhibit.data["sentence"]


def test_the_baseline_is_chosen_on_validation_and_never_on_test() -> None:
    case = cases.classify(accuracies={"transfer": 0.85, "scratch": 0.8, "champion": 0.55})
    arms = dict(case.arms)
    arms["scratch"] = replace(arms["scratch"], validation=np.array([0.5, 0.5, 0.5]))
    arms["champion"] = replace(arms["champion"], validation=np.array([0.4, 0.6, 0.7]))
    found = verdict.check(replace(case, arms=arms))
    assert cases.measure(found, "transfer gain").baseline == "champion"
    assert "chosen on validation" in cases.measure(found, "transfer gain").method
    other = cases.measure(found, "gain over another arm (no claim is drawn)")
    assert other.baseline == "scratch"


def test_every_arm_has_its_score_the_transfer_first() -> None:
    case = cases.classify(accuracies={"scratch": 0.7, "transfer": 0.9, "champion": 0.8})
    scores = [m for m in verdict.check(case).measures if m.group]
    assert [m.group for m in scores] == ["transfer", "scratch", "champion"]
    assert all(
        m.low is not None and m.high is not None and m.low < m.value < m.high for m in scores
    )


def test_identical_arms_never_give_a_width_of_zero() -> None:
    case = cases.classify(rows=50, accuracies={"transfer": 0.8})
    arms = {
        "transfer": case.arms["transfer"],
        "scratch": replace(case.arms["transfer"], name="scratch"),
    }
    gain = cases.measure(verdict.check(replace(case, arms=arms)), "transfer gain")
    assert gain.low is not None and gain.high is not None
    assert gain.value == 0
    assert gain.low < -1 and gain.high > 1


def test_a_single_seed_is_said() -> None:
    found = verdict.check(cases.classify(seeds=1))
    assert "not measured and not covered" in cases.measure(found, "transfer gain").method
    assert "trained once" in found.exhibits[0].data["sentence"]


def test_of_an_arm_that_draws_nothing_one_training_tells_all() -> None:
    case = cases.classify(seeds=1)
    arms = {role: replace(arm, chance=False) for role, arm in case.arms.items()}
    found = verdict.check(replace(case, arms=arms))
    method = cases.measure(found, "transfer gain").method
    assert "'transfer' draws nothing at random" in method
    assert "not covered" not in method
    assert "luck of training" not in found.exhibits[0].data["sentence"]
    (own,) = [m for m in found.measures if m.group == "transfer"]
    assert own.method == "nothing drawn at random; Wilson interval over test rows"


def test_the_note_of_the_baseline_limits_the_sentence() -> None:
    case = cases.classify(accuracies={"transfer": 0.9, "scratch": 0.6})
    note = "was still improving when its budget ended"
    arms = {**case.arms, "scratch": replace(case.arms["scratch"], note=note)}
    (exhibit,) = verdict.check(replace(case, arms=arms)).exhibits
    assert exhibit.data["within_budget"] == note
    assert f"within this budget: 'scratch' {note}." in exhibit.data["sentence"]


def test_a_source_without_pretraining_is_called_so() -> None:
    case = cases.classify()
    said = [
        verdict.check(replace(case, facts={**case.facts, "pretrained": known})).exhibits[0].data
        for known in (True, False)
    ]
    assert "pretrained" not in said[0]["sentence"]
    assert "Nothing in this source is pretrained" in said[1]["sentence"]


def test_without_a_baseline_nothing_is_claimed() -> None:
    found = verdict.check(cases.classify(accuracies={"transfer": 0.9}))
    assert verdict.verdict_of(found) == "not measured"
    assert found.missing == (("transfer gain", "no baseline was trained"),)


def test_compute_is_compared_where_it_was_counted() -> None:
    case = cases.classify()
    arms = {**case.arms, "scratch": replace(case.arms["scratch"], flops=4e9)}
    assert (
        cases.measure(verdict.check(replace(case, arms=arms)), "training compute ratio").value
        == 4.0
    )
    arms["scratch"] = replace(arms["scratch"], flops=float("nan"))
    missing = dict(verdict.check(replace(case, arms=arms)).missing)
    assert "training compute ratio" in missing


def test_shapes_that_do_not_fit_are_refused() -> None:
    case = cases.classify()
    wrong = Arm("transfer", np.ones((3, 7, 3)) / 3, np.ones(3))
    with pytest.raises(ContractError, match=r"shape \(3, 7, 3\)"):
        verdict.check(replace(case, arms={**case.arms, "transfer": wrong}))


@pytest.mark.parametrize("arms", [2, 3])
@pytest.mark.parametrize("rows", [50, 200, 1000])
def test_worlds_without_effect_rarely_give_a_claim(arms: int, rows: int) -> None:
    found = tally(World(arms, rows, 0, seeds=3, seed_sd=1.0), 400, seed=11)
    assert found.false_claims <= 32
    assert 0.92 <= found.covered / found.draws <= 0.99


@pytest.mark.parametrize("effect", [10, -10])
def test_worlds_with_an_effect_are_told_with_the_right_sign(effect: int) -> None:
    found = tally(World(3, 200, effect, seeds=3, seed_sd=1.0), 200, seed=12)
    assert found.claims > 0.8 * found.draws
    assert found.wrong_sign == 0
    assert found.covered >= 0.9 * found.draws


def test_the_worlds_notice_an_interval_that_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.evidence import _paired

    honest = _paired.difference

    def narrow(*args: np.ndarray, **settings: object) -> _paired.Spread:
        found = honest(*args, **settings)  # type: ignore[arg-type]
        return replace(found, error=found.row_error / 2)

    monkeypatch.setattr(_paired, "difference", narrow)
    lines = report([tally(World(2, 200, 0, seeds=3, seed_sd=2.0), 200, seed=13)])
    assert any(line.startswith("BROKEN false claims") for line in lines)
    assert any(line.startswith("BROKEN coverage") for line in lines)
