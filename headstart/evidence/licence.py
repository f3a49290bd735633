"""The licence chain: what the model was made of, and what that allows.

Read from `case.facts["licences"]`: the links of `headstart.core.licence`, as plain values, the model first.
What nobody stated is printed as unknown and listed as missing: an unknown licence grants nothing. No measure
is made; a person judges.
"""

from __future__ import annotations

from headstart.core.evidence import Case, Exhibit, Finding
from headstart.core.licence import Answer, Link, answers
from headstart.core.source import UNKNOWN

NEEDS = ("licences",)
OUTCOMES = ("any",)

_ASKED = {
    "commercial": "May it be used commercially?",
    "share": "May it be shared?",
    "modify": "May it be changed?",
}
_TOLD = {
    "yes": "yes",
    "conditions": "yes, with conditions",
    "unsettled": "not settled",
    UNKNOWN: "unknown",
    "no": "no",
}


def check(case: Case) -> Finding:
    """The three answers with the path that decides, and every link, unknown ones first."""
    links = [Link(**link) for link in case.facts.get("licences") or ()]
    if not links:
        return Finding("licence", missing=(("licence chain", "the run recorded no licences"),))
    columns = ["question", "answer", "decided by", "why", "what has to be done"]
    said = {"columns": columns, "rows": [_answered(a) for a in answers(links)]}
    rows = sorted(
        ([link.what, link.kind, link.licence, link.origin] for link in links),
        key=lambda row: row[2] != UNKNOWN,
    )
    table = {"columns": ["what", "kind", "licence", "origin"], "rows": rows}
    missing = tuple(
        (f"licence of {link.what}", f"not stated by its origin ({link.origin})")
        for link in links
        if link.licence == UNKNOWN
    )
    exhibits = (
        Exhibit("licence_answers", "table", "What its licences allow", said),
        Exhibit("licences", "table", "Licence chain", table),
    )
    return Finding("licence", (), exhibits, missing)


def _answered(one: Answer) -> list[str]:
    decides = " > ".join(one.path)
    return [_ASKED[one.use], _TOLD[one.answer], decides, one.why, "; ".join(one.conditions)]
