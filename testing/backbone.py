"""Suite for staged networks: they say what the untouched network says, at every cut, row by row.

A thing is "MODALITY/tiny" (the modality's small random network) or "MODALITY/builtin:NAME".
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from headstart.core import digest, staging
from headstart.engine._trunk import to_batch, to_rows

from ._things import Check, close, expect, listed, sources, staged

ALONE = 1e-5
"""Largest change of a row's features through its companions in a batch."""

KNOWN: dict[tuple[str, str], str] = {
    ("check_reference_is_given", "table/tiny"): "a formula has no untouched network",
    (
        "check_reference_is_given",
        "table/builtin:prior-fitted",
    ): "its one stage hands the rows on; the network stands in the head",
    (
        "check_gradients_reach_every_stage",
        "table/builtin:prior-fitted",
    ): "its one stage hands the rows on; the network stands in the head",
    (
        "check_reference_is_given",
        "table/builtin:random-features",
    ): "a formula has no untouched network",
    (
        "check_reference_is_given",
        "series/builtin:random-convolutions",
    ): "a formula has no untouched network",
    (
        "check_reference_is_given",
        "series/builtin:series-encoder",
    ): "a formula has no untouched network",
    (
        "check_reference_is_given",
        "series/builtin:recent-values",
    ): "a formula has no untouched network",
    (
        "check_reference_is_given",
        "graph/builtin:random-gin",
    ): "a formula has no untouched network",
}


def things() -> tuple[str, ...]:
    """Every source that can be staged here."""
    return sources()


def checks() -> Iterator[tuple[str, Check]]:
    """Name and function of every check of this suite."""
    return listed(globals())


def check_reference_is_given(thing: str) -> None:
    """`reference` gives pooled features or positions of the untouched network."""
    made = staged(thing)
    with torch.no_grad():
        said = made.modality.backbones.reference(made.loaded, made.inputs)
    expect(bool({"pool", "positions"} & set(said)), "reference() gives 'pool' or 'positions'")


def check_staging_is_verified(thing: str) -> None:
    """Pooling or positions equal the untouched network's, and run(run(x, stop=k), start=k) = run(x)."""
    made = staged(thing)
    with torch.no_grad():
        said = made.modality.backbones.reference(made.loaded, made.inputs)
    staging.verify(made.backbone, said, made.inputs)


def check_state_composes_at_every_cut(thing: str) -> None:
    """All tensors of the final state, not only the pooled ones, survive leaving and re-entering."""
    made = staged(thing)
    with torch.no_grad():
        whole = made.backbone.run(made.inputs)
        for cut in range(len(made.backbone.stages) + 1):
            kept = made.backbone.run(made.inputs, stop=cut)
            again = made.backbone.run(kept, start=cut)
            expect(set(again) == set(whole), f"the state after cut {cut} has the same names")
            for name in whole:
                same = close(again[name].float(), whole[name].float(), ALONE)
                expect(same, f"'{name}' is the same after a cut at {cut}")


def check_a_row_does_not_depend_on_its_companions(thing: str) -> None:
    """Features of a row alone and in a mixed batch agree, unless the network asks for equal lengths."""
    made = staged(thing)
    if not made.backbone.companions:
        return
    with torch.no_grad():
        mixed = made.backbone.pool(made.backbone.run(made.inputs))
        alone = [made.backbone.pool(made.backbone.run(single))[0] for single in made.singles]
    expect(
        close(torch.stack(alone), mixed, ALONE), f"a row changes by less than {ALONE} in company"
    )


def check_shapes(thing: str) -> None:
    """pool() is (N, width); positions(), where there are any, are (N, L, width) with a mask (N, L)."""
    made = staged(thing)
    rows = len(made.singles)
    with torch.no_grad():
        final = made.backbone.run(made.inputs)
        shape = tuple(made.backbone.pool(final).shape)
    expect(shape == (rows, made.backbone.width), "pool() gives (N, width)")
    if not made.backbone.ragged:
        return
    places, mask = made.backbone.positions(final)
    expect(places.shape[:2] == mask.shape, "positions() gives (N, L, width) and a mask (N, L)")
    expect(places.shape[2] == made.backbone.width, "positions() are as wide as pool()")
    there = [name for name in made.backbone.ragged if name in final]
    expect(bool(there), "a backbone that names ragged tensors gives one")
    for name in there:
        expect(made.backbone.axes()[name] in final, f"the ragged '{name}' comes with a mask")
    first = mask.long().cumprod(dim=1).sum(1)
    expect(bool((first == mask.sum(1)).all()), "real places come first")


def check_padding_is_not_read(thing: str) -> None:
    """What stands at padded places of a kept state has no effect: it is stripped before it is kept."""
    made = staged(thing)
    backbone = made.backbone
    if not backbone.ragged or not backbone.companions:
        return
    with torch.no_grad():
        expected = backbone.pool(backbone.run(made.inputs))
        for cut in range(1, len(backbone.stages) + 1):
            kept = backbone.run(made.inputs, stop=cut)
            for name in set(backbone.ragged) & set(kept):
                real = kept[backbone.axes()[name]].unsqueeze(-1)
                kept[name] = torch.where(real, kept[name], torch.zeros_like(kept[name]))
            found = backbone.pool(backbone.run(kept, start=cut))
            expect(close(found, expected, ALONE), f"padding may be stripped at cut {cut}")


