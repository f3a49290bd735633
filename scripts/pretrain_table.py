"""Makes the built-in table source from nothing: a small prior-fitted network learns tables drawn by formula.

    python scripts/pretrain_table.py --out DIR --seed 0 --minutes 60

Draws tables by `headstart.generators.causes`, encodes them as `headstart run` encodes a table, and learns
by cross-entropy the classes of the rows behind the context. DIR keeps `state.pt`, from which a stopped run
goes on; `--minutes` is the whole time over all turns. Each line is the loss on tables that were not
learned from, beside the loss of always saying the shares of the classes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from headstart.generators.causes import CLASSES, Causes
from headstart.modalities.table import closed_form
from headstart.modalities.table.prior_fitted import PriorFitted, Shape, prepared, told

BATCH, RATE, DECAY, EMA = 32, 1e-3, 0.01, 0.998
WARM = 0.02  # of the time
ROWS = (64, 96, 160)  # of a table, taken in turn
CELLS = 12  # columns of a table before encoding, at most
TOLD = 100  # steps between lines
CHECKS = 256  # tables
WATTS = 10.0  # assumed for one busy core of a server
NAME = "prior_fitted_table"


def encoded(tables: dict[str, Tensor], columns: int, rng: torch.Generator) -> Tensor:
    """Cells (N, R, D) as numbers (N, R, columns): codes of categories one column a code or as they are,
    cells that are missing 0 with a mark beside them; columns in random places, the last left out."""
    cells, categories = tables["cells"], tables["categories"]
    gone = cells.isnan()
    plain = torch.where(gone, torch.zeros_like(cells), cells)
    middle = plain.sum(1, keepdim=True) / (~gone).sum(1, keepdim=True).clamp(min=1)
    number = torch.where(gone, middle, cells)
    split = (categories > 0) & (torch.rand(len(cells), 1, generator=rng) < 0.8)
    number = number * ((categories >= 0) & ~split)[:, None]
    codes = torch.arange(10)
    hot = (cells[..., None] == codes) & split[:, None, :, None]
    marks = gone.float() * (gone.any(1, keepdim=True))
    every = torch.cat([number, marks, hot.flatten(2).float()], 2)
    uses = every.amax(1) > every.amin(1)
    order = (torch.rand(uses.shape, generator=rng) - uses.float()).argsort(1)
    index = order[:, None, :columns].expand(-1, every.shape[1], -1)
    made = every.gather(2, index)
    place = torch.rand(len(made), columns, generator=rng).argsort(1)[:, None].expand_as(made)
    return made.gather(2, place)


def drawn(seed: int, number: int, shape: Shape, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows as the network reads them, classes (N, R), and which rows are context (N, R)."""
    rng = torch.Generator().manual_seed((seed + 1) * 1_000_003 + number)
    tables, labels = Causes(rows, CELLS).draw(BATCH, rng)
    known = torch.arange(rows) < tables["context"][:, None]
    # rows of classes that the context lacks have no answer
    return (
        prepared(encoded(tables, shape.columns, rng), known.float(), shape.columns),
        labels,
        known,
    )


