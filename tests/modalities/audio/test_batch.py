"""Transforms: what libraries' feature extractors give, fitted pictures, counts, augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from headstart.core.dataset import Field
from headstart.errors import BadRow, DataError, PlanError, SourceError
from headstart.modalities.audio import augment, batch, decode
from tests.modalities.audio.sounds import RATE, encoded, tune

FIELDS = (Field("clip", "bytes"),)
PICTURE = {"input_size": [3, 32, 40], "mean": [0.5] * 3, "std": [0.25] * 3}


def sample(data: bytes) -> dict[str, bytes]:
    return {"clip": data}


def fitted(seconds: float = 0.6, rate: int = RATE) -> batch.Pictures:
    rows = [sample(encoded(tune(seconds, rate, seed), rate)) for seed in range(12)]
    made = batch.make(PICTURE, FIELDS, rows)
    assert isinstance(made, batch.Pictures)
    return made


def extracted(kind: type, **settings: object) -> tuple[batch.SoundTransform, object]:
    """Our transform for a library's feature extractor, through what it saves."""
    extractor = kind(**settings)
    made = batch.make({"processor": extractor.to_dict()}, FIELDS, [])
    return made, extractor


@pytest.mark.parametrize(
    ("kind", "name", "settings"),
    [
        (WhisperFeatureExtractor, "input_features", {"chunk_length": 3}),
        (WhisperFeatureExtractor, "input_features", {"feature_size": 128}),
        (ASTFeatureExtractor, "input_values", {}),
        (ASTFeatureExtractor, "input_values", {"max_length": 60, "num_mel_bins": 32}),
        (ASTFeatureExtractor, "input_values", {"do_normalize": False, "max_length": 128}),
    ],
)
@pytest.mark.parametrize("seconds", [0.7, 2.5])
def test_spectrograms_are_the_library_s(
    kind: type, name: str, settings: dict, seconds: float
) -> None:
    made, extractor = extracted(kind, **settings)
    data = encoded(tune(seconds, 16000), 16000, "WAV", "FLOAT")
    wave = decode.sound(data, 16000, made.seconds).samples
    wanted = extractor(wave, sampling_rate=16000, return_tensors="np")[name]  # type: ignore[operator]
    found = made.collate([made(sample(data))])["mel"].numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-3)  # logarithms of single precision


def test_waveforms_are_normalised_as_the_library_does() -> None:
    made, extractor = extracted(Wav2Vec2FeatureExtractor, do_normalize=True)
    data = encoded(0.1 + tune(0.5, 16000), 16000, "WAV", "FLOAT")
    wave = decode.sound(data).samples
    wanted = extractor(wave, sampling_rate=16000, return_tensors="np")["input_values"]  # type: ignore[operator]
    np.testing.assert_allclose(made(sample(data))["wave"][None], wanted, atol=1e-5)


def test_waveforms_are_padded_at_the_end_with_a_mask() -> None:
    made = batch.make(
        {"processor": Wav2Vec2FeatureExtractor().to_dict(), "seconds": 0.5}, FIELDS, []
    )
    items = [made(sample(encoded(tune(s, 16000), 16000))) for s in (0.01, 0.3, 0.9)]
    assert [made.length(i) for i in items] == [batch.LEAST, 4800, 8000]
    inputs = made.collate(items)
    assert inputs["mask"].sum(1).tolist() == [1600, 4800, 8000]
    assert inputs["wave"].dtype == torch.float32
    assert inputs["wave"][1, 4800:].abs().max() == 0
    assert made.counts == {"longer than 0.5 s, so cut to the middle": 1}


def test_pictures_have_the_mean_and_spread_of_the_source_s() -> None:
    made = fitted()
    pixels = made.collate([made(sample(encoded(tune(seed=s)))) for s in range(12)])["pixels"]
    assert pixels.shape == (12, 3, 32, 40)
    assert pixels.mean().abs() < 0.05
    assert pixels.std() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(pixels[:, 0], pixels[:, 2])


def test_low_tones_lie_at_the_bottom() -> None:
    made = fitted()
    low = np.sin(2 * np.pi * 200 * np.arange(4800) / RATE).astype(np.float32)
    cells = made(sample(encoded(low)))["cells"]
    assert cells[16:].mean() > cells[:16].mean()


def test_rate_and_window_are_those_of_most_training_rows() -> None:
    rows = [sample(encoded(tune(0.5 + 0.01 * i, seed=i))) for i in range(20)]
    rows += [sample(encoded(tune(9.0, 22050), 22050)), sample(b"a text")]
    made = batch.make(PICTURE, FIELDS, rows)
    assert (made.rate, made.fitted) == (RATE, True)
    assert 0.65 < made.seconds < 0.75
    with pytest.raises(DataError, match="None of 1 training sounds"):
        batch.make(PICTURE, FIELDS, [sample(b"a text")])


