"""Questions and answers of XQuAD: learned from in English, tested in other languages, as a table for one run.

    python -m benchmarks.xquad xquad_de.parquet de
    headstart run xquad_de.parquet --group article --strategy linear_probe --set evidence.scratch=false

Needs HEADSTART_DATA. The training rows are those of the part "train" in English; the test rows those of the
part "test", which are of other articles, in the languages that are named.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks._data import root


def write(place: Path, languages: Sequence[str]) -> Path:
    """English training rows and test rows of some languages as Parquet."""
    table = pq.read_table(root() / "xquad" / "xquad.parquet")
    part, spoken = table["split"], table["language"]
    learned = pc.and_(pc.equal(part, "train"), pc.equal(spoken, "en"))
    tested = pc.and_(pc.equal(part, "test"), pc.is_in(spoken, pa.array(languages)))
    pq.write_table(table.filter(pc.or_(learned, tested)), place)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", type=Path)
    parser.add_argument("languages", nargs="+", choices=("en", "de", "es", "tr", "vi"))
    asked = parser.parse_args()
    print(write(asked.place, asked.languages))


if __name__ == "__main__":
    main()