def loss(network: PriorFitted, rows: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of the rows behind the context, mean over rows."""
    most = int(known.sum(1).max())
    logits = network(rows, labels[:, :most], known[:, :most], heard(rows, labels, known[:, :most]))
    asked = labels.masked_fill(known, -100)
    return F.cross_entropy(logits.flatten(0, 1), asked.flatten())


@torch.no_grad()
def heard(rows: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """What the kernel machines say of every row (N, R, EXPERTS, CLASSES)."""
    size = known.shape[1]
    hot = F.one_hot(labels[:, :size].clamp(min=0), CLASSES).float()
    machines = closed_form.fit(rows[:, :size], hot, known)
    said = machines(rows)
    said[:, :size] = torch.where(known[..., None, None], machines.left, said[:, :size])
    return said


def floor(labels: Tensor, known: Tensor) -> float:
    """The same loss of the context's shares of classes."""
    hot = F.one_hot(labels.clamp(min=0), CLASSES) * known[..., None]
    share = (hot.sum(1) + 0.1) / (hot.sum(1) + 0.1).sum(1, keepdim=True)
    asked = labels.masked_fill(known, -100)
    told = share.log()[:, None].expand(-1, labels.shape[1], -1)
    return float(F.nll_loss(told.flatten(0, 1), asked.flatten()))


@torch.inference_mode()
def checked(network: PriorFitted, seed: int) -> tuple[float, float]:
    """Loss on tables never learned from, and that of shares alone."""
    found, plain = [], []
    for number in range(CHECKS // BATCH):
        rows, labels, known = drawn(seed + 7919, number, network.shape, 128)
        found.append(float(loss(network, rows, labels, known)))
        plain.append(floor(labels, known))
    return sum(found) / len(found), sum(plain) / len(plain)


def learn(out: Path, seed: int, minutes: float) -> None:
    """Trains to the end of the time, from `state.pt` where there is one."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    network, mean = PriorFitted(Shape()), PriorFitted(Shape())
    mean.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    kept, step, spent, history = out / "state.pt", 0, 0.0, list[dict[str, float]]()
    if kept.is_file():
        state = torch.load(kept, weights_only=True)
        network.load_state_dict(state["network"])
        mean.load_state_dict(state["mean"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent, history = state["step"], state["spent"], state["history"]
    began = time.perf_counter() - spent
    while (share := (time.perf_counter() - began) / 60 / minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, share / WARM) * (1 + math.cos(math.pi * share)) / 2
        rows, labels, known = drawn(seed, step, network.shape, ROWS[step % len(ROWS)])
        optimizer.zero_grad()
        loss(network, rows, labels, known).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        for slow, fast in zip(mean.parameters(), network.parameters(), strict=True):
            slow.data.lerp_(fast.data, 1 - min(EMA, step / (step + 10)))
        if step % TOLD == 0:
            found, plain = checked(mean, seed)
            spent = time.perf_counter() - began
            print(f"{step:7} {spent / 60:6.1f} min  {found:.4f} ({plain:.4f})", flush=True)
            history.append({"step": step, "loss": round(found, 4), "shares": round(plain, 4)})
            states = {"network": network.state_dict(), "mean": mean.state_dict()}
            states |= {"optimizer": optimizer.state_dict(), "step": step, "spent": spent}
            states |= {"history": history}
            torch.save(states, kept.with_suffix(".tmp"))
            kept.with_suffix(".tmp").replace(kept)
    ends = [line["loss"] for line in history]
    write(out, mean, {"seed": seed, "minutes": minutes, "steps": step, "history": history}, ends)


def operations(network: PriorFitted) -> float:
    """Of a step on average, forward and backward; kernels and their solutions are not counted."""
    total = 0
    for number, rows in enumerate(ROWS):
        batch = drawn(0, number, network.shape, rows)
        with FlopCounterMode(display=False) as counted:
            loss(network, *batch).backward()
        total += counted.get_total_flops()
    network.zero_grad()
    return total / len(ROWS)


def write(out: Path, network: PriorFitted, made: dict[str, Any], losses: list[float]) -> None:
    """The weights, and the card beside them."""
    path = out / f"{NAME}.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    facts = {
        "name": NAME,
        "modality": "table",
        "architecture": told(network.shape),
        "licence": "Apache-2.0",
        "data_licence": "CC0-1.0",
        "paper": "arXiv:2112.10510, arXiv:2207.01848, arXiv:1805.08136",
        "trained_on": "tables drawn by formula (headstart.generators.causes); no real table",
        "revision": "1",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "command": f"python scripts/pretrain_table.py --out DIR --seed {made['seed']} "
        f"--minutes {made['minutes']:g}",
        "seed": made["seed"],
        "steps": made["steps"],
        "samples_seen": made["steps"] * BATCH,
        "samples": "tables of 64, 96 and 160 rows",
        "seconds": round(60 * made["minutes"]),
        "flops": operations(network) * made["steps"],
        "flops_how": "counted by torch on the transformer, forward and backward, times steps; kernel "
        "machines and drawing not counted",
        "energy_kwh": round(WATTS * made["minutes"] / 60 / 1000, 4),
        "energy_how": "assumed, not measured: one busy processor core at 10 W over the whole time",
        "parameters": sum(p.numel() for p in network.parameters()),
        "loss": losses[-1] if losses else None,
        "history": made["history"],
        "known_weaknesses": [
            "at most ten classes and a thousand rows of context; of more rows some are drawn",
            "nothing but classes is predicted; for numbers and tags a linear head reads the columns",
            "the time of a core decides how many tables are learned from, so a repeated run ends with "
            "similar weights, not the same",
        ],
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    learn(asked.out, asked.seed, asked.minutes)


if __name__ == "__main__":
    main()
