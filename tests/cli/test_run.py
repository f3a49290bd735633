"""`run`: options over the plan file, what is printed where, one JSON document, narrow terminals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.cli import _options as options
from headstart.core.plan import Plan
from headstart.errors import PlanError
from tests.cli.conftest import Said
from tests.cli.fake import Api

Call = Callable[..., Said]
TOML = """
budget = "2 min"
seed = 5
[task]
data = "fields"
per_class = 20
[task.card]
question = "Which?"
[strategy]
name = "linear_probe"
[strategy.settings]
l2 = 0.5
"""


def asked(api: Api) -> Plan:
    """The plan that reached the api."""
    ((name, plan),) = [c for c in api.calls if c[0] in ("adapt", "dry_run")]
    assert name
    assert isinstance(plan, Plan)
    return plan


def test_augmentations_are_named_with_commas(call: Call, api: Api) -> None:
    said = call(
        *("run", "photos", "--augment", "rotation:0.5,mixup"),
        *("--set", "augmentation.magnitude=2"),
    )
    assert said.code == 0, said.err
    found = asked(api).augmentation
    assert (found.augment, found.magnitude, found.operations) == (("rotation:0.5", "mixup"), 2.0, 2)
    bad = call("run", "photos", "--set", "augmentation.operations=0")
    assert bad.code == 2 and "operations came as 0; expected 1 or more" in bad.err


def test_augmentations_may_be_named_again(call: Call, api: Api) -> None:
    call("run", "photos", "--augment", "rotation", "--augment", "scaling,mixup")
    assert asked(api).augmentation.augment == ("rotation", "scaling", "mixup")
    empty = call("run", "photos", "--augment", "")
    assert empty.code == 2 and "--augment came without a name" in empty.err


def test_options_become_a_plan(call: Call, api: Api) -> None:
    line = """
        run d.csv --source timm:x --strategy linear_probe --set l2=0.01 --set engine.batch=64
        --outcome classify --target y --input a --input b --group g --time t --per-class 10
        --modality table --profile fast --seed 3 --seeds 5 --store memory --output out --offline
        --question Q? --decision D --required 0.9 --owner O --tolerate 0.1 --test-share 0.3
        --split part --leave-out val,later
    """
    said = call(*line.split(), "--budget", "5 min")
    assert said.code == 0, said.err
    plan = asked(api)
    task, columns, card = plan.task, plan.task.columns, plan.task.card
    assert (columns.split, columns.leave_out) == ("part", ("val", "later"))
    assert (plan.source.uri, plan.source.offline) == ("timm:x", True)
    assert (plan.strategy.name, plan.strategy.settings) == ("linear_probe", {"l2": 0.01})
    assert (plan.engine.batch, plan.engine.profile, plan.engine.store) == (64, "fast", "memory")
    assert (task.data, task.outcome, task.modality, task.per_class) == (
        "d.csv",
        "classify",
        "table",
        10,
    )
    assert (columns.target, columns.inputs, columns.group, columns.time) == (
        "y",
        ("a", "b"),
        "g",
        "t",
    )
    assert (card.question, card.decision, card.required, card.owner) == ("Q?", "D", 0.9, "O")
    assert (task.tolerate, task.test_share) == (0.1, 0.3)
    assert (plan.seed, plan.evidence.seeds, plan.budget, plan.output) == (3, 5, "5 min", "out")


def test_options_go_over_the_plan_file(call: Call, api: Api, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(TOML)
    assert call("run", str(path), "--seed", "9", "--set", "scale=true").code == 0
    plan = asked(api)
    assert (plan.seed, plan.budget, plan.task.data, plan.task.per_class) == (
        9,
        "2 min",
        "fields",
        20,
    )
    assert plan.strategy.settings == {"l2": 0.5, "scale": True}
    assert plan.task.card.question == "Which?"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--profile", "fsat"], "Did you mean 'fast'?"),
        (["--strategy", "linear_prob"], "Did you mean 'linear_probe'?"),
        (["--modality", "imgae"], "Did you mean 'image'?"),
        (["--outcome", "clasify"], "Did you mean 'classify'?"),
        (["--set", "l2"], "KEY=VALUE"),
        (["--set", "engin.batch=3"], "Did you mean 'engine'?"),
        (["--set", "engine.bach=3"], "Did you mean 'batch'?"),
        (["--set", "engine.batch=many"], "expected int"),
        (["--budget", "soon"], "'5 min'"),
        (["--test-share", "25"], "a share from 0"),
        (["--per-class", "-1"], "0 or more"),
        (["--seeds", "0"], "1 or more"),
    ],
)
def test_wrong_values_are_told_with_what_is_right(
    arguments: list[str], told: str, call: Call, api: Api
) -> None:
    said = call("run", "data", *arguments)
    assert said.code == 2
    assert told in said.err
    assert not api.calls


def test_a_plan_that_is_not_there_or_names_no_data(call: Call, tmp_path: Path) -> None:
    assert "There is no plan at" in call("run", "no.toml").err
    empty = tmp_path / "empty.toml"
    empty.write_text("seed = 1")
    said = call("run", str(empty))
    assert said.code == 2
    assert "names no data" in said.err


def test_settings_are_read_as_toml_or_text() -> None:
    assert options.setting("a=1") == ("strategy.settings.a", 1)
    assert options.setting("a = [1, 2]") == ("strategy.settings.a", [1, 2])
    assert options.setting("a=x=y z") == ("strategy.settings.a", "x=y z")
    with pytest.raises(PlanError):
        options.setting("=1")


@pytest.mark.parametrize("word", ["helped", "harmed", "no evidence"])
def test_what_a_person_reads(word: str, call: Call, api: Api, tmp_path: Path) -> None:
    api.word = word
    said = call("run", "data")
    assert said.code == 0
    assert f" {word}\n" in said.out
    for part in (
        "+5.1 to +11.7",
        "champion",
        "from scratch",
        "timm:resnet18.a1_in1k",
        "linear_probe",
        "12.7\u00a0s",
        "2\u00a0min\u00a021\u00a0s",
        str(tmp_path / "report.html"),
    ):
        assert part in said.out.replace("\n", ""), part
    assert "next: headstart predict 20261121-101500-3fa2 INPUT..." in said.out
    assert "features" not in said.out
    assert "guessed" in said.err


@pytest.mark.parametrize(
    "verbs",
    [
        ("run", "data"),
        ("runs",),
        ("doctor",),
        ("compare", "a", "b"),
        ("sources",),
        ("store", "list"),
    ],
)
@pytest.mark.parametrize("width", ["40", "50", "60", "80", "200"])
def test_nothing_is_wider_than_the_terminal_or_coloured(
    verbs: tuple[str, ...], width: str, call: Call, monkeypatch: pytest.MonkeyPatch, api: Api
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    api.folder = Path("runs/1")
    said = call(*verbs)
    assert said.code == 0
    assert "\x1b" not in said.out + said.err
    assert "\x07" not in said.out
    lines = [
        line for line in said.out.splitlines() if not line.startswith(("next:", "report:", "run:"))
    ]
    assert max(map(len, lines)) <= int(width)
    assert not [line for line in lines if line != line.rstrip()]


def test_json_is_one_document_and_progress_is_elsewhere(call: Call) -> None:
    said = call("run", "data", "--json")
    found = json.loads(said.out)
    assert found["verdict"] == "helped"
    assert found["measures"][0]["check"] == "verdict"
    assert {
        "id",
        "sentence",
        "folder",
        "report",
        "plan",
        "digests",
        "facts",
        "set_aside",
    } <= found.keys()
    assert "features" in said.err


def test_quiet_prints_the_verdict_line_only(call: Call) -> None:
    said = call("run", "data", "--quiet")
    assert said.err == ""
    assert len(said.out.splitlines()) == 1
    assert said.out.startswith("The transfer helped")


def test_dry_run_trains_nothing(call: Call, api: Api) -> None:
    said = call("run", "data", "--dry-run")
    assert "12.5\u00a0s" in said.out
    assert "2\u00a0MB" in said.out
    assert [name for name, _ in api.calls] == ["dry_run"]
    assert "read" in said.err and "960/960" in said.err, "reading may take long"
    assert (said.out + said.err).count("- n") == 1 and "\nn\n" not in said.err, "notes come once"
    assert not call("run", "data", "--dry-run", "--quiet").err
    assert json.loads(call("run", "data", "--dry-run", "--json").out)["rows"] == 960
