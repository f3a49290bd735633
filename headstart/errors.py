"""Every error that headstart raises on purpose.

    HeadstartError
    |-- UserError              the call or its input is wrong; the command line exits with 2
    |   |-- DataError          the data cannot be read or used as asked
    |   |   `-- BadRow         one row cannot be used: it is set aside, with reason and remedy
    |   |-- PlanError          a plan, a setting or a name in it is wrong
    |   |-- SourceError        a source is unknown, unreadable or refused
    |   |   |-- DamagedError   its files are cut short, or not those that its document names
    |   |   `-- OfflineError   it would need the network, and the network is forbidden
    |   |-- PackError          a pack is unreadable, or does not fit its base
    |   |-- MissingExtra       an optional library is not installed
    |   `-- StorageError       a folder cannot be written, or the disk is full
    |-- ContractError          a plug-in breaks its contract (staging, shapes, needs)
    |   `-- FrozenDrift        something that the phase did not name has changed
    `-- SealedError            the test split was asked for where it must stay closed

A message says what came, what was expected, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HeadstartError(Exception):
    """Root of the tree."""


class UserError(HeadstartError):
    """The call or its input is wrong; nothing was half-written."""


class DataError(UserError):
    """The data cannot be read or used as asked."""


class BadRow(DataError):
    """One row cannot be used.

    Attributes:
        reason: what is wrong with the row, in a few words.
        remedy: what the person can do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class PlanError(UserError):
    """A plan, a setting or a name in it is wrong."""


class SourceError(UserError):
    """A source is unknown, unreadable or refused."""


class DamagedError(SourceError):
    """A source's files are cut short, or differ from the digest that was declared for them."""


class OfflineError(SourceError):
    """The network would be needed, and it is forbidden."""


class PackError(UserError):
    """A pack is unreadable, or does not fit its base."""


class MissingExtra(UserError):
    """An optional library is not installed."""


class StorageError(UserError):
    """A folder cannot be written, or the disk is full."""


class ContractError(HeadstartError):
    """A plug-in breaks its contract."""


class FrozenDrift(ContractError):
    """A parameter or buffer changed although the phase did not name it."""


class SealedError(HeadstartError):
    """The test split was asked for where it must stay closed."""


LISTED = 40
"""Names that a sentence lists at most."""


def nearest(name: str, known: Iterable[str], most: int = 3) -> str:
    """Words an unknown name: the nearest known ones, or all of them when none is near; of many the first few.

    Returns a sentence without a leading space, for the end of an error message.
    """
    names = sorted(known)
    if not names:
        return "There is none to choose from."
    by_small = {n.lower(): n for n in reversed(names)}
    small = difflib.get_close_matches(name.lower(), by_small, n=most, cutoff=0.5)
    if close := [by_small[s] for s in small]:
        return "Did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    more = f" and {len(names) - LISTED:,} others" if len(names) > LISTED else ""
    return "Known: " + ", ".join(names[:LISTED]) + more + "."
