"""Every conformance suite on every plug-in found; exceptions carry a written reason."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest

import testing


def every_check_on_everything_found() -> Iterator[object]:
    for suite in testing.SUITES:
        module = import_module(f"testing.{suite}")
        for thing in module.things():
            for name, check in module.checks():
                reason = module.KNOWN.get((name, thing))
                marks = [pytest.mark.skip(reason=reason)] if reason else []
                label = f"{suite}-{thing}-{name.removeprefix('check_')}"
                yield pytest.param(check, thing, marks=marks, id=label)


@pytest.mark.parametrize(("check", "thing"), every_check_on_everything_found())
def test_contract(check, thing) -> None:  # type: ignore[no-untyped-def]
    check(thing)


@pytest.mark.parametrize("suite", testing.SUITES)
def test_exceptions_name_real_checks_and_things(suite: str) -> None:
    module = import_module(f"testing.{suite}")
    names = {name for name, _ in module.checks()}
    assert names, f"testing/{suite}.py checks nothing"
    for (name, _), reason in module.KNOWN.items():
        assert name in names
        assert len(reason.split()) >= 4, f"the reason for {name} is not written out"
