"""The page: whole, self-contained, escaped, and without anybody's id."""

import html
import re
import shutil
from html.parser import HTMLParser

import pytest

from recsvc.errors import RunError
from training.pipeline import evaluate
from training.report import write_report
from training.run import Run

VOID = {"meta", "img", "br", "link", "input"}


class Checker(HTMLParser):
    """Every tag closed, in order; remembers ids, links and sources."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]} at {self.getpos()}"
        self.open.pop()


def check(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def page(trio_run):
    path = write_report(trio_run)
    assert path == trio_run.folder / "report.html"
    return path.read_text("utf-8")


def test_it_evaluates_first(page, trio_run):
    assert set(trio_run.read_json("evaluation.json")) == {"behaviour", "graph", "image"}


def test_every_part_is_there(page):
    checker = check(page)
    sections = [value for tag, name, value in checker.attributes if (tag, name) == ("section", "id")]
    assert sections == ["behaviour", "graph", "image", "neighbours", "settings"]
    linked = [value for tag, name, value in checker.attributes if (tag, name) == ("a", "href")]
    assert linked == [f"#{section}" for section in sections]
    for title in (
        "Accuracy by length of the list",
        "Where the mean comes from",
        "Learning curves",
        "Examples",
        "Can the reasons be trusted?",
        "Average attention, by layer and head",
        "Hidden links",
        "Meta-paths",
        "Map of the space: PCA",
        "Map of the space: t-SNE",
        "Test figures",
        "Are the vectors alive?",
        "Look-alikes",
        "The worst look-alikes",
        "Look-alikes by label",
        "Map of the pictures",
    ):
        assert f"<h3>{title}</h3>" in page, title
    assert page.count("<summary>Protocol: how these figures were made</summary>") == 3
    assert 2 <= page.count("Then came:") == page.count('class="card example"') <= 4
    assert "data:image/webp;base64," in page


def test_it_stands_alone(page):
    checker = check(page)
    assert not {"script", "link", "iframe", "object", "base"} & set(checker.tags)
    for tag, name, value in checker.attributes:
        if name in {"src", "href", "xlink:href", "srcset", "data"}:
            assert value.startswith(("#", "data:image/")), (tag, name, value)
        assert not name.startswith("on")
    assert "url(" not in page and "@import" not in page
    assert len(page.encode()) < 3_000_000


def test_what_comes_from_data_is_escaped(page, nasty):
    assert nasty not in page and "<b>set" not in page and "<i>" not in page
    assert html.escape(nasty, quote=True).replace("&quot;", "&#34;") in page
    assert "data &amp; &lt;b&gt;set" in page


def test_nobody_is_named(page):
    assert not re.search(r"user \d", page)  # the ids of the users are "user 0", "user 1", ...


def test_drawings_have_words(page):
    drawings = re.findall(r"<svg [^>]*>", page)
    assert len(drawings) > 10
    for drawing in drawings:
        assert 'aria-hidden="true"' in drawing or re.search(r'role="img" aria-label="[^"]{10,}"', drawing), drawing
        assert "nan" not in drawing.lower()
    assert not re.search(r'(?:d|cx|cy|x|y)="[^"]*(?:nan|inf)', page)


def test_it_is_the_same_again(page, trio_run, tmp_path):
    again = write_report(trio_run, tmp_path / "again.html")
    assert again.read_text("utf-8") == page
    assert [path.name for path in tmp_path.iterdir()] == ["again.html"]


def test_figures_of_an_evaluation_that_knows_less(page, trio_run, tmp_path):
    """Runs that an earlier version evaluated, and parts that a later one adds."""
    folder = tmp_path / "run"
    shutil.copytree(trio_run.folder, folder)
    run = Run.open(folder)
    figures = evaluate(run)
    for known in list(figures["behaviour"]):
        if known not in {"protocol", "model", "baselines"}:
            del figures["behaviour"][known]
    figures["behaviour"]["by_weather"] = {"rain": {"ndcg@10": 0.25}, "sun": {"ndcg@10": 0.5}}
    figures["behaviour"]["riddle"] = [[1, {"a": [{}]}]]
    run.write_json("evaluation.json", figures)
    text = write_report(run).read_text("utf-8")
    check(text)
    assert "By weather" in text and "Riddle" not in text and "Where the mean comes from" not in text


def test_a_file_that_cannot_be_written(trio_run, tmp_path):
    for out in (tmp_path, tmp_path / "missing" / "report.html"):
        with pytest.raises(RunError, match=r"--out .*cannot be written"):
            write_report(trio_run, out)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_trained_space(trio_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trio_run.folder, folder)
    for name in ("behaviour", "graph", "image"):
        (folder / f"{name}.json").unlink()
    (folder / "report.html").unlink(missing_ok=True)
    with pytest.raises(RunError, match="no space is trained"):
        write_report(Run.open(folder))
    assert not (folder / "report.html").exists()
