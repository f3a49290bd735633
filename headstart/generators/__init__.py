"""Samples drawn by formula: labelled data for pre-training that owes nothing to anybody's data.

A file that names a `GENERATOR` and its `MODALITY` can be asked for by name: `scenes` draws pictures,
`kernels` and `curves` series, `tones` and `words` sounds, `causes` tables, `motifs` graphs;
`headstart.core.generator` says what they share. The other files are parts: `ink` turns points into pictures,
`strokes`, `contours` and `fractals` hold classes of shapes, `textures` the grounds. All is seeded: a
`torch.Generator` in the same state draws the same samples.
"""

from __future__ import annotations

import ast
import pkgutil
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path


def listed() -> dict[str, str]:
    """Name -> modality of all generators, sorted; reads their files and imports none of them.

    Those of other packages come through entry points of the group `headstart.generator`.
    """
    modules = {m.name: f"{__name__}.{m.name}" for m in pkgutil.iter_modules(__path__)}
    modules |= {e.name: e.value for e in entry_points(group="headstart.generator")}
    found = {}
    for name, module in sorted(modules.items()):
        spec = find_spec(module)
        said = _constants(Path(spec.origin)) if spec and spec.origin else {}
        if "GENERATOR" in said and isinstance(said.get("MODALITY"), str):
            found[name] = str(said["MODALITY"])
    return found


def _constants(file: Path) -> dict[str, object]:
    """Names that a file's top level sets, with the value where it is a constant."""
    return {
        target.id: node.value.value if isinstance(node.value, ast.Constant) else None
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
