"""Frozen means bit-identical: what a phase does not name neither trains nor drifts.

Batch-norm statistics move in many a "frozen" network because `.train()` puts the layer into training
mode (pytorch-lightning#21531, keras#9522). Here modes are set per module, `.train()` on the network is
without effect inside a phase, and digests of all frozen parameters and buffers are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from headstart.core import digest
from headstart.core.network import Network
from headstart.core.strategy import Phase
from headstart.errors import ContractError, FrozenDrift, nearest


def named(phase: Phase) -> tuple[set[str], set[str]]:
    """Parameters and buffers that the phase names."""
    parameters = {name for group in phase.groups for name in group.parameters}
    buffers = {name for group in phase.groups for name in group.buffers}
    return parameters, buffers


def tensors(network: nn.Module) -> dict[str, object]:
    """All parameters and buffers by name, also those that are not saved."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def fingerprints(network: nn.Module, phase: Phase) -> dict[str, str]:
    """Digest of every tensor that the phase leaves alone."""
    parameters, buffers = named(phase)
    moving = parameters | buffers
    return {
        name: digest.tensors([(name, tensor)])  # type: ignore[list-item]
        for name, tensor in tensors(network).items()
        if name not in moving
    }


def compare(before: dict[str, str], after: dict[str, str], phase: Phase) -> None:
    """Raises FrozenDrift naming the first tensors that differ."""
    drifted = sorted(name for name in before if after.get(name) != before[name])
    if drifted:
        shown = ", ".join(drifted[:5]) + (
            f" and {len(drifted) - 5} more" if len(drifted) > 5 else ""
        )
        raise FrozenDrift(
            f"The phase '{phase.name}' changed what it does not name: {shown}. Expected frozen tensors "
            "to stay bit-identical. Name them in a group of the phase, or keep their layer in eval mode."
        )


def _modes(network: Network, phase: Phase) -> dict[str, bool]:
    """Training mode by module name: only where something trains; batch norm only where its
    statistics are named."""
    parameters, buffers = named(phase)
    stages = {
        network.backbone.stage_of(name.removeprefix("backbone."))
        for name in parameters
        if name.startswith("backbone.")
    }
    modes: dict[str, bool] = {}
    for name, module in network.named_modules():
        if getattr(module, "running_mean", None) is not None:
            modes[name] = f"{name}.running_mean" in buffers
        elif name.startswith("backbone."):
            modes[name] = network.backbone.stage_of(name.removeprefix("backbone.")) in stages
        else:
            modes[name] = name != "backbone" and bool(parameters)
    return modes


def hold(network: Network, phase: Phase) -> None:
    """Puts every module into the mode that the phase asks for, whoever changed it in between."""
    modes = _modes(network, phase)
    for name, module in network.named_modules():
        module.training = modes[name]


@contextmanager
def frozen(network: Network, phase: Phase) -> Iterator[None]:
    """Trains what the phase names and nothing else; checks it when the phase ends well.

    Raises:
        ContractError: the phase names a tensor that does not exist.
        FrozenDrift: something frozen has changed.
    """
    parameters, buffers = named(phase)
    known = tensors(network)
    unknown = sorted((parameters | buffers) - known.keys())
    if unknown:
        raise ContractError(
            f"The phase '{phase.name}' names '{unknown[0]}', which the network does not have. "
            f"{nearest(unknown[0], known)}"
        )
    before = fingerprints(network, phase)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in parameters)
    hold(network, phase)
    network.train = lambda mode=True: network  # type: ignore[method-assign, assignment]
    network.backbone.train = lambda mode=True: network.backbone  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del network.train, network.backbone.train
        network.eval()
    compare(before, fingerprints(network, phase), phase)


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """Eval mode for a while, every module's own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
