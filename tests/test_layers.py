"""The house rules of ARCHITECTURE: imports go down, one loop, no pickles, two axes that never meet.

Each rule is a function from one module to its breaches, proved on planted cases below.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.house import (
    PACKAGE,
    Module,
    called,
    calls,
    functions,
    imports,
    keyword,
    modules,
    parse,
    strings,
)

LAYERS = {
    0: ("errors", "version"),
    1: ("core",),
    2: (
        *("modalities", "providers", "strategies", "heads", "objectives", "rankers", "evidence"),
        *("data", "features", "engine", "registry", "generators", "weights"),
    ),
    3: (
        *(
            "select",
            "lengths",
            "soup",
            "tuned",
            "rates",
            "adapt",
            "adaptation",
            "arms",
            "trainings",
            "baseline",
            "curve",
            "job",
            "replay",
            "groups",
            "options",
            "previous",
            "retention",
            "sequences",
            "teaching",
            "scope",
            "augmentation",
            "realism",
            "targets",
            "gains",
            "estimators",
            "pretraining",
            "places",
            "catalogue",
            "loading",
            "inspection",
            "permission",
            "foreign",
            "lightning",
        ),
        *("operate", "serving", "report"),
    ),
    4: ("api", ""),  # "": the package's face
    5: ("cli", "ui", "__main__"),
}
LAYER = {room: layer for layer, rooms in LAYERS.items() for room in rooms}

# Folders in which no modality may be named.
GENERIC = (
    "strategies",
    "heads",
    "evidence",
    "engine",
    "features",
    "data",
    "registry",
    "objectives",
)
MODALITIES = tuple(
    p.name for p in (PACKAGE / "modalities").iterdir() if (p / "__init__.py").exists()
)

# (module, modality's name) -> why the word is not the modality there.
WORDS = {
    ("headstart.evidence.*", "table"): "the kind of an exhibit, see core.evidence.Exhibit",
    ("headstart.data.*", "text"): "the kind of a field, see core.dataset.Field",
}

FILE_LINES = 500
FUNCTION_LINES = 50

# (module, function) -> why it is longer.
LONG = {
    ("headstart.pretraining.call", "pretrain"): "a public door: its arguments, and what they mean",
    ("headstart.cli.run", "verb"): "a public door: one option a line",
}

Rule = Callable[[Module], Iterator[str]]


def down(module: Module) -> Iterator[str]:
    """Imports go down; folders of layer 2 never import each other; nobody imports the face."""
    here = LAYER.get(module.room)
    if here is None:
        yield f"{module.name} stands in no layer: add '{module.room}' to LAYERS"
        return
    for line, name in imports(module):
        parts = name.split(".")
        room = parts[1] if len(parts) > 1 else ""
        there = LAYER.get(room)
        at = f"{module.name}:{line} imports {name}"
        if room == "":
            if module.room:
                yield f"{at}: the package's own face"
        elif there is None:
            yield f"{at}, which stands in no layer"
        elif there > here:
            yield f"{at}: layer {there} from layer {here}"
        elif there == here == 2 and room != module.room:
            yield f"{at}: two folders of layer 2"
        elif module.room == room == "modalities" and _others(module.name, name):
            yield f"{at}: one modality from another"


def _others(own: str, name: str) -> bool:
    """Whether `name` lies in another modality's folder; what all share lies in none."""
    return _modality(name) in MODALITIES and _modality(name) != _modality(own)


def _modality(name: str) -> str:
    return (name.split(".") + ["", ""])[2]


def one_loop(module: Module) -> Iterator[str]:
    """`.backward(`, `optimizer.step(` and device moves occur in engine/ only."""
    if module.room == "engine":
        return
    for call in calls(module):
        if isinstance(call.func, ast.Attribute):
            name, owner = call.func.attr, ast.unparse(call.func.value).lower()
            breach = (
                name in ("backward", "cuda")
                or (name == "step" and "optim" in owner)
                or (name == "to" and _to_device(call))
            )
            if breach:
                yield f"{module.name}:{call.lineno} {called(call)}( outside engine/"


def _to_device(call: ast.Call) -> bool:
    if keyword(call, "device") is not None:
        return True
    if not call.args:
        return False
    first = call.args[0]
    if isinstance(first, ast.Constant):
        return isinstance(first.value, str) and first.value.split(":")[0] in ("cpu", "cuda", "mps")
    return "device" in ast.unparse(first).lower()


def no_pickles(module: Module) -> Iterator[str]:
    """Nothing is opened that can run code of unknown origin."""
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for call in calls(module):
        name = called(call)
        weights = keyword(call, "weights_only")
        at = f"{module.name}:{call.lineno} {name}("
        if name.split(".")[0] in banned and name.split(".")[-1] in (
            "load",
            "loads",
            "open",
            "Unpickler",
        ):
            yield f"{at}: reads a pickle"
        if name == "torch.load" and not (
            isinstance(weights, ast.Constant) and weights.value is True
        ):
            yield f"{at} without weights_only=True"
        if name in ("eval", "exec"):
            yield f"{at}: runs text"
        for flag in ("trust_remote_code", "allow_pickle"):
            value = keyword(call, flag)
            if value is not None and not (isinstance(value, ast.Constant) and not value.value):
                yield f"{at} with {flag}"


