"""Published weights are read from where their library keeps them, and missed by name where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.core import plugins
from headstart.errors import MissingExtra, OfflineError
from testing import provider as suite


def test_weights_of_keras_are_found_where_keras_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        provider = plugins.load("provider", "keras")
    except MissingExtra as missing:
        pytest.skip(str(missing))
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    name = "mobilenet_2_5_128_tf_no_top.h5"
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    with pytest.raises(OfflineError, match=f"{name}.* forbids the network"):
        suite.opened("keras", "MobileNet?alpha=0.25&input_size=128")
    shape = {"input_shape": (128, 128, 3), "include_top": False, "alpha": 0.25}
    network = provider._build("MobileNet", shape)
    (tmp_path / "models").mkdir()
    with h5py.File(tmp_path / "models" / name, "w") as file:
        save_weights_to_hdf5_group(file, network)
    loaded = suite.opened("keras", "MobileNet?alpha=0.25&input_size=128")
    ours = sum(float(p.detach().double().sum()) for p in loaded.module.parameters())
    theirs = sum(float(np.asarray(w.value.detach().cpu()).sum()) for w in network.trainable_weights)
    assert ours == pytest.approx(theirs, rel=1e-4)
