"""What licences allow along a chain: weights, the data they learned from, adapters, code, the pack.

A small table of terms by SPDX name, and rules that put them together. They answer three questions, may this
be used commercially, may it be shared, may it be modified, each with the link that decides. They are
no legal advice: they read the strictest common meaning, and an unknown licence grants nothing.

How far the terms of data reach the weights that learned from them is not settled in law. So data never
decide by themselves here: their "no" and "unknown" become "unsettled", to be judged by a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from headstart.core.source import UNKNOWN
from headstart.errors import DataError, nearest

USES = ("commercial", "share", "modify")
ANSWERS = ("yes", "conditions", "unsettled", UNKNOWN, "no")
"""From the best to the worst; along a chain the worst decides."""
KINDS = ("weights", "adapter", "code", "data")

NOTICE = "name the authors and keep their notice"
SAME = "share changed versions under the same licence"
LIMITS = "pass its limits on use on to everybody who gets it"
OWN_TERMS = "read its own terms: they hold limits that no short rule says"


@dataclass(frozen=True)
class Terms:
    """What one licence says.

    Attributes:
        commercial, share, modify: answer to each use.
        conditions: what has to be done where the answer is "conditions".
        copyleft: name of the terms that changed versions must be under; "" for none.
        shares_changed: answer for sharing a changed version, where it differs from `share`.
    """

    commercial: str = "yes"
    share: str = "yes"
    modify: str = "yes"
    conditions: tuple[str, ...] = ()
    copyleft: str = ""
    shares_changed: str = ""

    def answer(self, use: str, changed: bool) -> str:
        """The answer to a use; "conditions" where yes has conditions."""
        said = str(getattr(self, use))
        if use == "share" and changed and self.shares_changed:
            said = self.shares_changed
        return "conditions" if said == "yes" and self.conditions else said


def _creative(parts: str) -> Terms:
    """The Creative Commons family by its letters: by, nc, nd, sa."""
    letters = parts.split("-")
    conditions = (NOTICE, *((SAME,) if "sa" in letters else ()))
    return Terms(
        commercial="no" if "nc" in letters else "yes",
        conditions=conditions,
        copyleft=f"cc-{parts}" if "sa" in letters else "",
        shares_changed="no" if "nd" in letters else "",
    )


_FREE, _NOTICE = Terms(), Terms(conditions=(NOTICE,))
_RESEARCH = Terms(commercial="no", share="no", conditions=("use it for research only",))
_RAIL = Terms(conditions=(LIMITS,), copyleft="")
_CUSTOM = Terms(conditions=(OWN_TERMS,))
_NOBODY = Terms(UNKNOWN, UNKNOWN, UNKNOWN)
_CLOSED = Terms("no", "no", "no")


def _copyleft(name: str, *more: str) -> Terms:
    return Terms(conditions=(NOTICE, SAME, *more), copyleft=name)


TABLE: Mapping[str, Terms] = {
    **dict.fromkeys(("cc0-1.0", "unlicense", "0bsd", "pddl-1.0", "public-domain"), _FREE),
    **dict.fromkeys(
        ("mit", "mit-0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "isc")
        + ("zlib", "ncsa", "psf-2.0", "python-2.0", "bsl-1.0", "odc-by-1.0", "afl-3.0", "postgresql")
        + ("cdla-permissive-1.0", "cdla-permissive-2.0", "ofl-1.1", "wtfpl", "artistic-2.0")
        + ("licenseref-wordnet-3.0",),
        _NOTICE,
    ),
    **{
        f"cc-{parts}-{version}": _creative(parts)
        for parts in ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")
        for version in ("1.0", "2.0", "2.5", "3.0", "4.0")
    },
    **{name: _copyleft("gpl-2.0-only") for name in ("gpl-2.0-only", "gpl-2.0")},
    **{name: _copyleft("gpl-3.0") for name in ("gpl-3.0-only", "gpl-3.0-or-later", "gpl-3.0")},
    "gpl-2.0-or-later": _copyleft("gpl-2.0-or-later"),
    **{
        name: _copyleft("agpl-3.0", "offer the source to those who use it over a network")
        for name in ("agpl-3.0-only", "agpl-3.0-or-later", "agpl-3.0")
    },
    **dict.fromkeys(
        ("lgpl-2.1-only", "lgpl-2.1-or-later", "lgpl-2.1", "lgpl-3.0-only", "lgpl-3.0-or-later")
        + ("lgpl-3.0", "mpl-2.0", "epl-2.0", "eupl-1.2"),
        Terms(conditions=(NOTICE, "share changes to its own files under the same licence")),
    ),
    "odbl-1.0": _copyleft("odbl-1.0"),
    "cdla-sharing-1.0": _copyleft("cdla-sharing-1.0"),
    **dict.fromkeys(
        ("openrail", "openrail-m", "openrail++", "openrail++-m", "creativeml-openrail-m")
        + ("bigscience-openrail-m", "bigscience-bloom-rail-1.0", "bigcode-openrail-m"),
        _RAIL,
    ),
    **dict.fromkeys(
        ("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma", "falcon-llm-1.0"),
        _CUSTOM,
    ),
    **dict.fromkeys(("research-only", "non-commercial-research", "fair-noncommercial-research"), _RESEARCH),
    "non-commercial": Terms(commercial="no", conditions=(NOTICE,)),
    "proprietary": _CLOSED,
    "own": _FREE,  # of the person who asks
    UNKNOWN: _NOBODY,
}  # fmt: skip

COMPATIBLE = (
    ("cc-by-sa", "gpl-3.0"),
    ("gpl-2.0-or-later", "gpl-2.0-only"),
    ("gpl-2.0-or-later", "gpl-3.0"),
    ("gpl-2.0-or-later", "agpl-3.0"),
    ("gpl-3.0", "agpl-3.0"),
)
"""Material under the first terms may become part of a work under the second."""
_STRICT = frozenset({"gpl-2.0-only", "gpl-2.0-or-later", "gpl-3.0", "agpl-3.0", "cc-by-sa"})
"""Copyleft that forbids further limits, such as those of research-only or OpenRAIL terms."""
_UNSAID = frozenset({"", UNKNOWN, "none", "nan", "n/a", "other", "noassertion", "null", "?"})


def said(licence: Any) -> str:
    """A licence as its origin states it; "unknown" where nothing is stated."""
    text = "" if licence is None else str(licence).strip()
    return UNKNOWN if text.lower() in _UNSAID else text


def terms(licence: Any) -> Terms:
    """What an SPDX name or expression (AND, OR, WITH, brackets) allows; of a name that the table does not
    hold nothing is known. Of alternatives joined by OR the one that allows most counts."""
    words = re.findall(r"[()]|[^\s()]+", said(licence))
    if len(words) > 1 and not any(w.upper() in ("AND", "OR", "WITH") for w in words):
        words = ["-".join(words)]  # "Apache 2.0"
    made, rest = _either(words)
    return made if not rest else _NOBODY


def _either(words: Sequence[str]) -> tuple[Terms, Sequence[str]]:
    made, words = _both(words)
    while words and words[0].upper() == "OR":
        other, words = _both(words[1:])
        made = min(made, other, key=_strictness)
    return made, words


def _both(words: Sequence[str]) -> tuple[Terms, Sequence[str]]:
    made, words = _one(words)
    while words and words[0].upper() == "AND":
        other, words = _one(words[1:])
        made = _joined(made, other)
    return made, words


def _one(words: Sequence[str]) -> tuple[Terms, Sequence[str]]:
    if not words:
        return _NOBODY, words
    if words[0] == "(":
        made, words = _either(words[1:])
        return (made, words[1:]) if words and words[0] == ")" else (_NOBODY, ())
    made, words = TABLE.get(words[0].lower().rstrip("+"), _NOBODY), words[1:]
    if len(words) > 1 and words[0].upper() == "WITH":  # exceptions only allow more
        words = words[2:]
    return made, words


def _strictness(one: Terms) -> tuple[int, ...]:
    ranks = [ANSWERS.index(one.answer(use, True)) for use in USES]
    return (max(ranks), sum(ranks), len(one.conditions))


def _joined(one: Terms, other: Terms) -> Terms:
    """Both at once."""
    clash = one.copyleft and other.copyleft and _clash(one, other)
    return Terms(
        _worst(one.commercial, other.commercial),
        _worst(one.share, other.share),
        _worst(one.modify, other.modify),
        conditions=tuple(dict.fromkeys((*one.conditions, *other.conditions))),
        copyleft=one.copyleft or other.copyleft,
        shares_changed="no" if clash else _worst(one.shares_changed, other.shares_changed),
    )


def _worst(*answers: str) -> str:
    return max((a for a in answers if a), key=ANSWERS.index, default="")


def _clash(one: Terms, other: Terms) -> bool:
    """Whether no licence satisfies both for a changed version."""
    pair = (one.copyleft, other.copyleft)
    if all(pair):
        return pair[0] != pair[1] and pair not in COMPATIBLE and pair[::-1] not in COMPATIBLE
    strict = one if one.copyleft else other
    free = other if strict is one else one
    limited = free.commercial == "no" or LIMITS in free.conditions or OWN_TERMS in free.conditions
    return strict.copyleft in _STRICT and limited


@dataclass(frozen=True)
class Link:
    """One thing that a product was made of.

    Attributes:
        what: its name for a person.
        kind: one of KINDS.
        licence: SPDX name or expression, or "unknown".
        origin: where it came from (URI, path, version).
        revision, digest: which one exactly.
        trained_on: what weights learned from, in words.
        parents: names (`what`) of the links that it was made of.
        changed: whether the product holds it changed (fine-tuned weights), rather than as it is.
        carried: whether the product holds it at all; a base that a pack names only is fetched by each user.
            Of data it says nothing: what was learned from them is held in any case.
    """

    what: str
    kind: str
    licence: str
    origin: str = UNKNOWN
    revision: str = UNKNOWN
    digest: str = UNKNOWN
    trained_on: str = UNKNOWN
    parents: tuple[str, ...] = ()
    changed: bool = False
    carried: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"Unknown kind of link '{self.kind}'. {nearest(self.kind, KINDS)}")
        object.__setattr__(self, "licence", said(self.licence))


@dataclass(frozen=True)
class Answer:
    """May the product be used so?

    Attributes:
        use: one of USES.
        answer: one of ANSWERS.
        path: names from the product to the link that decides; empty where nothing forbids or binds.
        why: one sentence.
        conditions: what has to be done.
    """

    use: str
    answer: str
    path: tuple[str, ...] = ()
    why: str = ""
    conditions: tuple[str, ...] = field(default=())


def answers(links: Iterable[Link]) -> tuple[Answer, ...]:
    """The answers for each of USES for a product made of `links`, its own link first.

    Raises:
        DataError: no links, two of one name, or a parent that is not among them.
    """
    kept = list(links)
    chain = {link.what: link for link in kept}
    if not kept or len(chain) != len(kept):
        raise DataError("A chain of licences needs links, each with a name of its own.")
    lost = [p for link in kept for p in link.parents if p not in chain]
    if lost:
        raise DataError(f"'{lost[0]}' is named as a parent, but is no link of the chain.")
    paths = _paths(kept[0].what, chain)
    return tuple(_answer(use, kept, paths) for use in USES)


def _paths(product: str, chain: Mapping[str, Link]) -> dict[str, tuple[str, ...]]:
    """The shortest way from the product to each link; links that nobody names hang on the product."""
    paths: dict[str, tuple[str, ...]] = {product: (product,)}
    left = [product]
    while left:
        here = left.pop(0)
        for name in chain[here].parents:
            if name not in paths:
                paths[name] = (*paths[here], name)
                left.append(name)
    for name in chain:
        paths.setdefault(name, (product, name))
    return paths


def _answer(use: str, links: Sequence[Link], paths: Mapping[str, tuple[str, ...]]) -> Answer:
    worst, conditions = Answer(use, "yes"), dict[str, None]()
    for link in links:
        found = terms(link.licence)
        given = _of_link(use, link, found)
        if given != "yes":
            conditions.update(dict.fromkeys(found.conditions))
        if ANSWERS.index(given) > ANSWERS.index(worst.answer):
            why = _reason(use, link, given)
            worst = Answer(use, given, paths[link.what], why)
    if use == "share" and worst.answer != "no":
        worst = _conflict(links, paths) or worst
    return Answer(use, worst.answer, worst.path, worst.why, tuple(conditions))


def _of_link(use: str, link: Link, found: Terms) -> str:
    """The answer of one link alone."""
    if use == "share" and link.kind != "data" and not link.carried:
        return "yes"  # nobody passes it on; each user fetches it under its own terms
    given = found.answer(use, link.changed or link.kind == "data")
    if link.kind == "data" and given in ("no", UNKNOWN):
        return "unsettled"
    return given


_ASKED = {
    "commercial": "commercial use",
    "share": "sharing the result",
    "modify": "changing it",
}


def _reason(use: str, link: Link, given: str) -> str:
    asked, silent = _ASKED[use], terms(link.licence).answer(use, True) == UNKNOWN
    under = f"'{link.what}' is under {link.licence}, which"
    if silent:
        under = f"nobody says under which terms '{link.what}' may be used"
    if given == "unsettled":
        forbids = under if silent else f"{under} forbids {asked}"
        return f"{forbids}; whether that reaches what learned from it is not settled in law"
    if given == UNKNOWN:
        return f"{under}; that grants nothing"
    return f"{under} {'forbids' if given == 'no' else 'sets conditions for'} {asked}"


def _conflict(links: Sequence[Link], paths: Mapping[str, tuple[str, ...]]) -> Answer | None:
    """Two carried links whose terms no single licence of the result satisfies."""
    carried = [link for link in links if link.carried and link.kind != "data"]
    for one, other in combinations(carried, 2):
        first, second = terms(one.licence), terms(other.licence)
        if (first.copyleft or second.copyleft) and _clash(first, second):
            why = (
                f"no licence of the result satisfies both '{one.what}' ({one.licence}) and "
                f"'{other.what}' ({other.licence})"
            )
            return Answer("share", "no", (*paths[one.what], other.what), why)
    return None


def of_source(
    source: Mapping[str, Any], *, changed: bool, known: dict[str, str] | None = None
) -> list[Link]:
    """A source, the data that it learned from and the sources that it was made of, as links.

    Args:
        source: a `headstart.core.source.Source`, or one of its `parents`, as plain values.
        changed: whether the product carries these weights, changed.
        known: names that other links of the chain have, with what they stand for. Another source of the same
            name gets the beginning of its digest behind it.
    """
    known = {} if known is None else known
    facts = {k: said(source.get(k)) for k in ("uri", "revision", "sha256", "trained_on")}
    short = _own_name(source, known)
    data = Link(
        f"data of {short}",
        "data",
        said(source.get("data_licence")),
        origin=facts["trained_on"],
    )
    above, firsts = list[Link](), list[str]()
    for parent in source.get("parents") or ():
        links = of_source(parent, changed=changed, known=known)
        firsts.append(links[0].what)
        above += links
    weights = Link(
        f"weights {short}",
        "weights",
        said(source.get("licence")),
        origin=facts["uri"],
        revision=facts["revision"],
        digest=facts["sha256"],
        trained_on=facts["trained_on"],
        parents=(data.what, *dict.fromkeys(firsts)),
        changed=changed,
        carried=changed,
    )
    return list({link.what: link for link in (weights, *above, data)}.values())


def _own_name(source: Mapping[str, Any], known: dict[str, str]) -> str:
    """The source's name, told apart from another one of that name."""
    name, uri, digest = (said(source.get(k)) for k in ("name", "uri", "sha256"))
    mark = f"{digest} {uri}"
    if known.setdefault(name, mark) == mark:
        return name
    longer = f"{name} ({uri if digest == UNKNOWN else digest[:8]})"
    known.setdefault(longer, mark)
    return longer
