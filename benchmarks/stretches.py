"""Do intervals over stretches of overlapping windows hold the truth as often as they say?

The errors of a forecast are a stationary series, independent or autocorrelated (0.9 from one step to the
next); a window's error is the mean of their sizes over the steps of a horizon, and windows begin at every
step. The expected error is known exactly. The test part is cut into stretches as a run cuts it, and the
95 % interval of the mean error, and of the difference of two forecasts that are equally good, is asked
whether it holds the truth.

    python -m benchmarks.stretches             # half a minute on one core
    python -m benchmarks.stretches --quick
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy.signal import lfilter

from headstart.data.origins import stretches
from headstart.evidence import _paired
from headstart.evidence._scores import estimate

PARTS = ((100, 12), (100, 24), (400, 12), (400, 24), (400, 96), (600, 96), (1000, 96), (2880, 24),
         (2880, 96))  # fmt: skip
"""Steps of the test part, and the horizon."""
CORRELATIONS = (0.0, 0.9)
DRAWS = 1000
EXPECTED = math.sqrt(2 / math.pi)  # mean size of a normal error of deviation 1


def errors(rng: np.random.Generator, steps: int, horizon: int, correlation: float) -> np.ndarray:
    """Mean absolute errors of all windows of a test part, (steps - horizon + 1,)."""
    before = 200
    shocks = rng.normal(size=steps + before) * math.sqrt(1 - correlation**2)
    total = np.cumsum(np.abs(lfilter([1.0], [1.0, -correlation], shocks)[before:]))
    total = np.concatenate([[0.0], total])
    return np.asarray((total[horizon:] - total[:-horizon]) / horizon)


def coverage(
    steps: int, horizon: int, correlation: float, draws: int = DRAWS, seed: int = 0
) -> tuple[int, float, float, float]:
    """Stretches; share of intervals of the error, and of the difference, that hold the truth; the median
    width of the former in units of the error."""
    rng = np.random.default_rng(seed)
    places = steps - horizon + 1
    count = stretches(places, horizon)
    groups = np.arange(places) * count // places
    held, equal, widths = 0, 0, []
    for _ in range(draws):
        one, other = (errors(rng, steps, horizon, correlation) for _ in range(2))
        _, low, high, _ = estimate(one[None], groups, positive=True)
        held += low <= EXPECTED <= high
        widths.append((high - low) / EXPECTED)
        gain = _paired.difference(one[None], other[None], groups=groups, unit=0.1).interval()
        equal += gain[0] <= 0 <= gain[1]
    return count, held / draws, equal / draws, float(np.median(widths))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    draws = 200 if parser.parse_args().quick else DRAWS
    print("correlation  steps  horizon  stretches  error held  difference held  width")
    for correlation in CORRELATIONS:
        for steps, horizon in PARTS:
            count, held, equal, width = coverage(steps, horizon, correlation, draws)
            print(
                f"{correlation:11.1f}  {steps:5d}  {horizon:7d}  {count:9d}  {held:10.1%}"
                f"  {equal:15.1%}  {width:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
