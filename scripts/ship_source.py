"""Puts a source that `headstart pretrain` wrote among the weights that the package carries.

    python scripts/ship_source.py FOLDER NAME --command COMMAND --weakness TEXT [--weakness TEXT ...]

Tensors of real numbers are kept in half precision; the card is the source's own document, with the command
that made it, its licence (Apache-2.0) and what it is known to be weak at.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import safetensors.torch

WEIGHTS = Path(__file__).parents[1] / "headstart" / "weights"
MOST_BYTES = 4_000_000
LEFT_OUT = ("history", "set_aside", "curve", "files")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", help="of the two files")
    parser.add_argument("--command", required=True, help="that made the source")
    parser.add_argument("--weakness", action="append", default=[])
    asked = parser.parse_args()
    tensors = safetensors.torch.load_file(asked.folder / "model.safetensors")
    halves = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    data = safetensors.torch.save(halves)
    if len(data) > MOST_BYTES:
        raise SystemExit(f"{len(data):,} bytes; a source may have {MOST_BYTES:,}.")
    card = json.loads((asked.folder / "model.json").read_text("utf-8"))
    card = {key: value for key, value in card.items() if key not in LEFT_OUT}
    card |= {"name": asked.name, "licence": "Apache-2.0", "command": asked.command}
    card |= {"known_weaknesses": asked.weakness, "sha256": hashlib.sha256(data).hexdigest()}
    (WEIGHTS / f"{asked.name}.safetensors").write_bytes(data)
    (WEIGHTS / f"{asked.name}.json").write_text(json.dumps(card, indent=2) + "\n", "utf-8")
    print(f"{asked.name}: {len(data):,} bytes, sha256 {card['sha256']}")


if __name__ == "__main__":
    main()
