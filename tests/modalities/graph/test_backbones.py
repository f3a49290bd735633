"""Layers against dense arithmetic, staging, padding, published weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headstart.core import plugins, staging
from headstart.core.dataset import Field
from headstart.core.source import Loaded, Source
from headstart.errors import SourceError
from headstart.job import load
from headstart.modalities.graph import backbones, batch, graphs, molecules, network
from headstart.modalities.graph.network import LAYERS, Shape, drawn

WIDTH = 6
FIELDS = (Field("graph", "graph"),)
needs_rdkit = pytest.mark.skipif(not molecules.available(), reason="RDKit is not installed")


def samples(seed: int = 0, rows: int = 5) -> list[dict[str, bytes]]:
    """Graphs of one to nine nodes: isolated nodes, several components, one without edges."""
    rng, made = np.random.default_rng(seed), []
    for row in range(rows):
        nodes = 1 if row == 1 else int(rng.integers(3, 10))
        edges = rng.integers(0, nodes, (nodes, 2))
        known = {"labels": rng.integers(0, 3, nodes), "bonds": rng.integers(0, 2, nodes)}
        made.append({"graph": graphs.pack(graphs.tidy(nodes, edges, **known).graph)})
    return made


def inputs(seed: int = 0):
    transform = batch.make({}, FIELDS, samples())
    return transform, transform.collate([transform(s) for s in samples(seed)])


def loaded(family: str, transform) -> Loaded:
    shape = Shape(family, 3, WIDTH, nodes=transform.width, edges=transform.edge_width)
    source = Source(*["x"] * 10, parameters=0, preprocessing={})
    return Loaded(source, drawn(shape, 1), {}, lambda seed: drawn(shape, seed))


def dense(family: str, layer, x, adjacency, told):
    """The layer's formula on one graph with full matrices; told (n, n, ...) of edges."""
    n = len(x)
    full = adjacency + torch.eye(n)
    if family == "gcn":
        root = full.sum(0).rsqrt()
        message = layer.linear(x)[None] + told
        return ((root[:, None] * root * full)[..., None] * message).sum(1)
    if family == "graphsage":
        message = layer.linear(x)[None] + told
        return F.normalize((full[..., None] * message).sum(1) / full.sum(1, keepdim=True), dim=-1)
    if family == "gin":
        return layer.mlp((full[..., None] * (x[None] + told)).sum(1))
    table = layer.weight_linear(x).view(n, 2, WIDTH)
    message = table[None] + told.view(n, n, 2, WIDTH)
    score = torch.cat([table[:, None].expand_as(message), message], -1)
    score = F.leaky_relu((score * layer.att[0]).sum(-1), 0.2)
    share = score.masked_fill(full[..., None] == 0, -torch.inf).softmax(1)
    return (share[..., None] * message).sum(1).mean(1) + layer.bias


@pytest.mark.parametrize("family", LAYERS)
def test_a_layer_is_its_formula(family):
    torch.manual_seed(0)
    layer = LAYERS[family](WIDTH, 3)
    x, known = torch.randn(5, WIDTH), torch.randn(8, 3)
    pairs = [(0, 1), (1, 2), (2, 0), (3, 0)]
    ends = torch.tensor(pairs + [(b, a) for a, b in pairs])
    adjacency = torch.zeros(5, 5)
    told = torch.zeros(5, 5, layer.edge_linear.out_features)
    for (sender, to), edge in zip(ends.tolist(), layer.edge_linear(known), strict=True):
        adjacency[to, sender] = 1
        told[to, sender] = edge
    with torch.no_grad():
        found, expected = layer(x, ends, known), dense(family, layer, x, adjacency, told)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("family", LAYERS)
def test_every_family_is_staged(family):
    transform, batched = inputs()
    made = loaded(family, transform)
    backbone = backbones.stage(made, transform).eval()
    staging.verify(backbone, backbones.reference(made, batched), batched)
    assert backbone.stages == ("embed", "layer.0", "layer.1", "layer.2")
    assert {backbone.stage_of(n) for n, _ in backbone.named_parameters()} == {0, 1, 2, 3}
    with torch.no_grad():
        mixed = backbone.pool(backbone.run(batched))
        for row, one in enumerate(samples()):
            alone = backbone.pool(backbone.run(transform.collate([transform(one)])))
            assert torch.allclose(alone[0], mixed[row], atol=1e-6)


