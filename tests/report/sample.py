"""Made-up records, rich enough to try every part of the report: helped, harmed, regress, hostile."""

from __future__ import annotations

import math
import random
from typing import Any

from headstart.core.evidence import Exhibit, Finding, Measure
from headstart.core.plan import EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.run import Record
from headstart.core.task import Columns, Task, TaskCard
from tests.report.picture import png

EVIL = "<script>alert(1)</script>"
EVIL_NAME = "\"quoted\" & 'odd' <b>.png"
HELPED, HARMED = "The transfer helped", "The transfer harmed"
NO = "There is no evidence that the transfer helped or harmed"
BUDGET = "This holds within this budget: 'from scratch' was still improving when its budget ended."
USE = "Use 'from scratch' instead."
UNSEEN = (
    "A difference smaller than about 4.1 points could not have been seen with these rows and seeds."
)
LEAVES = ("healthy", "leaf rust", "powdery mildew", "septoria blotch", "nitrogen deficiency")


def measure(
    name: str, value: float, half: float | None, unit: str, n: int = 240, **more: Any
) -> Measure:
    """A measure with a symmetric interval."""
    low, high = (None, None) if half is None else (value - half, value + half)
    more = {"baseline": "", "method": "bootstrap over seeds and test rows; 2,000 draws", **more}
    return Measure(name=name, value=value, low=low, high=high, n=n, unit=unit, **more)


def _told(begin: str, value: str, ends: str, rest: str) -> str:
    """A verdict in the words of the check."""
    seen = "on 240 test rows its share of right answers differs from that of 'from scratch' by"
    return f"{begin}: {seen} {value} points (95 % interval {ends}). {rest}"


def _verdict(
    word: str, sentence: str, gain: tuple[float, float], scores: tuple[float, float, float]
) -> Finding:
    arms = ("transfer", "from scratch", "champion: logistic regression")
    return Finding(
        "verdict",
        (
            measure("transfer gain", gain[0], gain[1], "points", baseline="from scratch"),
            measure(
                "detectable difference",
                4.1,
                0.9,
                "points",
                baseline="from scratch",
                basis="inferred",
            ),
            *(
                measure(
                    "accuracy",
                    s,
                    0.021 + 0.008 * i,
                    "share",
                    group=a,
                    method="mean; interval over 3 seeds and test rows",
                )
                for i, (a, s) in enumerate(zip(arms, scores, strict=True))
            ),
            measure(
                "training compute ratio",
                9.7,
                None,
                "times",
                n=1,
                baseline="from scratch",
                method="counted",
            ),
        ),
        (
            Exhibit(
                "verdict",
                "sentence",
                "Did the transfer help?",
                {"verdict": word, "sentence": sentence},
            ),
        ),
    )


def _accuracy(classes: tuple[str, ...]) -> Finding:
    dice = random.Random(4)
    counts = [
        [38 + dice.randrange(9) if i == j else dice.randrange(5) for j in range(len(classes))]
        for i in range(len(classes))
    ]
    rows = [
        {
            "row": i,
            "name": f"field_{i:03d}.png",
            "predicted": classes[(i + 1) % len(classes)],
            "true": classes[i % len(classes)],
            "confidence": 0.99 - 0.03 * i,
        }
        for i in range(6)
    ]
    per = [
        measure(name, 0.72 + 0.25 * dice.random(), 0.06, "share", n=sum(counts[i]), group=label)
        for i, label in enumerate(classes)
        for name in ("precision", "recall", "F1")
    ]
    return Finding(
        "accuracy",
        (
            measure("accuracy", 0.913, 0.021, "share"),
            measure("macro F1", 0.902, 0.026, "share"),
            *per,
        ),
        (
            Exhibit(
                "confusion",
                "matrix",
                "What was taken for what",
                {"labels": list(classes), "counts": counts},
            ),
            Exhibit("mistakes", "samples", "The most confident mistakes", {"rows": rows}),
        ),
    )


