"""Molecules by RDKit: SMILES to graphs, scaffolds, fingerprints, pictures. RDKit is imported here alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from headstart.errors import BadRow, MissingExtra
from headstart.modalities.graph.graphs import Graph

BITS, RADIUS = 2048, 2
"""Morgan fingerprints: length, and bonds around each atom (Rogers and Hahn 2010; ECFP4)."""
LARGEST_ATOMIC_NUMBER = 118
CHIRALITIES = ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW")
BONDS = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
DIRECTIONS = ("NONE", "ENDUPRIGHT", "ENDDOWNRIGHT")
HYBRIDS = ("SP", "SP2", "SP3")
DESCRIPTORS = (
    *("MolWt", "MolLogP", "MolMR", "TPSA", "LabuteASA", "NumHDonors", "NumHAcceptors"),
    *("NumRotatableBonds", "RingCount", "NumAromaticRings", "FractionCSP3", "HeavyAtomCount"),
    *("NumHeteroatoms", "NHOHCount", "NOCount", "NumAliphaticRings", "BertzCT", "BalabanJ"),
)
SIDE = 220  # pixels of a picture
KEPT = 16_384  # molecules whose reading is remembered


def available() -> bool:
    """Whether RDKit is installed."""
    from importlib.util import find_spec

    return find_spec("rdkit") is not None


@cache
def _rdkit() -> Any:
    """The library, its log silenced. Raises MissingExtra."""
    try:
        from rdkit import Chem, RDLogger
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "Molecules as SMILES need the library 'rdkit', which is not installed. "
            "Install it with: pip install 'headstart[graph]'"
        ) from error
    RDLogger.DisableLog("rdApp.*")
    return Chem


def readable(smiles: str) -> bool:
    """Whether RDKit reads a text as a molecule."""
    try:
        return parse(smiles).GetNumAtoms() > 0
    except BadRow:
        return False


@lru_cache(maxsize=KEPT)
def parse(smiles: str) -> Any:
    """RDKit's molecule of a SMILES text. Raises BadRow with RDKit's reason."""
    chem = _rdkit()
    short = smiles if len(smiles) <= 60 else f"{smiles[:60]}..."
    made = chem.MolFromSmiles(smiles, sanitize=False)
    if made is None:
        raise BadRow(f"'{short}' is no SMILES", "correct the SMILES, or leave the row out")
    try:
        chem.SanitizeMol(made)
        chem.AssignStereochemistry(made, cleanIt=True)
    except ValueError as error:  # RDKit's own exceptions descend from it
        raise BadRow(
            f"'{short}' is no possible molecule: {str(error).strip()}",
            "correct the SMILES, or leave the row out",
        ) from None
    return chem.RemoveHs(made)


def canonical(smiles: str) -> str:
    """RDKit's own spelling, equal for all spellings of one molecule."""
    return str(_rdkit().MolToSmiles(parse(smiles)))


def scaffold(smiles: str) -> str:
    """Rings and what joins them, as SMILES without chirality; "" for a molecule without rings (Bemis and
    Murcko 1996)."""
    parse(smiles)
    from rdkit.Chem.Scaffolds import MurckoScaffold

    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=parse(smiles), includeChirality=False))


def _bonds(molecule: Any) -> list[tuple[int, int, Any]]:
    """(from, to, bond), both directions next to each other."""
    found = []
    for bond in molecule.GetBonds():
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        found += [(a, b, bond), (b, a, bond)]
    return found


def _place(names: Sequence[str], value: Any) -> int:
    """Place of a name of RDKit's; unknown ones count as the first."""
    return names.index(str(value)) if str(value) in names else 0


@lru_cache(maxsize=KEPT)
def coded(smiles: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes as in Hu et al. 2020 (arXiv:1905.12265): atoms (n, 2) of atomic number - 1 and chirality,
    edges (E, 2), bonds (E, 2) of type and direction; all int64."""
    molecule = parse(smiles)
    atoms = [
        (min(a.GetAtomicNum(), LARGEST_ATOMIC_NUMBER) - 1, _place(CHIRALITIES, a.GetChiralTag()))
        for a in molecule.GetAtoms()
    ]
    both = _bonds(molecule)
    edges = [(a, b) for a, b, _ in both]
    bonds = [(_place(BONDS, b.GetBondType()), _place(DIRECTIONS, b.GetBondDir())) for *_, b in both]
    made = [np.array(v, np.int64).reshape(-1, 2) for v in (atoms, edges, bonds)]
    made[0] = np.maximum(made[0], 0)  # a dummy atom has the number 0
    return made[0], made[1], made[2]


@lru_cache(maxsize=KEPT)
def described(smiles: str) -> Graph:
    """The molecule as a graph: atomic number; charge, hydrogens, aromatic, in a ring, hybridisation, and
    chirality of each atom; type of each bond, and whether it lies in a ring."""
    molecule = parse(smiles)
    labels, numbers = [], []
    for atom in molecule.GetAtoms():
        labels.append(atom.GetAtomicNum())
        hybrid = str(atom.GetHybridization())
        numbers.append(
            [
                atom.GetFormalCharge(),
                atom.GetTotalNumHs(),
                atom.GetIsAromatic(),
                atom.IsInRing(),
                *(hybrid == h for h in HYBRIDS),
                str(atom.GetChiralTag()) != CHIRALITIES[0],
            ]
        )
    both = _bonds(molecule)
    kinds = [2 * _place(BONDS, b.GetBondType()) + b.IsInRing() for *_, b in both]
    return Graph(
        len(labels),
        np.array([(a, b) for a, b, _ in both], np.int64).reshape(-1, 2),
        labels=np.array(labels, np.int64),
        numbers=np.array(numbers, np.float32),
        bonds=np.array(kinds, np.int64),
    )


def fingerprints(smiles: Sequence[str]) -> np.ndarray:
    """(N, BITS) float32: log(1 + how often) each circular neighbourhood occurs."""
    _rdkit()
    from rdkit.Chem import rdFingerprintGenerator

    maker = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    rows = [maker.GetCountFingerprintAsNumPy(parse(s)) for s in smiles]
    return np.log1p(np.array(rows, np.float32).reshape(-1, BITS))


def descriptors(smiles: Sequence[str]) -> np.ndarray:
    """(N, len(DESCRIPTORS)) float64: size, solubility, surface, rings and the like."""
    rows = np.array([_described(s) for s in smiles], float)
    return np.nan_to_num(rows.reshape(-1, len(DESCRIPTORS)), nan=0.0, posinf=0.0, neginf=0.0)


@lru_cache(maxsize=KEPT)
def _described(smiles: str) -> tuple[float, ...]:
    """Of one molecule; kept, as several targets and folds ask for the same."""
    _rdkit()
    from rdkit.Chem import Descriptors

    molecule = parse(smiles)
    return tuple(float(getattr(Descriptors, name)(molecule)) for name in DESCRIPTORS)


def picture(smiles: str) -> bytes:
    """A PNG of the molecule, SIDE pixels a side."""
    molecule = parse(smiles)
    from rdkit.Chem.Draw import rdMolDraw2D

    canvas = rdMolDraw2D.MolDraw2DCairo(SIDE, SIDE)
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule)
    canvas.FinishDrawing()
    return bytes(canvas.GetDrawingText())
