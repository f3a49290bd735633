"""The door of exports: a run's weights as a folder that timm, transformers, PEFT or torchvision load.

What the library loads from the folder is compared with the run before the folder is put in its place.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart import loading, permission
from headstart.core import plugins
from headstart.core.strategy import Strategy
from headstart.errors import PackError, PlanError, StorageError, nearest
from headstart.heads._linear import LinearHead
from headstart.places import cache_root
from headstart.registry import card, files, packs, runs
from headstart.registry.packs import PackParts
from headstart.serving import _encoders, _pictures
from headstart.serving._written import TOLERANCE, Given, Told
from headstart.serving.predictor import Predictor
from headstart.version import __version__

AUTO = "auto"
CARD = "README.md"
FORMS: Mapping[str, Callable[[Given, Path], Told]] = {
    "timm": _pictures.timm,
    "transformers": _encoders.transformers,
    "peft": _encoders.peft,
    "torchvision": _pictures.torchvision,
}
WITHOUT_BASE = ("peft",)
"""Forms that hold no weights of the base, which each user fetches."""
OUTCOMES = ("classify", "tag", "regress")


@dataclass(frozen=True)
class Exported:
    """A folder that another library loads.

    Attributes:
        to: one of `FORMS`.
        gap: largest difference of an output from the run's own, per unit of the larger of 1 and the output.
        checked: what was compared.
    """

    folder: Path
    to: str
    gap: float
    checked: str


def export(
    run: Any,
    folder: str | os.PathLike[str],
    *,
    to: str = AUTO,
    base: str = "",
    uses: Iterable[str] = (),
    output: str = "",
    offline: bool = False,
) -> Exported:
    """Writes a run's model for another library, checks what that library loads, and puts the folder in place.

    Args:
        run: a run, its id, the beginning of it, "last", or its folder.
        folder: new or empty.
        to: "timm", "torchvision", "transformers" or "peft"; "auto": by the library of the source.
        base: for "peft": by which name or folder transformers opens the base, where the source's URI does not
            tell.
        uses: "share", "commercial", "modify": refused where a licence does not grant it.
        output: folder of runs, where `run` is an id.
        offline: only weights that are on this computer.

    Raises:
        PackError: outcome, strategy or network have no such form, or the library says otherwise than the run.
        PlanError: no such run, form or use, or a use that is not granted.
        StorageError: the folder is not empty, or cannot be written.
    """
    place = Path(folder).expanduser()
    _free(place)
    found = Path(run.folder) if hasattr(run, "folder") else runs.find(run, output)
    pack = packs.load(found / "pack")
    given = _opened(pack, base, offline=offline)
    name = _form(to, given)
    chain = _chain(pack, carried=name not in WITHOUT_BASE)
    permission.demand(
        chain, uses, "Leave the use out, or learn from another source (headstart sources)."
    )
    told = _placed(place, given, name, chain)
    return Exported(place, name, told.gap, told.checked)


def _placed(place: Path, given: Given, name: str, chain: Iterable[Mapping[str, Any]]) -> Told:
    """Writes and checks beside the place, and only then puts the folder there."""
    part = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with files.storing(place):
            part.mkdir(parents=True)
        told = FORMS[name](given, part)
        files.write(part / CARD, _card(given, told, chain).encode())
        with files.storing(place):
            if place.exists():
                place.rmdir()
            part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return told


def _free(place: Path) -> None:
    """Raises StorageError unless the folder is new or empty."""
    if place.is_file() or (place.is_dir() and any(place.iterdir())):
        raise StorageError(
            f"{place} is there and not empty, so nothing is written into it. Choose another folder."
        )


def _opened(pack: PackParts, base: str, *, offline: bool) -> Given:
    """The pack with its base. Raises PackError for what no other library could hold."""
    _refuse(pack)
    modality = plugins.Modality(pack.modality)
    loaded = loading.load(str(pack.base.source["uri"]), modality, offline=offline)
    predictor = Predictor(pack, loaded, cache_root() / "compiled")
    head = predictor.network.heads[pack.outcome]
    if not isinstance(head, LinearHead):
        raise PackError(
            f"The run's head is a {type(head).__module__.rpartition('.')[2]} head, which is no linear "
            "layer. Expected "
            "one by a strategy that solves or trains a linear head, such as linear_probe or fine_tune."
        )
    return Given(predictor, loaded, base)


def _refuse(pack: PackParts) -> None:
    """Raises PackError for outcomes and strategies of which other libraries know nothing."""
    if pack.outcome not in OUTCOMES:
        raise PackError(
            f"The run's outcome is '{pack.outcome}'; models of {', '.join(OUTCOMES)} alone are "
            "exported, as other "
            "libraries have no such head. Use the pack itself (headstart predict)."
        )
    if pack.recipe.get("further"):
        raise PackError(
            "The run learned several targets at once, and models of other libraries have one head. "
            "Expected a run of one target, without --also; or use the pack itself (headstart predict)."
        )
    name = str(pack.recipe["strategy"])
    file: Any = plugins.load("strategy", name)
    if file.Strategy.rebuild is not Strategy.rebuild:
        raise PackError(
            f"The strategy '{name}' leaves modules of its own on the network, which other libraries "
            "have not. Train "
            "with --strategy lora, fine_tune or bitfit, whose changes are merged into the source's "
            "weights, or use "
            "the pack itself (headstart predict)."
        )


def _form(to: str, given: Given) -> str:
    """The form that was asked for, or that of the source's library. Raises PlanError, PackError."""
    library = str(given.loaded.config.get("library"))
    if to == AUTO and library not in FORMS:
        raise PackError(
            f"The run stands on a network of {library}, which is exported to no other library; "
            "expected a source of "
            "timm, torchvision or transformers. Use the pack itself (headstart predict)."
        )
    name = library if to == AUTO else to
    if name not in FORMS:
        raise PlanError(f"There is no export to '{to}'. {nearest(to, (AUTO, *FORMS))}")
    return name


def _chain(pack: PackParts, *, carried: bool) -> list[dict[str, Any]]:
    """The pack's chain of licences, the base's weights among what is passed on where the folder holds
    them."""
    return [
        {**link, "parents": tuple(link["parents"]), "carried": True}
        if carried and link["kind"] == "weights"
        else {**link, "parents": tuple(link.get("parents", ()))}
        for link in map(dict, pack.licences)
    ]


def _card(given: Given, told: Told, chain: Iterable[Mapping[str, Any]]) -> str:
    """The folder's README."""
    pack, source = given.pack, given.loaded.source
    facts = {
        "outcome": pack.outcome,
        "strategy": pack.recipe["strategy"],
        "run": pack.recipe.get("run", "unknown"),
        "source": source.uri,
        "revision": source.revision,
        "digest of the source's tensors": pack.base.digest,
        "trained on": source.trained_on,
        "paper": source.paper,
        "pack": pack.digest,
    }
    scope = (
        "\n\nThe pack's detector of rows out of scope, its probe and its report stay in the run."
        if pack.recipe.get("scope")
        else ""
    )
    parts = [
        f"# {card.line(told.title)}",
        "## How to load it",
        told.how,
        "## What was checked",
        f"Before this folder was put in its place: {told.checked}. The largest difference from the "
        "run's own outputs "
        f"was {told.gap:.2g}, per unit of the larger of 1 and the output; {TOLERANCE:g} is allowed.{scope}",
        "## What it stands on",
        card.table(facts),
        "## Licences",
        card.licences(list(chain)),
        f"Written by headstart {__version__}.",
    ]
    return "\n\n".join(parts) + "\n"