def _trust() -> Finding:
    x = [0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95]
    y = [0.31, 0.40, 0.52, 0.57, 0.70, 0.79, 0.93]
    data = {
        "x": x,
        "y": y,
        "low": [v - 0.09 + 0.05 * a for v, a in zip(y, x, strict=True)],
        "high": [v + 0.09 - 0.05 * a for v, a in zip(y, x, strict=True)],
        "n": [4, 7, 12, 18, 34, 61, 104],
        "x_label": "confidence that was stated",
        "y_label": "share that was right",
        "diagonal": True,
    }
    return Finding(
        "calibration",
        (
            measure("expected calibration error", 0.038, 0.012, "share"),
            measure("Brier score", 0.142, 0.02, ""),
        ),
        (
            Exhibit(
                "reliability", "curve", "Stated confidence against the share that was right", data
            ),
        ),
    )


def _learning() -> Finding:
    data = {
        "x": [0.1, 0.2, 0.5, 1.0],
        "y": [0.61, 0.74, 0.86, 0.913],
        "low": [0.52, 0.68, 0.83, 0.892],
        "high": [0.69, 0.79, 0.89, 0.934],
        "n": [20, 40, 100, 200],
        "x_label": "share of the labels used",
        "y_label": "accuracy",
        "diagonal": False,
    }
    return Finding(
        "learning_curve",
        (),
        (Exhibit("learning_curve", "curve", "Score of the probe by labels used", data),),
    )


def _slices() -> Finding:
    groups = ("camera = phone", "camera = drone", "season = spring", "season = autumn")
    found = [
        measure("accuracy", 0.93 - 0.06 * i, 0.03 + 0.02 * i, "share", n=120 - 25 * i, group=g)
        for i, g in enumerate(groups)
    ]
    return Finding(
        "slices", tuple(found), (), (("slices by 'farm'", "fewer than 10 test rows in each part"),)
    )


def _cost() -> Finding:
    columns = ["Arm", "Training FLOPs", "Time", "Peak memory"]
    rows = [
        ["transfer", "1.2 TFLOP", "11.4 s", "412 MB"],
        ["from scratch", "11.6 TFLOP", "96.0 s", "1.1 GB"],
    ]
    return Finding(
        "cost",
        (
            measure(
                "energy of the transfer arm",
                310.0,
                45.0,
                "joules",
                n=3,
                basis="inferred",
                method="time x rated power",
            ),
        ),
        (Exhibit("arms", "table", "By arm", {"columns": columns, "rows": rows}),),
        (("energy measured at the socket", "no meter was readable"),),
    )


def _rest() -> tuple[Finding, ...]:
    chain = {
        "columns": ["Part", "Licence", "Comes from"],
        "rows": [
            ["pretrained weights", "Apache-2.0", "timm"],
            ["pretraining data", "unknown", "ImageNet-1k"],
            ["your labels", "yours", "photos"],
        ],
    }
    bars = {
        "labels": ["source, before", "source, after"],
        "values": [0.71, 0.71],
        "low": [0.68, 0.68],
        "high": [0.74, 0.74],
        "n": [500, 500],
        "unit": "share",
    }
    return (
        Finding("licence", (), (Exhibit("chain", "table", "Licence chain", chain),)),
        Finding(
            "forgetting",
            (measure("source ability lost", 0.0, 1.1, "points", n=500),),
            (Exhibit("before_after", "bars", "What the source could do before and after", bars),),
        ),
        Finding(
            "leakage",
            (measure("near-duplicates across the split", 0, None, "rows"),),
            (),
            (("duplicates by meaning", "not asked for"),),
        ),
        Finding(
            "novelty",
            (),
            (
                Exhibit(
                    "strange",
                    "hologram",
                    "A kind that nobody has drawn yet",
                    {"depth": 3, "tones": [1, 2, 3]},
                ),
            ),
        ),
    )


