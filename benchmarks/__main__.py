"""`make bench`: every benchmark after another, each a process of its own; prints their tables."""

from __future__ import annotations

import os
import subprocess
import sys

# Those that need no real data first; the others print one line and stop without HEADSTART_DATA.
BENCHMARKS = (
    "start",
    "head_choice",
    "extraction",
    "executors",
    "partial_finetune",
    "memory",
    "generators",
    "planted_worlds",
    "stretches",
    "by_hand",
    "real_sets",
    "kinds",
    "loading",
    "constants",
    "continued",
)


def main() -> int:
    failed = []
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        if subprocess.run(command, env=environment, check=False).returncode:
            failed.append(name)
    print("\nfailed: " + ", ".join(failed) if failed else "\nall ran to their end")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
