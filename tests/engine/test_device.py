"""A device's machine is made without the libraries that it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headstart.engine.device import fabric


def test_a_training_imports_no_library_that_it_does_not_use() -> None:
    asked = (
        "import sys; from headstart.engine.device import fabric; fabric('cpu'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "lightning_fabric" in loaded
    assert not loaded & {"torchmetrics", "torchvision", "transformers"}


def test_what_asks_for_the_version_of_torchmetrics_is_told_it() -> None:
    pytest.importorskip("torchmetrics")
    fabric("cpu")
    from lightning_fabric.utilities import imports

    assert imports._TORCHMETRICS_GREATER_EQUAL_1_0_0
    assert hasattr(sys.modules.get("torchmetrics", __import__("torchmetrics")), "Metric")
