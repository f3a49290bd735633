"""A module that a person built, seen as a network of ours: the backbone staged, the head apart from it."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from headstart.core import plugins
from headstart.core.head import Head
from headstart.core.network import Network
from headstart.core.source import UNKNOWN, Loaded, Source
from headstart.errors import PlanError, nearest

READERS = {"timm": "image", "torchvision": "image", "transformers": "text"}
"""Library -> the modality whose stages serve its networks; those of no known family are one stage."""
HEAD = "head"


class Held(Head):
    """A person's own head, as it is."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.width = int(getattr(inner, "in_features", 0))
        self.outputs = int(getattr(inner, "out_features", 0))

    def forward(self, features: Any) -> Any:
        return self.inner(features)


class Foreign:
    """Backbone and head inside a module.

    Where the head lies inside the backbone (a network with its own classifier), the stages are those of a
    copy of the modules above the head, whose parameters and other children are the person's own; `sync`
    carries modules that were exchanged there over.

    Args:
        module: that holds both.
        backbone, head: their dotted names in it.

    Raises:
        PlanError: there is no such part, or it is of no library whose networks are staged.
    """

    def __init__(self, module: nn.Module, backbone: str, head: str) -> None:
        self._copies: list[tuple[nn.Module, nn.Module, str]] = []
        net, self.head = _part(module, backbone, "backbone"), _part(module, head, "head")
        library = _library(net, backbone)
        if any(part is net for part in self.head.modules()):
            raise PlanError(
                f"The head came as '{head}', which holds the whole backbone '{backbone}'. Expected the name "
                "of the last layer alone, beside the backbone or inside it (such as 'head', 'model.fc')."
            )
        inside = head.removeprefix(f"{backbone}.") if head.startswith(f"{backbone}.") else ""
        if inside:
            net = self._without(net, inside)
        else:
            _no_classifier(net, library, backbone)
        width = getattr(self.head, "in_features", None)
        if library == "torchvision" and isinstance(width, int):
            net.feature_width = width  # its layout asks the classifier, which is apart
        staged = plugins.Modality(READERS[library]).backbones.stage(_loaded(net, library))
        self.network = Network(staged, {HEAD: Held(self.head)})

    def _without(self, net: nn.Module, path: str) -> nn.Module:
        """A copy of the modules on the way to the head, with nothing in its place."""
        made = _shallow(net)
        here, there = net, made
        names = path.split(".")
        for name in names[:-1]:
            self._copies.append((here, there, name))
            here = here.get_submodule(name)
            child = _shallow(here)
            there._modules[name] = child
            there = child
        there._modules[names[-1]] = nn.Identity()
        self._copies.append((here, there, names[-1]))
        return made

    def sync(self) -> None:
        """Carries exchanged modules and modes over from the copies."""
        for own, copied, kept in self._copies:
            own.training = copied.training
            for name, child in copied._modules.items():
                if name != kept and own._modules.get(name) is not child:
                    own._modules[name] = child


def _shallow(module: nn.Module) -> nn.Module:
    """Another module with the same parameters, buffers and children."""
    made = copy.copy(module)
    made._modules = dict(module._modules)
    return made


def _part(module: nn.Module, name: str, what: str) -> nn.Module:
    """A submodule by its dotted name. Raises PlanError."""
    try:
        return module.get_submodule(name)
    except AttributeError:
        known = [n for n, _ in module.named_modules() if n.count(".") < 2 and n]
        raise PlanError(
            f"{type(module).__name__} has no {what} '{name}'. {nearest(name, known)}"
        ) from None


def _library(net: nn.Module, name: str) -> str:
    """The library that made a network. Raises PlanError."""
    found = type(net).__module__.partition(".")[0]
    if found not in READERS:
        raise PlanError(
            f"The backbone '{name}' is a {type(net).__name__} of {found}; expected a network of timm, "
            "torchvision or "
            "transformers, whose stages are known. Name that part (backbone='model.encoder')."
        )
    inner = getattr(net, "base_model_prefix", "")
    if found == "transformers" and inner and getattr(net, inner, None) is not None:
        raise PlanError(
            f"The backbone '{name}' is a {type(net).__name__}, an encoder with more around it. Name "
            "the encoder alone: "
            f"backbone='{name}.{inner}'."
        )
    return found


def _no_classifier(net: Any, library: str, name: str) -> None:
    """Raises PlanError for a classifier inside a backbone whose head was said to lie elsewhere."""
    found: Any = None
    if library == "timm":
        found = net.get_classifier()
    elif library == "torchvision":
        found = [m for m in net.modules() if not list(m.children())][-1]
        found = found if isinstance(found, nn.Linear) else None
    if isinstance(found, nn.Module) and any(True for _ in found.parameters()):
        where = next((n for n, m in net.named_modules() if m is found), "")
        raise PlanError(
            f"The backbone '{name}' has a classifier of its own, '{where}'. Name it as the head "
            f"(head='{name}.{where}'), "
            "or make the backbone without one (num_classes=0)."
        )


def _loaded(net: Any, library: str) -> Loaded:
    """The module as a provider would hand it over; nothing is known of where it came from."""
    config = getattr(net, "config", None)
    family = str(getattr(config, "model_type", "") or type(net).__name__)
    facts = dict.fromkeys(
        ("revision", "sha256", "licence", "trained_on", "data_licence", "paper"), UNKNOWN
    )
    source = Source(
        uri=f"module:{type(net).__name__}",
        name=type(net).__name__,
        family=family,
        parents=(),
        parameters=sum(p.numel() for p in net.parameters()),
        preprocessing={},
        **facts,
    )
    return Loaded(source, net, {"library": library, "architecture": family}, None)
