"""The commands on a store: recommend, similar, releases."""

import csv
import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from recsvc.answers import Question, Recommender
from recsvc.releases import Store

NOBODY = "20000101T000000-0123456789ab"


@pytest.fixture
def store(ring, tmp_path):
    """A copy of the store, to change."""
    return shutil.copytree(ring.store, tmp_path / "store")


@pytest.fixture(scope="session")
def support():
    """Tests are no package, so what they share is loaded by its path, once."""
    name = "recsvc_tests_tiny_release"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "support" / "tiny_release.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def tiny(support):
    """A release of three spaces over films, genres and actors, made without training."""
    return support.tiny_release()


@pytest.fixture(scope="session")
def films(tiny, tmp_path_factory) -> Path:
    """A store with it."""
    store = Store(tmp_path_factory.mktemp("films") / "store")
    store.activate(tiny.publish(store), actor="test", reason="test")
    return store.path


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
    assert len(ids("item/1", "item/2", "-k", 1000, "--strict")) == 38
    every = ids("item/1", "item/2", "-k", 1000)  # and what the model does not know, to fill up
    assert (
        len(every) == 39
        and every[-1] == "untouched"
        and set(ids("item/1", "item/2", "-k", 1000, "--keep-seen")) == {*every, "item/1", "item/2"}
    )
    assert "-k" not in ids("-k", 3, "--", "-k", "item/9") and len(ids("-k", 3, "--", "-k", "item/9")) == 3


def test_unknown_items_are_named_and_skipped(recsvc, ring):
    known = recsvc("recommend", "item/1", "item/2", "--store", ring.store, "--json").json()
    with_unknown = recsvc("recommend", "item/1", "nobody's", "item/2", "--store", ring.store, "--json").json()
    assert with_unknown["unknown"] == ["nobody's"] and with_unknown["items"] == known["items"]
    plain = recsvc("recommend", "item/1", "nobody's", "item/2", "--store", ring.store)
    assert plain.code == 0 and plain.err == "unknown: nobody's\n" and "nobody's" not in plain.out


def test_a_trained_encoder_reads_many_histories_as_it_reads_one(ring):
    recommender = Recommender.from_store(ring.store)
    histories = [[f"item/{(start + step) % 30}" for step in range(1 + start % 9)] for start in range(40)]
    for history, answer in zip(
        histories, recommender.recommend_many([Question(each) for each in histories]), strict=True
    ):
        single = recommender.recommend(history)
        assert [item.item_id for item in answer.items] == [item.item_id for item in single.items]
        scores = [item.score for item in single.items]
        assert [item.score for item in answer.items] == pytest.approx(scores, abs=1e-5)


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


def test_similar_in_a_graph(recsvc, films, tiny):
    recommender = Recommender.from_store(films)
    others = ["--target-type", "actor", "--target-type", "genre"]
    for arguments, question in [
        (["1193"], {"ids": ["1193"]}),
        (["1193", *others, "-k", 4], {"ids": ["1193"], "target_types": ["actor", "genre"], "k": 4}),
        (["1193", "--node-type", "genre"], {"ids": ["1193"], "node_type": "genre"}),
        (
            ["Zoë 🎬", "661", "--node-type", "actor", "--target-type", "film", "--exclude", "Tom Hanks"],
            {"ids": ["Zoë 🎬", "661"], "node_type": "actor", "target_types": ["film"], "exclude": ["Tom Hanks"]},
        ),
    ]:
        printed = recsvc("similar", "--space", "graph", "--store", films, "--json", *arguments).json()
        assert printed == asdict(recommender.similar(space="graph", **question))
        assert printed["items"]


