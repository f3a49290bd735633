"""Suite for modalities: reading, transforms, augmentation, exhibits, champions, catalogue.

A thing is a modality's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from headstart.core import digest, plugins
from headstart.core.augment import Policy
from headstart.core.dataset import Dataset
from headstart.core.modality import Arrays, Transform
from headstart.core.task import Task
from headstart.data import answers
from headstart.data.tables import from_columns
from headstart.errors import DataError

from ._things import TINY, Breach, Check, close, dataset, expect, listed, samples, sources, staged

KNOWN: dict[tuple[str, str], str] = {}

OUTCOMES = ("classify", "regress")
KINDS = ("picture", "text", "pairs", "sound", "lines", "drawing")
REQUIRED = (
    "uri",
    "name",
    "family",
    "revision",
    "sha256",
    "licence",
    "trained_on",
    "paper",
    "location",
)


def things() -> tuple[str, ...]:
    """Every modality whose libraries are installed."""
    return tuple(s.removesuffix(f"/{TINY}") for s in sources() if s.endswith(f"/{TINY}"))


def checks() -> Iterator[tuple[str, Check]]:
    """Name and function of every check of this suite."""
    return listed(globals())


def _transform(name: str) -> tuple[Transform, Dataset]:
    return staged(f"{name}/{TINY}").transform, dataset(name, "classify")


def _same(first: Arrays, second: Arrays) -> bool:
    return set(first) == set(second) and all(np.array_equal(first[k], second[k]) for k in first)


def check_tiny_data_can_be_read(name: str) -> None:
    """`tiny.write` writes data that `read.py` reads, for every outcome, and sets no row aside."""
    for outcome in OUTCOMES:
        data = dataset(name, outcome)
        expect(len(data) > 0, f"tiny.write gives rows for {outcome}")
        expect(not data.set_aside, f"no tiny row is set aside for {outcome}")
        expect(data.modality == name, f"the data are read as {name}, not {data.modality}")
        targets = data.targets(np.arange(len(data)))
        if outcome == "classify":
            expect(len(set(targets)) >= 2, "tiny classes are at least two")
        else:
            expect(float(np.std(np.asarray(targets, float))) > 0, "tiny numbers differ")


def check_tiny_data_follow_the_seed(name: str) -> None:
    """Equal seeds give equal samples, others give others."""
    first, second = dataset(name, "classify", 24, 1), dataset(name, "classify", 24, 2)
    rows = np.arange(24)
    expect(len(set(first.digests(rows))) > 12, "tiny samples differ from each other")
    shared = set(first.digests(rows)) & set(second.digests(rows))
    expect(len(shared) < 12, "another seed gives other samples")


def check_content_and_signature(name: str) -> None:
    """Content is equal for equal samples, signatures have one length, both are bytes."""
    read, data = plugins.Modality(name).read, dataset(name, "classify")
    some = samples(data, 8)
    contents = [read.content(s, data.fields) for s in some]
    expect(all(isinstance(c, bytes) for c in contents), "content() gives bytes")
    expect(
        contents == [read.content(dict(s), data.fields) for s in some], "content() is a function"
    )
    signatures = [read.signature(s, data.fields) for s in some]
    expect(len({len(s) for s in signatures}) == 1, "signatures have one length")
    expect(0 <= read.NEAR < 8 * max(1, len(signatures[0])), "NEAR counts bits of the signature")


def check_transform_is_deterministic(name: str) -> None:
    """The same sample gives the same arrays, whatever came in between."""
    transform, data = _transform(name)
    some = samples(data, 6)
    first = [transform(s) for s in some]
    second = [transform(s) for s in reversed(some)][::-1]
    expect(all(map(_same, first, second)), "a transform is a function of its sample")


def check_transform_is_thread_safe(name: str) -> None:
    """Eight threads give what one gives."""
    transform, data = _transform(name)
    some = samples(data, 16)
    alone = [transform(s) for s in some]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(transform, some * 4))
    expect(all(map(_same, together, alone * 4)), "threads do not disturb each other")


def check_state_restores_an_equal_transform(name: str) -> None:
    """state() is JSON; restore() gives the same digest and the same arrays."""
    transform, data = _transform(name)
    state = json.loads(json.dumps(transform.state()))
    again = plugins.Modality(name).batch.restore(state)
    expect(again.digest == transform.digest, "restore(state()) has the same digest")
    expect(
        digest.value(again.state()) == digest.value(transform.state()),
        "restore(state()) has the same state",
    )
    same = all(_same(transform(s), again(s)) for s in samples(data, 6))
    expect(same, "restore(state()) gives the same arrays")


def check_transform_digest_covers_settings(name: str) -> None:
    """A transform of another kind of training rows or another source setting has another digest."""
    modality, (transform, data) = plugins.Modality(name), _transform(name)
    expect(len(transform.digest) >= 32, "the digest is a digest")
    sealed = modality.tiny.loaded(0).source.preprocessing
    again = modality.batch.make(sealed, data.fields, samples(data))
    expect(again.digest == transform.digest, "the same settings and rows give the same digest")
    if getattr(transform, "fitted", False):
        other = modality.batch.make(sealed, data.fields, samples(data)[:20])
        expect(other.digest != transform.digest, "the digest covers fitted constants")


def check_collate(name: str) -> None:
    """Batch first, padded at the end, and of types that a network takes."""
    transform, data = _transform(name)
    items = [transform(s) for s in samples(data, 6)]
    batch = transform.collate(items)
    kinds = {torch.float32, torch.int64, torch.bool}
    for key, tensor in batch.items():
        expect(len(tensor) == 6, f"'{key}' has the batch first")
        expect(tensor.dtype in kinds, f"'{key}' is float32, int64 or bool, not {tensor.dtype}")
    lengths = [transform.length(item) for item in items]
    expect(all(isinstance(n, int) and n >= 1 for n in lengths), "length() is a positive int")
    alone = transform.collate(items[:1])
    for key, tensor in alone.items():
        cut = tuple(slice(0, n) for n in tensor.shape[1:])
        expect(bool((batch[key][0][cut] == tensor[0]).all()), f"'{key}' is padded at the end")


def check_augmentation_is_seeded(name: str) -> None:
    """With a generator the arrays differ, equal generators give equal arrays; without, nothing moves."""
    modality, (transform, data) = plugins.Modality(name), _transform(name)
    expect(isinstance(modality.batch.AUGMENTATIONS, tuple), "AUGMENTATIONS is a tuple of names")
    if not modality.batch.AUGMENTATIONS:
        return
    some = samples(data, 12)
    plain = [transform(s) for s in some]
    first = [transform(s, np.random.default_rng([7, i])) for i, s in enumerate(some)]
    second = [transform(s, np.random.default_rng([7, i])) for i, s in enumerate(some)]
    third = [transform(s, np.random.default_rng([8, i])) for i, s in enumerate(some)]
    expect(all(map(_same, first, second)), "equal generators give equal arrays")
    expect(not all(map(_same, first, plain)), "augmentation changes something")
    expect(not all(map(_same, first, third)), "another generator gives other arrays")


def check_variations(name: str) -> None:
    """Where augmentations are offered by name, each follows its generator, and the sealed transform is left
    as it is; inputs that may be blended are floating-point, pictures among them (N, channels, H, W)."""
    transform, data = _transform(name)
    some = samples(data, 6)
    plain = [transform(s) for s in some]
    offered = getattr(transform, "variations", {})
    listed = getattr(plugins.Modality(name).batch, "VARIATIONS", {})
    expect(set(offered) <= set(listed), "VARIATIONS lists what a transform offers")
    for one in offered:
        varied = transform.varied(Policy(((one, 1.0),)))
        first = [varied(s, np.random.default_rng([7, i])) for i, s in enumerate(some)]
        second = [varied(s, np.random.default_rng([7, i])) for i, s in enumerate(some)]
        expect(all(map(_same, first, second)), f"'{one}' gives equal arrays for equal generators")
        expect(varied.digest == transform.digest, f"'{one}' is no part of the digest")
    expect(all(map(_same, plain, map(transform, some))), "varied() leaves the transform alone")
    batch = transform.collate(plain)
    for key in set(getattr(transform, "dense", ())) & set(batch):
        expect(batch[key].is_floating_point(), f"'{key}' may be blended, so it is floating-point")
    grid = set(getattr(transform, "grid", ()))
    expect(grid <= set(getattr(transform, "dense", ())), "pictures are dense")
    expect(all(batch[key].ndim == 4 for key in grid), "pictures are (N, channels, H, W)")


def check_notes(name: str) -> None:
    """notes(), where a transform has it, tells texts that `counts` knows, and counts nothing."""
    transform, data = _transform(name)
    tell = getattr(transform, "notes", None)
    if tell is None:
        return
    some = samples(data, 8)
    for sample in some:
        transform(sample)
    before = dict(transform.counts)
    found = [tell(sample) for sample in some]
    expect(all(isinstance(told, tuple) for told in found), "notes() gives a tuple")
    expect({n for told in found for n in told} <= set(before), "notes() speaks as counts does")
    expect(transform.counts == before, "notes() counts nothing")


def check_profiles(name: str) -> None:
    """profile("exact") is the transform as it is; "fast" gives arrays of the same names."""
    transform, data = _transform(name)
    sample = samples(data, 1)[0]
    exact, fast = transform.profile("exact"), transform.profile("fast")
    expect(exact.digest == transform.digest, "profile('exact') is the sealed transform")
    expect(
        set(fast(sample)) == set(transform(sample)), "profile('fast') gives the same arrays' names"
    )


def check_exhibit(name: str) -> None:
    """A sample becomes something to look at, as plain JSON."""
    modality, data = plugins.Modality(name), dataset(name, "classify")
    for sample in samples(data, 3):
        shown = modality.show.exhibit(sample, data.fields)
        expect(shown.get("kind") in KINDS, f"the kind is one of {KINDS}")
        expect(bool(json.dumps(dict(shown))), "an exhibit is JSON")
        expect(len(shown) >= 2, "an exhibit holds more than its kind")
        if shown["kind"] == "picture":
            expect(shown["data"].startswith("data:image/"), "a picture is a data: URI")
        if shown["kind"] == "sound":
            whole = shown["picture"].startswith("data:image/png;base64,")
            whole = whole and shown["sound"].startswith("data:audio/wav;base64,")
            expect(whole, "a sound is a PNG and a WAV as data: URIs")
        if shown["kind"] == "drawing":
            drawn = json.loads(shown["drawing"])
            ends = {end for line in drawn["lines"] for end in line}
            expect(ends <= set(range(len(drawn["points"]))), "lines join points that are there")


def check_champions_predict(name: str) -> None:
    """Champions fit and predict: probabilities (N, classes) that add up, or numbers (N,)."""
    champions = plugins.Modality(name).champion.CHAMPIONS
    expect(len(champions) > 0, "a modality has a champion")
    expect(len({c.name for c in champions}) == len(champions), "champions have names of their own")
    for outcome in OUTCOMES:
        data = dataset(name, outcome)
        able = [c for c in champions if c.serves is None or c.serves(samples(data), data.fields)]
        expect(bool(able), f"some champion reads the tiny samples for {outcome}")
    for champion in champions:
        for outcome in () if champion.each else OUTCOMES:
            if outcome in champion.outcomes:
                _champion(name, champion, outcome)


def check_units_carry_labels(name: str) -> None:
    """Where a reader names units: each has a place, the network a feature, a champion a prediction."""
    modality = plugins.Modality(name)
    if not getattr(modality.read, "UNITS", ""):
        return
    data = dataset(name, "label_each")
    expect(data.outcome == "label_each", "tiny.write gives labels of units")
    expect(not data.set_aside, "no tiny row is set aside for label_each")
    raw, rows = data.targets(np.arange(len(data))), samples(data)
    source = modality.tiny.loaded(0)
    transform = modality.batch.make(source.source.preprocessing, data.fields, rows)
    backbone = modality.backbones.stage(source, transform).eval()
    with torch.no_grad():
        state = backbone.run(transform.collate([transform(s) for s in rows[:6]]))
        features, mask = backbone.units(state)
        alone, _ = backbone.units(backbone.run(transform.collate([transform(rows[0])])))
    lengths = [len(t) for t in raw]
    expect(features.shape == (6, max(lengths[:6]), backbone.width), "units are (N, U, width)")
    expect(mask.sum(1).tolist() == lengths[:6], "each unit of a sample has a feature")
    expect(close(features[0, : lengths[0]], alone[0], 1e-5), "units do not depend on companions")
    augmented = transform(rows[0], np.random.default_rng(0))
    with torch.no_grad():
        moved = backbone.units(backbone.run(transform.collate([augmented])))[1]
    expect(int(moved.sum()) == lengths[0], "augmentation leaves every unit in its place")
    encoded = plugins.load("head", "label_each").learn(raw).encode(raw)
    for champion in modality.champion.CHAMPIONS:
        if champion.each:
            fit = champion.fit(rows[:36], data.fields, encoded[:36], outcome="label_each", seed=0)
            said = fit(rows[36:])
            there = np.isfinite(said).all(axis=2)
            expect(there.sum(axis=1).tolist() == lengths[36:], "a prediction for each unit")
            expect(np.allclose(said[there].sum(1), 1.0, atol=1e-6), "probabilities add up")


def check_passages_are_answered(name: str) -> None:
    """Where a reader names passages: each of their units has a place and a feature, whatever the windows, and
    a champion tells spans; elsewhere answers are refused before anything is trained."""
    modality = plugins.Modality(name)
    if not getattr(modality.read, "PASSAGE", ""):
        try:
            answers.gathered(
                from_columns({"x": [1]}), Task(outcome="answer"), {name: modality.read}
            )
        except DataError as error:
            expect(f"'{name}'" in str(error), "the refusal names the kind of data")
            return
        raise Breach("answers are refused where there is no text")
    data = dataset(name, "answer")
    expect(data.outcome == "answer" and not data.set_aside, "tiny.write gives answers")
    raw, rows = data.targets(np.arange(len(data))), samples(data)
    source = modality.tiny.loaded(0)
    sealed = dict(source.source.preprocessing)
    for most in (int(sealed["max_length"]), 16):
        transform = modality.batch.make({**sealed, "max_length": most}, data.fields, rows)
        backbone = modality.backbones.stage(source, transform).eval()
        with torch.no_grad():
            state = backbone.run(transform.collate([transform(s) for s in rows[:6]]))
            features, mask = backbone.units(state)
            alone, _ = backbone.units(backbone.run(transform.collate([transform(rows[0])])))
        sizes = [len(t.units) for t in raw[:6]]
        expect(mask.sum(1).tolist() == sizes, "each unit of a passage has a feature")
        expect(close(features[0, : sizes[0]], alone[0], 1e-5), "whatever its companions")
        moved = transform(rows[0], np.random.default_rng(0))
        expect(int(moved["starts"].sum()) == sizes[0], "augmentation leaves units in their places")
    encoded = plugins.load("head", "answer").learn(raw).encode(raw)
    able = [c for c in modality.champion.CHAMPIONS if "answer" in c.outcomes]
    expect(bool(able), "some champion answers")
    for champion in able:
        fit = champion.fit(rows[:36], data.fields, encoded[:36], outcome="answer", seed=0)
        said = fit(rows[36:])
        again = champion.fit(rows[:36], data.fields, encoded[:36], outcome="answer", seed=0)
        last = [len(t.units) for t in raw[36:]]
        expect(said.shape == (len(rows) - 36, 3), "spans: first, last, probability")
        expect(bool((said[:, 0] <= said[:, 1]).all()), "a span ends where it begins or later")
        expect(bool((said[:, 1] < last).all()), "a span lies in its passage")
        expect(np.array_equal(said, again(rows[36:])), f"{champion.name} follows its seed")


def check_plain_features(name: str) -> None:
    """Where the champion offers plain features: (N, width), finite, named, and the same when asked again."""
    modality, data = plugins.Modality(name), dataset(name, "classify")
    if not hasattr(modality.champion, "plain"):
        return
    rows = samples(data)
    made, again = (modality.champion.plain(rows, data.fields) for _ in range(2))
    expect(made.shape[0] == len(rows) and len(made.shape) == 2, "plain() gives (N, width)")
    expect(bool(np.isfinite(made.sum())), "plain() gives finite numbers")
    expect(abs(made - again).max() == 0, "plain() is a function of its samples")
    expect(bool(modality.champion.PLAIN.strip()), "PLAIN says what plain() gives")


def _champion(name: str, champion: Any, outcome: str) -> None:
    data = dataset(name, outcome)
    if champion.serves is not None and not champion.serves(samples(data), data.fields):
        return  # samples of another kind than the tiny ones; the modality's own tests fit it
    rows, raw = samples(data), data.targets(np.arange(len(data)))
    encoded, classes = _encode(raw, outcome)
    made = champion.fit(rows[:36], data.fields, encoded[:36], outcome=outcome, seed=0)
    said = np.asarray(made(rows[36:]))
    expected = (len(rows) - 36, classes) if classes else (len(rows) - 36,)
    expect(said.shape == expected, f"{champion.name} gives {expected}, not {said.shape}")
    expect(bool(np.isfinite(said).all()), f"{champion.name} gives finite numbers")
    if classes:
        expect(np.allclose(said.sum(1), 1.0, atol=1e-6), f"{champion.name} gives probabilities")
    for given, by in ((None, "its seed"), (made.settings, "the settings it is given")):
        again = champion.fit(
            rows[:36], data.fields, encoded[:36], outcome=outcome, seed=0, settings=given
        )
        same = np.allclose(said, again(rows[36:]), atol=1e-9)
        expect(same, f"{champion.name} follows {by}")
        expect(again.settings == made.settings, f"{champion.name} tells the settings it has")


def _encode(raw: Sequence[Any], outcome: str) -> tuple[np.ndarray, int]:
    """Numbers (N,) and how many classes; all classes occur in the first rows of tiny data."""
    if outcome == "regress":
        return np.asarray(raw, float), 0
    names = sorted({str(t) for t in raw[:36]})
    return np.array([names.index(str(t)) if str(t) in names else 0 for t in raw]), len(names)


def check_catalogue_is_complete(name: str) -> None:
    """Every entry says who the source is: principle 8, provenance is required."""
    entries = plugins.Modality(name).catalogue()
    expect(len(entries) > 0, "a modality has a source")
    expect(len({e["uri"] for e in entries}) == len(entries), "no source comes twice")
    for entry in entries:
        for key in REQUIRED:
            expect(bool(str(entry.get(key, "")).strip()), f"'{entry['uri']}' says its {key}")
        said = str(entry["sha256"])
        drawn = str(entry["location"]).startswith("formula:")
        right = said == "formula" if drawn else bool(re.fullmatch(r"[0-9a-f]{64}", said))
        expect(
            right, f"'{entry['uri']}' gives a SHA-256 of 64 digits, or is a formula; got '{said}'"
        )
        expect(":" in str(entry["uri"]), "a URI has a scheme")
    schemes = {str(e["uri"]).partition(":")[0] for e in entries}
    lacking = schemes - set(plugins.names("provider"))
    expect(not lacking, f"each scheme has a provider; not {lacking}")


def check_parts_are_complete(name: str) -> None:
    """Every part offers the names of its protocol."""
    modality = plugins.Modality(name)
    promised: Mapping[str, tuple[str, ...]] = {
        "read": ("SUFFIXES", "FILE_KIND", "NEAR", "MANY", "claim", "load", "check", "content"),
        "batch": ("AUGMENTATIONS", "make", "restore"),
        "backbones": ("stage", "reference"),
        "show": ("exhibit",),
        "champion": ("CHAMPIONS",),
        "tiny": ("write", "loaded"),
    }
    for part, names in promised.items():
        module = getattr(modality, part)
        expect(bool(module.__doc__), f"{part}.py says what it is")
        for wanted in names:
            expect(hasattr(module, wanted), f"{part}.py offers {wanted}")


def check_tiny_network_is_seeded(name: str) -> None:
    """tiny.loaded(seed) gives the same network for the same seed, in eval mode, documented."""
    modality = plugins.Modality(name)
    first, second, third = (modality.tiny.loaded(seed) for seed in (3, 3, 4))
    made = staged(f"{name}/{TINY}")
    pooled = []
    for loaded in (first, second, third):
        expect(not loaded.module.training, "a provider hands over eval mode")
        backbone = modality.backbones.stage(loaded, made.transform).eval()
        with torch.no_grad():
            pooled.append(backbone.pool(backbone.run(made.inputs)))
    expect(torch.equal(pooled[0], pooled[1]), "equal seeds give equal networks")
    expect(not close(pooled[0], pooled[2], 1e-6), "other seeds give other networks")
    for value in (first.source.licence, first.source.trained_on, first.source.paper):
        expect(bool(value), "the tiny source says its licence, training data and paper")
