"""What most commands import: `tests.forks` loads it once, for all that it forks."""

from headstart import api
from headstart.core import plugins
from headstart.engine import device
from headstart.report import page
from tests import blocked

blocked.block()
_PARTS = ("read", "batch", "backbones", "champion", "show")

for _name in plugins.names("modality"):
    for _part in _PARTS:
        getattr(plugins.Modality(_name), _part)
for _kind in ("strategy", "head", "evidence"):
    for _name in plugins.names(_kind):
        plugins.load(_kind, _name)
for _name in ("builtin", "file", "hf", "timm", "onnx"):  # libraries that others need are large
    plugins.load("provider", _name)
__import__("torch._dynamo")  # torch loads it when operations are counted
device.fabric("cpu")
__all__ = ["api", "page"]
