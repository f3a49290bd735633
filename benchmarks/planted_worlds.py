"""Planted worlds: does the transfer verdict keep its promises where the truth is known?

Two-arm worlds have a transfer and a from-scratch arm; three-arm worlds add a champion, and the baseline
is chosen on validation rows drawn apart. Every row has a difficulty shared by all arms, every arm a taste
of its own, every seed noise and an effect of its own on the expected accuracy; an arm is right on a row
where a normal threshold exceeds their sum, so its expected accuracy is exact. Outputs are probabilities.

    python benchmarks/planted_worlds.py            # all worlds: about ten minutes on two cores
    python benchmarks/planted_worlds.py --quick    # fewer draws, and the zero effect in full
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headstart.core.evidence import Arm, Case
from headstart.evidence import verdict
from headstart.heads.classify import SCORE

EFFECTS = (0, 2, -2, 5, -5, 10, -10, 20, -20)
ROWS = (50, 200, 1000)
CLASSES = ("a", "b", "c")


@dataclass(frozen=True)
class World:
    """One cell of the simulation.

    Attributes:
        arms: 2 (scratch) or 3 (scratch and champion).
        rows: test rows; as many validation rows are drawn apart.
        effect: true gain in points over either baseline.
        seeds: training seeds per arm.
        seed_sd: spread of a seed's expected accuracy, in points.
        shared: part of a row's difficulty that the arms share, as share of variance.
        own: part that belongs to one arm and all its seeds; the remainder is seed noise.
        base: accuracy of the baselines, as share.
        lag: by how many points the champion's accuracy lies below that of scratch.
    """

    arms: int
    rows: int
    effect: float
    seeds: int
    seed_sd: float
    shared: float = 0.5
    own: float = 0.2
    base: float = 0.7
    lag: float = 0.0

    @property
    def accuracies(self) -> dict[str, float]:
        """True expected accuracy by role."""
        found = {"transfer": self.base + self.effect / 100, "scratch": self.base}
        if self.arms == 3:
            found["champion"] = self.base - self.lag / 100
        return found


@dataclass(frozen=True)
class Tally:
    """What `draws` verdicts on one world came to; shares of draws, `errors` in points."""

    world: World
    draws: int
    claims: int
    false_claims: int
    wrong_sign: int
    covered: int
    width: float


def _probabilities(margin: np.ndarray, truth: np.ndarray, rival: np.ndarray) -> np.ndarray:
    """Class probabilities from a margin (seeds, rows): above 0 the true class leads, below it the rival."""
    seeds, rows = margin.shape
    logits = np.zeros((seeds, rows, len(CLASSES)))
    index = np.arange(rows)
    logits[:, index, truth] = 3.0 + np.maximum(margin, 0)
    logits[:, index, rival] = 3.0 + np.maximum(-margin, 0)
    logits = np.exp(logits)
    return np.asarray(logits / logits.sum(axis=2, keepdims=True))


def _rows(
    world: World, levels: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Truth (rows,) and every arm's outputs (seeds, rows, 3) on fresh rows; `levels`: (seeds,) accuracies."""
    truth = rng.integers(0, 3, world.rows)
    rival = (truth + rng.integers(1, 3, world.rows)) % 3
    difficulty = rng.normal(size=world.rows) * world.shared**0.5
    noise = (1 - world.shared - world.own) ** 0.5
    found = {}
    for role, level in levels.items():
        taste = rng.normal(size=world.rows) * world.own**0.5
        hardness = difficulty + taste + noise * rng.normal(size=(world.seeds, world.rows))
        found[role] = _probabilities(special.ndtri(level)[:, None] - hardness, truth, rival)
    return truth, found


def draw(world: World, rng: np.random.Generator) -> Case:
    """One case: the same seeds of every arm read on validation rows and on test rows."""
    levels = {
        role: np.clip(accuracy + rng.normal(size=world.seeds) * world.seed_sd / 100, 0.001, 0.999)
        for role, accuracy in world.accuracies.items()
    }
    past, before = _rows(world, levels, rng)
    truth, after = _rows(world, levels, rng)
    arms = {
        role: Arm(
            name=role, outputs=after[role], validation=(before[role].argmax(2) == past).mean(axis=1)
        )
        for role in levels
    }
    return Case("classify", CLASSES, truth, arms, past, before["transfer"][0], SCORE)


def tally(world: World, draws: int, seed: int) -> Tally:
    """Runs the verdict on `draws` cases of one world."""
    key = [
        seed,
        world.arms,
        world.rows,
        int(world.effect) + 100,
        world.seeds,
        int(world.seed_sd * 10),
        int(world.lag),
    ]
    rng = np.random.default_rng(key)
    claims = false = wrong = covered = 0
    width = 0.0
    for _ in range(draws):
        case = draw(world, rng)
        role = verdict.baseline_role(case)
        assert role is not None  # two arms at least
        finding = verdict.check(case)
        gain, word = finding.measures[0], verdict.verdict_of(finding)
        assert gain.low is not None and gain.high is not None
        true = 100 * (world.accuracies["transfer"] - world.accuracies[role])
        best = world.effect  # over the better baseline
        covered += gain.low <= true <= gain.high
        width += (gain.high - gain.low) / draws
        claims += word != "no evidence"
        wrong += (word == "helped" and best < 0) or (word == "harmed" and best > 0 and true > 0)
        false += best == 0 and (word == "helped" or (word == "harmed" and true >= 0))
    return Tally(world, draws, claims, false, wrong, covered, width)


