"""The network is blocked while tests run: whoever asks for another computer gets an error at once."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

NAMES = ("", "localhost")


def near(host: Any) -> bool:
    """Whether a host is this computer."""
    told = host.decode() if isinstance(host, bytes) else str(host or "")
    if told in NAMES:
        return True
    try:
        address = ipaddress.ip_address(told.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _heard(event: str, told: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo" and not near(told[0]):
        raise OSError(f"tests have no network, and '{told[0]}' was looked for")
    if event in ("socket.connect", "socket.sendto"):
        address = told[1]
        if isinstance(address, tuple) and not near(address[0]):
            raise OSError(f"tests have no network, and {address} was asked for")


def block() -> None:
    """For this process and those that are forked from it; nothing takes it back."""
    if not getattr(sys, "_headstart_blocked", False):
        sys.addaudithook(_heard)
        sys._headstart_blocked = True  # type: ignore[attr-defined]