def test_padding_moves_no_statistics_of_batch_norms():
    transform, batched = inputs()
    wider = {n: F.pad(t, (0, 0, 0, 7) if t.ndim == 3 else (0, 7)) for n, t in batched.items()}
    moved = []
    for some in (batched, wider):
        backbone = backbones.stage(loaded("gin", transform), transform).train()
        backbone.run(some)
        moved.append([b.clone() for n, b in backbone.named_buffers() if "running" in n])
    assert all(torch.equal(a, b) for a, b in zip(*moved, strict=True))
    assert all(float(b.abs().sum()) > 0 for b in moved[0])


def test_sums_over_neighbours_do_not_depend_on_companions_to_the_bit():
    torch.manual_seed(0)
    values, to = torch.randn(40, 8), torch.randint(0, 10, (40,))
    alone = network.gathered(values, to, 10)
    others = torch.cat([torch.randn(25, 8), values, torch.randn(25, 8)])
    place = torch.cat([torch.randint(0, 30, (25,)), to + 30, torch.randint(40, 90, (25,))])
    assert torch.equal(network.gathered(others, place, 90)[30:40], alone)


@pytest.mark.parametrize("marks", [1, 2])
def test_nodes_and_pairs_are_read_where_they_are_marked(marks):
    whole = graphs.tidy(6, [(0, 1), (1, 2), (2, 3), (3, 4)], labels=np.arange(6)).graph
    cut = graphs.Surroundings(whole, 9)
    rows = [{"graph": graphs.pack(cut.around(np.arange(i, i + marks), 2))} for i in range(4)]
    transform = batch.make({}, FIELDS, rows)
    backbone = backbones.stage(formula(), transform).eval()
    assert len(backbone.stages) == 3, "as many layers as hops"
    state = backbone.run(transform.collate([transform(r) for r in rows]))
    hidden = state["hidden"]
    expected = hidden[:, 0] if marks == 1 else hidden[:, 0] * hidden[:, 1]
    assert torch.equal(backbone.pool(state), expected)


def formula(**settings: str) -> Loaded:
    uri = "builtin:random-gin" + ("?" if settings else "")
    uri += "&".join(f"{k}={v}" for k, v in settings.items())
    return load(uri, plugins.Modality("graph"), offline=True)


def test_the_formula_has_settings_and_follows_its_seed():
    transform, batched = inputs()
    made = [backbones.stage(formula(layers="2", features="8", seed=s), transform) for s in "001"]
    assert made[0].width == transform.width + 16
    pooled = [b.pool(b.run(batched)) for b in made]
    assert torch.equal(pooled[0], pooled[1]) and not torch.allclose(pooled[0], pooled[2])


def test_another_library_s_network_is_refused():
    transform, _ = inputs()
    other = dataclasses.replace(loaded("gin", transform), module=torch.nn.Linear(2, 2))
    with pytest.raises(SourceError, match="cannot read graphs"):
        backbones.stage(other, transform)


def test_documents_that_are_not_of_graph_networks_are_left_alone():
    assert backbones.build({"architecture": "mobilenetv2_100"}) is None
    assert backbones.build({}) is None
    with pytest.raises(SourceError, match="JK=last"):
        backbones.build({"architecture": "gin, 5 layers, width 300, JK=concat, mean pooling"})


NAMES = [
    *("chem_gcn_contextpred", "chem_gcn_supervised_contextpred"),
    *("chem_graphsage_contextpred", "chem_graphsage_supervised_contextpred"),
]


