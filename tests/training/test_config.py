"""The configuration: overrides, and messages that say what to mend."""

import pytest
import yaml
from pydantic import BaseModel

from recsvc.errors import ConfigError
from training.config import Config, change_trained, dump_config, load_config, preset_names


def test_overrides_reach_their_field():
    config = load_config(overrides=["sequence.model.dim=128", "split.kind=temporal", "evaluation.cutoffs=[3, 7]"])
    assert config.sequence.model.dim == 128
    assert config.split.kind == "temporal"
    assert config.evaluation.cutoffs == (3, 7)


def test_file_and_override_and_back(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("sequence:\n  model: {layers: 3}\n  loop: {seed: 9}\n")
    config = load_config(path, ["sequence.loop.seed=10"])
    assert (config.sequence.model.layers, config.sequence.loop.seed) == (3, 10)
    path.write_text(dump_config(config))
    assert load_config(path) == config


def test_an_empty_file_means_the_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert load_config(tmp_path / "empty.yaml") == Config()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sequence.modle.dim=3", r"unknown key 'sequence\.modle'; the nearest there is 'model'"),
        ("sequence.loop.learning_rates=3", r"unknown key .*; the nearest there is 'learning_rate'"),
        ("sequence.model.dim=wide", r"sequence\.model\.dim: .*integer.*found 'wide'"),
        ("sequence.model.heads=3", r"dim \(128\) must be a multiple of heads \(3\)"),
        ("sequence.loop.epochs=0", r"greater than or equal to 1"),
        ("sequence.model.dim", r"expected key\.path=value"),
        ("=3", r"expected key\.path=value"),
        ("sequence=3", r"sequence: .*found 3"),
        ("sequence.loop.seed=[", r"not YAML"),
    ],
)
def test_mistakes_are_named_in_one_line(override, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_config(overrides=[override])
    assert "\n" not in str(error.value)


def test_setting_below_a_value_is_refused():
    with pytest.raises(ConfigError, match="is a value, not a section"):
        load_config(overrides=["sequence.loop.seed=1", "sequence.loop.seed.more=1"])


@pytest.mark.parametrize("content", [b"- a list", b"a: b: c", b"\xff\xfe"])
def test_unusable_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.yaml") as error:
        load_config(path)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "missing.yaml")


def every_field(model, path=""):
    for name, field in model.model_fields.items():
        yield f"{path}.{name}", field
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from every_field(field.annotation, f"{path}.{name}")


def test_every_field_has_a_default_and_a_sentence():
    for name, field in every_field(Config):
        assert not field.is_required(), name
        assert field.description and field.description.endswith("."), name


def test_the_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().sequence = None  # type: ignore[assignment]
    assert yaml.safe_load(dump_config(Config())) == Config().model_dump(mode="json")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_configuration_and_yields_to_file_and_settings(name, tmp_path):
    assert (load_config(presets=[name]) == load_config()) == (name == "bert4rec")  # which is the default
    path = tmp_path / "mine.yaml"
    path.write_text("sequence: {model: {dim: 32}, loop: {epochs: 3}}", "utf-8")
    config = load_config(path, ["sequence.loop.epochs=7"], presets=[name])
    assert (config.sequence.model.dim, config.sequence.loop.epochs) == (32, 7)
    assert config.sequence.model.attention == load_config(presets=[name]).sequence.model.attention


def test_presets_say_what_they_are():
    assert load_config(presets=["causal"]).sequence.rows.next_share == 1
    assert load_config(presets=["bert4rec-paper"]).sequence.model.block == "post-norm"
    with pytest.raises(ConfigError, match=r"--preset bert5: there is no such preset; there are .*bert4rec, "):
        load_config(presets=["bert5"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["sequence.model.attention=causal", "sequence.rows.next_share=0.5"], "never sees .MASK."),
        (["sequence.model.attention=causal", "sequence.model.question=mask"], "the newest item asks"),
        (["sequence.model.question=mask"], "set it to 0 with question mask"),
        (["sequence.rows.next_share=0.5", "sequence.rows.last_share=0.3"], "set it to 0 with question newest"),
        (["sequence.rows.next_share=0.5", "sequence.rows.last_share=0.6"], "together at most 1"),
    ],
)
def test_rows_must_fit_what_asks(settings, message):
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=settings)


def test_a_trained_run_is_judged_otherwise_but_not_trained_otherwise():
    config = load_config(overrides=["sequence.model.dim=32"])
    other = change_trained(config, ["evaluation.cutoffs=[3]", "runtime.threads=1"], ("evaluation", "runtime"))
    assert (other.evaluation.cutoffs, other.runtime.threads) == ((3,), 1) and other.sequence == config.sequence
    with pytest.raises(ConfigError, match=r"only evaluation\.\* and runtime\.\* can change"):
        change_trained(config, ["sequence.model.dim=64"], ("evaluation", "runtime"))
    assert change_trained(config, ["index.kind=ivf"], ("index", "runtime")).index.kind == "ivf"
    with pytest.raises(ConfigError, match=r"only index\.\* and runtime\.\* can change"):
        change_trained(config, ["evaluation.cutoffs=[3]"], ("index", "runtime"))
