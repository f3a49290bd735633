"""Every regulariser against a computation by hand; it is not zero, and descent lowers it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.core.strategy import Batch
from headstart.engine.freeze import frozen
from headstart.strategies import bi_tuning, bss, co_tuning, delta
from tests.strategies import case


def prepared(name: str, **settings: float):  # type: ignore[no-untyped-def]
    """A strategy that has seen the source, and its network with settled head."""
    made, network = case.strategy(name, **settings), case.network()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made.prepare(network, {"train": case.stream()})
    case.settle(network, made.phases(network)[0])
    return made, network


def parts(made, network, batch: Batch | None = None) -> dict[str, float]:  # type: ignore[no-untyped-def]
    with frozen(network, made.phases(network)[-1]):
        found = made.loss(network, {"train": batch or case.batch()}, 0.5)
    return {name: float(value.detach()) for name, value in found.items()}


def test_l2_sp_is_half_the_squared_way_from_the_start() -> None:
    made, network = prepared("l2_sp", alpha=0.3, beta=0.2, cut=1)
    assert parts(made, network)["l2_sp"] == 0.0
    start = {n: p.detach().numpy().copy() for n, p in network.backbone.named_parameters()}
    case.displaced(network)
    way = sum(
        float(np.square(p.detach().numpy() - start[n]).sum())
        for n, p in network.backbone.named_parameters()
        if n.startswith(("norm", "last"))  # above the cut
    )
    head = np.square(network.heads["classify"].linear.weight.detach().numpy()).sum()
    told = parts(made, network)
    assert told["l2_sp"] == pytest.approx(0.15 * way, rel=1e-5)
    assert told["head norm"] == pytest.approx(0.1 * head, rel=1e-5)


def test_a_stronger_pull_ends_nearer_to_the_start() -> None:
    def way(name: str, **settings: float) -> float:
        network = case.network()
        before = torch.cat([p.detach().flatten() for p in network.backbone.parameters()])
        case.train(case.strategy(name, patience=0, **settings), network)
        after = torch.cat([p.detach().flatten() for p in network.backbone.parameters()])
        return float((after - before).norm())

    free = way("fine_tune", weight_decay=0.0)
    assert way("l2_sp", alpha=0.0, beta=0.0) == pytest.approx(free, rel=1e-6)
    assert way("l2_sp", alpha=10.0) < 0.7 * free
    assert way("delta", alpha=100.0) < 0.7 * free


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("l2_sp", "l2_sp"),
        ("l2_sp", "head norm"),
        ("delta", "delta"),
        ("bss", "bss"),
        ("co_tuning", "co_tuning"),
        ("bi_tuning", "contrast of classes"),
        ("bi_tuning", "contrast of rows"),
    ],
)
def test_it_is_not_zero_and_descent_lowers_it(name: str, part: str) -> None:
    strong = {"l2_sp": {"alpha": 1.0, "beta": 1.0}, "bss": {"weight": 1.0}}
    made, network = prepared(name, **strong.get(name, {}))
    case.displaced(network)
    told = case.descent(made, network, part)
    floor = 0.0
    if name == "co_tuning":  # the entropy of what is wanted
        wanted = made.relation[case.batch().targets["classify"]]
        floor = -made.settings.weight * float((wanted * wanted.log()).sum(1).mean())
    assert told[0] - floor > 1e-3
    assert told[-1] - floor < 0.9 * (told[0] - floor)


def test_delta_is_the_way_of_every_map_in_its_own_size() -> None:
    made, network = prepared("delta", alpha=2.0)
    assert parts(made, network)["delta"] == 0.0
    source = case.network()
    case.displaced(network)

    def told(of):  # type: ignore[no-untyped-def]
        with torch.no_grad():
            first = of.backbone.first(case.batch().inputs["x"])
            norm = of.backbone.norm(first)
            return [m.numpy() for m in (first, norm, of.backbone.last(norm))]

    now, before = told(network), told(source)
    squares = [(a - b) ** 2 for a, b in zip(now, before, strict=True)]
    squares[-1] = squares[-1] * made.attention.numpy()
    wanted = np.mean([s.sum() / (b**2).sum() for s, b in zip(squares, before, strict=True)])
    assert parts(made, network)["delta"] == pytest.approx(wanted, rel=1e-4)


def test_delta_from_kept_states_is_the_same() -> None:
    made, network = prepared("delta", cut=1)
    case.displaced(network)
    with torch.no_grad():  # below the cut nothing has moved
        for mine, other in zip(
            network.backbone.first.parameters(),
            case.network().backbone.first.parameters(),
            strict=True,
        ):
            mine.copy_(other)
        whole = case.batch()
        state = network(whole.inputs, stop=1, want="state")
    kept = Batch(state, whole.targets, 1)
    assert parts(made, network, kept) == pytest.approx(parts(made, network, whole), rel=1e-5)


def test_the_source_that_delta_looks_at_stays_as_it_was() -> None:
    made, network = case.strategy("delta"), case.network()
    case.train(made, network)
    held = made.source.network
    assert case.same(case.tensors(case.network()), case.tensors(held)) == []
    assert case.same(case.tensors(network), case.tensors(held))
    assert not any(m.training for m in held.modules())
    assert not any(p.requires_grad for p in held.parameters())


def test_attention_falls_on_the_channels_that_tell() -> None:
    drawn = np.random.default_rng(0)
    features = torch.from_numpy(drawn.normal(size=(200, 4)).astype(np.float32))
    wanted = (features[:, [1]] * 2 + features[:, [3]]).double()
    found = delta.attention(features, wanted)
    assert float(found.mean()) == pytest.approx(1.0, rel=1e-5)
    assert found.argsort().tolist()[2:] == [3, 1]
    assert float(found[1] + found[3]) > 3.9
    assert torch.equal(delta.attention(features, wanted * 0), torch.ones(4))


def test_bss_is_the_smallest_squared_singular_values() -> None:
    drawn = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    values = np.linalg.svd(drawn, compute_uv=False)
    for k, wanted in ((1, values[-1:]), (2, values[-2:]), (9, values[1:])):
        found = float(bss.shrinkage(torch.from_numpy(drawn), k))
        assert found == pytest.approx(float((wanted**2).sum()), rel=1e-4)
    assert float(bss.shrinkage(torch.ones(1, 5), 1)) == 0.0


def test_bss_of_positions_reads_the_real_ones() -> None:
    drawn = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    padded = drawn.clone()
    padded[1, 2:] = torch.nan
    real = torch.cat([drawn[0], drawn[1, :2]])
    padded.requires_grad_(True)
    found = bss.shrinkage(padded, 1)
    assert float(found.detach()) == pytest.approx(float(bss.shrinkage(real, 1)), rel=1e-5)
    found.backward()
    assert torch.isfinite(padded.grad).all()  # type: ignore[arg-type]


def test_co_tuning_is_the_cross_entropy_with_what_the_source_said_of_the_class() -> None:
    made, network = prepared("co_tuning", weight=2.0)
    rows = case.stream()
    with torch.no_grad():
        features = network({"x": rows.inputs}, want="features")
        said = co_tuning._said(network, features).softmax(1).numpy()
    labels = rows.labels.numpy()
    relation = np.stack([said[labels == k].mean(0) for k in range(3)])
    np.testing.assert_allclose(made.relation.numpy(), relation, rtol=1e-5)
    assert np.ptp(relation, axis=0).max() > 0.02  # classes differ in what the source sees
    some = labels[:16]
    wanted = -2.0 * (relation[some] * np.log(said[:16])).sum(1).mean()
    assert parts(made, network)["co_tuning"] == pytest.approx(float(wanted), rel=1e-4)


def test_a_class_without_rows_here_gets_the_mean_of_all() -> None:
    made, network = case.strategy("co_tuning"), case.network()
    rows = case.stream()
    kept = rows.labels != 2
    some = case.Numbers(rows.inputs[kept].numpy(), rows.labels[kept].numpy())
    made.prepare(network, {"train": some})
    np.testing.assert_allclose(made.relation[2], made.relation[:2].mean(0), rtol=1e-5)


def test_the_contrast_is_a_cross_entropy_over_keys() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, -1.0]])
    alike = torch.tensor([[True, False, True], [False, True, False]])
    share = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    first = -(np.log(share[0, 0]) + np.log(share[0, 2])) / 2
    wanted = (first - np.log(share[1, 1])) / 2
    assert float(bi_tuning.contrast(logits, alike)) == pytest.approx(float(wanted), rel=1e-5)


def test_queues_hold_the_last_keys_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bi_tuning, "QUEUE", 2)
    queues = bi_tuning.Queues(3, 1, 1)
    for value, label in ((1.0, 0), (2.0, 0), (3.0, 0), (4.0, 2)):
        queues.add(torch.tensor([[value]]), torch.tensor([[-value]]), torch.tensor([label]))
    new = torch.tensor([[9.0]])
    classes, features, projections = queues.beside(new, -new, torch.tensor([1]))
    assert classes.tolist() == [1, 0, 0, 2]
    assert features.flatten().tolist() == [9.0, 3.0, 2.0, 4.0]
    assert projections.flatten().tolist() == [-9.0, -3.0, -2.0, -4.0]


def test_the_average_of_bi_tuning_follows_slowly() -> None:
    made, network = prepared("bi_tuning")
    case.displaced(network, 1.0)
    kept = made.average[0]
    before = kept.backbone.first.weight.clone()
    made.after_step(network, 0.0)
    wanted = before + (1 - bi_tuning.MOMENTUM) * (network.backbone.first.weight - before)
    assert torch.allclose(kept.backbone.first.weight, wanted, atol=1e-6)
    assert not torch.equal(kept.backbone.first.weight, before)
