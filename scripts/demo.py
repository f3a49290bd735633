"""`make demo`: real handwritten digits as a folder of pictures, ten labels a class, one command.

The pictures are scikit-learn's copy of the UCI digits (1,797 scans of 8 x 8 pixels, Alpaydin and Kaynak
1998), written out as PNG files in class folders. Nothing is downloaded.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

HERE = Path("demo")
PER_CLASS = 10
SOURCE = "builtin:formula?input_size=32"  # for scans of 8 pixels; half the operations of 48


def write_digits(folder: Path) -> int:
    """1,797 PNG files in ten class folders; files that are there already stay. Returns their number."""
    digits = load_digits()
    for number, (picture, name) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / str(name)
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{number:04d}.png"
        if not path.exists():
            grey = np.round(picture * (255 / 16)).astype(np.uint8)
            Image.fromarray(grey).save(path)
    return len(digits.images)


def main() -> int:
    folder = HERE / "digits"
    count = write_digits(folder)
    print(
        f"{count} handwritten digits lie in {folder}/; {PER_CLASS} labels a class are learned from."
    )
    command = [sys.executable, "-m", "headstart", "run", str(folder)]
    command += [
        "--source",
        SOURCE,
        "--per-class",
        str(PER_CLASS),
        "--seeds",
        "2",
        "--output",
        str(HERE / "runs"),
    ]
    command += ["--question", "Which digit is written here?"]
    command += ["--decision", "Whether the reader may sort letters without a person"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
