"""Our MiniRocket beside aeon's, on the published splits of six UCR and UEA sets: test accuracy in percent.

    python -m venv PEER && PEER/bin/pip install aeon==1.6.0
    python -m benchmarks.minirocket --peer PEER/bin/python [--seeds 3]

Needs HEADSTART_DATA. Ours is the simple model of series as a run fits it: channels scaled by the training
rows', series of unequal length as they are. aeon's is `MiniRocketClassifier` (ridge with its penalty by
leaving one out), which takes series of one length: JapaneseVowels is padded with zeros for it. The mean over
seeds, and the lowest and highest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._data import archive, root
from benchmarks.kinds import UCR
from headstart.core.dataset import Field
from headstart.modalities.series import _signal, champion

PEER = """
import json, sys
import numpy as np
from aeon.classification.convolution_based import MiniRocketClassifier
for path in sys.argv[2:]:
    with np.load(path) as held:
        fit, test = (np.nan_to_num(held[f"x_{p}"]) for p in ("train", "test"))
        known, true = held["y_train"], held["y_test"]
    for seed in range(int(sys.argv[1])):
        model = MiniRocketClassifier(random_state=seed).fit(fit, known)
        print(json.dumps(float((model.predict(test) == true).mean())), flush=True)
"""


def theirs(peer: str, seeds: int, paths: list[Path]) -> np.ndarray:
    """(sets, seeds)."""
    command = [peer, "-W", "ignore", "-c", PEER, str(seeds), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The peer failed:\n{done.stderr[-2000:]}")
    return np.array([json.loads(line) for line in done.stdout.split()]).reshape(-1, seeds)


def ours(name: str, seeds: int) -> list[float]:
    """Accuracy with each seed."""
    (series, known), (tested, true) = (archive(name, part) for part in ("train", "test"))
    rows, held = ([{"value": _signal.pack(x)} for x in some] for some in (series, tested))
    names, targets = np.unique(known, return_inverse=True)
    made = []
    for seed in range(seeds):
        told: Any = {"outcome": "classify", "seed": seed}
        model = champion.fit_minirocket(rows, [Field("value", "bytes")], targets, **told)
        made.append(float((names[model(held).argmax(1)] == true).mean()))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", required=True, help="a Python that has aeon")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    paths = [root() / "ucr" / f"{name}.npz" for name in UCR]
    peers = 100 * theirs(asked.peer, asked.seeds, paths)
    print(f"{'set':17} {'headstart':>20} {'aeon':>20}   {asked.seeds} seeds")
    means = []
    for name, other in zip(UCR, peers, strict=True):
        own = 100 * np.array(ours(name, asked.seeds))
        cells = [f"{a.mean():6.1f} ({a.min():5.1f}-{a.max():5.1f})" for a in (own, other)]
        print(f"{name:17} {cells[0]:>20} {cells[1]:>20}", flush=True)
        means.append((own.mean(), other.mean()))
    print(f"{'mean':17} {np.mean(means, axis=0)[0]:6.1f} {np.mean(means, axis=0)[1]:20.1f}")


if __name__ == "__main__":
    main()
