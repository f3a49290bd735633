"""The champions learn from few pictures and from rare classes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from headstart.core.dataset import Field
from headstart.modalities.image import champion

FIELDS = (Field("picture", "bytes"),)


def picture(kind: int, number: int) -> dict[str, bytes]:
    """A bright square at a place that tells the class."""
    noise = np.random.default_rng(number).integers(0, 60, (32, 32, 3))
    noise[4:12, 4 + 9 * kind : 12 + 9 * kind] += 190
    kept = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).save(kept, "PNG")
    return {"picture": kept.getvalue()}


@pytest.mark.parametrize("counts", [(10, 2), (20, 20, 2), (3, 1), (2, 2)])
@pytest.mark.parametrize("model", champion.CHAMPIONS, ids=lambda m: m.name)
def test_a_rare_class_is_no_reason_to_fail(model, counts: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    targets = np.repeat(np.arange(len(counts)), counts)
    samples = [picture(kind, number) for number, kind in enumerate(targets)]
    ask = model.fit(samples, FIELDS, targets, outcome="classify", seed=0)
    said = ask([picture(kind, 100 + kind) for kind in range(len(counts))])
    assert said.shape == (len(counts), len(counts))
    np.testing.assert_allclose(said.sum(axis=1), 1)
    assert said[0].argmax() == 0
