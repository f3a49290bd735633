"""Low-rank updates of a run as a checkpoint of the PEFT library: `adapter_config.json` and a file of tensors.

A pack holds weights with their updates merged. The difference from the base's weight has the update's
rank, so its singular vectors give back two narrow factors whose product is the update (Eckart and Young
1936); PEFT puts them beside the base anew. The head is no part of it: it stays in the pack.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import PackError
from headstart.registry import files
from headstart.registry.packs import PackParts

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
BEGIN = "base_model.model."


def export(pack: PackParts, backbone: nn.Module, folder: Path, base: str = "") -> Path:
    """Writes the changes of a pack's linear weights as PEFT's LoRA.

    Args:
        pack: of a run with the strategy `lora`, as `registry.packs.load` gives it.
        backbone: the pack's base, staged; its weights are the base's own.
        folder: made where it is missing.
        base: name or folder by which transformers opens the base; by default what the source was opened by.

    Returns:
        `folder`; `peft.PeftModel.from_pretrained(base_model, folder)` opens it.

    Raises:
        PackError: the run's strategy was not `lora`, or DoRA, whose changes are of full rank; or it changed
            something else than the weights of linear modules.
        StorageError: the folder cannot be written.
    """
    from safetensors.torch import save

    rank = _rank(pack)
    network, prefix = inner(backbone)
    found = _updates(pack, backbone)
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for name, update in found.items():
        down, up = factors(update, rank)
        own = name.removeprefix(prefix)
        ranks[own] = len(down)
        tensors[f"{BEGIN}{own}.lora_A.weight"] = down
        tensors[f"{BEGIN}{own}.lora_B.weight"] = up
    told = base or str(pack.base.source.get("uri", "")).partition(":")[2].partition("?")[0]
    with files.storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / TENSORS, save(tensors, {"format": "pt"}))
    text = json.dumps(_config(ranks, told, type(network).__name__), indent=2)
    files.write(folder / CONFIG, f"{text}\n".encode())
    return folder


def factors(update: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(out, in) -> A (r, in) and B (out, r) whose product B A comes nearest to it, r at most `rank`."""
    left, values, right = torch.linalg.svd(update.double(), full_matrices=False)
    root = values[:rank].sqrt()
    down, up = root[:, None] * right[:rank], left[:, :rank] * root
    return down.float().contiguous(), up.float().contiguous()


def _rank(pack: PackParts) -> int:
    """Of the run's updates."""
    settings: Mapping[str, Any] = pack.recipe.get("settings", {})
    if pack.recipe["strategy"] != "lora" or settings.get("dora"):
        how = "DoRA" if settings.get("dora") else str(pack.recipe["strategy"])
        raise PackError(
            f"The run trained by {how}, whose changes are not of low rank. Expected one with --strategy lora "
            "and without dora."
        )
    return int(settings["rank"]) * max(1, len(settings.get("members", ())))  # a mean of updates


def inner(backbone: nn.Module) -> tuple[nn.Module, str]:
    """The source's own network in a staged one, and how the names of its modules begin there."""
    for name, module in backbone.named_children():
        if hasattr(module, "config"):
            return module, f"{name}."
    raise PackError(
        f"{type(backbone).__name__} holds no network of the transformers library, for which PEFT's "
        "checkpoints are. Use the pack itself."
    )


def _updates(pack: PackParts, backbone: nn.Module) -> dict[str, Tensor]:
    """Module -> what was added to its weight."""
    begin, end, found = "backbone.", ".weight", dict[str, Tensor]()
    modules = dict(backbone.named_modules())
    for name, tensor in pack.tensors.items():
        if not name.startswith(begin):
            continue
        own = name.removeprefix(begin).removesuffix(end)
        module = modules.get(own)
        if not name.endswith(end) or not isinstance(module, nn.Linear):
            raise PackError(
                f"The run changed '{name}', which is no weight of a linear module; these alone are exported. "
                "Train with --set modules=..., so that linear modules alone are wrapped."
            )
        found[own] = tensor.detach() - module.weight.detach()
    if not found:
        raise PackError("The run changed no weight of its source: there is nothing to be exported.")
    return found


def _config(ranks: Mapping[str, int], base: str, network: str) -> dict[str, Any]:
    """As `peft.LoraConfig` is saved; alpha equals the rank, so that the product counts once."""
    most = max(ranks.values())
    others = {name: rank for name, rank in ranks.items() if rank != most}
    return {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "auto_mapping": {"base_model_class": network, "parent_library": "transformers"},
        "base_model_name_or_path": base,
        "r": most,
        "lora_alpha": most,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(ranks),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
        "modules_to_save": None,
        "init_lora_weights": True,
    }
