"""PyTorch's compiler ahead of time, weights frozen into the code: C++ without Python between the layers.

Compiling takes half a minute, so it pays for tens of thousands of rows, or where the code is in the cache.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core import digest, machine
from headstart.core.executor import Runner
from headstart.engine.executors._alike import Positional, axes_of, differs, of, traced
from headstart.engine.executors.eager import version
from headstart.errors import ContractError

__all__ = ["COST", "DEVICES", "PROFILES", "missing", "prepare", "version"]

PROFILES = ("exact", "fast")
DEVICES = ("cpu",)
COST = (40.0, 0.6)


def missing(device: str = "cpu") -> str:
    """Which tool is not installed, or ""."""
    named = os.environ.get("CXX", "g++")
    if not any(shutil.which(tool) for tool in (named, "clang++")):
        return "No C++ compiler was found (g++ or clang++), so networks cannot be compiled."
    return ""


def prepare(trunk: nn.Module, example: Mapping[str, Tensor], device: str, cache: Path) -> Runner:
    """The compiled trunk; one thread a call, and as many calls side by side as there are cores.

    Raises:
        ContractError: the trunk cannot be compiled, or computes something else then.
    """
    example = {n: t.contiguous() for n, t in example.items()}  # strides are compiled in
    wrapped = traced(trunk, example, "The compiler")
    cache.mkdir(parents=True, exist_ok=True)
    native = digest.value([of(trunk, example, version()), sorted(machine.flags())])
    kept = cache / f"{native}.pt2"
    try:
        with _quiet():
            if not kept.exists():
                _compile(wrapped, example, kept)
            run = _loaded(kept, tuple(example), wrapped.outputs)
            problem = differs(trunk, run, example)
    except Exception as error:  # compilers raise of all kinds
        problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
    if problem:
        kept.unlink(missing_ok=True)
        raise ContractError(f"The compiler cannot stand in for this network ({problem}).")
    return run


def _compile(wrapped: Positional, example: Mapping[str, Tensor], kept: Path) -> None:
    """Writes the compiled network under `kept`, whole or not at all."""
    from torch._inductor import aoti_compile_and_package

    rows = torch.export.Dim.DYNAMIC
    shapes = tuple(dict.fromkeys(axes_of(n, t, example), rows) for n, t in example.items())
    draft = kept.with_name(f"{kept.stem}.{os.getpid()}.pt2")
    try:
        with torch.no_grad():
            told = torch.export.export(wrapped, tuple(example.values()), dynamic_shapes=(shapes,))
            settings: dict[str, Any] = {"freezing": True, "cpp.threads": 1}
            aoti_compile_and_package(told, package_path=str(draft), inductor_configs=settings)
        draft.replace(kept)
    finally:
        draft.unlink(missing_ok=True)


def _loaded(kept: Path, names: tuple[str, ...], outputs: tuple[str, ...]) -> Runner:
    from torch._inductor import aoti_load_package

    network = aoti_load_package(str(kept), num_runners=machine.cores())

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.inference_mode():
            found = network(*[inputs[n].contiguous() for n in names])
        return dict(zip(outputs, [found] if isinstance(found, Tensor) else found, strict=True))

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The compiler's remarks on itself are not for whoever reads along."""
    talking = logging.getLogger("torch")
    level = talking.level
    talking.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        talking.setLevel(level)
