"""The network is blocked in these tests, in this process and in those that it forks."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest

from tests import blocked, forks

ASK = "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=1)"


def test_another_computer_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(OSError, match="no network"):
        urllib.request.urlopen("http://example.org", timeout=1)
    done = forks.run(forks.code, ASK, tmp_path, {})
    assert done.code != 0 and "no network" in done.output


def test_this_computer_can() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()[:2], timeout=5).close()


@pytest.mark.parametrize("host", ["", None, "localhost", b"127.0.0.1", "::1", "0.0.0.0"])
def test_what_is_near(host: object) -> None:
    assert blocked.near(host)


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "10.0.0.1", b"example.org"])
def test_what_is_far(host: object) -> None:
    assert not blocked.near(host)
