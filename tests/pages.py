"""The data that the pages of docs/ speak of, in one folder."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from testing import provider

# What a page's Python takes for granted.
BEFORE = {
    "series": "import numpy as np\n"
    "labels = ['slow', 'fast'] * 15\n"
    "row = np.arange(30)[:, None]\n"
    "values = np.sin(np.arange(40) * np.where(row % 2, 0.9, 0.2) + row)\n"
}
INTENTS = {"card": "lock my card", "weather": "will it rain", "oos": "what is the meaning of life"}


def write(folder: Path) -> None:
    """Everything, beside the README's data, which is there already."""
    for part in (_tables, _pairs, _sounds, _graphs, _series, _copies, _models):
        part(folder)


def _tables(folder: Path) -> None:
    """Three hospitals of which one lacks a column; grades; questions; intents; rows to predict."""
    rows = list(csv.reader((folder / "rows.csv").read_text("utf-8").splitlines()))
    (folder / "hospitals").mkdir()
    for place, name in enumerate(("ada", "bonn", "cork")):
        kept = [r[1:] if name == "cork" else r for r in [rows[0], *rows[1 + place :: 3]]]
        text = "\n".join(",".join(r) for r in kept)
        (folder / "hospitals" / f"{name}.csv").write_text(text, "utf-8")
    (folder / "fewer.csv").write_text("\n".join(",".join(r[1:-1]) for r in rows[:9]), "utf-8")
    order = dict(zip(sorted({r[-1] for r in rows[1:]}), ("none", "mild", "severe"), strict=True))
    graded = [[*rows[0][:-1], "severity"], *([*r[:-1], order[r[-1]]] for r in rows[1:])]
    (folder / "grades.csv").write_text("\n".join(",".join(r) for r in graded), "utf-8")
    pq.write_table(pcsv.read_csv(folder / "rows.csv"), folder / "rows.parquet")
    tiny = importlib.import_module("headstart.modalities.text.tiny")
    asked = tiny.write(folder / ".questions", "answer", 16, 0)
    (folder / "questions.csv").write_text(asked.read_text("utf-8"), "utf-8")
    lines = [f"{text} {n},{label}" for label, text in INTENTS.items() for n in range(10)]
    (folder / "intents.csv").write_text("\n".join(["text,label", *lines]), "utf-8")
    (folder / "new.csv").write_text("text\nlock it\nwho am I", "utf-8")
    told = tiny.write(folder / ".notes", "classify", 120, 0)
    with told.open(newline="", encoding="utf-8") as handle:
        texts = [row["text"] for row in csv.DictReader(handle)]
    (folder / "notes.csv").write_text("\n".join(["text", *(f'"{t}"' for t in texts)]), "utf-8")
    shutil.copy(folder / "hours.csv", folder / "newer.csv")


def _pairs(folder: Path) -> None:
    """pairs.csv: the README's photos with captions."""
    lines = ["image,caption"]
    for place, path in enumerate(sorted((folder / "photos").rglob("*.png"))):
        lines.append(f"{path.relative_to(folder)},a drawing of {path.parent.name} no. {place}")
    (folder / "pairs.csv").write_text("\n".join(lines), "utf-8")


def _sounds(folder: Path) -> None:
    """Class folders, a table of their paths with a site, and one sound to predict."""
    importlib.import_module("headstart.modalities.audio.tiny").write(
        folder / "birds", "classify", 24, 0
    )
    sounds = sorted(p for p in (folder / "birds").rglob("*") if p.is_file())
    lines = [f"{p.relative_to(folder)},{p.parent.name},site{i % 6}" for i, p in enumerate(sounds)]
    (folder / "calls.csv").write_text("\n".join(["sound,label,site", *lines]), "utf-8")
    shutil.copy(next(p for p in sounds if p.suffix == ".wav"), folder / "new.wav")


def _graphs(folder: Path) -> None:
    """molecules.csv, graphs.npz, and network/ with edges and nodes."""
    importlib.import_module("headstart.modalities.graph.tiny").write(folder, "classify", 30, 0)
    rings = ("c1ccccc1", "C1CCNCC1", "c1ccsc1")
    names = [f"{'C' * n}{ring}" for n in range(1, 9) for ring in rings]
    rows = [f"{name},{i % 2}" for i, name in enumerate(names)]
    (folder / "molecules.csv").write_text("smiles,label\n" + "\n".join(rows), "utf-8")
    (folder / "network").mkdir()
    ring = [f"n{i},n{(i + 1) % 24}" for i in range(24)]
    (folder / "network" / "edges.csv").write_text("from,to\n" + "\n".join(ring), "utf-8")
    nodes = [f"n{i},{i * 0.5},{'ab'[i % 2]}" for i in range(24)]
    (folder / "network" / "nodes.csv").write_text("id,size,label\n" + "\n".join(nodes), "utf-8")


def _series(folder: Path) -> None:
    """Slow and fast waves: a list a row, wide, long, and as an archive's two files."""
    rng = np.random.default_rng(0)
    labels = ["slow", "fast"] * 18
    time = np.arange(24)
    waves = [
        np.sin(time * (0.3 if label == "slow" else 1.1) + rng.uniform(0, 6)).round(3)
        for label in labels
    ]
    pq.write_table(pa.table({"signal": list(waves), "label": labels}), folder / "motions.parquet")
    wide = [",".join([*(f"t{t}" for t in time), "label"])]
    wide += [",".join([*map(str, w), label]) for w, label in zip(waves, labels, strict=True)]
    (folder / "wide.csv").write_text("\n".join(wide), "utf-8")
    long = ["machine,minute,value,state"]
    for machine, (wave, label) in enumerate(zip(waves, labels, strict=True)):
        long += [f"m{machine},{t},{v},{label}" for t, v in zip(time, wave, strict=True)]
    (folder / "long.csv").write_text("\n".join(long), "utf-8")
    head = "@problemName GunPoint\n@timeStamps false\n@univariate true\n@classLabel true slow fast\n@data\n"
    lines = [f"{','.join(map(str, w))}:{label}" for w, label in zip(waves, labels, strict=True)]
    for part, some in (("TRAIN", lines[:18]), ("TEST", lines[18:])):
        (folder / f"GunPoint_{part}.ts").write_text(head + "\n".join(some) + "\n", "utf-8")


def _copies(folder: Path) -> None:
    """Photos of an earlier task, and copies of data sets of a hub."""
    shutil.copytree(folder / "photos", folder / "older")
    _copy(folder / "reviews-copy", pcsv.read_csv(folder / "texts.csv"))
    pictures = sorted((folder / "photos").rglob("*.png"))
    cells = [{"bytes": p.read_bytes(), "path": p.name} for p in pictures]
    names = [p.parent.name for p in pictures]
    _copy(folder / "shapes-copy", pa.table({"image": cells, "label": names}))


def _copy(place: Path, table: pa.Table) -> None:
    (place / "data").mkdir(parents=True)
    pq.write_table(table, place / "data" / "train-00000-of-00001.parquet")


def _models(folder: Path) -> None:
    """model.onnx with its document."""
    shutil.copy(provider.EXAMPLES["onnx"]()[0].partition("?")[0], folder / "model.onnx")
    (folder / "model.json").write_text(json.dumps({"mean": 0.5, "std": 0.25}), "utf-8")
