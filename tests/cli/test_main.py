"""Exit codes, help, names that are nearly right, and what a light command never imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.cli import _main
from headstart.version import __version__
from tests.cli import fake
from tests.cli.conftest import VERBS, Said

ROOT = Path(__file__).parents[2]
HEAVY = (
    *("torch", "transformers", "timm", "mlflow", "sklearn", "scipy"),
    *("pyarrow", "numpy", "PIL", "jinja2", "headstart.api"),
)
Call = Callable[..., Said]


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own, in the checkout."""
    import os

    plain = {
        k: v
        for k, v in os.environ.items()
        if k not in ("FORCE_COLOR", "HEADSTART_DEBUG", "COLUMNS")
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**plain, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("argument", ["--help", "--version", "nonsense", ""])
def test_light_commands_import_nothing_heavy(argument: str) -> None:
    code = (
        "import sys\nfrom headstart.cli import main\n"
        f"code = main([a for a in [{argument!r}] if a])\n"
        f"found = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "print('LOADED', found, code)"
    )
    done = python("-c", code)
    assert f"LOADED [] {2 if argument == 'nonsense' else 0}" in done.stdout, (
        done.stdout + done.stderr
    )


def test_help_lists_every_file_as_a_verb(call: Call) -> None:
    said = call("--help")
    assert said.code == 0
    names = {entry.name for entry in _main.verbs()}
    assert names == set(VERBS)
    for entry in _main.verbs():
        assert f" {entry.name} " in said.out
        assert entry.line
        assert entry.line.endswith(".")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("width", ["45", "80", "140"])
def test_each_verb_explains_itself_within_the_width(
    verb: str, width: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    said = call(verb, "--help")
    assert said.code == 0
    assert "Usage:" in said.out
    assert "\x1b" not in said.out
    assert max(len(line) for line in said.out.splitlines()) <= int(width)


def test_version(call: Call) -> None:
    assert call("--version") == Said(0, f"headstart {__version__}\n", "")


def test_unknown_verb_offers_the_nearest(call: Call) -> None:
    said = call("predit", "x")
    assert said.code == 2
    assert (
        "'predit' is no verb of headstart. Did you mean 'predict' or 'pretrain' or 'report'?"
        in said.err
    )
    assert said.out == ""


def test_data_in_the_place_of_a_verb(call: Call, tmp_path: Path) -> None:
    said = call(str(tmp_path))
    assert said.code == 2
    assert f"headstart run {tmp_path}" in said.err


def test_unknown_option_is_two(call: Call) -> None:
    said = call("run", ".", "--stratgy", "x")
    assert said.code == 2
    assert "--strategy" in said.err


@pytest.mark.parametrize(
    ("failure", "code", "told"),
    [
        ("user", 2, "There is no column 'x'. Did you mean 'y'?"),
        ("contract", 1, "FrozenDrift: The tensor 'a' changed."),
        ("bug", 1, "HEADSTART_DEBUG=1"),
        ("ctrl-c", 130, "the same command resumes there: headstart run 'my data' --seed 3"),
    ],
)
def test_endings(failure: str, code: int, told: str, call: Call, api: fake.Api) -> None:
    api.fails = fake.FAILURES[failure]
    said = call("run", "my data", "--seed", "3")
    assert said.code == code
    assert told in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_debug_shows_the_traceback(
    call: Call, api: fake.Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_DEBUG", "1")
    api.fails = fake.FAILURES["bug"]
    said = call("run", "data")
    assert said.code == 1
    assert "Traceback" in said.err
    assert "boom" in said.err


@pytest.mark.parametrize(
    ("failure", "code"), [("none", 0), ("user", 2), ("bug", 1), ("ctrl-c", 130)]
)
def test_exit_codes_of_the_process(failure: str, code: int, tmp_path: Path) -> None:
    done = python("-m", "tests.cli.fake", str(tmp_path), failure, "run", "data")
    assert done.returncode == code, done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_that_knows_ascii_only(tmp_path: Path) -> None:
    done = python(
        "-m", "tests.cli.fake", str(tmp_path), "none", "run", "data", PYTHONIOENCODING="ascii"
    )
    assert done.returncode == 0, done.stderr


def test_the_module_is_the_command() -> None:
    done = python("-m", "headstart", "--version")
    assert (done.returncode, done.stdout) == (0, f"headstart {__version__}\n")
