"""Give a model a head start, and prove that it helped.

Everything here is loaded when it is first touched, so that `import headstart` stays light.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from headstart.version import __version__ as __version__

# Before torch is imported, which reads it once: threads that wait must sleep. By default they spin, and as
# soon as another process wants a core, every parallel operation waits for a thread that is not running:
# training a small network took 15 to 20 times as long beside one busy process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOMES = {
    "Columns": "headstart.core.task",
    "HeadstartError": "headstart.errors",
    "Plan": "headstart.core.plan",
    "Run": "headstart.api",
    "StrategyCallback": "headstart.lightning",
    "TaskCard": "headstart.core.task",
    "TransferClassifier": "headstart.estimators",
    "TransferRegressor": "headstart.estimators",
    "UserError": "headstart.errors",
    "adapt": "headstart.api",
    "cluster": "headstart.api",
    "compare": "headstart.api",
    "export": "headstart.api",
    "open_pack": "headstart.api",
    "open_run": "headstart.api",
    "pretrain": "headstart.api",
    "runs": "headstart.api",
    "sequence": "headstart.api",
    "similar": "headstart.api",
    "sources": "headstart.api",
}

__all__ = sorted(["__version__", *_HOMES])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"headstart has no '{name}'; it has {', '.join(__all__)}.")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
