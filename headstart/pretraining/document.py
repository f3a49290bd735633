"""A new source on the disk: weights, the document by which they are read again, and a card for people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from headstart.core import digest
from headstart.errors import PlanError, StorageError

WEIGHTS, DOCUMENT, CARD = "model.safetensors", "model.json", "README.md"
KEPT = "projections.safetensors"
"""Tensors beside the network's that an objective keeps, where it keeps some."""


def finished(folder: Path, asked: str) -> Mapping[str, Any] | None:
    """The document of a source that the same request has made, or None where the folder is free.

    Raises:
        PlanError: another source lies there, or something that is no folder.
        StorageError: the folder cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise PlanError(
            f"{folder} is a file. Expected a folder for the source; choose another output."
        )
    path = folder / DOCUMENT
    if path.is_file():
        known: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if known.get("asked") == asked:
            return known
        raise PlanError(
            f"Another source lies in {folder}. Choose another output (--output), or remove it."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.tmp"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror or error}). Choose another output (--output)."
        ) from error
    return None


def write(
    folder: Path,
    module: nn.Module,
    facts: Mapping[str, Any],
    more: Mapping[str, str],
    kept: Mapping[str, Tensor],
) -> Mapping[str, Any]:
    """Writes weights, further files (text by name), tensors that an objective keeps, card and document, each
    whole or not at all, the document last. Raises StorageError."""
    held = {WEIGHTS: module.state_dict(), **({KEPT: kept} if kept else {})}
    names = (*held, *more, CARD, DOCUMENT)
    beside = {n: folder / f".{n.replace('/', '-')}.{os.getpid()}.tmp" for n in names}
    try:
        for name, tensors in held.items():
            plain = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
            save_file(plain, beside[name], metadata={"format": "pt"})
        for name, text in more.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            beside[name].write_text(text, "utf-8")
        made = {**facts, "sha256": digest.file(beside[WEIGHTS])}
        if kept:
            made["files"] = {KEPT: digest.file(beside[KEPT])}
        beside[CARD].write_text(card(made), "utf-8")
        beside[DOCUMENT].write_text(json.dumps(made, indent=2) + "\n", "utf-8")
        for name, place in beside.items():
            os.replace(place, folder / name)
    except OSError as error:
        for place in beside.values():
            place.unlink(missing_ok=True)
        raise StorageError(
            f"The source could not be written to {folder} ({error.strerror or error}). Free some space and "
            "repeat the command: the training goes on where it was."
        ) from error
    return made


def card(facts: Mapping[str, Any]) -> str:
    """The card as Markdown, with the front matter that model hubs read."""
    lines = ["---", f"license: {facts['licence']}", "---", "", f"# {facts['name']}", ""]
    lines += [
        f"Pre-trained by headstart {facts['headstart']} with the objective `{facts['objective']}` on "
        f"{facts['data']['name']} ({facts['modality']}).",
        "",
        "| | |",
        "|---|---|",
    ]
    lines += [f"| {name} | {value} |" for name, value in _rows(facts).items()]
    lines += ["", "## Made from", ""]
    lines += [
        f"- {p['uri']} (licence {p['licence']}, sha256 {p['sha256']})"
        + (f", the {p['role']}" if "role" in p else "")
        for p in facts["parents"]
    ] or ["Nothing: random weights drawn from the seed."]
    lines += _curves(facts)
    if found := facts.get("retrieval"):
        lines += _found_again(found)
    if facts["notes"]:
        lines += ["", "## Notes", "", *(f"- {note}" for note in facts["notes"])]
    return "\n".join([*lines, ""])


def _rows(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The card's first table."""
    rows = {
        **({"library": facts["library"]} if "library" in facts else {}),
        "architecture": facts["architecture"],
        "parameters": f"{facts['parameters']:,}",
        "settings": ", ".join(f"{k} {v}" for k, v in facts["settings"].items()),
        "batch": facts["batch"],
        "seed": facts["seed"],
        "samples seen": f"{facts['samples_seen']:,}",
        "operations": f"{facts['flops']:.3g}, {facts['flops_how']}",
        "seconds": facts["seconds"],
        "energy": f"{facts['energy_kwh'][0]:.3g} to {facts['energy_kwh'][1]:.3g} kWh, {facts['energy_how']}",
        "data": f"{facts['data']['name']}, digest {facts['data']['digest']}",
        "licence of the data": facts["data"]["licence"],
        "licence of the weights": facts["licence"],
        "effective rank of the features": f"{facts['rank'][0]:.1f} before, {facts['rank'][1]:.1f} after",
        "sha256": facts["sha256"],
    }
    if surprise := facts.get("perplexity"):
        rows["perplexity of samples never learned from"] = (
            f"{surprise['before']:,.1f} before, {surprise['after']:,.1f} after, of {surprise['samples']:,} "
            f"samples; {surprise['how']}"
        )
    if said := facts.get("captions"):
        rows["captions"] = (
            f"{said['different']:,} different ones in the column '{said['column']}', encoded by "
            f"{said['source']}, which was not trained"
        )
    return rows


def _curves(facts: Mapping[str, Any]) -> list[str]:
    """What was measured after every epoch, as tables."""
    curve, lines = [h for h in facts["history"] if "probe" in h], list[str]()
    if curve:
        lines += [
            "",
            "## Linear probe",
            "",
            "Cross-validated accuracy on the data's own labels.",
            "",
        ]
        lines += ["| epoch | accuracy |", "|---|---|"]
        lines += [f"| {h['epoch']} | {h['probe']:.3f} |" for h in curve]
    if facts.get("perplexity"):
        lines += ["", "## Perplexity", "", "Of samples that were never learned from.", ""]
        lines += ["| phase | epoch | perplexity |", "|---|---|---|"]
        lines += [
            f"| {h.get('phase', '')} | {h['epoch']} | {h['perplexity']:,.1f} |"
            for h in facts["history"]
        ]
    return lines


def _found_again(told: Mapping[str, Any]) -> list[str]:
    """How well held-out pairs are found again, as a table."""
    lines = [
        "",
        "## Retrieval",
        "",
        f"Of {told['pairs']:,} pairs that were never learned from: the share of the asked that have a right "
        "answer among the k nearest by cosine in the common space. Equal captions, and equal samples, are "
        "one candidate. 95 % interval (Wilson) over the asked.",
        "",
        "| from what to what | k | asked | candidates | chance | before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in told["figures"]:
        low, high = one["interval"]
        lines.append(
            f"| {one['way']} | {one['depth']} | {one['asked']:,} | {one['among']:,} | {one['chance']:.3f} | "
            f"{one['before']:.3f} | {one['after']:.3f} ({low:.3f} to {high:.3f}) |"
        )
    return lines
