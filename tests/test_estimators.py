"""The estimators keep scikit-learn's contract, and read more than tables."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from headstart import TransferClassifier, TransferRegressor
from headstart.modalities.image import tiny


@pytest.mark.parametrize("kind", [TransferClassifier, TransferRegressor])
def test_scikit_learns_own_checks(kind: type) -> None:
    check_estimator(kind())


def test_a_table_is_learned_about_as_well_as_by_a_linear_model() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    train, test, known, asked = train_test_split(X, y, random_state=0)
    ours = TransferClassifier().fit(train, known).score(test, asked)
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, known)
    assert ours >= linear.score(test, asked) - 0.03


def test_numbers_are_predicted() -> None:
    X, y = load_diabetes(return_X_y=True)
    train, test, known, asked = train_test_split(X, y, random_state=0)
    assert TransferRegressor().fit(train, known).score(test, asked) > 0.25


def waves(rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """(rows, 60, 2) noisy waves of one or of three periods, and how many; time before channels."""
    rng = np.random.default_rng(0)
    periods = np.where(np.arange(rows) % 2, 3, 1)
    phase = rng.uniform(0, 6.3, (rows, 1)) + np.linspace(0, 6.3, 60)[None] * periods[:, None]
    made = np.stack([np.sin(phase), np.cos(phase)], axis=2)
    return made + 0.2 * rng.normal(size=made.shape), periods


def test_arrays_of_series_are_samples_where_the_modality_is_named() -> None:
    X, y = waves()
    model = TransferClassifier(modality="series").fit(X[:30], y[:30])
    assert model.source_ == "builtin:random-convolutions"
    assert (model.predict(X[30:]) == y[30:]).mean() >= 0.9
    one = TransferClassifier(modality="series").fit(X[:30, :, 0], y[:30])
    assert (one.predict(X[30:, :, 0]) == y[30:]).mean() >= 0.9
    cut = [x[: 40 + i % 20] for i, x in enumerate(X)]
    uneven = TransferRegressor(modality="series").fit(cut[:30], y[:30].astype(float))
    assert uneven.score(cut[30:], y[30:].astype(float)) > 0.5


def test_arrays_of_series_without_a_modality_ask_for_it() -> None:
    X, y = waves(8)
    with pytest.raises(ValueError, match="name the modality"):
        TransferClassifier().fit(X, y)
    with pytest.raises(ValueError, match="Unknown modality 'serie'"):
        TransferClassifier(modality="serie").fit(X, y)


def test_pictures_are_read_as_files(tmp_path) -> None:
    folder = tiny.write(tmp_path, "classify", 36, 0)
    paths = sorted(str(p) for p in folder.rglob("*.png"))
    labels = np.array([p.split("/")[-2] for p in paths])
    model = TransferClassifier(strategy="linear_probe").fit(paths, labels)
    assert model.source_ == "builtin:formula"
    assert model.predict_proba(paths).shape == (36, 3)
    assert (model.predict(paths) == labels).mean() > 0.9


def test_augmentation_is_asked_for_by_name(tmp_path) -> None:
    folder = tiny.write(tmp_path, "classify", 18, 0)
    paths = sorted(str(p) for p in folder.rglob("*.png"))
    labels = [p.split("/")[-2] for p in paths]
    few = {"epochs": 2, "rate": 1e-3, "cut": -1, "head_first": False}
    asked = {"strategy": "fine_tune", "settings": few}
    plain, turned = (
        TransferClassifier(**asked, augment=names).fit(paths, labels).predict_proba(paths)
        for names in (["flip"], ["rotation,flip"])
    )
    assert np.abs(plain - turned).max() > 1e-4
    assert TransferClassifier(augment=None).fit(paths, labels).source_ == "builtin:formula"
    with pytest.raises(ValueError, match="rotatoin"):
        TransferClassifier(**asked, augment="rotatoin").fit(paths, labels)
