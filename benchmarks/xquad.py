"""Questions and answers of XQuAD: learned from in English, tested in one language, as a table for one run.

    python -m benchmarks.xquad de xquad_de.parquet
    headstart run xquad_de.parquet --group article --strategy linear_probe --set evidence.scratch=false

Needs HEADSTART_DATA. The training articles are those of the part "train" in English; the tested ones those of
the part "test" in the language that is named, other articles than any in training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks._data import root


def write(language: str, place: Path) -> Path:
    """English training rows and test rows of one language as Parquet."""
    table = pq.read_table(root() / "xquad" / "xquad.parquet")
    part, spoken = table["split"], table["language"]
    learned = pc.and_(pc.equal(part, "train"), pc.equal(spoken, "en"))
    tested = pc.and_(pc.equal(part, "test"), pc.equal(spoken, language))
    pq.write_table(table.filter(pc.or_(learned, tested)), place)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("language", choices=("en", "de", "es", "tr", "vi"))
    parser.add_argument("place", type=Path)
    asked = parser.parse_args()
    print(write(asked.language, asked.place))


if __name__ == "__main__":
    main()
