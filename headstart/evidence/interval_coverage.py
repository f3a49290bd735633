"""How often a 90 % prediction interval holds the truth, and how wide it is.

Split conformal prediction (Papadopoulos et al. 2002; Lei et al. 2018): with m validation residuals
|y - f| the half-width q is the ceil(0.9 (m + 1))-th smallest, and every test row gets f - q to f + q. If
validation and test rows are exchangeable the intervals hold at least 90 % of test rows; observed coverage
says whether they do. The residuals' own luck moves the coverage as Beta(k, m + 1 - k) with k that rank
(Vovk 2012). The interval of the width comes from the order statistics of the residuals.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from headstart.core.evidence import Case, Finding, Measure
from headstart.evidence._interval import ordinal
from headstart.evidence._scores import estimate, outputs

NEEDS = ("validation",)
OUTCOMES = ("regress",)

_WANTED = 0.9


def check(case: Case) -> Finding:
    """Fits the half-width on validation rows and reads the coverage on test rows."""
    told = outputs(case, case.arms["transfer"])
    residuals = np.sort(
        np.abs(np.asarray(case.validation_targets) - np.asarray(case.validation_outputs))
    )
    count = len(residuals)
    place = math.ceil(_WANTED * (count + 1))
    if place > count:
        reason = f"{count} validation rows; a 90 % interval needs at least 9"
        return Finding("interval_coverage", missing=(("coverage of 90 % intervals", reason),))
    half = float(residuals[place - 1])
    inside = (np.abs(told - np.asarray(case.targets)[None, :]) <= half).astype(np.float64)
    value, low, high, method = estimate(inside, ordinal(case.groups), share=True)
    lucky = stats.beta.ppf([0.025, 0.975], place, count + 1 - place)
    words = (
        f"split conformal, half-width from {count} validation residuals, whose luck alone moves the "
        f"coverage between {lucky[0]:.3f} and {lucky[1]:.3f}; {method}"
    )
    coverage = Measure(
        "coverage of 90 % intervals", value, low, high, len(case.targets), "share", "0.9", words
    )
    ends = stats.binom.ppf([0.025, 0.975], count, _WANTED).astype(int)
    narrow, wide = (2 * float(residuals[min(max(k, 0), count - 1)]) for k in (ends[0] - 1, ends[1]))
    width = Measure(
        name="mean width of 90 % intervals",
        value=2 * half,
        low=min(narrow, 2 * half),
        high=max(wide, 2 * half),
        n=count,
        unit="unit of the target",
        baseline="",
        method=f"twice the {place}-th smallest of {count} residuals; interval from order statistics",
    )
    return Finding("interval_coverage", (coverage, width))
