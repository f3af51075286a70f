"""The `graph:` section: meta-paths as texts or with weights, and mistakes in one line."""

import pytest

from recsvc.errors import ConfigError
from training.config import dump_config, load_config
from training.graph.config import MetaPathConfig


@pytest.mark.parametrize(
    ("override", "paths"),
    [
        ("graph.meta_paths=a-b-a", [("a-b-a", 1.0)]),
        ("graph.meta_paths=[a-b-a, 'a-[x]-c-[x]-a']", [("a-b-a", 1.0), ("a-[x]-c-[x]-a", 1.0)]),
        ("graph.meta_paths=[{path: a-b-a, weight: 3}, a-c-a]", [("a-b-a", 3.0), ("a-c-a", 1.0)]),
        ("graph.meta_paths=[]", []),
    ],
)
def test_meta_paths(override, paths, tmp_path):
    config = load_config(overrides=[override])
    assert config.graph.meta_paths == tuple(MetaPathConfig(path=path, weight=weight) for path, weight in paths)
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(config), "utf-8")
    assert load_config(file) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("graph.meta_paths=[{pth: a-b-a}]", r"graph\.meta_paths\.0: .*a `path` and a `weight`, not 'pth'"),
        ("graph.meta_paths=[{weight: 2}]", r"graph\.meta_paths\.0\.path: Field required"),
        ("graph.meta_paths=['']", r"graph\.meta_paths\.0\.path: .*at least 1 character"),
        ("graph.meta_paths=[{path: a-b-a, weight: 0}]", r"graph\.meta_paths\.0\.weight: .*greater than 0"),
        ("graph.meta_paths=[{path: a-b-a, weight: .nan}]", r"graph\.meta_paths\.0\.weight"),
        ("graph.meta_paths=[3]", r"graph\.meta_paths\.0"),
        ("graph.meta_paths={path: a-b-a}", r"graph\.meta_paths: .*found"),
        ("graph.skip_gram.rule=context", r"graph\.skip_gram\.rule: .*'any', 'context-type' or 'input-type'"),
        ("graph.skip_gram.negative=5", r"unknown key 'graph\.skip_gram\.negative'; the nearest there is 'negatives'"),
        ("graph.walks.length=1", r"graph\.walks\.length: .*greater than or equal to 2"),
        ("graph.evaluation.hidden_links=0.9", r"graph\.evaluation\.hidden_links: .*less than or equal to 0\.5"),
        ("graph.user_type=''", r"graph\.user_type: .*the name is empty"),
        ("graph.interactions=has-seen", r"graph\.interactions: .*the name contains '-', which has a meaning"),
        ("graph.item_type=' film'", r"graph\.item_type: .*the name begins or ends with a blank"),
        ("graph.seed=99999999999999999999", r"graph\.seed"),
    ],
)
def test_mistakes(override, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_config(overrides=[override])
    assert "\n" not in str(error.value)


def test_gensim_has_one_rule():
    both = ["graph.skip_gram.rule=any", "graph.skip_gram.share_negatives=false"]
    assert load_config(overrides=["graph.skip_gram.trainer=gensim", *both]).graph.skip_gram.trainer == "gensim"
    for missing in (both[:1], both[1:]):
        with pytest.raises(ConfigError, match=r"gensim draws negatives from all nodes.*set rule to any"):
            load_config(overrides=["graph.skip_gram.trainer=gensim", *missing])