def check_states_survive_being_kept(thing: str) -> None:
    """A state that is stripped, kept and padded again with other rows, or alone, says the same."""
    made = staged(thing)
    backbone = made.backbone
    if not backbone.companions:
        return
    with torch.no_grad():
        expected = backbone.pool(backbone.run(made.inputs))
        for cut in range(1, len(backbone.stages)):
            rows = to_rows(backbone.run(made.inputs, stop=cut), backbone.axes(), brief=False)
            for places in (list(range(len(rows)))[::-1], [0], [len(rows) - 1]):
                kept = to_batch([rows[p] for p in places], backbone.axes())
                found = backbone.pool(backbone.run(kept, start=cut))
                same = close(found, expected[places], ALONE)
                expect(same, f"a state kept at cut {cut} says what it said")


def check_stage_of_is_total(thing: str) -> None:
    """Every parameter and buffer belongs to a stage, or (-1) to the source's own head."""
    backbone = staged(thing).backbone
    named = [n for n, _ in (*backbone.named_parameters(), *backbone.named_buffers())]
    for name in named:
        place = backbone.stage_of(name)
        expect(-1 <= place < len(backbone.stages), f"stage_of('{name}') is a stage; got {place}")
        own = name.startswith("source_head.")
        expect(own == (place == -1), f"only the source's head has no stage; '{name}' got {place}")


def check_stages_own_what_they_use(thing: str) -> None:
    """A stage's output changes when a parameter of a later stage is disturbed: never."""
    made = staged(thing)
    backbone = copy.deepcopy(made.backbone)
    with torch.no_grad():
        for cut in range(1, len(backbone.stages)):
            before = backbone.run(made.inputs, stop=cut)
            for name, parameter in backbone.named_parameters():
                if backbone.stage_of(name) >= cut:
                    parameter.add_(0.05)
            after = backbone.run(made.inputs, stop=cut)
            for name in before:
                same = torch.equal(before[name], after[name])
                expect(same, f"'{name}' below cut {cut} depends on nothing above it")
            backbone.load_state_dict(made.backbone.state_dict())


def check_eval_keeps_buffers(thing: str) -> None:
    """Running in eval mode moves no parameter and no buffer."""
    made = staged(thing)
    every = [*made.backbone.named_parameters(), *made.backbone.named_buffers()]
    before = digest.tensors(every)
    with torch.no_grad():
        made.backbone.run(made.inputs)
    expect(digest.tensors(every) == before, "eval mode moves no tensor")


def check_gradients_reach_every_stage(thing: str) -> None:
    """Each stage that has parameters gets a gradient from the pooled features."""
    made = staged(thing)
    backbone = copy.deepcopy(made.backbone).requires_grad_(True)
    if not list(backbone.parameters()):
        return
    pooled = backbone.pool(backbone.run(made.inputs))
    weights = torch.linspace(-1.0, 1.0, pooled.numel()).reshape(pooled.shape)
    grads = torch.autograd.grad(
        (pooled * weights).sum(), list(backbone.parameters()), allow_unused=True
    )
    reached, owned = set(), set()
    for (name, _), grad in zip(backbone.named_parameters(), grads, strict=True):
        place = backbone.stage_of(name)
        owned.add(place)
        if grad is not None and float(grad.abs().sum()) > 0:
            reached.add(place)
    lacking = sorted(owned - reached - {-1})
    expect(not lacking, f"a gradient reaches every stage that has parameters; not {lacking}")


def check_adaptable_names_exist(thing: str) -> None:
    """adaptable() names linear or convolution modules of the backbone."""
    backbone = staged(thing).backbone
    modules = dict(backbone.named_modules())
    for name in backbone.adaptable():
        kind = modules.get(name)
        expect(
            isinstance(kind, (nn.Linear, nn.Conv1d, nn.Conv2d)),
            f"'{name}' can be wrapped by an adapter",
        )


def check_source_head_reads_features(thing: str) -> None:
    """The source's own head, where there is one, maps (N, width) to (N, classes)."""
    made = staged(thing)
    head = made.backbone.source_head
    if head is None:
        return
    with torch.no_grad():
        said = head(made.backbone.pool(made.backbone.run(made.inputs)))
    expect(
        said.ndim == 2 and len(said) == len(made.singles), "the source's head gives (N, classes)"
    )


def check_rebuilt_twin_is_fresh_and_seeded(thing: str) -> None:
    """rebuild(seed) gives the same architecture, other weights, equal for equal seeds."""
    made = staged(thing)
    if made.loaded.rebuild is None:
        return
    state = torch.get_rng_state()
    twins = [made.loaded.rebuild(seed) for seed in (1, 1, 2)]
    expect(bool(torch.equal(state, torch.get_rng_state())), "rebuild leaves the random state alone")
    digests = [digest.tensors(t.state_dict().items()) for t in twins]
    expect(digests[0] == digests[1] != digests[2], "the seed decides the weights")
    found = {n: t.shape for n, t in twins[0].state_dict().items()}
    expect(found == made.shapes, "the twin has the source's tensors")
    expect(digests[0] != made.loaded.source.sha256, "the twin's weights are fresh")