def record(word: str = "helped", classes: tuple[str, ...] = LEAVES) -> Record:
    """A finished run on leaf photographs whose verdict is `word`."""
    told = {
        "helped": (
            _told(HELPED, "+8.4", "+5.1 to +11.7", BUDGET),
            (8.4, 3.3),
            (0.913, 0.829, 0.801),
        ),
        "harmed": (
            _told(HARMED, "-6.2", "-9.9 to -2.5", USE),
            (-6.2, 3.7),
            (0.791, 0.853, 0.842),
        ),
        "no evidence": (
            _told(NO, "+1.1", "-2.0 to +4.2", UNSEEN),
            (1.1, 3.1),
            (0.86, 0.849, 0.842),
        ),
    }[word]
    card = TaskCard(
        question="Which disease does this wheat leaf show?",
        decision="Whether a field is sprayed this week; a missed rust costs more than a needless visit.",
        required=0.9,
        assumptions=(
            "Photographs come from phones held at arm's length.",
            "The five classes cover what occurs in the region.",
        ),
        owner="Crop advice, North",
    )
    return Record(
        id="20261121-101500-3fa2",
        plan=Plan(
            task=Task(
                data="fields/leaves", columns=Columns(group="field"), card=card, per_class=40
            ),
            source=SourceChoice("timm:resnet18.a1_in1k"),
            strategy=StrategyChoice("linear_probe", {"l2": 0.01}),
            evidence=EvidenceChoice(seeds=3),
            budget="5 min",
        ),
        digests={
            "data": "9b1c44e07d52",
            "source": "5c2e" * 16,
            "plan": "3fa2c0d19e",
            "split": "77ab12",
            "predictions": "e01f93",
        },
        source={
            "uri": "timm:resnet18.a1_in1k",
            "name": "resnet18.a1_in1k",
            "family": "resnet",
            "revision": "0.1",
            "sha256": "5c2e" * 16,
            "licence": "Apache-2.0",
            "trained_on": "ImageNet-1k",
            "paper": "arXiv:2110.00476",
            "parameters": 11_689_512,
        },
        classes=classes,
        findings=(
            _verdict(word, *told),
            _accuracy(classes),
            _trust(),
            _learning(),
            _slices(),
            *_rest(),
            _cost(),
        ),
        predictions={"names": [f"field_{i:03d}.png" for i in range(240)]},
        notes=(
            "The target column was guessed from the folder names.",
            "Three pictures were larger than 40 megapixels and were read at half size.",
        ),
        facts={
            "rows": 960,
            "rows_train": 720,
            "rows_test": 240,
            "strategy": "linear_probe",
            "seconds_model": 12.7,
            "seconds_verdict": 141.3,
            "flops_total": 1.43e13,
            "peak_bytes": 1.1e9,
            "store_bytes": 3.9e6,
            "openings": 1,
            "executor": "eager",
            "not_measured": ["robustness to blur", ["drift", "no later rows were given"]],
        },
        set_aside=(
            {
                "name": "field_113.png",
                "reason": "the file is cut off",
                "remedy": "copy it again from the camera",
            },
            {"name": "thumbs.db", "reason": "not a picture", "remedy": "delete it"},
        ),
    )


def samples() -> dict[int, dict[str, Any]]:
    """What the mistakes of `record` look like: pictures, one text, one table row."""
    found: dict[int, dict[str, Any]] = {
        i: {"kind": "picture", "data": png(90 + 12 * i, 140 - 8 * i, 60, seed=i)} for i in range(4)
    }
    found[4] = {
        "kind": "text",
        "text": "Leaves yellowing from the tip, no pustules.\nOlder leaves first; plot 12 was not limed.",
    }
    found[5] = {
        "kind": "pairs",
        "pairs": [["moisture", "0.31"], ["day of year", "142"], ["variety", "Akteur"]],
    }
    return found


