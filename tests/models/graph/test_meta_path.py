"""Meta-paths: what a text means on a graph, and messages that say where it does not fit and what would."""

import pytest

from recsvc.errors import ConfigError
from recsvc.models.graph.meta_path import Direction, Hop, hop_ends, hops_between, parse_meta_path

FORWARD, INVERSE, BOTH = Direction.FORWARD, Direction.INVERSE, Direction.BOTH


@pytest.fixture(scope="module")
def shop(make_graph):
    """Users bought and viewed items, follow and know each other; items belong to brands, reviews cite items."""
    one = [(0, 0), (1, 1)]
    return make_graph(
        {"user": 2, "item": 2, "brand": 2, "review": 2, "news item": 2},
        {
            ("user", "bought", "item"): one,
            ("user", "viewed", "item"): one,
            ("item", "of", "brand"): one,
            ("user", "knows", "user"): one,
            ("user", "follows", "user"): one,
            ("review", "cites", "item"): one,
            ("review", "by", "brand"): [],
            ("news item", "about", "brand"): one,
        },
        directed=("follows", "cites"),
    )


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("item-brand-item", [(2, FORWARD), (2, INVERSE)]),
        ("brand-item-brand", [(2, INVERSE), (2, FORWARD)]),
        ("user-[bought]-item-[viewed]-user", [(0, FORWARD), (1, INVERSE)]),
        ("user-[knows]-user", [(3, BOTH)]),
        ("user-[follows]-user", [(4, FORWARD)]),
        ("user-[~knows]-user", [(3, INVERSE)]),
        ("brand-news item-brand", [(7, INVERSE), (7, FORWARD)]),
    ],
)
def test_what_a_path_means(shop, text, hops):
    path = parse_meta_path(text, shop)
    assert path.hops == tuple(Hop(*hop) for hop in hops)
    assert str(path) == text and parse_meta_path(path.text, shop) == path
    assert path.types[0] == path.types[-1] and len(path.types) == len(hops) + 1


def test_blanks_and_needless_names_do_not_matter(shop):
    path = parse_meta_path(" item - [of] - brand-[ of ]-item ", shop)
    assert path == parse_meta_path("item-brand-item", shop)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at its beginning, a node type should stand, and there is nothing"),
        ("item", r"has no hop; 'item' is joined to 'user', 'brand', so item-\[bought\]-user-\[bought\]-item would do"),
        ("item-", "after 'item', a node type or a relation in brackets should stand, and there is nothing"),
        ("-item", "at its beginning, a node type should stand, and there is nothing"),
        ("item--brand", "after 'item', a node type or a relation in brackets should stand, and there is nothing"),
        ("item-[]-brand", r"after 'item', .* should stand, not '\[\]'"),
        ("item[of]-brand", r"at its beginning, a node type should stand, not 'item\[of\]'"),
        ("[of]-brand", r"at its beginning, a node type should stand, not \[of\]"),
        ("item-[of]-[of]-brand", r"after \[of\], a node type should stand, not \[of\]"),
        ("item-[of]", r"it ends with the relation \[of\]; a node type should follow"),
        ("itm-brand-itm", "the first type: the graph has no node type 'itm'; the nearest is 'item'"),
        ("item-brnd-item", "hop 1: the graph has no node type 'brnd'; the nearest is 'brand'"),
        (
            "item-brand-user",
            "hop 2: no relation joins 'brand' and 'user'; 'brand' is joined to 'item', 'review', 'news",
        ),
        ("user-item-user", r"hop 1: several relations .* write user-\[bought\]-item or user-\[viewed\]-item"),
        ("user-user", r"hop 1: several relations join .* user-\[knows\]-user or user-\[follows\]-user"),
        ("user-[buoght]-item", "hop 1: the graph has no relation 'buoght'; between 'user' and 'item', .* 'bought'"),
        ("user-[of]-item", "'of' joins 'item' with 'brand', not 'user' with 'item'; 'bought' or 'viewed' would do"),
        (
            "item-[knew]-brand",
            "hop 1: the graph has no relation 'knew'; between 'item' and 'brand', the nearest is 'of'",
        ),
        ("brand-[knew]-user", "hop 1: the graph has no relation 'knew'; no relation joins 'brand' and 'user'"),
        ("item-review", "hop 1: the relation 'cites' is directed: it is walked from 'review' to 'item' only"),
        ("item-[cites]-review", "hop 1: the relation 'cites' is walked from 'review' to 'item' only"),
        ("review-item-review", "hop 2: the relation 'cites' is directed"),
        ("brand-review-brand", r"hop 1: the relation review-\[by\]-brand has no edges"),
        (
            "item-brand",
            "begins at 'item' and ends at 'brand', .* go back the same way: item-brand-item, or in short item-brand~",
        ),
        ("review-item-brand", "it begins at 'review' and ends at 'brand', .* let it end at 'review'"),
    ],
)
def test_mistakes_say_where_and_what_would_fit(shop, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse_meta_path(text, shop)
    assert str(error.value).startswith(f"meta-path {text!r}, character ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("", 1),
        ("-item", 1),
        ("item-", 6),
        ("item--brand", 6),
        ("item-[of]", 10),
        (" item - [of] - [of]-brand", 16),
        ("itm-brand-itm", 1),
        ("item-  brnd-item", 8),
        ("item-(brnd)-item", 6),
        ("item-brand-user", 12),
        ("user-item-user", 6),
        ("user-[buoght]-item", 6),
        ("item-[of]-brand-[oof]-item", 17),
        ("item-brand", 6),
        ("review-[cites]-item ~", 21),
        ("(brand)-item-brand", 14),
        ("(item)-(brand)~", 1),
    ],
)
def test_mistakes_say_at_which_character(shop, text, character):
    with pytest.raises(ConfigError) as error:
        parse_meta_path(text, shop)
    assert f", character {character}: " in str(error.value)


