"""Light to import: what a person starts loads nothing that it does not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import VERBS

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    *("torch", "torchvision", "timm", "transformers", "tokenizers", "lightning_fabric", "mlflow"),
    *("sqlalchemy", "sklearn", "scipy", "pandas", "pyarrow", "onnx", "onnxruntime", "lmdb", "PIL"),
)

LOADED = """
import json, runpy, sys
sys.argv = ["headstart", *sys.argv[1:]]
code = 0
{}
print("\\n" + json.dumps([code, sorted({{name.split(".")[0] for name in sys.modules}})]))
"""
HELP = """
try:
    runpy.run_module("headstart", run_name="__main__")
except SystemExit as left:
    code = left.code or 0
"""


def loaded(body: str, *arguments: str) -> tuple[int, set[str], str]:
    """Exit code, top-level modules and output of a fresh interpreter."""
    command = [sys.executable, "-c", LOADED.format(body), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *output, last = done.stdout.strip().splitlines()
    code, names = json.loads(last)
    return code, set(names), "\n".join(output)


def test_import_is_light():
    _, names, _ = loaded("import headstart")
    assert "headstart" in names
    assert not names & set(HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_is_light(arguments: list[str]):
    pytest.importorskip("headstart.cli._main")
    code, names, output = loaded(HELP, *arguments)
    assert code == 0
    assert output.strip()
    assert not names & set(HEAVY)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_is_light(verb: str):
    code, names, output = loaded(HELP, verb, "--help")
    assert code == 0
    assert f"headstart {verb}" in output
    assert not names & set(HEAVY)


def test_a_wrong_option_is_refused_before_anything_heavy_is_loaded():
    code, names, _ = loaded(HELP, "run", "photos", "--sorce", "x")
    assert code == 2
    assert not names & set(HEAVY)


def test_listing_plugins_imports_none():
    body = "from headstart.core import plugins\nfor kind in plugins.PACKAGES: plugins.names(kind)"
    _, names, _ = loaded(body)
    assert not names & set(HEAVY)
