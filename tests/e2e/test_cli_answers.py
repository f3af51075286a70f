"""The commands on a store: recommend, similar, releases."""

import csv
import json
import re
import shutil

import pytest
import yaml

NOBODY = "20000101T000000-0123456789ab"


@pytest.fixture
def store(ring, tmp_path):
    """A copy of the store, to change."""
    return shutil.copytree(ring.store, tmp_path / "store")


def test_recommend(recsvc, ring):
    history = ["item/1", "item/2", "a, b", "Zoë 🎬"]
    answer = recsvc("recommend", *history, "--store", ring.store, "-k", 5, "--json").json()
    assert answer["release"] == ring.release and answer["source"] == "model" and answer["unknown"] == []
    ids = [item["item_id"] for item in answer["items"]]
    assert len(set(ids)) == 5 and not set(ids) & set(history)
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    plain = recsvc("recommend", *history, "--store", ring.store, "-k", 5)
    assert plain.code == 0 and plain.err == ""
    for place, (line, item) in enumerate(zip(plain.out.splitlines(), answer["items"], strict=True), start=1):
        assert line.split() == [
            str(place),
            f"{item['score']:.4f}",
            *item["item_id"].split(),
            *item["title"].split(),
        ]


def test_recommend_options(recsvc, ring):
    def ids(*arguments):
        found = recsvc("recommend", "--store", ring.store, "--json", *arguments).json()["items"]
        return [item["item_id"] for item in found]

    first, second, *_ = ids("item/1", "item/2")
    assert first not in ids("item/1", "item/2", "--exclude", first)
    assert not {first, second} & set(ids("item/1", "item/2", "--exclude", first, "--exclude", second))
    every = ids("item/1", "item/2", "-k", 1000)
    assert len(every) == 38 and set(ids("item/1", "item/2", "-k", 1000, "--keep-seen")) == {*every, "item/1", "item/2"}
    assert "-k" not in ids("-k", 3, "--", "-k", "item/9") and len(ids("-k", 3, "--", "-k", "item/9")) == 3


def test_unknown_items_are_named_and_skipped(recsvc, ring):
    known = recsvc("recommend", "item/1", "item/2", "--store", ring.store, "--json").json()
    with_unknown = recsvc("recommend", "item/1", "nobody's", "item/2", "--store", ring.store, "--json").json()
    assert with_unknown["unknown"] == ["nobody's"] and with_unknown["items"] == known["items"]
    plain = recsvc("recommend", "item/1", "nobody's", "item/2", "--store", ring.store)
    assert plain.code == 0 and plain.err == "unknown: nobody's\n" and "nobody's" not in plain.out


def test_without_a_known_item_popular_ones_answer(recsvc, ring):
    with (ring.dataset / "interactions.csv").open(encoding="utf-8", newline="") as file:
        most = max(len(list(rows)) for rows in by_item(csv.reader(file)).values())
    for history in ([], ["nobody's", "untouched"]):
        answer = recsvc("recommend", *history, "--store", ring.store, "-k", 3, "--json").json()
        assert answer["source"] == "popular" and len(answer["items"]) == 3 and answer["unknown"] == history
        assert all(0 < item["score"] <= most and item["reason"] == "popular" for item in answer["items"])


def by_item(rows):
    next(rows)
    found = {}
    for user, item, _ in rows:
        found.setdefault(item, []).append(user)
    return found


def test_similar(recsvc, ring):
    one = recsvc("similar", "item/11", "--store", ring.store, "-k", 4, "--json").json()
    assert one["release"] == ring.release and one["space"] == "behaviour" and one["unknown"] == []
    assert len(one["items"]) == 4 and "item/11" not in {item["item_id"] for item in one["items"]}
    assert all(-1 <= item["score"] <= 1.000001 and item["reason"] == "similar" for item in one["items"])
    best = one["items"][0]["item_id"]
    without = recsvc("similar", "item/11", "--store", ring.store, "-k", 3, "--exclude", best, "--json").json()
    assert without["items"] == one["items"][1:]
    two = recsvc("similar", "item/11", "nobody's", "item/12", "--store", ring.store, "--json").json()
    assert two["unknown"] == ["nobody's"] and len(two["items"]) == 10
    assert not {"item/11", "item/12"} & {item["item_id"] for item in two["items"]}