def no_modality_named(module: Module) -> Iterator[str]:
    """Generic folders name no modality, neither as a string nor by import."""
    if module.room not in GENERIC:
        return
    for constant in strings(module):
        if constant.value in MODALITIES and not _excused(module.name, str(constant.value)):
            yield f"{module.name}:{constant.lineno} names the modality '{constant.value}'"


def _excused(name: str, word: str) -> bool:
    folder = ".".join(name.split(".")[:2]) + ".*"
    return (name, word) in WORDS or (folder, word) in WORDS


def small(module: Module) -> Iterator[str]:
    """Files under 500 lines, functions under 50, but for those with a reason."""
    lines = module.path.read_text("utf-8").count("\n") if module.path.exists() else 0
    if lines >= FILE_LINES:
        yield f"{module.name} has {lines} lines; fewer than {FILE_LINES} are allowed"
    for name, line, length in functions(module):
        if length >= FUNCTION_LINES and (module.name, name) not in LONG:
            yield f"{module.name}:{line} {name} has {length} lines; under {FUNCTION_LINES} are allowed"


RULES: tuple[Rule, ...] = (down, one_loop, no_pickles, no_modality_named, small)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule):
    breaches = [breach for module in modules() for breach in rule(module)]
    assert not breaches, "\n".join([str(rule.__doc__), *breaches])


def test_no_circle_of_imports():
    graph = {
        module.name: {
            name for _, name in imports(module) if name != module.name and name != "headstart"
        }
        for module in modules()
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_every_excuse_is_needed():
    used = {
        key
        for module in modules()
        if module.room in GENERIC
        for constant in strings(module)
        for key in WORDS
        if constant.value == key[1]
        and (module.name == key[0] or module.name.startswith(key[0].rstrip("*")))
    }
    assert used == set(WORDS)
    long = {
        (module.name, name)
        for module in modules()
        for name, _, length in functions(module)
        if length >= FUNCTION_LINES
    }
    assert long == set(LONG)


PLANTED = [
    (down, "headstart.core.x", "from headstart.engine import loop"),
    (down, "headstart.engine.x", "def f():\n    import headstart.features.store"),
    (down, "headstart.data.x", "if TYPE_CHECKING:\n    from headstart.heads import classify"),
    (down, "headstart.core.x", "import headstart"),
    (down, "headstart.serving.x", "from headstart import adapt_anything"),
    (down, "headstart.serving.x", "from headstart import api"),
    (down, "headstart.data.x", "from ..engine import loop"),
    (down, "headstart.data.x", "importlib.import_module('headstart.api')"),
    (down, "headstart.modalities.image.x", "from headstart.modalities.text import read"),
    (down, "headstart.attic.x", ""),
    (one_loop, "headstart.strategies.x", "loss.backward()"),
    (one_loop, "headstart.strategies.x", "self.optimizer.step()"),
    (one_loop, "headstart.strategies.x", "x.to(self.device)"),
    (one_loop, "headstart.strategies.x", "x.to('cuda:0')"),
    (one_loop, "headstart.strategies.x", "x.to(dtype=d, device=other)"),
    (one_loop, "headstart.strategies.x", "x.cuda()"),
    (no_pickles, "headstart.engine.x", "torch.load(path)"),
    (no_pickles, "headstart.engine.x", "torch.load(path, weights_only=False)"),
    (no_pickles, "headstart.engine.x", "pickle.load(handle)"),
    (no_pickles, "headstart.engine.x", "np.load(path, allow_pickle=True)"),
    (no_pickles, "headstart.providers.x", "A.from_pretrained(n, trust_remote_code=True)"),
    (no_modality_named, "headstart.engine.x", "if kind == 'image': pass"),
    (small, "headstart.engine.x", "def f():\n" + "    pass\n" * 49),
]

CLEAN = [
    (
        down,
        "headstart.engine.x",
        "from headstart.core import plan\nfrom headstart.engine import seed",
    ),
    (down, "headstart.cli.x", "from headstart import api"),
    (one_loop, "headstart.engine.x", "loss.backward(); optimizer.step(); x.to(device)"),
    (one_loop, "headstart.strategies.x", "x.to(torch.float32); schedule.step(); x.to('float64')"),
    (no_pickles, "headstart.engine.x", "torch.load(path, weights_only=True); json.load(handle)"),
    (no_pickles, "headstart.providers.x", "A.from_pretrained(n, trust_remote_code=False)"),
    (no_modality_named, "headstart.engine.x", '"""image"""\nx = "imagery"'),
    (no_modality_named, "headstart.modalities.image.x", "x = 'image'"),
    (small, "headstart.engine.x", "def f():\n" + "    pass\n" * 48),
    (small, "headstart.pretraining.call", "def pretrain():\n" + "    pass\n" * 60),
]


@pytest.mark.parametrize(("rule", "name", "source"), PLANTED)
def test_a_planted_breach_is_found(rule: Rule, name: str, source: str):
    assert list(rule(parse(name, source)))


@pytest.mark.parametrize(("rule", "name", "source"), CLEAN)
def test_a_clean_case_passes(rule: Rule, name: str, source: str):
    assert not list(rule(parse(name, source)))
