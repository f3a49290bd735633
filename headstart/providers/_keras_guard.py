"""What Keras may be handed: no configuration that names code; its errors in plain words.

Imported by `providers/keras.py` alone, which has chosen Keras' backend before.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from headstart.errors import DamagedError, SourceError

RUNS_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


@contextlib.contextmanager
def refused(path: Path) -> Iterator[None]:
    """Errors of Keras and of the file formats in plain words."""
    try:
        yield
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise DamagedError(
            f"{path.name} is damaged or cut short ({short(error)}). Save or copy it again."
        ) from error
    except Exception as error:  # Keras raises of all kinds
        raise SourceError(
            f"{path.name} could not be loaded by Keras {keras.__version__}: {short(error)}. Save it again "
            "with a model of the same architecture, or export it to ONNX (onnx:PATH)."
        ) from error


def short(error: BaseException) -> str:
    """An error's text in one line, cut where it is long."""
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]} ..."


def harmless(path: Path) -> None:
    """Refuses archives whose configuration names code: nothing of it is built then.

    Raises:
        SourceError: it has a layer that runs code, or one of a foreign module.
        DamagedError: it is no whole archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DamagedError(
            f"{path.name} is no whole Keras archive ({short(error)}). Save or copy it again."
        ) from error
    no_code(config, path.name)


def no_code(config: Any, told: str) -> None:
    """Refuses a configuration that names code; `told` is what errors call its place. Raises SourceError."""
    for one in _named(config):
        kind, module = str(one.get("class_name")), str(one.get("module") or "")
        foreign = module and module.split(".")[0] not in ("keras", "builtins")
        if kind in RUNS_CODE or kind == "__lambda__" or foreign:
            what = f"of {module}, a package of its own" if foreign else "which can run any code"
            raise SourceError(
                f"{told} holds a layer or function '{kind}' {what}, so it is refused. Build the model "
                "from Keras' own layers, or export it to ONNX where you trust it (onnx:PATH)."
            )


def _named(thing: Any) -> Iterator[Mapping[str, Any]]:
    """Every object of a configuration that names its class."""
    if isinstance(thing, dict):
        if "class_name" in thing:
            yield thing
        for value in thing.values():
            yield from _named(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from _named(value)
