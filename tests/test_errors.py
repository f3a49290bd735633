"""Words of errors."""

from __future__ import annotations

from headstart.errors import LISTED, nearest


def test_a_near_name_is_offered_and_far_ones_are_listed() -> None:
    assert nearest("tabel", ["table", "image"]) == "Did you mean 'table'?"
    assert nearest("COLOUR", ["Colour", "age"]) == "Did you mean 'Colour'?"
    assert nearest("zzz", ["b", "a"]) == "Known: a, b."
    assert nearest("zzz", []) == "There is none to choose from."


def test_of_many_names_the_first_are_listed() -> None:
    said = nearest("?", [f"n{i:04}" for i in range(1300)])
    assert said.endswith(f"n{LISTED - 1:04} and {1300 - LISTED:,} others.")
    assert len(said) < 400
