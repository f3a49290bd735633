"""How long `import headstart` and `headstart --help` take, warm; median of ten fresh processes.

python -m benchmarks.start
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import headstart": ([sys.executable, "-c", "import headstart"], 0.15),
    "headstart --help": ([sys.executable, "-m", "headstart", "--help"], 0.4),
}


def main() -> None:
    print(f"{'command':20} {'median s':>9} {'least s':>9} {'goal':>6}")
    for name, (command, goal) in COMMANDS.items():
        subprocess.run(command, capture_output=True, check=True)
        taken = []
        for _ in range(10):
            began = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            taken.append(time.perf_counter() - began)
        shown = f"{goal:6.2f}" if goal else "     -"
        print(f"{name:20} {statistics.median(taken):9.3f} {min(taken):9.3f} {shown}")


if __name__ == "__main__":
    main()
