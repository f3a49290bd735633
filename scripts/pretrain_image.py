"""Makes the built-in image source from nothing: a small residual network learns formula classes.

    python scripts/pretrain_image.py --out DIR --seed 0 --minutes 60

Draws labelled pictures by `headstart.generators.scenes` (no photograph), learns by cross-entropy
which shape, texture and hues each shows, and writes `formula_image.safetensors` and
`formula_image.json` into DIR, which also keeps `state.pt`, from which a stopped run goes on.
This script holds its own plain loop on purpose: the weights must exist before the package that
carries them can be tested, and `headstart.pretrain` starts from sources such as this one.

Drawing and learning run in two processes of one thread each. The classes and the
random numbers of batch i depend on the seed alone; the rate and the size of the pictures depend on
the share of `--minutes` used, so a repeated run ends with similar weights, not the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Full

import safetensors.torch
import timm
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn import functional

from headstart.generators.scenes import ABSENT, Counts, Scenes

ARCHITECTURE = "resnet18"
ARGUMENTS = {
    "layers": [1, 1, 1, 1],
    "channels": [32, 64, 128, 320],
    "stem_width": 16,
    "stem_type": "deep",
    "avg_down": True,
}
BATCH = 64
CHUNK = 4 * BATCH  # pictures drawn at once
RATE = 2e-3
DECAY = 0.05
WARM = 200  # steps
EASY, HARDEST = 1_000_000, 0.6  # hardness grows by one in so many pictures, up to this
SMALL, LARGE, GROW = 40, 48, 0.8  # pixels a side before and after this share of the time
SMOOTHING = 0.05
EMA = 0.999
SHARES = (1.0, 0.3, 0.15, 0.15)  # weight of the loss of each group of labels
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
WATTS = 10.0  # assumed for one busy core of a server, drawing and learning each take one


def build(num_classes: int) -> nn.Module:
    """The network, with random weights."""
    return timm.create_model(ARCHITECTURE, num_classes=num_classes, **ARGUMENTS)


def render(queue: mp.Queue, seed: int, size: mp.Value, first: int) -> None:
    """Draws chunk after chunk into `queue`, from number `first` on, in its own process."""
    torch.set_num_threads(1)
    scenes = Scenes(seed)
    number = first
    while True:
        scenes.size = size.value
        rng = torch.Generator().manual_seed((seed + 1) * 1_000_003 + number)
        hardness = min(HARDEST, 0.1 + number * CHUNK / EASY)
        pictures, labels = scenes.draw(CHUNK, rng, hardness)
        number += 1
        while True:
            try:
                queue.put((pictures.numpy(), labels.numpy()), timeout=5)
                break
            except Full:
                if not mp.parent_process().is_alive():  # the learner was killed
                    return


def batches(queue: mp.Queue) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of normalised pictures (BATCH, 3, size, size) and labels (BATCH, 4)."""
    mean = torch.tensor(MEAN).reshape(3, 1, 1) * 255
    std = torch.tensor(STD).reshape(3, 1, 1) * 255
    while True:
        pictures, labels = (torch.from_numpy(part) for part in queue.get())
        for start in range(0, CHUNK, BATCH):
            part = (pictures[start : start + BATCH].float() - mean) / std
            yield part.contiguous(memory_format=torch.channels_last), labels[start : start + BATCH]


def group_loss(logits: Tensor, labels: Tensor, groups: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Weighted sum of the groups' cross-entropies, and the share of shapes named rightly."""
    total = logits.new_zeros(())
    for part, label, share in zip(logits.split(groups, 1), labels.T, SHARES, strict=True):
        one = functional.cross_entropy(
            part, label, ignore_index=ABSENT, label_smoothing=SMOOTHING, reduction="sum"
        )
        total = total + share * one / (label != ABSENT).sum().clamp(min=1)
    known = labels[:, 0] != ABSENT
    right = (logits[:, : groups[0]].argmax(1) == labels[:, 0])[known].float().mean()
    return total, right


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW that spares vectors (biases and norms) from decay."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))


def follow(average: dict[str, Tensor], model: nn.Module, step: int) -> None:
    """Moves the running average of weights and statistics towards the model's."""
    pull = 1 - min(EMA, step / (step + 20))
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, pull)
            else:
                average[name].copy_(value)


class Run:
    """Everything that a stopped run needs to go on."""

    def __init__(self, model: nn.Module, folder: Path):
        self.model = model
        self.optimizer = optimizer_of(model)
        self.average = {name: value.clone() for name, value in model.state_dict().items()}
        self.step = 0
        self.seconds = 0.0
        self.large = 0  # pictures seen at the larger size
        self.file = folder / "state.pt"
        if self.file.exists():
            kept = torch.load(self.file, weights_only=True)
            model.load_state_dict(kept["model"])
            self.optimizer.load_state_dict(kept["optimizer"])
            self.average, self.step = kept["average"], kept["step"]
            self.seconds, self.large = kept["seconds"], kept["large"]

    def save(self) -> None:
        """Writes to a neighbour first, so that a run cut off while saving loses nothing."""
        kept = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "seconds": self.seconds,
            "large": self.large,
        }
        torch.save(kept, self.file.with_suffix(".new"))
        self.file.with_suffix(".new").replace(self.file)


