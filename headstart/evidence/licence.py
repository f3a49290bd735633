"""The licence chain: under which terms came what the model was made of.

Read from `case.facts["licences"]`: a list of mappings with `what` (weights, data, code), `licence` (an
SPDX name, or the words of its origin) and `origin` (where that is said). What nobody stated is printed as
unknown and listed as missing: an unknown licence grants nothing. No measure is made; a person judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.core.evidence import Case, Exhibit, Finding

NEEDS = ("licences",)
OUTCOMES = ("any",)

_UNSAID = frozenset({"", "unknown", "none", "nan", "n/a", "other", "noassertion", "null", "?"})


def check(case: Case) -> Finding:
    """Lists every link of the chain, unknown ones first."""
    links = case.facts.get("licences") or ()
    if not links:
        return Finding("licence", missing=(("licence chain", "the run recorded no licences"),))
    rows, missing = [], []
    for link in links:
        what, licence, origin = (_said(link, key) for key in ("what", "licence", "origin"))
        if licence == "unknown":
            missing.append((f"licence of {what}", f"not stated by its origin ({origin})"))
        rows.append([what, licence, origin])
    rows.sort(key=lambda row: row[1] != "unknown")
    table = {"columns": ["what", "licence", "origin"], "rows": rows}
    return Finding(
        "licence", (), (Exhibit("licences", "table", "Licence chain", table),), tuple(missing)
    )


def _said(link: Mapping[str, Any], key: str) -> str:
    """The text of one field; "unknown" where nothing is said."""
    text = str(link.get(key) if link.get(key) is not None else "").strip()
    return "unknown" if text.lower() in _UNSAID else text