@needs_rdkit
@pytest.mark.parametrize("name", NAMES)
def test_published_networks_say_what_their_documents_say(name, public_data):
    """A linear probe on BBBP's scaffold split reaches the area that the document reports."""
    import json

    import pyarrow.parquet as pq
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    path = public_data / "weights" / f"{name}.safetensors"
    told = json.loads(path.with_suffix(".json").read_text("utf-8"))
    made = load(f"file:{path}", plugins.Modality("graph"), offline=True)
    assert made.source.parameters == told["parameters"]
    assert made.source.licence == "MIT"
    held = pq.read_table(public_data / "molecules" / "bbbp.parquet").to_pydict()
    rows = [{"smiles": s} for s in held["smiles"]]
    transform = batch.make(made.source.preprocessing, (Field("smiles", "smiles"),), rows)
    backbone = backbones.stage(made, transform).eval()
    features = []
    with torch.no_grad():
        for first in range(0, len(rows), 256):
            arrays = [transform(r) for r in rows[first : first + 256]]
            features.append(backbone.pool(backbone.run(transform.collate(arrays))).numpy())
    x, y, part = np.concatenate(features), np.array(held["bbbp"]), np.array(held["split"])
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    probe.fit(x[part == "train"], y[part == "train"])
    area = roc_auc_score(y[part == "test"], probe.predict_proba(x[part == "test"])[:, 1])
    assert abs(area - told["checks"]["bbbp_scaffold_test_auc_linear_probe"]) < 0.001


def read_any(seed: int = 0, **known):
    """A network that reads any graph, its transform and a batch."""
    card = {"architecture": "gin, 3 layers, width 6, 2 kinds"}
    rebuild, preprocessing = backbones.build(card)
    source = Source(*["x"] * 10, parameters=0, preprocessing=preprocessing)
    made = Loaded(source, rebuild(seed), {}, rebuild)
    rows = samples(seed)
    transform = batch.make(preprocessing, FIELDS, rows)
    return made, transform, transform.collate([transform(s) for s in rows])


def test_a_network_that_reads_any_graph_is_staged_and_verified():
    made, transform, batched = read_any()
    backbone = backbones.stage(made, transform).eval()
    staging.verify(backbone, backbones.reference(made, batched), batched)
    pooled = backbone.pool(backbone.run(batched))
    assert pooled.shape == (5, backbone.width)
    assert backbone.width == transform.width - 2 + 3 * 6
    # what passes by: sums of the description by the root of the number of nodes
    state = backbone.run(batched, stop=1)
    count = batched["mask"].sum(1, keepdim=True)
    plain = state["hidden"].sum(1) / count.sqrt()
    assert torch.allclose(pooled[:, : transform.width - 2], plain[:, 2:], atol=1e-6)


def test_weights_of_such_a_network_fit_graphs_with_other_attributes():
    made, transform, _ = read_any()
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, 1, (4, 3)).astype(np.float32)
    other = [{"graph": graphs.pack(graphs.tidy(4, [(0, 1), (2, 3)], numbers=numbers).graph)}]
    fitted = batch.make(made.source.preprocessing, FIELDS, other)
    backbone = backbones.stage(made, fitted).eval()
    assert (
        backbone.pool(backbone.run(fitted.collate([fitted(other[0])]))).shape[1] == backbone.width
    )
    assert backbone.width != backbones.stage(made, transform).width
    module, card = backbones.described(backbone)
    assert module is made.module and card == {"architecture": "gin, 3 layers, width 6, 2 kinds"}


def test_every_weight_of_such_a_network_belongs_to_the_stage_that_it_acts_in():
    made, transform, batched = read_any()
    backbone = backbones.stage(made, transform).eval()
    for name, weight in backbone.named_parameters():
        stage = backbone.stage_of(name)
        before = backbone.run(batched, stop=stage)
        state = backbone.run(before, start=stage, stop=stage + 1)["hidden"]
        with torch.no_grad():
            weight.add_(0.5)
        changed = backbone.run(before, start=stage, stop=stage + 1)["hidden"]
        assert not torch.equal(state, changed), name
        assert torch.equal(before["hidden"], backbone.run(batched, stop=stage)["hidden"]), name


def test_molecules_are_pretrained_by_codes_and_other_graphs_as_any():
    said = [backbones.default((Field("x", kind),)) for kind in ("smiles", "graph")]
    kinds = [backbones.build(card)[1]["kind"] for card in said]
    assert kinds == ["codes", "features"]