def worlds(effects: Sequence[float], lags: Sequence[float] = (0.0,)) -> Iterator[World]:
    """Every cell: arms x rows x effects x seeds per arm x spread of seeds."""
    for arms, rows, effect, seeds, spread in itertools.product(
        (2, 3), ROWS, effects, (3, 5), (0.0, 1.0, 2.0)
    ):
        for lag in lags if arms == 3 else (0.0,):
            yield World(arms, rows, effect, seeds, spread, lag=lag)


def _task(job: tuple[World, int, int]) -> Tally:
    return tally(*job)


def report(found: Sequence[Tally]) -> list[str]:
    """The tables as lines of text, and the promises that did not hold."""
    lines, broken = _false_claims(found)
    lines += [
        "",
        "By true effect in points: claims % | coverage of the 95 % intervals % | wrong sign %",
    ]
    cells = []
    for arms, rows in itertools.product((2, 3), ROWS):
        for effect in EFFECTS:
            chosen = [
                t
                for t in found
                if (t.world.arms, t.world.rows, t.world.effect) == (arms, rows, effect)
            ]
            if not chosen:
                continue
            draws = sum(t.draws for t in chosen)
            claims, covered, wrong = (
                100 * sum(getattr(t, part) for t in chosen) / draws
                for part in ("claims", "covered", "wrong_sign")
            )
            cells.append(covered)
            name = f"{arms} arms, {rows:>4} rows, effect {effect:+3.0f}"
            lines.append(f"  {name} ({draws} draws): {claims:5.1f} | {covered:5.1f} | {wrong:4.2f}")
            if not 92 <= covered <= 98:
                broken.append(f"coverage: {name}: {covered:.1f} %")
            if wrong > 1:
                broken.append(f"wrong sign: {name}: {wrong:.2f} %")
    lines += [
        "",
        f"Coverage over these {len(cells)} cells: {min(cells):.1f} to {max(cells):.1f} %",
        "",
    ]
    lines += _finest(found)
    return [*lines, "", *(f"BROKEN {b}" for b in broken), f"{len(broken)} promise(s) broken"]


def _false_claims(found: Sequence[Tally]) -> tuple[list[str], list[str]]:
    """Lines on the zero effect, designs pooled and the worst alone; and those above the promise."""
    lines, broken = ["False claims at zero effect, in 400 draws (promise: at most 32)"], []
    for arms, rows in itertools.product((2, 3), ROWS):
        chosen = [
            t for t in found if (t.world.arms, t.world.rows, t.world.effect) == (arms, rows, 0)
        ]
        if not chosen:
            continue
        worst = max(chosen, key=lambda t: t.false_claims / t.draws)
        draws = sum(t.draws for t in chosen)
        rate = 400 * sum(t.false_claims for t in chosen) / draws
        w, most = worst.world, 400 * worst.false_claims / worst.draws
        name = f"{arms} arms, {rows:>4} rows ({draws} draws)"
        lines.append(
            f"  {name}: {rate:.1f}; the worst of {len(chosen)} designs {most:.1f} ({w.seeds} seeds, "
            f"seed sd {w.seed_sd:g}, champion lags {w.lag:g}, {worst.draws} draws)"
        )
        if rate > 32:
            broken.append(f"false claims: {name}: {rate:.1f} in 400")
    return lines, broken


def _finest(found: Sequence[Tally]) -> list[str]:
    """Lines on single designs: chance alone moves the coverage of one by a point each way."""
    shares = [100 * t.covered / t.draws for t in found]
    outside = sum(not 92 <= s <= 98 for s in shares)
    wrong = max(t.wrong_sign / t.draws for t in found)
    lines = [
        f"Single designs: {len(found)}, coverage {min(shares):.1f} to {max(shares):.1f} %, "
        f"{outside} outside 92 to 98 %; largest wrong-sign share {100 * wrong:.2f} %",
        "Farthest: arms rows effect seeds sd lag -> coverage %, wrong sign %, mean width in points",
    ]
    ranked = sorted(found, key=lambda t: abs(t.covered / t.draws - 0.95), reverse=True)
    return lines + ["  " + _line(t) for t in ranked[:8]]


def _line(t: Tally) -> str:
    w = t.world
    return (
        f"{w.arms} {w.rows:>4} {w.effect:+3.0f} {w.seeds} {w.seed_sd:g} {w.lag:g} -> "
        f"{100 * t.covered / t.draws:5.1f}  {100 * t.wrong_sign / t.draws:4.2f}  {t.width:5.1f}"
    )


def main() -> int:
    """Runs the worlds and prints the tables; exit status 1 where a promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="zero effect and +-5 points only")
    parser.add_argument("--draws", type=int, default=400, help="cases per cell")
    parser.add_argument("--seed", type=int, default=0, help="master seed")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    chosen = parser.parse_args()
    cells = list(worlds((0, 5, -5) if chosen.quick else EFFECTS, lags=(0.0, 2.0)))
    jobs = [(world, chosen.draws, chosen.seed) for world in cells]
    with ProcessPoolExecutor(chosen.workers) as pool:
        found = list(pool.map(_task, jobs, chunksize=4))
    lines = report(found)
    print("\n".join(lines))
    return 1 if any(line.startswith("BROKEN") for line in lines) else 0


if __name__ == "__main__":
    raise SystemExit(main())
