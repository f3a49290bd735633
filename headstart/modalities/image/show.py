"""Pictures for the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image

from headstart.core.dataset import Field, Sample
from headstart.modalities.image import decode

SIDE = 160
_LEAST_SIDE = 96


def exhibit(sample: Sample, fields: Sequence[Field]) -> dict[str, str]:
    """A PNG of at most 160 pixels a side as a data URI; very small pictures are enlarged."""
    picture = decode.pixels(sample[fields[0].name], least=(SIDE, SIDE))
    picture.thumbnail((SIDE, SIDE))
    if max(picture.size) < _LEAST_SIDE:
        factor = _LEAST_SIDE // max(picture.size)
        size = (picture.width * factor, picture.height * factor)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    held = io.BytesIO()
    picture.save(held, "PNG", optimize=True)
    text = base64.b64encode(held.getvalue()).decode()
    return {"kind": "picture", "data": f"data:image/png;base64,{text}"}
