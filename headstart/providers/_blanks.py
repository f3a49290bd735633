"""Networks of other libraries by a document alone, to be filled with the weights beside it.

The document names them by `library`, `architecture` and `arguments`, by what else the library's own `blank`
reads, and by `without`: the path of the classifier that was taken off before the weights were written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from headstart.core import classifier, plugins
from headstart.errors import SourceError, nearest

LIBRARIES = ("torchvision", "keras", "open_clip")
"""Providers with a `blank`: what the document says, size of pictures -> seed -> network."""
ELSEWHERE = ("timm", "transformers", "headstart")
"""Libraries whose documents are read without that word."""
KINDS = {
    "library": (str, "the name of a library"),
    "architecture": (str, 'the name of a network, such as "resnet18"'),
    "arguments": (Mapping, 'a table, such as {"num_classes": 10}'),
    "configuration": (Mapping, "the configuration of a Keras model as a table"),
    "mode": (str, "how pixels reach a Keras model, in a word"),
    "without": (str, 'the path of the classifier that was taken off, such as "fc"'),
}
"""What a document may say of the network: its kind, and that in words."""


def library(card: Mapping[str, Any]) -> str:
    """The library by which the document's network is built here; "" where it is read in another way.

    Raises:
        SourceError: an unknown library.
    """
    told = card.get("library")
    if told is None or told in ELSEWHERE:
        return ""
    if told not in LIBRARIES:
        known = (*LIBRARIES, *ELSEWHERE)
        offer = nearest(told, known) if isinstance(told, str) else ""
        raise SourceError(
            f"The document's 'library' came as {told!r}; expected one of {', '.join(known)}. {offer}".rstrip()
        )
    return str(told)


def named(card: Mapping[str, Any]) -> dict[str, Any]:
    """What the document says of the network. Raises SourceError for values of another kind."""
    made = {name: card[name] for name in KINDS if card.get(name) is not None}
    for name, value in made.items():
        kind, words = KINDS[name]
        if not isinstance(value, kind) or not (value or kind is Mapping):
            raise SourceError(f"The document's '{name}' came as {value!r}; expected {words}.")
    if "architecture" not in made:
        raise SourceError(
            "The document names a library, but no 'architecture'. Expected "
            f"{KINDS['architecture'][1]}; put it into the .json file beside the weights."
        )
    return {"arguments": {}, **made}


def built(
    card: Mapping[str, Any], size: tuple[int, ...]
) -> tuple[nn.Module, Callable[[int], nn.Module]]:
    """The network that a document names, its weights to be filled, and how it is drawn anew.

    Args:
        card: see the module's text.
        size: channels, height and width of its pictures.

    Raises:
        SourceError: the library knows no such network, or not these arguments.
        MissingExtra: the library is not installed.
    """
    told = named(card)
    provider: Any = plugins.load("provider", library(told))
    draw: Callable[[int], nn.Module] = provider.blank(told, size)
    path = told.get("without", "")

    def rebuild(seed: int) -> nn.Module:
        made = draw(seed)
        if path:
            classifier.take_off(made, path)
        return made

    return rebuild(0), rebuild
