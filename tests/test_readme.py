"""What is shown is run: every block of README.md, in its order, in one folder, on tiny data.

The first commands are started as a person starts them, the others in forks (`tests/forks.py`). A block is
skipped only where an HTML comment `<!-- not run: reason -->` stands right before it.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import forks

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"

# Commands of the checkout itself; continuous integration runs each of them on its own.
OWN = {
    "make demo": "takes minutes; tests/test_main_job.py does the same in small",
    "make test": "this is what is running",
    "make bench": "takes minutes",
    "make venv": "has been run already",
}
RUNNABLE = ("console", "python", "toml")
# Fences of these kinds show something that is no instruction.
SHOWN = ("text", "")

# What the README's commands speak of: name, modality, outcome, rows.
DATA = (
    ("photos", "image", "classify", 18),
    ("rows.csv", "table", "classify", 90),
    ("series.jsonl", "series", "classify", 36),
    ("hours.csv", "series", "forecast", 20),
)
TEXTS = {"weather": ("rain", "snow", "wind"), "food": ("soup", "bread", "rice")}

_FENCE = re.compile(r"^```(?P<kind>[\w-]*)[^\n]*\n(?P<body>.*?)^```\s*$", re.M | re.S)
_REASON = re.compile(r"<!--\s*not run:\s*(?P<reason>.+?)\s*-->\s*\Z", re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block: kind, content, line in the file, and why it is not run, or ""."""

    kind: str
    body: str
    line: int
    reason: str


def blocks(text: str) -> list[Block]:
    """All fenced blocks of a Markdown text."""
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        reason = _REASON.search(before)
        found.append(
            Block(
                match["kind"],
                match["body"],
                before.count("\n") + 1,
                reason["reason"] if reason else "",
            )
        )
    return found


def commands(block: Block) -> list[str]:
    """The lines of a console block that a person types, without prompt and trailing remark."""
    typed = [line[2:] for line in block.body.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+#.*$", "", line).strip() for line in typed]


BLOCKS = blocks(README.read_text("utf-8")) if README.exists() else []
STARTED = next((b for b in BLOCKS if commands(b) and not set(commands(b)) & set(OWN)), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all blocks, with photos/, texts.csv and rows.csv and a picture to predict."""
    home = tmp_path_factory.mktemp("readme")
    for name, modality, outcome, rows in DATA:
        tiny = importlib.import_module(f"headstart.modalities.{modality}.tiny")
        made = Path(tiny.write(home / f".{name}", outcome, rows, 0))
        shutil.move(made, home / name)
    lines = [
        f"{word} {n},{label}" for label, words in TEXTS.items() for word in words for n in range(3)
    ]
    (home / "texts.csv").write_text("\n".join(["text,label", *lines]), "utf-8")
    pictures = sorted(p for p in (home / "photos").rglob("*") if p.is_file())
    shutil.copy(pictures[0], home / f"new{pictures[0].suffix}")
    return home


def environment(home: Path) -> dict[str, str]:
    """The person's shell: the commands on PATH, caches of its own, a terminal that nobody watches."""
    scripts = str(Path(sys.executable).parent)
    return os.environ | {
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
        "PYTHONPATH": str(ROOT),
        "HEADSTART_CACHE": str(home / ".cache"),
        "COLUMNS": "100",
    }


def start(command: str, home: Path) -> None:
    """One line, typed into a shell."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=forks.TIMEOUT,
        check=False,
        executable=shutil.which("bash"),
    )
    assert done.returncode == 0, (
        f"{command}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
    )


def run(command: str, home: Path) -> None:
    """One line without anything of a shell in it but quotes."""
    name, *arguments = shlex.split(command)
    assert name == "headstart" and not set("|<>&;$`*") & set(command), command
    _end(forks.run(forks.command, arguments, home, environment(home)), command)


def run_code(body: str, home: Path) -> None:
    """Python, as a person would paste it."""
    _end(forks.run(forks.code, body, home, environment(home)), body)


def _end(done: forks.Done, asked: str) -> None:
    assert done.code == 0, f"{asked}\nexit code {done.code}\n{done.output}"


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: f"line-{b.line}-{b.kind}")
def test_block(block: Block, folder: Path):
    if block.reason:
        pytest.skip(block.reason)
    if block.kind == "toml":
        check_toml(block)
    elif block.kind == "python":
        run_code(block.body, folder)
    elif block.kind == "console":
        typed = commands(block)
        assert typed, "a console block without a line that begins with '$ '"
        for command in typed:
            if command not in OWN:
                (start if block == STARTED else run)(command, folder)
    else:
        assert block.kind in SHOWN, f"nothing tests a block of kind '{block.kind}'"


def check_toml(block: Block) -> None:
    """A TOML block is a plan: every key and type in it is known."""
    from headstart.core.plan import Plan, build

    build(Plan, tomllib.loads(block.body))


def test_blocks_are_found_with_their_reasons():
    text = "a\n```console\n$ one  # why\nout\n$ two\n```\n\n<!-- not run: no network -->\n```python\nx\n```\n"
    first, second = blocks(text)
    assert (first.kind, first.line, first.reason) == ("console", 2, "")
    assert commands(first) == ["one", "two"]
    assert (second.kind, second.reason) == ("python", "no network")


def test_the_readme_has_blocks():
    if not README.exists():
        pytest.skip("there is no README.md yet")
    assert any(block.kind in RUNNABLE for block in BLOCKS)