def test_a_last_tilde_means_the_way_back(shop):
    assert parse_meta_path("item-brand~", shop) == parse_meta_path("item-brand-item", shop)
    assert parse_meta_path(" user-[bought]-item-brand ~ ", shop).text == "user-[bought]-item-brand-item-[bought]-user"
    assert parse_meta_path("user-[~knows]-user~", shop).hops == (Hop(3, INVERSE), Hop(3, FORWARD))
    only = (
        "~ goes back the same way, and the relation 'cites' is walked from 'review' to 'item' only; write the way back"
    )
    with pytest.raises(ConfigError, match=only):
        parse_meta_path("review-item-brand~", shop)
    with pytest.raises(ConfigError, match="it has no hop"):
        parse_meta_path("item~", shop)


@pytest.mark.parametrize(
    ("text", "written", "kept_out"),
    [
        ("brand-(item)-brand", "brand-(item)-brand", {1}),
        ("brand-( item )-[bought]-user~", "brand-(item)-[bought]-user-[bought]-(item)-brand", {1, 3}),
        ("(item)-brand-(item)", "(item)-brand-(item)", {0, 2}),
        ("brand-(item)~", "brand-(item)-brand", {1}),
    ],
)
def test_types_in_parentheses_give_no_tokens(shop, text, written, kept_out):
    path = parse_meta_path(text, shop)
    assert (path.text, path.kept_out) == (written, kept_out)
    assert parse_meta_path(written, shop) == path
    plain = parse_meta_path(written.replace("(", "").replace(")", ""), shop)
    assert (plain.types, plain.hops, plain.kept_out) == (path.types, path.hops, set())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(brand)-item-brand", "the walk goes on from the last 'brand' as from the first 'brand'; put both in parenth"),
        ("brand-item-(brand)", "put both in parentheses or neither"),
        ("(brand)-(item)~", "every type is in parentheses, so that no tokens are left; take one out of them"),
        ("brand-(itm)-brand", "hop 1: the graph has no node type 'itm'; the nearest is 'item'"),
        ("brand-()-brand", r"after 'brand', .* should stand, not '\(\)'"),
        ("brand-(item)-", r"after 'brand-\(item\)', a node type or a relation in brackets should stand"),
    ],
)
def test_mistakes_with_parentheses(shop, text, message):
    with pytest.raises(ConfigError, match=message):
        parse_meta_path(text, shop)


def test_a_star_is_every_hop_with_edges(shop):
    path = parse_meta_path(" * ", shop)
    assert path.free and str(path) == "*" and parse_meta_path(path.text, shop) == path
    expected = [(0, FORWARD), (0, INVERSE), (1, FORWARD), (1, INVERSE), (2, FORWARD), (2, INVERSE), (3, BOTH)]
    expected += [(4, FORWARD), (5, FORWARD), (7, FORWARD), (7, INVERSE)]  # 4 and 5 are directed, 6 has no edges
    assert path.hops == tuple(Hop(*hop) for hop in expected)
    assert set(path.types) == {"user", "item", "brand", "review", "news item"}


def test_a_star_without_edges(make_graph):
    with pytest.raises(ConfigError, match="the graph has no edges"):
        parse_meta_path("*", make_graph({"a": 1}, {("a", "to", "a"): []}))


def test_the_ends_of_a_hop(shop):
    assert hop_ends(Hop(2, FORWARD), shop) == ("item", "brand")
    assert hop_ends(Hop(2, INVERSE), shop) == ("brand", "item")
    assert hop_ends(Hop(3, BOTH), shop) == ("user", "user")


def test_one_name_both_ways_between_two_types(make_graph):
    """Two relations of one name between the same types: the name means the one that starts there, ~ the other."""
    graph = make_graph({"a": 1, "b": 1}, {("a", "likes", "b"): [(0, 0)], ("b", "likes", "a"): [(0, 0)]})
    assert parse_meta_path("a-[likes]-b-[likes]-a", graph).hops == (Hop(0, FORWARD), Hop(1, FORWARD))
    path = parse_meta_path("a-[~likes]-b-[~likes]-a", graph)
    assert path.hops == (Hop(1, INVERSE), Hop(0, INVERSE))
    assert path.text == "a-[~likes]-b-[~likes]-a"
    with pytest.raises(ConfigError, match=r"write a-\[likes\]-b or a-\[~likes\]-b"):
        parse_meta_path("a-b-a", graph)


def test_hops_and_their_way_back(shop):
    assert list(hops_between("item", "review", shop)) == []
    assert list(hops_between("review", "item", shop)) == [Hop(5, FORWARD)]
    for source in shop.node_types:
        for target in shop.node_types:
            for hop in hops_between(source, target, shop):
                assert hop.reversed().reversed() == hop
                if not shop.relations[hop.relation].directed:
                    assert hop.reversed() in hops_between(target, source, shop)
