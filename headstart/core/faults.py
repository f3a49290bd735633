"""Injected faults: the hook by which tests prove crash safety.

`HEADSTART_FAULT="store.before_commit:kill"` in the environment kills the process where the code says
`point("store.before_commit")`; `:enospc` raises the error of a full disk there instead. A third part
lets it pass some times first: `store.before_commit:kill:3` strikes at the fourth visit. Without the
variable nothing happens.
"""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter

VARIABLE = "HEADSTART_FAULT"

_visits: Counter[str] = Counter()


def point(name: str) -> None:
    """A place where a test may ask for a fault. Raises OSError (ENOSPC) or ends the process, if asked."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return
    where, action, after = (asked.split(":") + ["", "0"])[:3]
    if where != name:
        return
    _visits[name] += 1
    if _visits[name] <= int(after or 0):
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "enospc":
        raise OSError(errno.ENOSPC, f"no space left on device (asked for by {VARIABLE})")
