"""Keys stand for any id, and never hold what separates keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.export import decode_key, encode_key, encode_node, split_key

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@given(names)
def test_any_id_comes_back(value):
    key = encode_key(value)
    assert decode_key(key) == value
    assert key.split() == [key] and key.splitlines() == [key] and key.strip() == key and key != "</s>"


@given(names, names)
def test_any_node_comes_back(node_type, node_id):
    key = encode_node(node_type, node_id)
    assert split_key(key) == (node_type, node_id)
    assert key.split() == [key] and key.splitlines() == [key]


def test_what_needs_no_escape_stays():
    assert encode_node("author", "Müller, J.: 2/3") == "author:Müller,%20J.:%202/3"
    assert encode_node("a:b", "c") != encode_node("a", "b:c")
    assert encode_key("x" * 300) == "x" * 300


def test_a_key_without_a_type():
    with pytest.raises(ValueError, match="'venue' is not written type:id"):
        split_key("venue")
