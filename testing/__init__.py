"""Conformance suites for plug-ins, published with the package.

Each file is one suite and offers `things()`, the names of everything found, `checks()`, pairs of a name
and a function of one thing, and `KNOWN`, the exceptions with their written reasons. A package that adds a
plug-in through an entry point runs them on its own:

    from headstart.testing import modality          # `testing` in a checkout

    for name, check in modality.checks():
        check("audio")
"""

from __future__ import annotations

SUITES = ("backbone", "modality", "provider", "strategy", "objective", "head", "evidence")
