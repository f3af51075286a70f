"""The model card of a release: in every release, the same for the same run, naming nobody."""

import re

import pytest

from recsvc.cli import run as command
from recsvc.releases import ManifestDraft, Store
from training import pipeline
from training.card import CARD_NAME, model_card
from training.config import load_config


@pytest.fixture(scope="module")
def run(tmp_path_factory, trio_dataset, trio_settings):
    config = load_config(overrides=[f"{key}={value}" for key, value in trio_settings.items()])
    return pipeline.train(trio_dataset, tmp_path_factory.mktemp("card") / "run", config=config)


@pytest.fixture(scope="module")
def store(run, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("cards") / "store")
    pipeline.publish(run, store)
    return store


@pytest.fixture(scope="module")
def card(store):
    release = store.list()[0].id
    store.verify(release)
    return (store.path_of(release) / CARD_NAME).read_text("utf-8")


def draft_of(store, **changes):
    manifest = store.verify(store.list()[0].id)
    fields = {name: getattr(manifest, name) for name in ("created", "data", "config", "metrics", "spaces")}
    return ManifestDraft(**(fields | changes))


def test_it_says_what_was_learnt_from_what_and_how_good_it_is(card, run):
    sections = re.findall(r"^## (.+)$", card, re.M)
    assert sections == [
        "Model details",
        "Intended use",
        "Training data",
        "Space `behaviour`",
        "Space `graph`",
        "Space `image`",
        "Caveats and recommendations",
        "How to verify it",
    ]
    evaluation = run.read_json("evaluation.json")
    assert f"| fingerprint | {run.fingerprint} |" in card
    assert "| users | 150 |" in card and "| first interaction | 1970-01-12 |" in card
    assert "| items without a training event | 2 |" in card
    assert "| sequence.model.dim | 32 |" in card and "| sequence.model.dim | 128 | 32 |" in card
    for space, result in evaluation.items():
        own = card.partition(f"## Space `{space}`")[2].partition("\n## ")[0]
        for metric, value in result["model"].items():
            baselines = (f"{each[metric]:.4f}" if metric in each else "" for each in result["baselines"].values())
            assert f"| {metric} | {value:.4f} | {' | '.join(baselines)} |" in own
    lead = evaluation["behaviour"]["intervals"]
    ndcg = lead["model_minus_best_baseline"]["ndcg@10"]
    row = (
        f"| model - {lead['best_baseline']} | ndcg@10 | {ndcg['mean']:.4f} | {ndcg['low']:.4f} to {ndcg['high']:.4f} |"
    )
    assert row in card
    popular = evaluation["behaviour"]["baselines"]["popularity"]
    assert f"(popularity {popular['gini@10']:.3f})" in card


def test_the_same_run_gives_the_same_card_whenever_it_is_published(run, store, card):
    pipeline.publish(run, store)
    newest = store.list()[0].id
    assert (store.path_of(newest) / CARD_NAME).read_text("utf-8") == card


def test_it_names_nobody(card, run):
    assert "user 1" not in card
    assert not [user for user in run.load_log().users if re.search(rf"\b{re.escape(user)}\b", card)]


def test_it_says_which_champion_it_was_judged_against(run, store):
    starts = {"graph": {"kind": "cold", "reason": "asked for"}}
    retrain = {"key": "0" * 16, "champion": "20260101T000000-0123456789ab", "starts": starts}
    text = model_card(run, draft_of(store, data={"retrain": retrain}))
    assert "judged against the release that was active then: `20260101T000000-0123456789ab`" in text
    assert "| graph | cold: asked for |" in text
    text = model_card(run, draft_of(store, data={"retrain": retrain | {"champion": None}}))
    assert "no release was active then" in text


def test_names_out_of_the_data_break_no_table(run, store):
    data = {"dataset": "a|b\n# c <img src=x> [x](y) `z`"}
    text = model_card(run, draft_of(store, data=data))
    assert "| data set | a\\|b # c \\<img src=x> \\[x](y) \\`z\\` |" in text


def test_the_command_prints_it(store, card, capsys):
    release = store.list()[0].id
    assert command(["releases", "show", release, "--store", str(store.path), "--card"]) == 0
    assert capsys.readouterr().out == card


def test_a_release_from_before_there_were_cards_says_so(store, tmp_path, load_support, capsys):
    older = Store(tmp_path / "store")
    release = load_support("tiny_release").tiny_release().publish(older)
    assert command(["releases", "show", release, "--store", str(older.path), "--card"]) == 2
    assert "has no model card" in capsys.readouterr().err
