"""A pretrained model as a document, and what a provider hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from torch import nn

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Source:
    """Who a pretrained model is. There are no defaults: what is not known is said (`UNKNOWN`).

    Attributes:
        uri: how it was asked for ("timm:resnet18.a1_in1k", "file:/weights/x.safetensors").
        name: a short name for tables.
        family: architecture family as the library spells it ("resnet", "bert").
        revision: version of the weights.
        sha256: digest of the tensors (`headstart.core.digest.tensors`), hexadecimal.
        licence: SPDX name where there is one.
        trained_on: data and labels it learned from.
        data_licence: licence of that data: SPDX name or expression where there is one.
        parents: sources that it was made of: mappings with name, uri, revision, sha256, licence, trained_on,
            data_licence and parents.
        paper: arXiv id or DOI.
        parameters: count.
        preprocessing: sealed settings that the modality's `batch.make` reads.
    """

    uri: str
    name: str
    family: str
    revision: str
    sha256: str
    licence: str
    trained_on: str
    data_licence: str
    parents: tuple[Mapping[str, Any], ...]
    paper: str
    parameters: int
    preprocessing: Mapping[str, Any]


@dataclass(frozen=True)
class Loaded:
    """What a provider hands to a modality for staging.

    Attributes:
        source: the document.
        module: the network with its weights, in eval mode.
        config: facts for staging: "library" ("timm", "transformers", "headstart" ...), "architecture",
            and what the library's own configuration says.
        rebuild: seed -> the same architecture with fresh random weights (the from-scratch twin);
            None where no twin can exist.
        checked: digests that were compared when it was opened, in words; () where none was declared.
    """

    source: Source
    module: nn.Module
    config: Mapping[str, Any]
    rebuild: Callable[[int], nn.Module] | None
    checked: tuple[str, ...] = ()


def configured(loaded: Loaded, settings: Mapping[str, str]) -> Loaded:
    """The same with the settings in its URI, in the order of their names, so that it opens the same network
    again."""
    if not settings or "?" in loaded.source.uri:
        return loaded
    query = urlencode(sorted(settings.items()), safe=",/")
    return replace(loaded, source=replace(loaded.source, uri=f"{loaded.source.uri}?{query}"))
