"""Which columns hold molecules, what is wrong with a SMILES, and groups by scaffold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.core.dataset import Field
from headstart.core.task import Columns, Task
from headstart.data.opening import open_data
from headstart.data.splits import make_split
from headstart.errors import BadRow, DataError, MissingExtra
from headstart.modalities.graph import graphs, molecules, read

needs_rdkit = pytest.mark.skipif(not molecules.available(), reason="RDKit is not installed")

DRUGS = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "O=C(O)c1ccccc1O",
    "CCN(CC)CC",
    "c1ccc2ccccc2c1",
]
FIELD = (Field("smiles", "smiles"),)


@needs_rdkit
def test_molecules_are_recognised():
    assert read.claim("input", DRUGS, Path()) == "smiles"
    assert read.claim("smiles", ["C", "CO", "N", "CCO"], Path()) == "smiles"
    assert read.claim("smiles", [*DRUGS, "nonsense["], Path()) == "smiles"


@needs_rdkit
@pytest.mark.parametrize(
    "values",
    [
        ["CO", "NO", "IN", "SC", "OK"],
        ["yes", "no", "C", "N", "O"],
        ["SOS", "ICON", "COIN", "BISON", "FOCUS"],
        ["A12-3(b)", "C-4", "N12", "O-77(c)"],
        ["the ring is closed", "it is open", "nobody knows"],
        ["1.5", "2", "3e-4"],
        ["photos/1.jpg", "photos/2.jpg"],
        [1, 2, 3],
        [],
    ],
)
def test_words_codes_and_numbers_are_not(values):
    assert read.claim("input", values, Path()) is None


def test_a_column_of_smiles_without_rdkit_says_what_to_install(monkeypatch):
    def absent():
        raise MissingExtra("Molecules need rdkit: pip install 'headstart[graph]'")

    monkeypatch.setattr(molecules, "_rdkit", absent)
    molecules.parse.cache_clear()
    with pytest.raises(MissingExtra, match=r"headstart\[graph\]"):
        read.claim("smiles", DRUGS, Path())
    assert read.claim("input", DRUGS, Path()) is None


@needs_rdkit
@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C1CC", "no SMILES|unclosed|possible"),
        ("C(C)(C)(C)(C)C", "valence"),
        ("hello!", "no SMILES"),
    ],
)
def test_an_invalid_smiles_is_a_bad_row(smiles, reason):
    with pytest.raises(BadRow, match=reason):
        read.check({"smiles": smiles}, FIELD)


@needs_rdkit
def test_invalid_smiles_are_set_aside_by_name(tmp_path):
    rows = [f"{s},{i % 2}" for i, s in enumerate([*DRUGS * 4, "C(C)(C)(C)(C)C"])]
    (tmp_path / "m.csv").write_text("smiles,label\n" + "\n".join(rows), "utf-8")
    data = open_data(Task(data=str(tmp_path / "m.csv")), {"graph": read}, cache=tmp_path / "c")
    assert len(data) == 24
    assert data.set_aside[0].name == "row 25"
    assert "valence" in data.set_aside[0].reason


@needs_rdkit
def test_spellings_of_one_molecule_are_near():
    first, second = {"smiles": "OCC"}, {"smiles": "CCO"}
    assert read.content(first, FIELD) != read.content(second, FIELD)
    assert read.signature(first, FIELD) == read.signature(second, FIELD)
    assert read.signature(first, FIELD) != read.signature({"smiles": "CCN"}, FIELD)


@needs_rdkit
def test_codes_are_those_of_the_published_networks():
    atoms, edges, bonds = molecules.coded("F/C=C/[C@H](N)Cl")
    assert atoms[:, 0].tolist() == [8, 5, 5, 5, 6, 16]
    assert atoms[3, 1] in (1, 2) and atoms[[0, 1, 2, 4, 5], 1].tolist() == [0] * 5
    assert edges[:2].tolist() == [[0, 1], [1, 0]]
    assert bonds[2:4, 0].tolist() == [1, 1]
    assert bonds[0, 1] == bonds[1, 1] == 1


@needs_rdkit
def test_codes_agree_with_the_ready_made_graphs(public_data):
    import pyarrow.parquet as pq

    held = pq.read_table(public_data / "molecules" / "bbbp.parquet").slice(0, 200).to_pydict()
    for row, smiles in enumerate(held["smiles"]):
        atoms, edges, bonds = molecules.coded(smiles)
        assert atoms[:, 0].tolist() == held["atom_type"][row]
        assert atoms[:, 1].tolist() == held["chirality"][row]
        assert edges.T.tolist() == [held["edge_src"][row], held["edge_dst"][row]]
        assert bonds.T.tolist() == [held["bond_type"][row], held["bond_dir"][row]]


def smiles_csv(path: Path) -> Path:
    """Six scaffolds with eight molecules each."""
    rings = ["c1ccccc1", "C1CCCCC1", "c1ccncc1", "c1ccsc1", "c1ccc2ccccc2c1", "C1CCNCC1"]
    rows = [f"{'C' * n}{r},{(n + i) % 2}" for i, r in enumerate(rings) for n in range(1, 9)]
    path.write_text("smiles,label\n" + "\n".join(rows), "utf-8")
    return path


@needs_rdkit
def test_rows_of_one_scaffold_never_straddle(tmp_path):
    task = Task(data=str(smiles_csv(tmp_path / "m.csv")), columns=Columns(group="scaffold"))
    data = open_data(task, {"graph": read}, cache=tmp_path / "c")
    split = make_split(data, task, 0)
    column = {p: data.metadata(getattr(split, p))["scaffold"] for p in ("train", "test")}
    assert not set(column["train"]) & set(column["test"])
    assert len(set(column["train"]) | set(column["test"])) == 6
    assert np.array_equal(make_split(data, task, 0).test, split.test)
    again = open_data(task, {"graph": read}, cache=tmp_path / "c")
    assert again.digest == data.digest


def test_a_scaffold_of_what_is_no_molecule_is_refused(tmp_path):
    from headstart.modalities.graph import tiny

    task = Task(
        data=str(tiny.write(tmp_path, "classify", 24, 0)), columns=Columns(group="scaffold")
    )
    with pytest.raises(DataError, match="no molecules"):
        open_data(task, {"graph": read}, cache=tmp_path / "c")


def test_an_unknown_group_is_still_an_error(tmp_path):
    from headstart.modalities.graph import tiny

    task = Task(data=str(tiny.write(tmp_path, "classify", 24, 0)), columns=Columns(group="scafold"))
    with pytest.raises(DataError, match="scafold"):
        open_data(task, {"graph": read}, cache=tmp_path / "c")


def test_numbers_that_are_none_are_refused():
    graph = graphs.tidy(2, [(0, 1)], numbers=np.array([[1.0], [np.nan]], np.float32)).graph
    with pytest.raises(BadRow, match="NaN"):
        read.check({"graph": graphs.pack(graph)}, (Field("graph", "graph"),))