def test_what_happened_is_counted_once_a_sound() -> None:
    made = fitted(0.5)
    odd = [
        encoded(tune(0.5, 16000), 16000),
        encoded(np.stack([tune(0.5)] * 2, axis=1)),
        encoded(np.clip(9 * tune(0.5), -1, 1)),
        encoded(0 * tune(0.5)),
        encoded(tune(2.0)),
    ]
    for _ in range(3):
        for data in odd:
            made(sample(data))
            made(sample(data), np.random.default_rng(0))
    assert made.counts == {
        "resampled from 16000 to 8000 Hz": 1,
        "channels mixed to one": 1,
        "clipped": 1,
        "silent": 1,
        "longer than 0.5 s, so cut to the middle": 1,
    }
    assert [made.notes(sample(data)) for data in odd] == [(name,) for name in made.counts]
    assert made.notes(sample(encoded(tune(0.5)))) == ()
    unread = batch.restore(made.state())
    assert unread.notes(sample(odd[3])) == ("silent",)
    assert not unread.counts, "looking counts nothing"


def test_a_source_that_reads_no_sound_is_refused() -> None:
    with pytest.raises(SourceError, match="cannot read sound"):
        batch.make({"tokenizer_json": "{}"}, FIELDS, [])
    with pytest.raises(SourceError, match="Wav2Vec2FeatureExtractor"):
        batch.make({"processor": {"feature_extractor_type": "ViTImageProcessor"}}, FIELDS, [])
    with pytest.raises(PlanError, match="shift"):
        batch.make({**PICTURE, "augment": ["shft"]}, FIELDS, [])


@pytest.mark.parametrize("name", augment.NAMES)
def test_each_augmentation_moves_and_follows_its_generator(name: str) -> None:
    rows = [sample(encoded(tune(seed=s))) for s in range(8)]
    made = batch.make({**PICTURE, "augment": [name]}, FIELDS, rows)
    plain = made(rows[0])["cells"]
    drawn = [made(rows[0], np.random.default_rng([5, i]))["cells"] for i in range(6)]
    again = [made(rows[0], np.random.default_rng([5, i]))["cells"] for i in range(6)]
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))
    if name == "gain":  # a picture shows levels below the loudest
        assert all(np.allclose(d, plain, atol=1e-3) for d in drawn)
        loud = augment.waveform(tune(), ["gain"], np.random.default_rng(1))
        assert not np.allclose(loud, tune())
    else:
        assert any(not np.array_equal(d, plain) for d in drawn)


def test_masks_are_stripes_of_a_limited_size() -> None:
    for seed in range(20):
        cells = augment.spectrogram(
            np.ones((32, 80)), ["spec_augment"], np.random.default_rng(seed), blank=0.0, real=40
        )
        gone = cells == 0
        assert gone.all(axis=1).sum() <= 8
        assert gone.all(axis=0)[:40].sum() <= 10
        assert not gone[:, 40:].all(axis=0).any()


def test_noise_is_as_soft_as_it_says() -> None:
    samples = tune()
    loud = float((samples**2).mean())
    ratios = []
    for seed in range(30):
        added = augment.waveform(samples, ["noise"], np.random.default_rng(seed)) - samples
        if added.any():
            ratios.append(10 * np.log10(loud / float((added**2).mean())))
    assert 8 <= len(ratios) <= 22
    assert min(ratios) > 14 and max(ratios) < 41


@settings(deadline=None, max_examples=25)
@given(
    seconds=st.floats(0.002, 3.0),
    rate=st.sampled_from([4000, 8000, 11025, 44100, 48000]),
    channels=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_any_sound_gives_finite_inputs_of_one_shape(
    seconds: float, rate: int, channels: int, seed: int
) -> None:
    made = _once()
    data = encoded(np.stack([tune(seconds, rate)] * channels, axis=1), rate)
    for rng in (None, np.random.default_rng(seed)):
        cells = made(sample(data), rng)["cells"]
        assert cells.shape == (32, 40)
        assert np.isfinite(cells).all()


def test_a_picture_keeps_the_decades_that_it_was_fitted_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, data = fitted(), sample(encoded(tune(0.2)))  # silence around it lies at the lowest level
    monkeypatch.setattr(batch, "DECADES", 7.0)
    again = batch.restore(made.state())
    np.testing.assert_array_equal(again(data)["cells"], made(data)["cells"])
    assert again.digest == made.digest != fitted().digest
    before = {k: v for k, v in made.state().items() if k != "decades"}
    lowest = batch.restore(before).levels(tune(0.2)).min()  # type: ignore[attr-defined]
    assert lowest == -3.0


_MADE: list[batch.Pictures] = []


def _once() -> batch.Pictures:
    if not _MADE:
        _MADE.append(fitted())
    return _MADE[0]


def test_nan_reaches_no_network() -> None:
    bad = tune()
    bad[7] = np.nan
    with pytest.raises(BadRow, match="no finite number"):
        fitted()(sample(encoded(bad, RATE, "WAV", "FLOAT")))
