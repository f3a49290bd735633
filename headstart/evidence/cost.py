"""What the run cost: compute, time, memory, energy.

Read from `case.facts`; every key may be absent and is then listed as missing:

    flops_transfer      FLOPs to train the transfer model (one seed), counted on the eager network
    flops_scratch       the same for the from-scratch twin
    seconds_model       wall-clock seconds from the data to a trained model
    seconds_verdict     wall-clock seconds from the data to the verdict, twin and champion included
    transferred         whether the network kept anything of the source; where absent, it did
    trained_parameters  how many numbers of the network were trained, the head's among them
    peak_bytes          largest resident memory of the process, or of the device, in bytes
    energy_joules       energy as a meter counted it; where there is a meter
    energy_watts        power assumed while the model was made: one number of watts, or (low, high)

Where no fact gives FLOPs, the arms' own counts are used. Counts and stopwatch readings of this one run
have no interval. Without a meter, energy = watts x seconds to the model (Strubell et al. 2019 reckon so);
it is inferred, and its ends are the given ones, or half and one and a half times the one number.
"""

from __future__ import annotations

import math
from typing import Any

from headstart.core.evidence import Case, Finding, Measure

NEEDS = (
    "flops_transfer",
    "flops_scratch",
    "seconds_model",
    "seconds_verdict",
    "peak_bytes",
    "energy_watts",
)
OUTCOMES = ("any",)

_READ = (  # fact, name, unit, method
    (
        "flops_transfer",
        "training compute of the transfer",
        "FLOPs",
        "counted on the eager network, one seed",
    ),
    (
        "flops_scratch",
        "training compute from scratch",
        "FLOPs",
        "counted on the eager network, one seed",
    ),
    ("seconds_model", "time to model", "seconds", "stopwatch, this run"),
    ("seconds_verdict", "time to verdict", "seconds", "stopwatch, this run, baselines included"),
    ("peak_bytes", "peak memory", "bytes", "largest reading of this run"),
    ("trained_parameters", "trained parameters", "numbers", "counted; one seed, head included"),
)


def check(case: Case) -> Finding:
    """Words the run's counters as measures."""
    facts = {**_from_arms(case), **{k: v for k, v in case.facts.items() if v is not None}}
    measures, missing = [], []
    for key, name, unit, method in _READ:
        value = _number(facts.get(key))
        if value is None:
            missing.append((name, f"the run recorded no {key}"))
        else:
            if key == "flops_transfer" and facts.get("transferred") is False:
                name = "training compute"
            measures.append(Measure(name, value, None, None, 1, unit, "", method))
    transfer, scratch = _number(facts.get("flops_transfer")), _number(facts.get("flops_scratch"))
    if transfer and scratch is not None:
        words = "FLOPs from scratch over FLOPs of the transfer; both counted"
        name = "compute from scratch, per compute of the transfer"
        measures.append(
            Measure(name, scratch / transfer, None, None, 1, "times", "from scratch", words)
        )
    energy = _energy(facts)
    if energy is None:
        missing.append(
            ("energy", "there is no meter, and the run recorded no energy_watts to reckon with")
        )
    else:
        measures.append(energy)
    return Finding("cost", tuple(measures), (), tuple(missing))


def _number(value: Any) -> float | None:
    """A finite number not below 0, or None."""
    if isinstance(value, (int, float)) and math.isfinite(value) and value >= 0:
        return float(value)
    return None


def _from_arms(case: Case) -> dict[str, float]:
    """FLOPs that the arms themselves counted."""
    found = {"flops_" + role: arm.flops for role, arm in case.arms.items()}
    return {key: flops for key, flops in found.items() if math.isfinite(flops)}


def _energy(facts: dict[str, Any]) -> Measure | None:
    """Energy of making the model: metered, or inferred from watts and seconds."""
    metered = _number(facts.get("energy_joules"))
    if metered is not None:
        return Measure("energy", metered, None, None, 1, "joules", "", "meter, this run")
    watts, seconds = facts.get("energy_watts"), _number(facts.get("seconds_model"))
    if isinstance(watts, (list, tuple)) and len(watts) == 2:
        low, high = _number(watts[0]), _number(watts[1])
        said = f"{watts[0]} to {watts[1]} W"
    else:
        one = _number(watts)
        low, high = (None, None) if one is None else (one / 2, one * 1.5)
        said = f"{watts} W, give or take a half,"
    if low is None or high is None or seconds is None:
        return None
    method = f"{said} assumed, not metered, times the {seconds:.3g} seconds to the model"
    middle = (low + high) / 2 * seconds
    return Measure(
        "energy", middle, low * seconds, high * seconds, 1, "joules", "", method, "inferred"
    )