def test_options_of_what_comes_back(recsvc, films, tiny):
    recommender = Recommender.from_store(films)
    early = {"attribute": "year", "lt": 1920}
    chosen = ["914", "item-1", "item-2"]
    allowed = [text for item_id in chosen for text in ("--allow", item_id)]
    for arguments, question in [
        (["--filter", json.dumps(early), "--diversity", "0.4"], {"filter": early, "diversity": 0.4}),
        (allowed, {"allow": chosen}),
        (["--diversity", "1", "--diversity-space", "graph"], {"diversity": 1.0, "diversity_space": "graph"}),
    ]:
        printed = recsvc("recommend", "1193", "--store", films, "--json", *arguments).json()
        assert printed == asdict(recommender.recommend(["1193"], **question))
        printed = recsvc("similar", "1193", "--store", films, "--json", *arguments).json()
        assert printed == asdict(recommender.similar(id="1193", **question))
        assert printed["items"]
    arguments = ["recommend", "1193", "661", "--store", films, *allowed, "--strict", "--explain"]
    explained = recommender.recommend(["1193", "661"], allow=chosen, strict=True, explain=True)
    assert recsvc(*arguments, "--json").json() == asdict(explained)
    causes = [line.strip() for line in recsvc(*arguments).out.splitlines() if line.startswith(" " * 16)]
    assert causes == [
        "sequence: " + ", ".join(f"{cause.item_id} ({cause.weight:.2f})" for cause in item.because)
        for item in explained.items
        if item.because
    ]
    assert causes


def test_an_option_that_cannot_be_is_one_line(recsvc, films, one_line):
    for arguments, words in [
        (["--filter", "{year"], "The filter cannot be used: it is no JSON"),
        (["--filter", '{"attribute": "yaer", "eq": 1}'], "no attribute 'yaer'; the nearest is 'year'"),
        (["--diversity", "2"], "diversity is 2.0: give a number from 0"),
        (["--diversity", "1", "--diversity-space", "video"], "no space 'video' for diversity"),
    ]:
        one_line(recsvc("recommend", "1193", "--store", films, *arguments), words)
        one_line(recsvc("similar", "1193", "--store", films, *arguments), words)


def test_the_type_is_printed_where_there_are_several(recsvc, films):
    arguments = ["similar", "1193", "--space", "graph", "--store", films, "-k", 3]
    both = recsvc(*arguments, "--target-type", "actor", "--target-type", "genre", "-k", 100)
    kinds = [line.split("  ")[-3] for line in both.out.splitlines()]
    assert sorted(kinds) == ["actor"] * 4 + ["genre"] * 3
    place, score, kind, node_id, title = re.split(r" {2,}", both.out.splitlines()[0].strip())
    assert (place, float(score) <= 1, title) == ("1", True, f"{kind.title()} {node_id}")
    one = recsvc(*arguments, "--target-type", "genre")
    assert "genre" not in one.out and "Genre" in one.out and len(one.out.splitlines()) == 3


def test_similar_to_a_picture(recsvc, films, tiny, tmp_path):
    recommender = Recommender.from_store(films)
    for item_id in list(tiny.pictures)[:3]:
        (tmp_path / "a picture").write_bytes(tiny.pictures[item_id])
        arguments = ["similar", "--image", tmp_path / "a picture", "--store", films, "--json", "-k", 5]
        printed = recsvc(*arguments).json()
        assert printed == asdict(recommender.similar_image(tiny.pictures[item_id], k=5))
        assert printed["items"][0]["item_id"] == item_id
        assert printed["items"][0]["score"] == pytest.approx(1, abs=1e-4)
        others = recsvc(*arguments, "--exclude", item_id, "--exclude", "nobody").json()
        assert others["items"][:4] == printed["items"][1:] and others["unknown"] == ["nobody"]
    plain = recsvc("similar", "--image", tmp_path / "a picture", "--store", films, "-k", 2)
    assert plain.code == 0 and len(plain.out.splitlines()) == 2 and item_id in plain.out


