"""Reading: which columns are sounds, what is set aside, and copies that must not straddle a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.core.dataset import Field
from headstart.core.task import Task
from headstart.data import opening, splits
from headstart.data.dataset import ArrowDataset
from headstart.errors import BadRow
from headstart.modalities.audio import decode, read
from headstart.modalities.image import read as pictures
from tests.modalities.audio.sounds import RATE, encoded, tune

FIELDS = (Field("audio", "bytes"),)
READERS = {"audio": read, "image": pictures}


def bits(data: bytes) -> np.ndarray:
    return np.unpackbits(np.frombuffer(read.signature({"audio": data}, FIELDS), np.uint8))


def opened(place: Path, cache: Path, **task: object) -> ArrowDataset:
    return opening.open_data(Task(data=str(place), **task), READERS, cache=cache)  # type: ignore[arg-type]


def test_columns_are_claimed_by_bytes_or_names(tmp_path: Path) -> None:
    sounds = [encoded(tune(seed=i), RATE, k) for i, k in enumerate(("WAV", "FLAC", "OGG", "MP3"))]
    assert read.claim("x", sounds, tmp_path) == "bytes"
    assert read.claim("x", [{"bytes": s, "path": None} for s in sounds], tmp_path) == "bytes"
    assert read.claim("x", ["a/b.wav", "c.MP3", "d.flac"], tmp_path) == "path"
    for others in (
        ["a.png", "b.jpg"],
        ["yes", "no"],
        [1.0, 2.0],
        [b"\x89PNG\r\n\x1a\n"],
        [b"text"],
        [],
    ):
        assert read.claim("x", others, tmp_path) is None
    assert read.claim("x", [b"RIFF\x00\x00\x00\x00WEBPVP8 "], tmp_path) is None
    assert read.claim("x", [b"\xff\xd8\xff\xe0 a JPEG"], tmp_path) is None


def test_class_folders_set_bad_files_aside_with_reasons(tmp_path: Path) -> None:
    for row in range(24):
        place = tmp_path / "data" / "ab"[row % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{row:02d}.wav").write_bytes(encoded(tune(seed=row)))
    bad = {
        "text.wav": b"this is a text",
        "empty.wav": b"",
        "cut.flac": encoded(tune(), RATE, "FLAC")[:2000],
        "short.mp3": encoded(tune(3.0), RATE, "MP3")[:1500],
        "nan.wav": encoded(np.full(4000, np.nan, np.float32), RATE, "WAV", "FLOAT"),
    }
    for name, data in bad.items():
        (tmp_path / "data" / "a" / name).write_bytes(data)
    made = opened(tmp_path / "data", tmp_path / "cache", tolerate=0.5)
    assert made.modality == "audio"
    assert len(made) == 24
    reasons = {Path(a.name).name: a.reason for a in made.set_aside}
    assert set(reasons) == set(bad)
    words = {"text.wav": "no sound", "empty.wav": "empty", "cut.flac": "truncated"}
    words |= {"short.mp3": "truncated", "nan.wav": "no finite number"}
    for name, word in words.items():
        assert word in reasons[name]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_manifests_with_a_path_column(tmp_path: Path, suffix: str) -> None:
    rows = [(f"{i}.{e}", "ab"[i % 2]) for i, e in enumerate(("wav", "flac", "ogg", "mp3") * 4)]
    for i, (name, _) in enumerate(rows):
        (tmp_path / name).write_bytes(encoded(tune(seed=i), RATE, name.split(".")[1].upper()))
    place = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        place.write_text("clip,label\n" + "".join(f"{n},{c}\n" for n, c in rows))
    elif suffix == "jsonl":
        place.write_text("".join(f'{{"clip": "{n}", "label": "{c}"}}\n' for n, c in rows))
    else:
        names, labels = zip(*rows, strict=True)
        pq.write_table(pa.table({"clip": names, "label": labels}), place)
    made = opened(place, tmp_path / "cache")
    assert (made.modality, made.fields, len(made)) == ("audio", (Field("clip", "path"),), 16)
    assert decode.kind(made.samples(np.array([3]))[0]["clip"]) == "mp3"


def test_a_missing_file_is_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(BadRow, match=r"gone.wav cannot be read"):
        read.load("gone.wav", Field("x", "path"), tmp_path)


def copies(samples: np.ndarray) -> dict[str, bytes]:
    """The same sound in other clothes."""
    quiet = np.zeros(400, np.float32)
    return {
        "softer": encoded(samples * 0.3, RATE, "WAV", "FLOAT"),
        "mp3": encoded(samples, RATE, "MP3"),
        "vorbis": encoded(samples, RATE, "OGG", "VORBIS"),
        "resampled": encoded(decode.sound(encoded(samples), 11025).samples, 11025),
        "trimmed": encoded(samples[: -len(samples) // 25]),
        "padded": encoded(np.concatenate([quiet, samples, quiet])),
        "stereo": encoded(np.stack([samples, samples], axis=1)),
    }


def test_copies_lie_near_and_other_sounds_far() -> None:
    sounds = [tune(1.0, seed=i) for i in range(12)]
    plain = np.stack([bits(encoded(s)) for s in sounds])
    assert plain.shape == (12, 256)
    for samples, own in zip(sounds[:4], plain[:4], strict=True):
        for name, data in copies(samples).items():
            assert (bits(data) != own).sum() <= read.NEAR, name
    apart = (plain[:, None] != plain[None]).sum(-1)[~np.eye(12, dtype=bool)]
    assert apart.min() > read.NEAR
    assert read.signature({"audio": encoded(0 * tune())}, FIELDS) == b""


def test_copies_never_straddle_a_split(tmp_path: Path) -> None:
    rows = []
    for i in range(12):
        samples = tune(1.0, seed=i)
        held = copies(samples)
        rows += [
            (encoded(samples), "ab"[i % 2], i),
            (held["mp3"], "ab"[i % 2], i),
            (held["trimmed"], "ab"[i % 2], i),
        ]
    data, labels, song = zip(*rows, strict=True)
    pq.write_table(
        pa.table({"audio": data, "label": labels, "song": song}), tmp_path / "songs.parquet"
    )
    made = opened(tmp_path / "songs.parquet", tmp_path / "cache")
    assert made.fields == (Field("audio", "bytes"),)
    for seed in range(3):
        split = splits.make_split(made, Task(), seed)
        song_of = np.array(song)
        assert not set(song_of[split.train]) & set(song_of[split.test])