def train(
    run: Run,
    source: Iterator[tuple[Tensor, Tensor]],
    groups: tuple[int, ...],
    *,
    budget: float,
    size: mp.Value,
) -> None:
    """Learns until `budget` seconds are used, saving and printing a row every 200 steps."""
    print(
        f"{'step':>7} {'pictures':>9} {'minutes':>8} {'rate':>9} {'loss':>7} {'shapes':>7}",
        flush=True,
    )
    mark, losses, rights = time.perf_counter(), [], []
    run.model.train()
    while run.seconds < budget:
        size.value = SMALL if run.seconds < GROW * budget else LARGE
        pictures, labels = next(source)
        rate = RATE * min(1.0, (run.step + 1) / WARM)
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, run.seconds / budget))) * 0.995 + 0.005
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        loss, right = group_loss(run.model(pictures), labels, groups)
        run.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(run.model.parameters(), 2.0)
        run.optimizer.step()
        run.step += 1
        run.large += BATCH * (pictures.shape[-1] == LARGE)
        follow(run.average, run.model, run.step)
        now = time.perf_counter()
        run.seconds, mark = run.seconds + now - mark, now
        losses.append(loss.item())
        rights.append(right.item())
        if run.step % 200 == 0:
            shown = f"{run.seconds / 60:8.1f} {rate:9.2e} {sum(losses) / len(losses):7.3f}"
            print(
                f"{run.step:7d} {run.step * BATCH:9d} {shown} {sum(rights) / len(rights):7.3f}",
                flush=True,
            )
            losses, rights = [], []
            run.save()
    run.save()


def flops_per_picture(model: nn.Module, size: int) -> float:
    """Multiply-adds of convolutions and linear maps in one forward pass, counted by hooks, x 2."""
    counted = []

    def count(module: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> None:
        places = out[0, 0].numel() if out.ndim == 4 else 1
        counted.append(2.0 * module.weight.numel() * places)

    kinds = (nn.Conv2d, nn.Linear)
    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def write(run: Run, folder: Path, arguments: argparse.Namespace, num_classes: int) -> None:
    """The averaged weights, matrices in float16, and the card without its checks."""
    run.model.load_state_dict(run.average)
    stored = {
        name: (value.half() if value.ndim > 1 else value).contiguous()
        for name, value in run.average.items()
    }
    file = folder / "formula_image.safetensors"
    safetensors.torch.save_file(stored, file)
    seen = run.step * BATCH
    flops = 3.0 * sum(
        flops_per_picture(run.model, size) * number
        for size, number in ((SMALL, seen - run.large), (LARGE, run.large))
    )
    hours = run.seconds / 3600
    card = {
        "name": "formula_image",
        "modality": "image",
        "family": "resnet",
        "architecture": ARCHITECTURE,
        "arguments": ARGUMENTS,
        "num_classes": num_classes,
        "input_size": [3, LARGE, LARGE],
        "mean": list(MEAN),
        "std": list(STD),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "licence": "Apache-2.0",
        "trained_on": "pictures of 200 glyphs of pen strokes, 60 closed orbits and polygons and 60 "
        "iterated-function systems over flat, shaded and 48 kinds of textured grounds, all drawn by "
        "formula (headstart.generators.scenes); no photographs",
        "labels": "four groups: shape (320), texture of the ground (48), hue of the shape (15), hue "
        "of the ground (15); each group has its own softmax",
        "paper": "arXiv:2101.08515, arXiv:2110.03091, arXiv:2303.01112, arXiv:2106.05963",
        "revision": arguments.revision,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "command": f"python scripts/pretrain_image.py --out DIR --seed {arguments.seed} "
        f"--minutes {arguments.minutes:g}",
        "seed": arguments.seed,
        "samples_seen": seen,
        "seconds": round(run.seconds),
        "flops": float(f"{flops:.3g}"),
        "flops_how": "multiply-adds of convolutions and linear maps counted on one picture, times 2, "
        "times 3 for forward and backward, times samples_seen; drawing not counted",
        "energy_kwh": round(hours * 2 * WATTS / 1000, 3),
        "energy_how": f"assumed, not measured: two busy processor cores at {WATTS:g} W each over "
        "the whole time",
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "checks": [],
        "known_weaknesses": [],
    }
    (folder / "formula_image.json").write_text(json.dumps(card, indent=2) + "\n")


def main() -> None:
    """Reads the command line, trains, writes weights and card."""
    parser = argparse.ArgumentParser(description="Pre-train the built-in image source.")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for state, weights and card"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="time for learning")
    parser.add_argument("--revision", default="1")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    counts = Counts().groups
    model = build(sum(counts)).to(memory_format=torch.channels_last)
    run = Run(model, arguments.out)
    context = mp.get_context("spawn")
    queue = context.Queue(maxsize=6)
    size = context.Value("i", SMALL)
    settings = (queue, arguments.seed, size, run.step * BATCH // CHUNK)
    painter = context.Process(target=render, args=settings, daemon=True)
    painter.start()
    try:
        train(run, batches(queue), counts, budget=arguments.minutes * 60, size=size)
    finally:
        painter.terminate()
    write(run, arguments.out, arguments, sum(counts))


if __name__ == "__main__":
    main()
