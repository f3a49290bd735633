"""What a person asks of a pre-training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headstart.core.source import UNKNOWN
from headstart.core.task import Columns

AUTO = "auto"


@dataclass(frozen=True)
class Beside:
    """Captions of the samples, for objectives that learn from pairs.

    Attributes:
        column: where they stand; "": found.
        source: URI of what encodes them; "auto": the default source of their kind of data.
    """

    column: str = ""
    source: str = AUTO


@dataclass(frozen=True)
class Ask:
    """One pre-training.

    Attributes:
        data: folder, table or "generator:NAME?setting=value"; "" for inputs in memory.
        objective: a file name of `objectives/`; "auto": "clip" where captions are named, "supervised" for a
            generator with labels, else "simclr".
        settings: of the objective, where they are not its defaults.
        architecture: of a new network ("resnet18?input_size=64", "bert?layers=2"); "": the modality's own.
        source: URI of what is trained on, instead of a new network.
        labels: further columns of labels for objectives that need them, beside `columns.target`.
        samples: that a generator draws for an epoch.
        captions: where they stand and what encodes them.
        batch: samples a step, 0: chosen.
        licence: of the new source, as the person states it.
        output: its folder; "": chosen.
    """

    data: str = ""
    objective: str = AUTO
    settings: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = ""
    source: str = ""
    modality: str = AUTO
    columns: Columns = field(default_factory=Columns)
    labels: tuple[str, ...] = ()
    captions: Beside = field(default_factory=Beside)
    samples: int = 4096
    batch: int = 0
    seed: int = 0
    licence: str = UNKNOWN
    output: str = ""
    device: str = "cpu"
    offline: bool = False

    @property
    def generator(self) -> str:
        """Name and settings of the generator, or ""."""
        scheme, _, rest = self.data.partition(":")
        return rest if scheme == "generator" else ""
