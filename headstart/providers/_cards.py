"""Model cards: what a folder says of licence, data and paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from headstart.core.source import UNKNOWN

DOCUMENT = "model.json"
FACTS = ("licence", "trained_on", "data_licence", "paper", "revision", "parents", "sha256")
_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause"}


def read(folder: Path) -> dict[str, str]:
    """Licence, training data and paper by the front matter of README.md; what is not said is unknown."""
    said = {"licence": UNKNOWN, "trained_on": UNKNOWN, "paper": UNKNOWN}
    try:
        text = (folder / "README.md").read_text("utf-8")
        front = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else {}
    except (OSError, ValueError, IndexError, yaml.YAMLError):
        return said
    if not isinstance(front, dict):
        return said
    licence = front.get("license_name") or front.get("license")
    if isinstance(licence, str):
        said["licence"] = _SPDX.get(licence, licence)
    data = front.get("datasets")
    if data:
        said["trained_on"] = ", ".join(map(str, data)) if isinstance(data, list) else str(data)
    papers = [str(t)[6:] for t in front.get("tags") or [] if str(t).startswith("arxiv:")]
    if papers:
        said["paper"] = f"arXiv:{papers[0]}"
    return said


def document(folder: Path) -> dict[str, Any]:
    """What `headstart pretrain` wrote of a model beside its weights; {} where it made none."""
    try:
        told = json.loads((folder / DOCUMENT).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict) or "headstart" not in told:
        return {}
    return {key: told[key] for key in FACTS if key in told}