def test_similar_without_an_answer(recsvc, ring, one_line):
    one_line(recsvc("similar", "item/1", "--store", ring.store, "--space", "graph"), r"no space 'graph'.*behaviour")
    for unknown in ("nobody's", "untouched"):
        outcome = recsvc("similar", unknown, "--store", ring.store)
        assert outcome.code == 0 and outcome.out == ""
        assert outcome.err == f"unknown: {unknown}\n"


def test_releases(recsvc, ring, store, one_line):
    other = recsvc("publish", ring.run, "--store", store).out.strip()
    lines = recsvc("releases", "list", "--store", store).out.splitlines()
    assert [line.split()[0] for line in lines] == [other, ring.release]
    assert [line.endswith("active") for line in lines] == [False, True]
    one_line(recsvc("releases", "rollback", "--store", store), r"no earlier release")
    assert recsvc("releases", "activate", other, "--store", store, "--reason", "better").out == f"{other}\n"
    assert recsvc("recommend", "item/1", "--store", store, "--json").json()["release"] == other
    assert recsvc("releases", "rollback", "--store", store).out == f"{ring.release}\n"
    assert recsvc("recommend", "item/1", "--store", store, "--json").json()["release"] == ring.release
    promotions = [json.loads(line) for line in (store / "promotions.jsonl").read_text("utf-8").splitlines()]
    assert [line["action"] for line in promotions] == ["activate", "activate", "rollback"]
    assert promotions[1]["reason"] == "better" and promotions[2]["to"] == ring.release
    assert recsvc("releases", "gc", "--keep", 0, "--store", store).out == f"{other}\n"
    assert [path.name for path in (store / "releases").iterdir()] == [ring.release]


def test_releases_show_and_verify(recsvc, ring, store, one_line):
    manifest = recsvc("releases", "show", ring.release, "--store", store).json()
    evaluation = json.loads((ring.run / "evaluation.json").read_text("utf-8"))
    assert manifest["metrics"] == evaluation
    assert manifest["config"] == yaml.safe_load((ring.run / "config.yaml").read_text("utf-8"))
    assert manifest["data"]["fingerprint"] == evaluation["behaviour"]["protocol"]["data_sha256"]
    assert str(ring.dataset.parent) not in json.dumps(manifest)  # nobody's folders are published
    for arguments in ([], [ring.release]):
        outcome = recsvc("releases", "verify", *arguments, "--store", store)
        assert outcome.out == f"{ring.release}: {len(manifest['files'])} files as published\n"
    one_line(recsvc("releases", "show", NOBODY, "--store", store), rf"There is no release {NOBODY}")
    one_line(recsvc("releases", "activate", NOBODY, "--store", store), rf"There is no release {NOBODY}")
    one_line(recsvc("releases", "verify", "../store", "--store", store), r"'\.\./store' is not a release id")


def test_a_damaged_release_is_refused_by_every_command(recsvc, ring, store, one_line):
    folder = store / "releases" / ring.release
    content = bytearray((folder / "behaviour" / "similar.faiss").read_bytes())
    content[-1] ^= 1
    (folder / "behaviour" / "similar.faiss").write_bytes(content)
    for command in (
        ["recommend", "item/1"],
        ["similar", "item/1"],
        ["releases", "show", ring.release],
        ["releases", "verify"],
        ["releases", "verify", ring.release],
        ["releases", "activate", ring.release],
    ):
        one_line(recsvc(*command, "--store", store), rf"{ring.release} .*behaviour/similar\.faiss is damaged")
    (folder / "warmup.json").unlink()
    assert re.search(r"active|damaged", recsvc("releases", "list", "--store", store).out)


def test_the_store_may_come_from_the_environment(recsvc, ring, monkeypatch):
    monkeypatch.setenv("RECSVC_STORE", str(ring.store))
    assert recsvc("recommend", "item/1", "-k", 1, "--json").json()["release"] == ring.release
