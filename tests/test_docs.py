"""What the pages of docs/ show is run: every block, on tiny data; pictures are there and small."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from headstart.modalities.text import tiny
from tests.test_readme import ROOT, Block, blocks, commands, folder, run

PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCKS = [(page, block) for page in PAGES for block in blocks(page.read_text("utf-8"))]
GUIDE = "add_a_modality.md"
MOST_BYTES = 200_000
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<place>[^)#]+)\)")
__all__ = ["folder"]


@pytest.fixture(scope="module")
def home(folder: Path) -> Path:
    """The README's data, three hospitals of which one lacks a column, questions, copies of hub data sets."""
    rows = list(csv.reader((folder / "rows.csv").read_text("utf-8").splitlines()))
    (folder / "hospitals").mkdir()
    for place, name in enumerate(("ada", "bonn", "cork")):
        kept = [r[1:] if name == "cork" else r for r in [rows[0], *rows[1 + place :: 3]]]
        text = "\n".join(",".join(r) for r in kept)
        (folder / "hospitals" / f"{name}.csv").write_text(text, "utf-8")
    (folder / "fewer.csv").write_text("\n".join(",".join(r[1:-1]) for r in rows[:9]), "utf-8")
    asked = tiny.write(folder / ".questions", "answer", 16, 0)
    (folder / "questions.csv").write_text(asked.read_text("utf-8"), "utf-8")
    texts = pcsv.read_csv(folder / "texts.csv")
    _copy(folder / "reviews-copy", texts)
    pictures = sorted((folder / "photos").rglob("*.png"))
    cells = [{"bytes": p.read_bytes(), "path": p.name} for p in pictures]
    names = [p.parent.name for p in pictures]
    _copy(folder / "shapes-copy", pa.table({"image": cells, "label": names}))
    return folder


def _copy(place: Path, table: pa.Table) -> None:
    (place / "data").mkdir(parents=True)
    pq.write_table(table, place / "data" / "train-00000-of-00001.parquet")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "block"), BLOCKS, ids=lambda v: f"line-{v.line}" if isinstance(v, Block) else v.stem
)
def test_block(page: Path, block: Block, home: Path) -> None:
    if block.reason:
        pytest.skip(block.reason)
    if page.name == GUIDE and block.kind in ("python", "toml"):
        pytest.skip("tests/test_add_a_modality.py follows the guide")
    assert block.kind == "console", f"nothing tests a block of kind '{block.kind}'"
    for command in commands(block):
        run(command, home)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_what_a_page_points_to_is_there_and_pictures_are_small(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    for match in _LINK.finditer(prose):
        place = (page.parent / match["place"]).resolve()
        if "://" not in match["place"]:
            assert place.exists(), match["place"]
            assert place.suffix != ".png" or place.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_readme_leads_to_every_page(page: Path) -> None:
    assert f"docs/{page.name}" in (ROOT / "README.md").read_text("utf-8")
