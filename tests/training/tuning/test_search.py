"""Search files: what they may say, and one clear sentence about what they may not."""

import pytest
import yaml

from recsvc.errors import ConfigError
from training.config import load_config
from training.tuning.objectives import OBJECTIVES, PREPARED_BY
from training.tuning.search import Choice, Range, load_search
from training.tuning.settings import check_key, check_value, configured, read_setting

BEHAVIOUR = OBJECTIVES["behaviour"]


def search_file(folder, text):
    file = folder / "search.yaml"
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize("space", ["behaviour", "image"])
def test_what_comes_with_a_space_fits_the_configuration(space):
    objective = OBJECTIVES[space]
    found = load_search(None, objective)
    assert len(found) > 3
    config = load_config()
    for dimension in found:
        value = read_setting(config, dimension.key)
        assert dimension.place_of(value) is not None, f"the default of {dimension.key} ({value}) lies outside"


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_the_keys_that_objectives_name_are_settings(objective):
    check_key(objective.seed, "here")
    config = load_config()
    for section in (objective.section, objective.loop, *objective.shifts, *PREPARED_BY):
        if section is not None:
            read_setting(config, section)


def test_ranges_and_choices(tmp_path):
    file = search_file(
        tmp_path,
        """
        sequence.loop.learning_rate: {low: 1e-4, high: 1e-2, log: true}
        sequence.model.layers: {low: 1, high: 4}
        sequence.rows.tokens_per_batch: {low: 800, high: 6400, step: 800}
        sequence.model.dropout: {low: 0, high: 0.4, step: 0.1}
        sequence.model.dim: [64, 128]
        """,
    )
    rate, layers, tokens, dropout, dim = load_search(file, BEHAVIOUR)
    assert rate == Range("sequence.loop.learning_rate", 1e-4, 1e-2, None, True, False)  # YAML reads 1e-4 as text
    assert layers == Range("sequence.model.layers", 1, 4, None, False, True)
    assert tokens == Range("sequence.rows.tokens_per_batch", 800, 6400, 800.0, False, True)
    assert dropout == Range("sequence.model.dropout", 0.0, 0.4, 0.1, False, False)
    assert dim == Choice("sequence.model.dim", {"64": 64, "128": 128})
    assert tokens.place_of(1600) == 1600 and tokens.place_of(1000) is None and tokens.place_of(7200) is None
    assert dropout.place_of(0.3) == 0.3 and dim.place_of(96) is None


def test_a_fixed_setting_is_not_searched(tmp_path):
    file = search_file(tmp_path, "sequence.model.dim: [64, 128]\nsequence.model.layers: {low: 1, high: 2}\n")
    (left,) = load_search(file, BEHAVIOUR, {"sequence.model.dim"})
    assert left.key == "sequence.model.layers"
    with pytest.raises(ConfigError, match="nothing is left"):
        load_search(file, BEHAVIOUR, {"sequence.model.dim", "sequence.model.layers"})


WRONG = {
    "sequence.model.dims: [64, 128]": "no setting 'sequence.model.dims'; the nearest is 'sequence.model.dim'",
    "sequence.model: [64, 128]": "no setting 'sequence.model'",
    "sequence.model.dim: [64, wide]": "sequence.model.dim: .*valid integer.*'wide'",
    "sequence.model.dim: {low: 2, high: 64}": "sequence.model.dim: .*greater than or equal to 4",
    "sequence.model.dim: {low: 4, hi: 64}": "not 'hi'; the nearest is 'high'",
    "sequence.model.dim: {low: 4}": "needs low and high",
    "sequence.model.dim: {low: 4, high: 64, step: 1.5}": "step must be a whole number above 0",
    "sequence.model.dim: {low: 4, high: 64, log: 3}": "log is true or false",
    "sequence.loop.learning_rate: {low: 1e-2, high: 1e-4}": "low must be below high",
    "sequence.model.dropout: {low: 0, high: 0.5, log: true}": "starts above 0 and has no step",
    "sequence.model.embedding_norm: {low: 0, high: 1}": "not a number; give a list",
    "sequence.model.dim: [64]": "at least two different values",
    "sequence.model.dim: [64, 64]": "at least two different values",
    "sequence.model.dim: 64": "expected a list of values or",
    "sequence.loop.seed: [1, 2]": "the best seed is luck",
    "split.kind: [temporal, leave-one-out]": "search sequence",
    "graph.walks.length: [10, 20]": "search sequence",
    "sequence.model.dim: [64": "not YAML",
    "[]": "expected lines such as",
    "": "expected lines such as",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_a_wrong_file_is_refused_in_one_sentence(text, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as refused:
        load_search(search_file(tmp_path, text), BEHAVIOUR)
    assert "\n" not in str(refused.value) and "search.yaml" in str(refused.value)


def test_what_shifts_the_validation_is_not_searched(tmp_path):
    image = OBJECTIVES["image"]
    for text, message in {
        "image.views.crop_area: [0.2, 0.5]": "what the validation asks",
        "image.size: [16, 32]": "share one prepared data set",
    }.items():
        with pytest.raises(ConfigError, match=message):
            load_search(search_file(tmp_path, text), image)


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_search(tmp_path / "none.yaml", BEHAVIOUR)


def test_settings_over_a_base(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text(yaml.safe_dump({"sequence": {"model": {"dim": 32, "layers": 1}}}), "utf-8")
    configure = configured(base, ["sequence.model.layers=3"])
    config = configure({"sequence.model.dim": 48, "sequence.loop.learning_rate": 2.5e-05})
    assert (config.sequence.model.dim, config.sequence.model.layers) == (48, 3)
    assert config.sequence.loop.learning_rate == 2.5e-05
    with pytest.raises(ConfigError, match="multiple of heads"):
        configure({"sequence.model.heads": 5})
    assert check_value("graph.meta_paths", ["a-b-a"], "here")[0].path == "a-b-a"
