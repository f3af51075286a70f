"""The README's examples of asking the service are asked, as they stand there.

A fenced block directly under ``<!-- test: NAME -->`` is run against a served release: the ``curl`` commands of a
``console`` block as requests, a ``python`` block as it is. ``http://localhost:8000`` stands for the service, and the
folder holds ``photo.jpg``. In the section on HTTP every such block has a name, or stands under
``<!-- not tested: REASON -->``.
"""

import argparse
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from recsvc.releases import Store

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
ADDRESS = re.compile(r"(?:http://)?(?:localhost|127\.0\.0\.1):\d+")
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>test|not tested): (?P<name>.+?) -->\n)?^```(?P<kind>console|python)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    name: str | None
    kind: str
    text: str
    is_excused: bool


def blocks(text: str) -> list[Block]:
    found = []
    for match in BLOCK.finditer(text):
        name = match["name"] if match["mark"] == "test" else None
        found.append(Block(name, match["kind"], match["text"], match["mark"] == "not tested"))
    return found


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


NAMED = {block.name: block for block in blocks(README) if block.name is not None}


@pytest.fixture(scope="module")
def service(served, load_support, tmp_path_factory: pytest.TempPathFactory):
    """A release with films of 1900 to 2039."""
    folder = tmp_path_factory.mktemp("readme")
    store = Store(folder / "store")
    tiny = load_support("tiny_release").tiny_release(plain=126)
    store.activate(tiny.publish(store), actor="test", reason="test")
    (folder / "photo.jpg").write_bytes(tiny.pictures["1193"])
    with served(store.path) as service:
        yield service, folder


@pytest.mark.parametrize("name", NAMED)
def test_an_example_does_what_it_says(service, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    running, folder = service
    monkeypatch.chdir(folder)
    block = NAMED[name]
    if block.kind == "python":
        names: dict[str, object] = {}
        exec(compile(ADDRESS.sub(running.url, block.text), f"README: {name}", "exec"), names)
        assert [name for name, value in names.items() if getattr(value, "items", None) == []] == []
        return
    commands = [line for line in split_commands(block.text) if line]
    assert commands
    with running.client() as client:
        for command in commands:
            assert command[0] == "curl", f"README: {name} has the command {command[0]!r}, which this test cannot run"
            answer = ask(client, command[1:])
            assert answer.status_code == 200, (name, answer.text)
            assert answer.headers["content-type"].startswith(("application/json", "text/plain"))
            if answer.headers["content-type"] == "application/json":
                assert answer.json().get("items", [1]), f"README: {name} is answered with nothing"


def split_commands(text: str) -> list[list[str]]:
    """The commands of a block, in words: a line feed in quotes, or behind a backslash, ends none."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars="\n&;|")
    lexer.whitespace = " \t"
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if not word.strip("\n&;|"):
            commands.append([])
        else:
            commands[-1].append(word)
    return commands


def ask(client: httpx.Client, words: list[str]) -> httpx.Response:
    """Send what a curl command would send; an option that is not known here fails."""
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("url", type=lambda url: ADDRESS.sub("", url))
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data", "--json")
    parser.add_argument("-F", "--form", action="append", default=[])
    said = parser.parse_args(words)
    parts = [part.partition("=")[::2] for part in said.form]
    files = {name: Path(value[1:]).read_bytes() for name, value in parts if value.startswith("@")}
    fields = {name: value for name, value in parts if not value.startswith("@")}
    return client.request(
        said.request or ("POST" if said.data or parts else "GET"),
        said.url,
        headers=[tuple(header.split(": ", 1)) for header in said.header],
        **({"content": said.data.encode()} if said.data else {}),
        **({"files": files, "data": fields} if parts else {}),
    )


def test_the_examples_of_http_are_run() -> None:
    found = [block for block in blocks(section("HTTP")) if block.kind == "python" or "curl " in block.text]
    assert {block.kind for block in found if block.name} == {"console", "python"}
    assert [block.text for block in found if block.name is None and not block.is_excused] == []


def test_names_are_given_once_and_to_blocks() -> None:
    names = re.findall(r"^<!-- test: (.+?) -->$", README, re.MULTILINE)
    assert len(names) == len(set(names)) and names == list(NAMED), "a name twice, or under which no block stands"


def test_blocks_are_read_as_a_shell_reads_them(service) -> None:
    text = "curl -s localhost:8000/livez\ncurl \\\n  'http://localhost:8000/x' -d '\n{\"a\": 1}'  # said\n"
    assert split_commands(text)[:2] == [
        ["curl", "-s", "localhost:8000/livez"],
        ["curl", "http://localhost:8000/x", "-d", '\n{"a": 1}'],
    ]
    with service[0].client() as client, pytest.raises((SystemExit, argparse.ArgumentError)):
        ask(client, ["--unknown", "localhost:8000/livez"])
    marked = "<!-- test: a -->\n```console\ncurl x\n```\n\n<!-- not tested: data -->\n```python\n1\n```\n"
    marked += "```console\nls\n```\n"
    assert [(block.name, block.kind, block.is_excused) for block in blocks(marked)] == [
        ("a", "console", False),
        (None, "python", True),
        (None, "console", False),
    ]
