"""`timm:NAME`: pretrained weights of the timm library, from its hub or from the hub's local cache."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart.core import machine
from headstart.core.source import Loaded
from headstart.errors import OfflineError, SourceError, nearest
from headstart.providers import _inputs as inputs

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import timm
import torch
from huggingface_hub import constants as hub
from torch import nn


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
) -> Loaded:
    """Loads `reference`, a timm name with or without a tag ("resnet18.a1_in1k").

    Args:
        settings: `input_size=160`, `augment=flip,...`, or arguments of the network ("pad_type=same").
        offline: only the local cache may be read.

    Raises:
        SourceError: no such name, or no pretrained weights under it.
        OfflineError: the weights are not in the local cache and the network is forbidden.
    """
    known = timm.list_models(pretrained=True)
    architecture = reference.partition(".")[0]
    if not timm.is_model(architecture):
        raise SourceError(f"timm knows no '{reference}'. {nearest(reference, known)}")
    changed, arguments = inputs.separate(settings)
    module = _published(reference, arguments, machine.forbidden(offline))
    config = dict(module.pretrained_cfg)
    facts = {
        "licence": config.get("license"),
        "revision": config.get("tag"),
        "trained_on": config.get("hf_hub_id") or config.get("tag"),
        "paper": config.get("paper_ids"),
    }
    return inputs.document(
        f"timm:{reference}",
        module,
        library="timm",
        family=type(module).__name__,
        facts=facts,
        preprocessing=inputs.sealed(config, changed),
        rebuild=rebuilder(architecture, arguments),
    )


def _published(reference: str, arguments: Mapping[str, Any], forbidden: str) -> Any:
    """The network with its weights; `forbidden` by whom, if by anyone. Raises OfflineError, SourceError."""
    try:
        with torch.random.fork_rng(devices=[]), _cache_only(reference, bool(forbidden)):
            return timm.create_model(reference, pretrained=True, **arguments).eval()
    except (OSError, ConnectionError) as error:
        why = f"{forbidden} forbids the network" if forbidden else "could not be fetched"
        raise OfflineError(
            f"The weights of 'timm:{reference}' are not on this computer and {why} "
            f"({type(error).__name__}). Fetch them once while online, use a local file with "
            f"file:PATH?architecture={reference.partition('.')[0]}, or a built-in source (headstart "
            "sources)."
        ) from error
    except (RuntimeError, ValueError) as error:
        raise SourceError(f"'timm:{reference}' could not be loaded: {error}") from error


@contextlib.contextmanager
def _cache_only(reference: str, offline: bool) -> Iterator[None]:
    """Forbids every request while it holds. The hub's library read its own switch when it was imported,
    so setting the environment now would come too late; weights at a plain address must lie in torch's
    cache.

    Raises:
        ConnectionError: a file would have to be fetched.
    """
    config, before = timm.get_pretrained_cfg(reference), hub.HF_HUB_OFFLINE
    if offline and config is not None and config.url and not config.hf_hub_id:
        name = Path(str(config.url)).name
        if not (Path(torch.hub.get_dir()) / "checkpoints" / name).is_file():
            raise ConnectionError(name)
    hub.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


def rebuilder(architecture: str, arguments: Mapping[str, Any]) -> Callable[[int], nn.Module]:
    """seed -> the same architecture with fresh random weights; the global generator is untouched."""

    def rebuild(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return timm.create_model(architecture, pretrained=False, **arguments).eval()

    return rebuild
