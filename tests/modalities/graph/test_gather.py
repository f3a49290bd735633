"""Sets, edge lists and objects of other libraries as rows: graphs, nodes, pairs of nodes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headstart.core.task import Columns, Task
from headstart.data.opening import from_arrays, open_data, open_samples
from headstart.data.splits import make_split
from headstart.errors import DataError
from headstart.modalities.graph import batch, gather, graphs, read, tiny

READERS = {"graph": read}


def opened(path: Path, tmp_path: Path, **task):
    return open_data(Task(data=str(path), **task), READERS, cache=tmp_path / "cache")


def unpacked(data) -> list[graphs.Graph]:
    return [graphs.unpack(s["graph"]) for s in data.samples(np.arange(len(data)))]


def test_an_archive_of_graphs(tmp_path):
    data = opened(tiny.write(tmp_path, "classify", 30, 0), tmp_path)
    assert (data.modality, data.outcome, len(data)) == ("graph", "classify", 30)
    assert all(
        g.marks == 0 and g.labels is not None and g.bonds is not None for g in unpacked(data)
    )
    again = open_samples(tmp_path / "graphs.npz", data.fields, read, modality="graph")
    assert again.digests(np.arange(30)) == data.digests(np.arange(30))


def test_text_files_of_a_set_say_what_its_archive_says(tmp_path):
    with np.load(tiny.write(tmp_path, "classify", 12, 0)) as file:
        held = {name: file[name] for name in file.files}
    folder = tmp_path / "DS"
    folder.mkdir()
    for name, table in {
        "A": held["edge_index"].T + 1,
        "graph_indicator": held["graph_id"] + 1,
        "graph_labels": held["y"],
        "node_labels": held["node_label"],
        "edge_labels": held["edge_label"],
        "node_attributes": held["x"].astype(float),
    }.items():
        np.savetxt(folder / f"DS_{name}.txt", table, delimiter=", ", fmt="%.9g")
    first, second = opened(tmp_path / "graphs.npz", tmp_path), opened(folder, tmp_path)
    assert first.digests(np.arange(12)) == second.digests(np.arange(12))
    assert first.targets(np.arange(12)) == second.targets(np.arange(12))
    (folder / "DS_graph_indicator.txt").unlink()
    with pytest.raises(DataError, match="graph_indicator"):
        opened(folder, tmp_path)


def network(path: Path, **extra) -> Path:
    """Twelve nodes in a ring, two classes, one node without a label."""
    y = np.array([0, 1] * 6)
    y[11] = -1
    ring = np.array([(i, (i + 1) % 12) for i in range(12)]).T
    rows = np.arange(12)
    held = {"edge_index": ring, "y": y, "x_row": rows, "x_col": rows % 3, "x_val": np.ones(12)}
    np.savez(path, x_shape=np.array([12, 3]), **held, **extra)
    return path


def test_nodes_of_one_graph_are_rows(tmp_path):
    parts = np.array(["train"] * 6 + ["test"] * 3 + ["unlabelled"] * 3)
    path = network(tmp_path / "net.npz", split=parts)
    data = opened(path, tmp_path)
    assert len(data) == 9
    assert any("3 nodes are marked 'unlabelled'" in n for n in data.notes)
    assert all(g.marks == 1 and g.nodes == 5 for g in unpacked(data))
    split = make_split(data, Task(near_duplicates=False), 0)
    assert (len(split.train), len(split.test)) == (6, 3)
    asked = open_samples(path, data.fields, read, modality="graph")
    assert len(asked) == 12, "all nodes can be predicted"


def test_a_node_without_a_label_is_set_aside_by_name(tmp_path):
    data = opened(network(tmp_path / "net.npz"), tmp_path, tolerate=0.2)
    assert len(data) == 11
    assert [(a.name, a.reason) for a in data.set_aside] == [("row 12", "no label in 'label'")]


def write(folder: Path, **tables: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, "utf-8")
    return folder


EDGES = "from,to\na,b\nb,c\nc,a\nc,d\n"


def test_edge_lists_of_nodes(tmp_path):
    nodes = "id,kind,size,label\na,red,1,x\nb,blue,2,x\nc,red,3,y\nd,blue,,y\n"
    data = opened(write(tmp_path / "net", edges=EDGES, nodes=nodes), tmp_path)
    assert data.targets(np.arange(4)) == ["x", "x", "y", "y"]
    first = unpacked(data)[0]
    assert first.numbers[:3, 0].tolist() == [1, 2, 3] and np.isnan(first.numbers[3, 0])
    assert "nodes.csv: 1 empty cell in 'size', read as the mean of training." in data.notes
    assert len(set(first.labels.tolist())) == 2
    assert data.names(np.arange(4)) == ["a", "b", "c", "d"]
    transform = batch.make({}, data.fields, data.samples(np.arange(3)))
    nodes = [transform(s)["nodes"] for s in data.samples(np.arange(4))]
    assert all(np.isfinite(n).all() for n in nodes)


def test_the_task_names_the_answer_among_the_columns(tmp_path):
    nodes = "id,kind,size\na,red,1\nb,blue,2\nc,red,3\nd,blue,4\n"
    folder = write(tmp_path / "net", edges=EDGES, nodes=nodes)
    data = opened(folder, tmp_path, columns=Columns(target="kind"))
    assert data.targets(np.arange(4)) == ["red", "blue", "red", "blue"]
    assert all(g.labels is None for g in unpacked(data)), "the answer is no input"


def test_edge_lists_of_graphs_and_of_pairs(tmp_path):
    nodes = "id,graph\na,1\nb,1\nc,1\nd,1\ne,2\nf,2\n"
    graphs_csv = "id,label\n1,x\n2,y\n"
    edges = EDGES + "e,f\n"
    folder = write(tmp_path / "many", edges=edges, nodes=nodes, graphs=graphs_csv)
    found = gather.gather(folder, Columns())
    assert [graphs.unpack(c).nodes for c in found.columns["graph"]] == [4, 2]
    assert found.columns["label"] == ["x", "y"]

    links = "from,to,label\na,b,1\na,d,0\n"
    found = gather.gather(write(tmp_path / "pairs", edges=EDGES, links=links), Columns())
    made = [graphs.unpack(c) for c in found.columns["graph"]]
    assert [g.marks for g in made] == [2, 2]
    assert found.columns["label"] == [1, 0]
    assert (0, 1) not in set(map(tuple, made[0].edges.tolist())), "the asked edge is not told"


FULL = "id,size,kind,dose,label\na,1,red,5,x\nb,2,blue,6,x\nc,3,red,7,y\nd,,blue,8,y\n"
WEIGHED = "from,to,weight,bond\na,b,1,p\nb,c,2,q\nc,a,3,p\nc,d,4,q\n"


def test_columns_are_found_by_their_names_when_predicting(tmp_path):
    data = opened(write(tmp_path / "net", edges=WEIGHED, nodes=FULL), tmp_path)
    rows = np.arange(4)
    other = write(
        tmp_path / "new",
        edges="bond,weight,to,from\np,1,b,a\nq,2,c,b\np,3,a,c\nq,4,d,c\n",
        nodes="dose,score,id,kind,size\n5,.1,a,red,1\n6,.2,b,blue,2\n7,.3,c,red,3\n8,.4,d,blue,\n",
    )
    asked = open_samples(other, data.fields, read, modality="graph")
    assert asked.digests(rows) == data.digests(rows)
    assert asked.names(rows) == ["a", "b", "c", "d"]
    assert any("Not used of nodes.csv" in n and "'score'" in n for n in asked.notes)
    again = open_samples(tmp_path / "net", data.fields, read, modality="graph")
    assert again.digests(rows) == data.digests(rows), "the answer is no input"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            "id,kind,dose\na,red,1\nb,red,2\nc,red,3\nd,red,4\n",
            "no column 'size', .*size, kind, dose",
        ),
        (FULL.replace("a,1,", "a,one,"), "'size' holds 'one'"),
        ("size,kind,dose\n1,red,1\n2,red,2\n3,red,3\n4,red,4\n", "no column 'id', by which"),
        (None, "has no nodes.csv, and the model was trained on columns of it"),
    ],
)
def test_what_training_had_and_prediction_lacks_is_named(tmp_path, nodes, message):
    data = opened(write(tmp_path / "net", edges=EDGES, nodes=FULL), tmp_path)
    other = write(tmp_path / "new", edges=EDGES, **({} if nodes is None else {"nodes": nodes}))
    with pytest.raises(DataError, match=message):
        open_samples(other, data.fields, read, modality="graph")


def test_numbers_in_a_column_of_text_stay_text(tmp_path):
    nodes = "id,code,label\na,01,x\nb,1b,x\nc,1c,y\nd,2,y\n"
    data = opened(write(tmp_path / "net", edges=EDGES, nodes=nodes), tmp_path)
    other = write(tmp_path / "new", edges=EDGES, nodes="id,code\na,01\nb,01\nc,2\nd,2\n")
    asked = open_samples(other, data.fields, read, modality="graph")
    before, now = unpacked(data)[3].labels, unpacked(asked)
    assert now[3].labels[0] == before[0] and now[0].labels[0] == unpacked(data)[0].labels[0]


def test_columns_of_pairs_are_found_by_their_names(tmp_path):
    links = "from,to,known\na,b,1\na,d,0\nb,c,1\nb,d,0\n"
    folder = write(tmp_path / "net", edges=EDGES, nodes=FULL, links=links)
    data = opened(folder, tmp_path, columns=Columns(target="known"))
    rows = np.arange(2)
    assert data.names(rows) == ["a - b", "a - d"]
    other = write(
        tmp_path / "new",
        edges=EDGES,
        nodes="label,dose,kind,id,size\nx,5,red,a,1\nx,6,blue,b,2\ny,7,red,c,3\ny,8,blue,d,\n",
        links="known,to,from\n0,b,a\n1,d,a\n",
    )
    asked = open_samples(other, data.fields, read, modality="graph")
    assert asked.digests(rows) == data.digests(rows)
    assert asked.names(rows) == ["a - b", "a - d"]


RING = "".join(f"{i},{(i + 1) % 30}\n" for i in range(30))
THIRTY = "id,size,label\n" + "".join(f"{i},{i},{i % 2}\n" for i in range(30))


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ("999,3", "nodes.csv has no node 999"),
        ("ten,3", "nodes.csv has no node 'ten'"),
        ("3,", "an end is empty"),
    ],
)
def test_a_wrong_edge_is_set_aside_by_its_line(tmp_path, odd, reason):
    folder = write(tmp_path / "net", edges=f"from,to\n\n{RING}{odd}\n", nodes=THIRTY)
    data = opened(folder, tmp_path)
    assert len(data) == 30 and data.total == 30
    assert [(a.name, a.reason) for a in data.set_aside] == [("edges.csv line 33", reason)]
    assert f"1 of 31 edges was set aside (edges.csv line 33: {reason})." in data.notes
    whole = opened(write(tmp_path / "net", edges=f"from,to\n{RING}"), tmp_path)
    assert data.digests(np.arange(30)) == whole.digests(np.arange(30))
    asked = open_samples(folder, data.fields, read, modality="graph")
    assert len(asked) == 30


def test_wrong_edges_are_tolerated_by_their_share(tmp_path):
    edges = "from,to,weight\n7,x,1\n8,y,2\n" + RING.replace("\n", ",5\n")
    folder = write(tmp_path / "net", edges=edges, nodes=THIRTY)
    with pytest.raises(
        DataError, match=r"2 of 32 edges .*edges\.csv line 2: .*'x'.*--tolerate 0\.07"
    ):
        opened(folder, tmp_path)
    data = opened(folder, tmp_path, tolerate=0.07)
    assert [a.name for a in data.set_aside] == ["edges.csv line 2", "edges.csv line 3"]
    assert all((g.measures == 5).all() for g in unpacked(data)), "edges keep what is known of them"


def test_a_wrong_pair_is_set_aside_as_a_row(tmp_path):
    links = "from,to,label\n" + "".join(f"{i},{(i + 2) % 30},{i % 2}\n" for i in range(30))
    folder = write(tmp_path / "net", edges="from,to\n" + RING, nodes=THIRTY, links=links + "3,77,1")
    data = opened(folder, tmp_path)
    assert [(a.name, a.reason) for a in data.set_aside] == [
        ("3 - 77", "it names a node there is not")
    ]


def test_a_name_that_the_nodes_lack_is_told(tmp_path):
    folder = write(tmp_path / "net", edges="from,to\na,z\n", nodes="id,label\na,1\nb,2\n")
    with pytest.raises(DataError, match="'z'"):
        opened(folder, tmp_path)


def ring(size: int, **known) -> SimpleNamespace:
    """As a `Data` of PyTorch Geometric looks from outside."""
    ends = torch.tensor([[i, (i + 1) % size] for i in range(size)]).T
    return SimpleNamespace(edge_index=torch.cat([ends, ends.flip(0)], dim=1), **known)


def test_data_objects_in_memory():
    one_hot = torch.eye(3)[[0, 1, 2, 0]]
    listed = [ring(4, x=one_hot), ring(5, x=torch.rand(5, 3)), ring(3, num_nodes=4, x=None)] * 2
    data = from_arrays(listed, [0, 1, 1] * 2, READERS)
    made = unpacked(data)
    assert [g.nodes for g in made[:3]] == [4, 5, 4]
    assert made[0].labels.tolist() == [0, 1, 2, 0] and made[1].numbers.shape == (5, 3)
    assert open_samples(listed[:2], data.fields, read, modality="graph").fields == data.fields


def test_a_broken_data_object_is_set_aside_with_its_reason():
    broken = SimpleNamespace(edge_index=torch.tensor([[0, 9], [1, 0]]), x=torch.ones(3, 2))
    listed = [ring(4, x=None), ring(5, x=None), broken, ring(4, x=None), ring(5, x=None)]
    data = from_arrays(listed, [0, 1, 0, 0, 1], READERS, task=Task(tolerate=0.3))
    assert len(data) == 4
    assert "names node 9" in data.set_aside[0].reason


def test_nodes_of_one_data_object():
    data = from_arrays(ring(8, x=torch.rand(8, 3)), [0, 1] * 4, READERS)
    assert len(data) == 8
    assert all(g.marks == 1 for g in unpacked(data))


def test_an_empty_graph_is_set_aside(tmp_path):
    path = tmp_path / "g.npz"
    held = {"edge_index": np.array([[0, 2], [1, 3]]), "graph_id": np.array([0, 0, 2, 2, 3, 5])}
    np.savez(path, y=np.array([0, 1, 1, 0, 1, 1]), **held)
    data = opened(path, tmp_path, tolerate=0.5)
    assert [(a.name, a.reason) for a in data.set_aside] == [
        ("row 2", "the graph has no node"),
        ("row 5", "the graph has no node"),
    ]
    assert [g.nodes for g in unpacked(data)] == [2, 2, 1, 1]


def test_other_archives_and_folders_are_left_alone(tmp_path):
    np.savez(tmp_path / "other.npz", series=np.zeros(3))
    (tmp_path / "broken.npz").write_bytes(b"PK no archive")
    for thing in (tmp_path / "other.npz", tmp_path / "broken.npz", tmp_path, ["CCO"], "CCO", None):
        assert gather.gather(thing, Columns()) is None


def test_columns_of_many_graphs_are_found_by_their_names(tmp_path):
    edges = EDGES + "e,f\ng,h\ni,j\n"
    rows = [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 2), ("f", 2), ("g", 3), ("h", 3)]
    rows += [("i", 4), ("j", 4)]
    first = "id,graph,size\n" + "".join(f"{n},{g},{i}\n" for i, (n, g) in enumerate(rows))
    second = "size,label,graph,id\n" + "".join(f"{i},x,{g},{n}\n" for i, (n, g) in enumerate(rows))
    labels = "id,label\n1,x\n2,y\n3,x\n4,y\n"
    data = opened(write(tmp_path / "many", edges=edges, nodes=first, graphs=labels), tmp_path)
    other = write(tmp_path / "new", edges=edges, nodes=second, graphs="id\n1\n2\n3\n4\n")
    asked = open_samples(other, data.fields, read, modality="graph")
    assert asked.digests(np.arange(4)) == data.digests(np.arange(4))
    assert asked.names(np.arange(4)) == data.names(np.arange(4)) == ["1", "2", "3", "4"]
