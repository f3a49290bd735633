"""Pictures that come as arrays of pixels, in memory or in a `.npz` file."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.core.task import Task
from headstart.data.opening import from_arrays, open_data, open_samples
from headstart.errors import DataError
from headstart.modalities.image import read
from headstart.modalities.series import read as series

READERS = {"image": read, "series": series}
RNG = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def shown(data: Any, row: int = 0) -> np.ndarray:
    (sample,) = data.samples(np.array([row]))
    return np.asarray(Image.open(io.BytesIO(sample["image"])))


def opened(path: Path, **task: Any) -> Any:
    return open_data(Task(data=str(path), **task), READERS, cache=path.parent / "cache")


@pytest.mark.parametrize("shape", [(8, 9, 7), (8, 9, 7, 1), (8, 9, 7, 3), (8, 9, 7, 4)])
def test_pixels_are_kept_as_they_are(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x, parts = pixels(*shape), np.array(["train"] * 5 + ["test"] * 3)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(8)[:, None] % 2, split=parts, names=np.arange(2))
    data = opened(tmp_path / "a.npz")
    assert (data.modality, data.outcome, len(data)) == ("image", "classify", 8)
    assert all(np.array_equal(shown(data, i), x[i].squeeze()) for i in range(8))
    assert data.targets(np.arange(3)) == [0, 1, 0]
    assert data.columns == {"split": "split"} and "names" not in data.metadata(np.arange(8))
    assert "Read as 8 pictures of 7 x 9 pixels." in data.notes


def test_channels_may_come_first(tmp_path: Path) -> None:
    x = pixels(6, 3, 9, 7)
    np.savez(tmp_path / "a.npz", x=x, y=list("ababab"))
    assert np.array_equal(shown(opened(tmp_path / "a.npz"), 2), x[2].transpose(1, 2, 0))


def test_published_parts_are_kept(tmp_path: Path) -> None:
    parts = {"x_train": pixels(6, 9, 7), "x_test": pixels(4, 9, 7)}
    np.savez(tmp_path / "a.npz", y_train=[0, 1] * 3, y_test=[0, 1] * 2, **parts)
    data = opened(tmp_path / "a.npz")
    assert data.metadata(np.arange(10))["split"] == ["train"] * 6 + ["test"] * 4
    asked = open_samples(tmp_path / "a.npz", data.fields, read, modality="image")
    assert asked.digests(np.arange(10)) == data.digests(np.arange(10))


def test_arrays_in_memory_are_pictures() -> None:
    x = pixels(6, 9, 7, 3)
    data = from_arrays(x, list("ababab"), READERS)
    assert (data.modality, len(data)) == ("image", 6)
    assert np.array_equal(shown(data, 5), x[5])
    assert len(open_samples(x[:2], data.fields, read, modality="image")) == 2


@pytest.mark.parametrize(
    "x",
    [
        RNG.normal(size=(6, 9, 7)),
        pixels(6, 9),
        pixels(6, 1, 40),
        pixels(6, 2, 40),
        pixels(6, 9, 7, 5),
        pixels(6, 2, 5, 5, 3),
    ],
    ids=lambda x: f"{x.dtype} {x.shape}",
)
def test_other_arrays_are_no_pictures(tmp_path: Path, x: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", x=x, y=list("ababab"))
    assert read.gather(tmp_path / "a.npz", None) is None
    assert read.gather(x, None) is None


def test_series_may_be_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=pixels(6, 9, 7), y=list("ababab"))
    task = Task(data=str(tmp_path / "a.npz"), modality="series")
    assert open_data(task, {"series": series}, cache=tmp_path / "cache").modality == "series"


def test_labels_that_do_not_fit_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=pixels(6, 9, 7), y=[0, 1])
    with pytest.raises(DataError, match=r"6 pictures came with labels of the shape \(2,\)"):
        opened(tmp_path / "a.npz")


def test_digits_of_the_archive() -> None:
    path = Path(os.environ.get("HEADSTART_DATA", "")) / "mnist" / "mnist_t10k.npz"
    if not path.is_file():
        pytest.skip("HEADSTART_DATA has no mnist")
    found = read.gather(path, None)
    assert found is not None and len(found.columns["image"]) == 10_000