def test_what_is_no_question_about_neighbours(recsvc, films, tiny, support, tmp_path, one_line):
    def ask(*arguments):
        return recsvc("similar", "--store", films, *arguments)

    picture = tmp_path / "picture.png"
    picture.write_bytes(tiny.pictures["1193"])
    for arguments in ([], ["--space", "graph"], ["1193", "--image", picture]):
        one_line(ask(*arguments), r"^recsvc: Give either ids or --image FILE\.$")
    for name, content, words in [
        ("text.jpg", b"some text", "the picture is not a picture .the bytes are text"),
        ("empty.png", b"", "the picture is empty"),
        ("cut.png", tiny.pictures["1193"][:-30], "the picture is damaged"),
        ("cmyk.jpg", support.encoded(Image.new("CMYK", (9, 9)), "JPEG"), r"the picture is CMYK; save it as RGB\.$"),
    ]:
        (tmp_path / name).write_bytes(content)
        one_line(ask("--image", tmp_path / name), rf"--image .*{re.escape(name)}: {words}")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2**40)  # a hole: nothing of it is on the disk, and it must not be read whole
    one_line(ask("--image", tmp_path / "large.png"), r"large\.png: the picture has more than 32 MiB")
    one_line(ask("--image", tmp_path / "absent.png"), r"absent\.png: cannot be read .No such file")
    one_line(ask("--image", tmp_path), r"cannot be read .Is a directory")
    if os.geteuid():
        picture.chmod(0)
        one_line(ask("--image", picture), r"picture\.png: cannot be read .Permission denied")
        picture.chmod(0o600)
    one_line(ask("--image", picture, "--space", "graph"), r"'graph' of release .* reads no pictures")
    one_line(ask("--image", picture, "--node-type", "film"), r"--node-type and --target-type go with ids")
    one_line(ask("--image", picture, "--target-type", "film"), r"--node-type and --target-type go with ids")
    one_line(ask("1193", "--space", "graph", "--node-type", "actors"), r"no type 'actors'; the nearest is 'actor'")
    one_line(
        ask("1193", "--space", "graph", "--target-type", "tag"), r"holds no vectors of the type 'tag'; it has: film"
    )
    one_line(ask("1193", "--space", "video"), r"no space 'video'; it has: behaviour, graph, image")


def test_a_release_without_behaviour(recsvc, tiny, tmp_path, one_line):
    store = Store(tmp_path / "store")
    store.activate(replace(tiny, spaces=("graph",)).publish(store), actor="test", reason="test")
    one_line(recsvc("recommend", "1193", "--store", store.path), r"no space 'behaviour'; it has: graph")
    one_line(recsvc("similar", "1193", "--store", store.path), r"no space 'behaviour'; it has: graph")
    one_line(recsvc("similar", "--image", __file__, "--store", store.path), r"no space 'image'; it has: graph")
    assert recsvc("similar", "1193", "--space", "graph", "--store", store.path).code == 0


def test_a_release_of_the_format_before_says_to_publish_again(recsvc, films, tiny, tmp_path, one_line):
    """As a store of the version before looks: manifest, id and pointer agree, and the format is 1."""
    store = Store(shutil.copytree(films, tmp_path / "store"))
    release = store.current()[0].id
    manifest = store.path_of(release) / "manifest.json"
    content = manifest.read_bytes().replace(b'"format": 2', b'"format": 1')
    manifest.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    old = f"{release.partition('-')[0]}-{digest[:12]}"
    manifest.parent.rename(manifest.parents[1] / old)
    pointer = {"format": 1, "releases": [{"id": old, "share": 1.0, "manifest_sha256": digest}]}
    (store.path / "current").write_text(json.dumps(pointer), "utf-8")
    for command in (["recommend", "1193"], ["similar", "1193"], ["releases", "verify", old]):
        one_line(recsvc(*command, "--store", store.path), r"reads format 2, not 1; publish again")
    assert "publish again" in recsvc("releases", "list", "--store", store.path).out
    store.activate(tiny.publish(store), actor="test", reason="published again")
    assert recsvc("recommend", "1193", "--store", store.path).code == 0


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
