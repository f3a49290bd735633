"""What all tests share: no network, no mirror, a home of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import blocked

# Before anything imports them: libraries read these once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, on what is small
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
blocked.block()


# Files whose tests run whole jobs, or are very many; they go first, so that no worker ends alone with one.
LONG = (
    "test_suites",
    "test_main_job",
    "test_readme",
    "test_docs",
    "test_recipes",
    "test_kill",
    "test_doors",
    "test_second_hour",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, all else in its order."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Caches and stores of the tests lie in a folder of theirs; runs are not mirrored."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(home / "cache"))
        patch.setenv("HEADSTART_TRACKING", "off")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield home


@pytest.fixture(autouse=True)
def unseeded_elsewhere() -> Iterator[None]:
    """A test that seeds torch's global generator leaves it as it was, where torch is loaded."""
    import sys

    torch = sys.modules.get("torch")
    state = torch.get_rng_state() if torch else None
    yield
    if torch is not None and state is not None:
        torch.set_rng_state(state)


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of larger data sets, HEADSTART_DATA; a test that wants it is skipped without."""
    folder = os.environ.get("HEADSTART_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HEADSTART_DATA names no folder of public data sets")
    return Path(folder)
