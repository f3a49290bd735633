"""scikit-learn estimators: the transfer alone, without evidence, tracking or anything on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from headstart import adaptation, job, select
from headstart.core import plugins
from headstart.core.plan import (
    Augmentation,
    Engine,
    EvidenceChoice,
    Plan,
    SourceChoice,
    StrategyChoice,
)
from headstart.core.task import Task
from headstart.data import opening
from headstart.errors import UserError
from headstart.job import MEMORY, Given
from headstart.options import listed
from headstart.serving.predictor import Predictor

_ALONE = EvidenceChoice(seeds=1, scratch=False, champion=False, learning_curve=False)

# Networks of fitted estimators: assembled at the first prediction from pack and base, never pickled.
_ASSEMBLED: WeakKeyDictionary[Any, Predictor] = WeakKeyDictionary()


class _Transfer(BaseEstimator):
    """What classifier and regressor share.

    Inputs may be a 2-D array of finite numbers (n, columns), a list of texts, of picture paths or of
    encoded pictures, a list of mappings, or a data frame with numbers, categories and missing values. With
    the name of a modality whose samples are arrays: an array (n, steps) or (n, steps, channels), or a list of
    arrays of unequal length.
    """

    _outcome = ""

    def __init__(
        self,
        source: str = "auto",
        strategy: str = "linear_probe",
        settings: Mapping[str, Any] | None = None,
        profile: str = "exact",
        random_state: int = 0,
        modality: str = "auto",
        augment: str | Sequence[str] | None = (),
    ) -> None:
        self.source = source
        self.strategy = strategy
        self.settings = settings
        self.profile = profile
        self.random_state = random_state
        self.modality = modality
        self.augment = augment

    def _plan(self) -> Plan:
        given = [self.augment] if isinstance(self.augment, str) else self.augment or ()
        return Plan(
            task=Task(
                outcome=self._outcome,
                modality=self.modality,
                test_share=0.0,
                tolerate=0.0,
                near_duplicates=False,
            ),
            source=SourceChoice(self.source),
            strategy=StrategyChoice(self.strategy, dict(self.settings or {})),
            engine=Engine(store=MEMORY, profile=self.profile),
            evidence=_ALONE,
            augmentation=Augmentation(augment=tuple(listed(",".join(given)))),
            seed=int(self.random_state or 0),
        )

    def _learn(self, X: Any, y: Any, names: Sequence[Any]) -> None:
        try:
            made = job.open_job(self._plan(), Given(X, list(names)), None)
            select.check(made)
            out = made.extract(made.train)
            job.drop_late(made, out)
            if out.features is None:
                raise ValueError("pooled features are always kept")
            transfer, self.strategy_ = select.transfer(made, out.features, out.seconds)
        except UserError as error:  # scikit-learn's callers expect a ValueError
            raise ValueError(str(error)) from error
        self.source_ = made.loaded.source.uri
        made.facts["executor"] = out.executor
        self._pack = adaptation.shipped(made, transfer, self.strategy_, "")
        _ASSEMBLED.pop(self, None)

    def _outputs(self, X: Any) -> np.ndarray:
        """Probabilities (n, classes) or numbers (n,) for rows that must all be readable."""
        pack = self._pack
        if self not in _ASSEMBLED:
            loaded = job.load(self.source_, plugins.Modality(pack.modality), offline=False)
            _ASSEMBLED[self] = Predictor(pack, loaded, job.cache_root() / "compiled")
        model = _ASSEMBLED[self]
        dataset = opening.open_samples(X, pack.fields, model.reader, modality=pack.modality)
        said, made = model.outputs(dataset, np.arange(len(dataset)))
        bad = [*dataset.set_aside, *made.set_aside]
        if bad:
            raise ValueError(
                f"{bad[0].name} cannot be predicted: {bad[0].reason}; {bad[0].remedy}."
            )
        return said

    def _read(self, X: Any, *, reset: bool) -> Any:
        """2-D numbers are validated as scikit-learn does; everything else is read by its modality."""
        if not reset and getattr(self, "_kind", "") == "numbers":
            return _columns(validate_data(self, X, reset=False, dtype=np.float64))
        if reset and not self._of_arrays() and _is_numbers(X):
            self._kind = "numbers"
            return _columns(validate_data(self, X, dtype=np.float64, ensure_min_samples=2))
        if reset:
            self._kind = "samples"
        return X

    def _of_arrays(self) -> bool:
        """Whether the modality that was named takes an array as one sample."""
        if self.modality == "auto":
            return False
        try:
            reader = job.readers(self.modality)[self.modality]
        except UserError as error:
            raise ValueError(str(error)) from error
        return bool(getattr(reader, "ARRAYS", False))


def _is_numbers(X: Any) -> bool:
    """Whether this is for the table source: an array, sparse or dense, or a list of rows of numbers.

    Arrays of more dimensions are left to the modality that is named, or to the error that asks for one.
    """
    if getattr(X, "ndim", 2) > 2:
        return False
    if hasattr(X, "toarray") or (hasattr(X, "__array__") and not hasattr(X, "columns")):
        return np.asarray(X).dtype.kind not in "US" if not hasattr(X, "toarray") else True
    if isinstance(X, (list, tuple)) and len(X):
        return isinstance(X[0], (list, tuple, np.ndarray, int, float, np.number))
    if hasattr(X, "columns"):
        return all(np.dtype(t).kind in "iuf" for t in X.dtypes if not hasattr(t, "categories"))
    return True


def _columns(array: np.ndarray) -> dict[str, np.ndarray]:
    return {f"x{i}": array[:, i] for i in range(array.shape[1])}


class TransferClassifier(ClassifierMixin, _Transfer):
    """A pretrained model with a head for classes; a scikit-learn classifier.

    Args:
        source: "auto" (the built-in source of the kind of data), or SCHEME:REFERENCE.
        strategy: "linear_probe", "fine_tune" ..., with its `settings`; "auto" tries several.
        profile: "exact" or "fast".
        random_state: seed of folds, order and dropout.
        modality: the kind of data, where it is not to be guessed; needed for arrays that are one sample each.
        augment: how a trained strategy varies the rows ("rotation,mixup", "auto"); (): as is usual.

    Attributes:
        classes_: class labels, sorted.
        source_, strategy_: what was used.
    """

    _outcome = "classify"

    def fit(self, X: Any, y: Any) -> TransferClassifier:
        """Learns from rows and labels. Raises ValueError as scikit-learn expects it."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None.")
        X = self._read(X, reset=True)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        _same_length(X, y)
        if len(self.classes_) < 2:
            raise ValueError("This classifier needs at least two classes; one class came in y.")
        self._learn(X, y, [int(n) for n in numbers])
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, classes) probabilities in the order of `classes_`."""
        check_is_fitted(self, "classes_")
        return self._outputs(self._read(X, reset=False))

    def predict(self, X: Any) -> np.ndarray:
        """(n,) the likeliest labels."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]


class TransferRegressor(RegressorMixin, _Transfer):
    """A pretrained model with a head for a number; a scikit-learn regressor.

    Arguments as for `TransferClassifier`.
    """

    _outcome = "regress"

    def fit(self, X: Any, y: Any) -> TransferRegressor:
        """Learns from rows and numbers. Raises ValueError as scikit-learn expects it."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None.")
        X = self._read(X, reset=True)
        y = column_or_1d(y, dtype=np.float64, warn=True)
        if not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity.")
        _same_length(X, y)
        self._learn(X, y, y.tolist())
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(n,) predicted numbers."""
        check_is_fitted(self, "fitted_")
        return self._outputs(self._read(X, reset=False))


def _same_length(X: Any, y: np.ndarray) -> None:
    rows = len(next(iter(X.values()))) if isinstance(X, dict) else len(X)
    if rows != len(y):
        raise ValueError(f"X has {rows} rows and y has {len(y)}; expected as many labels as rows.")
