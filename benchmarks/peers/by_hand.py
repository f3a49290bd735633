"""Frozen features and scikit-learn's logistic regression, as people write it by hand."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers._arm import Predict, Task

NEEDS = {
    "text": ("sklearn.linear_model", "torch", "transformers.models.bert.modeling_bert"),
    "image": ("sklearn.linear_model", "torch", "timm", "PIL"),
}


def picture_features(pictures: Sequence[bytes], weights: Path, side: int = 160) -> Any:
    """The eager timm loop: PIL, timm's transform, batches of 32."""
    import numpy as np
    import torch
    from PIL import Image
    from timm.data import create_transform

    model = network(weights, 1000).eval()
    half = (0.5, 0.5, 0.5)
    transform = create_transform(
        (3, side, side), mean=half, std=half, interpolation="bicubic", crop_pct=1.0
    )
    made = []
    with torch.no_grad():
        for begin in range(0, len(pictures), 32):
            batch = [
                transform(Image.open(io.BytesIO(p)).convert("RGB"))
                for p in pictures[begin : begin + 32]
            ]
            maps = model.forward_features(torch.stack(batch))
            made.append(model.forward_head(maps, pre_logits=True).numpy())
    return np.concatenate(made)


def network(weights: Path, classes: int) -> Any:
    """timm's MobileNetV2 with the tensors of a file; a fresh classifier where there are not 1,000 classes."""
    import timm
    from safetensors.torch import load_file

    model = timm.create_model("mobilenetv2_100", num_classes=classes, pad_type="same")
    held = {k: v.float() for k, v in load_file(weights).items()}
    fitting = {k: v for k, v in held.items() if classes == 1000 or not k.startswith("classifier.")}
    missing = model.load_state_dict(fitting, strict=False).missing_keys
    lost = [n for n in missing if not n.startswith("classifier.") and "num_batches" not in n]
    if lost:
        raise SystemExit(f"{weights} lacks {', '.join(lost[:3])}; expected MobileNetV2's tensors.")
    return model


def text_features(texts: Sequence[str], folder: str) -> Any:
    """The eager transformers loop: batches of 32 in given order, mean pooling, unit length."""
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    made = []
    with torch.no_grad():
        for begin in range(0, len(texts), 32):
            read = tokenizer(
                list(texts[begin : begin + 32]),
                padding=True,
                truncation=True,
                max_length=256,
                return_tensors="pt",
            )
            hidden, mask = model(**read).last_hidden_state, read["attention_mask"][..., None]
            mean = (hidden * mask).sum(1) / mask.sum(1)
            made.append(torch.nn.functional.normalize(mean).numpy())
    return np.concatenate(made)


def fitted(train: Any, labels: Any) -> Any:
    """Standardised features, and the strength by five folds."""
    import numpy as np
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            Cs=np.logspace(-5, 1, 10), cv=5, max_iter=300, n_jobs=1, use_legacy_attributes=False
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(train, labels)


def learn(task: Task, what: str) -> Predict:
    def features(cells: Sequence[str]) -> Any:
        if task.kind == "text":
            return text_features(cells, task.weights)
        pictures = [Path(place).read_bytes() for place in cells]
        return picture_features(pictures, Path(task.weights), task.side)

    model = fitted(features(task.train), task.labels)
    return lambda cells: model.predict(features(cells)).tolist()
