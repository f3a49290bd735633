"""A graph as a value: tidied, packed, told apart whatever the order of its nodes, cut out of a larger one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import BadRow
from headstart.modalities.graph import graphs
from headstart.modalities.graph.graphs import Graph, Surroundings, tidy


@st.composite
def some(draw) -> Graph:
    """Up to nine nodes, with kinds and numbers or without; isolated nodes, several components."""
    nodes = draw(st.integers(1, 9))
    place = st.integers(0, nodes - 1)
    edges = draw(st.lists(st.tuples(place, place), max_size=14))
    known = {}
    if draw(st.booleans()):
        known["labels"] = np.array(
            draw(st.lists(st.integers(0, 3), min_size=nodes, max_size=nodes))
        )
    if draw(st.booleans()):
        known["numbers"] = np.arange(2 * nodes, dtype=np.float32).reshape(nodes, 2) % 3
    if draw(st.booleans()):
        known["bonds"] = np.array([a + b for a, b in edges], np.int64)
    return tidy(nodes, edges, **known).graph


def same(first: Graph, second: Graph) -> bool:
    return first.nodes == second.nodes and first.marks == second.marks and all(
        (a is None) == (b is None) and (a is None or np.array_equal(a, b))
        for a, b in (
            (getattr(first, n), getattr(second, n))
            for n in ("edges", "labels", "numbers", "bonds", "measures")
        )
    )  # fmt: skip


@given(some())
@settings(max_examples=60, deadline=None)
def test_packing_keeps_all(graph: Graph):
    cell = graphs.pack(graph)
    assert graphs.is_packed(cell)
    assert same(graphs.unpack(cell), graph)
    assert graphs.pack(graphs.unpack(cell)) == cell


@given(some(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_signature_does_not_see_the_order_of_nodes(graph: Graph, random):
    order = list(range(graph.nodes))
    random.shuffle(order)
    place = np.argsort(order)
    turned = Graph(
        graph.nodes,
        place[graph.edges],
        labels=None if graph.labels is None else graph.labels[order],
        numbers=None if graph.numbers is None else graph.numbers[order],
        bonds=graph.bonds,
    )
    assert graphs.signature(turned) == graphs.signature(graph)


def test_a_signature_sees_structure_kinds_and_numbers():
    ring = [(0, 1), (1, 2), (2, 3), (3, 0)]
    made = [
        tidy(4, ring).graph,
        tidy(4, ring[:3]).graph,
        tidy(5, ring).graph,
        tidy(4, ring, labels=np.array([0, 1, 0, 0])).graph,
        tidy(4, ring, numbers=np.ones((4, 1), np.float32)).graph,
        tidy(4, ring, numbers=np.zeros((4, 1), np.float32)).graph,
        tidy(4, ring, bonds=np.array([0, 0, 0, 1])).graph,
    ]
    assert len({graphs.signature(g) for g in made}) == len(made)


def path_of(*numbers: float, marks: int = 1) -> Graph:
    """0 - 1 - 2; its first node is asked about."""
    made = np.array(numbers, np.float32)[:, None]
    return Graph(3, tidy(3, [(0, 1), (1, 2)]).graph.edges, numbers=made, marks=marks)


def test_a_signature_sees_which_node_has_which_numbers():
    plain = path_of(0.1, 0.2, 0.3)
    turned = [path_of(0.2, 0.1, 0.3), path_of(0.3, 0.2, 0.1), path_of(-0.1, 0.2, 0.3)]
    assert len({graphs.signature(g) for g in (plain, *turned)}) == 4
    around = [path_of(0.1, 0.2, 0.3, marks=0), path_of(0.3, 0.2, 0.1, marks=0)]
    assert len({graphs.signature(g) for g in around}) == 1, "the same graph from its other end"


def test_a_signature_sees_which_edge_has_which_measures():
    edges = [(0, 1), (1, 2)]
    made = [
        tidy(3, edges, labels=np.arange(3), measures=np.array(m, np.float32)[:, None]).graph
        for m in ([1, 2], [2, 1], [1, 2])
    ]
    first, second, again = map(graphs.signature, made)
    assert first != second and first == again


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_a_signature_does_not_see_the_last_bits_of_numbers(size: float):
    numbers = np.array([0.1, 2.5, 9.9999999]) * size
    shaken = numbers * (1 + np.array([1e-7, -1e-7, 1e-7]))
    assert graphs.signature(path_of(*numbers)) == graphs.signature(path_of(*shaken))


def test_zeros_are_one_number_whatever_their_sign():
    first, second = path_of(0.0, 1, 2), path_of(-0.0, 1, 2)
    assert graphs.signature(first) == graphs.signature(second)


def test_tidying_counts_what_it_leaves_out():
    found = tidy(5, [(0, 1), (1, 0), (0, 1), (2, 2), (1, 2)], bonds=np.array([7, 8, 9, 1, 5]))
    assert found.counts == {"self loops": 1, "repeated edges": 1}
    told = dict(
        zip(map(tuple, found.graph.edges.tolist()), found.graph.bonds.tolist(), strict=True)
    )
    assert told == {(0, 1): 7, (1, 0): 8, (1, 2): 5, (2, 1): 5}
    assert found.graph.degrees.tolist() == [1, 2, 1, 0, 0]


def test_a_graph_without_edges_is_a_graph():
    lone = tidy(3, np.empty((0, 2))).graph
    assert graphs.unpack(graphs.pack(lone)).edges.shape == (0, 2)
    assert len(graphs.signature(lone)) == 8


@pytest.mark.parametrize("cell", [b"", b"x" * 40, graphs.pack(tidy(2, [(0, 1)]).graph)[:-3]])
def test_damaged_bytes_are_refused(cell: bytes):
    with pytest.raises(BadRow, match="cannot be read"):
        graphs.unpack(cell)


def test_bytes_that_lie_are_refused():
    with pytest.raises(BadRow, match="not there"):
        graphs.unpack(graphs.pack(Graph(2, np.array([[0, 5]]))))
    with pytest.raises(BadRow, match="names node 7"):
        tidy(3, [(0, 7)])
    with pytest.raises(BadRow, match="no good reason"):
        graphs.unpack(graphs.refused("no good reason"))


PATH = tidy(6, [(0, 1), (1, 2), (2, 3), (3, 4)], labels=np.arange(6)).graph


def test_a_neighbourhood_is_what_is_so_many_hops_away():
    found = Surroundings(PATH, 8).around(np.array([2]), 1)
    assert found.labels.tolist() == [2, 1, 3]
    assert found.marks == 1
    assert sorted(map(tuple, found.edges.tolist())) == [(0, 1), (0, 2), (1, 0), (2, 0)]
    assert Surroundings(PATH, 8).around(np.array([5]), 2).nodes == 1


def test_a_pair_does_not_tell_whether_it_is_joined():
    joined = Surroundings(PATH, 8).around(np.array([1, 2]), 1)
    assert joined.labels.tolist() == [1, 2, 0, 3]
    assert not {(0, 1), (1, 0)} & set(map(tuple, joined.edges.tolist()))


def test_many_neighbours_are_capped_the_same_way_each_time():
    star = tidy(41, [(0, i) for i in range(1, 41)], labels=np.arange(41)).graph
    cut = Surroundings(star, 8)
    first, again = (cut.around(np.array([0]), 2) for _ in range(2))
    assert first.nodes == 9
    assert same(first, again)
    assert cut.capped