def hostile() -> tuple[Record, dict[int, dict[str, Any]]]:
    """A record in which every text is an attack."""
    import dataclasses

    base = record(
        "helped",
        (
            EVIL,
            '"><img src=x onerror=alert(1)>',
            "javascript:alert(1)",
            "a'b\"c",
            "\x00\x1b[31m\ud800",
        ),
    )
    card = dataclasses.replace(
        base.plan.task.card,
        question=f"Is it {EVIL}?",
        decision="</style><script>1</script>",
        assumptions=(EVIL,),
        owner=EVIL,
    )
    plan = dataclasses.replace(
        base.plan, task=dataclasses.replace(base.plan.task, data=f"/x/{EVIL_NAME}", card=card)
    )
    rows = [
        {
            "row": i,
            "name": EVIL_NAME,
            "predicted": EVIL,
            "true": "</figure>",
            "confidence": 0.9,
            EVIL: EVIL,
        }
        for i in range(5)
    ]
    bars = {
        "labels": [EVIL, '" onload="x'],
        "values": [1.0, math.nan],
        "low": [0.5, None],
        "high": [1.5, None],
        "unit": EVIL,
    }
    attack = Finding(
        EVIL,
        (
            measure(EVIL, 0.5, 0.1, EVIL, group=EVIL, method=EVIL),
            measure("{{ 7 * 7 }}", 0.5, 0.1, "share", baseline=EVIL),
        ),
        (
            Exhibit(EVIL, "samples", EVIL, {"rows": rows}),
            Exhibit("b", "bars", EVIL, bars),
            Exhibit("t", "table", "t", {"columns": [EVIL], "rows": [[EVIL], [{EVIL: EVIL}]]}),
            Exhibit(
                "c",
                "curve",
                "c",
                {"x": [1, 2], "y": [1, math.inf], "x_label": EVIL, "y_label": '"><script>'},
            ),
            Exhibit("u", EVIL, "u", {EVIL: EVIL}),
            Exhibit("m", "matrix", "m", {"labels": [EVIL]}),
            Exhibit("s", "sentence", "s", {"sentence": EVIL}),
        ),
        ((EVIL, EVIL),),
    )
    shown: dict[int, dict[str, Any]] = {
        0: {"kind": "picture", "data": 'data:image/png;base64,AA"onerror="alert(1)'},
        1: {"kind": "picture", "data": "https://example.org/x.png"},
        2: {"kind": "text", "text": f"{EVIL} \u202e reversed"},
        3: {"kind": "pairs", "pairs": [[EVIL, EVIL]]},
        4: {"kind": "picture", "data": "data:image/svg+xml;base64,AAAA"},
    }
    changed = dataclasses.replace(
        base,
        plan=plan,
        findings=(*base.findings, attack),
        notes=(EVIL,),
        digests={EVIL: EVIL},
        source={**base.source, "name": EVIL, "licence": EVIL, "paper": "javascript:alert(1)"},
        set_aside=({"name": EVIL_NAME, "reason": EVIL, "remedy": EVIL},),
        facts={**base.facts, EVIL: EVIL, "not_measured": {EVIL: EVIL}},
    )
    return changed, shown


def regression() -> Record:
    """A run that predicts numbers: no classes, R2, a curve of residuals."""
    import dataclasses

    base = record("no evidence")
    card = TaskCard(question="How many tonnes per hectare will this plot yield?")
    arms = [
        measure("R2", v, 0.09, "R2", group=a)
        for a, v in (("transfer", 0.71), ("champion: ridge", 0.69))
    ]
    gain = measure("transfer gain", 0.02, 0.05, "R2", baseline="champion: ridge")
    told = {
        "verdict": "no evidence",
        "sentence": f"{NO}: by +0.020 in R2 (95 % interval -0.030 to +0.070).",
    }
    judged = Finding(
        "verdict",
        (gain, *arms),
        (Exhibit("verdict", "sentence", "", told),),
        (("gain over scratch", "no scratch arm was trained"),),
    )
    errors = Finding("regression", (measure("mean absolute error", 0.61, 0.08, "t/ha", n=80),), ())
    plan = dataclasses.replace(
        base.plan, task=dataclasses.replace(base.plan.task, outcome="regress", card=card)
    )
    return dataclasses.replace(base, plan=plan, classes=(), findings=(judged, errors, _learning()))


def crowded(classes: int = 34) -> Record:
    """A run with more classes than a matrix can show."""
    return record("helped", tuple(f"species {i:02d}" for i in range(classes)))
