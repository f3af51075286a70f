"""Bad data set folders through ``recsvc train``: one clear message, exit code 2, nothing left behind."""

import gzip
import hashlib
import io
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

GOOD = "user_id,item_id,timestamp\nu1,a,1\nu1,b,2\nu1,c,3\nu2,a,1\nu2,b,2\nu2,c,3\n"
ITEMS = "item_id,title\na,A\nb,B\nc,C\n"
NODES = "node_type,node_id,label\npaper,p1,\nauthor,a1,db\n"
EDGES = "source_type,source_id,relation,target_type,target_id\npaper,p1,by,author,a1\n"


@dataclass(frozen=True)
class Bad:
    """One kind of bad folder, and the whole message; ``{}`` stands for the path of the folder."""

    files: dict[str, str | bytes | Callable[[Path], None]]
    message: str
    only_train: bool = False
    """Whether the folder is fine as such, and there is only too little in it for training."""


def parquet(frame: pl.DataFrame) -> Callable[[Path], None]:
    return frame.write_parquet


def picture(form: str = "PNG", mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (9, 7), 200).save(out, form, **options)
    return out.getvalue()


def pictures(*contents: bytes) -> Callable[[Path], None]:
    ids = ["a", "b", "c"][: len(contents)]
    return parquet(pl.DataFrame({"item_id": ids, "image": list(contents)}))


def giant() -> bytes:
    """A PNG of a few bytes that would take seven gigabytes."""
    content = bytearray(picture())
    content[16:24] = struct.pack(">II", 50_000, 50_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


KINDS = {
    "missing column": Bad(
        {"interactions.csv": GOOD.replace("item_id", "itemid", 1)},
        "{}/interactions.csv:1: there is no column 'item_id'; the nearest is 'itemid'.",
    ),
    "missing column in items": Bad(
        {"interactions.csv": GOOD, "items.csv": "title,year\nA,1999\n"},
        "{}/items.csv:1: there is no column 'item_id'; the columns are 'title', 'year'.",
    ),
    "missing column in Parquet": Bad(
        {"interactions.parquet": parquet(pl.DataFrame({"user_id": ["a"], "item": ["b"]}))},
        "{}/interactions.parquet: there is no column 'item_id'; the nearest is 'item'.",
    ),
    "not UTF-8": Bad(
        {"interactions.csv": GOOD.encode() + "u3,caf\u00e9,4\n".encode("latin-1")},
        "{}/interactions.csv:8: the byte 0xe9 is not UTF-8; save the file as UTF-8.",
    ),
    "not UTF-8 in items": Bad(
        {"interactions.csv": GOOD, "items.csv": ITEMS.encode() + b"d,Am\xe9lie\n"},
        "{}/items.csv:5: the byte 0xe9 is not UTF-8; save the file as UTF-8.",
    ),
    "UTF-16": Bad(
        {"interactions.csv": GOOD.encode("utf-16")},
        "{}/interactions.csv:1: this is UTF-16; save the file as UTF-8.",
    ),
    "empty file": Bad({"interactions.csv": b""}, "{}/interactions.csv: the file is empty."),
    "empty items": Bad({"interactions.csv": GOOD, "items.csv": b""}, "{}/items.csv: the file is empty."),
    "header only": Bad(
        {"interactions.csv": "user_id,item_id\n"},
        "{}/interactions.csv: there is a header but not one row below it.",
    ),
    "text for a time": Bad(
        {"interactions.csv": GOOD + "u3,a,yesterday\n"},
        "{}/interactions.csv:8: timestamp 'yesterday' is neither epoch seconds nor an ISO 8601 date.",
    ),
    "milliseconds": Bad(
        {"interactions.csv": GOOD + "u3,a,978300760000\n"},
        "{}/interactions.csv:8: timestamp '978300760000' looks like milliseconds; divide by 1000.",
    ),
    "an empty time": Bad(
        {"interactions.csv": GOOD + "u3,a,\n"},
        "{}/interactions.csv:8: timestamp is empty; give every row a time, or leave the column out.",
    ),
    "duplicate item": Bad(
        {"interactions.csv": GOOD, "items.csv": ITEMS + "b,B again\n"},
        "{}/items.csv:5: item_id 'b' is there already, at line 3; list an item once.",
    ),
    "ragged row": Bad(
        {"interactions.csv": GOOD + "u3,a\n"},
        "{}/interactions.csv:8: 2 values where the header names 3.",
    ),
    "ragged row, too long": Bad(
        {"interactions.csv": GOOD.replace("u1,b,2", "u1,b,2,2")},
        "{}/interactions.csv:3: 4 values where the header names 3.",
    ),
    "a quote never closed": Bad(
        {"interactions.csv": GOOD + 'u3,"a,4\nu3,b,5\n'},
        '{}/interactions.csv:8: a quote (") is opened and never closed.',
    ),
    "an empty id": Bad({"interactions.csv": GOOD + "u3,,4\n"}, "{}/interactions.csv:8: item_id is empty."),
    "only users with one event": Bad(
        {"interactions.csv": "user_id,item_id\nu1,a\nu2,b\nu3,a\n"},
        "{}/interactions.csv: each of the 3 users has a single interaction, which says nothing about what comes "
        "next; at least one user needs two.",
    ),
    "nothing to test on": Bad(
        {"interactions.csv": "user_id,item_id\nu1,a\nu1,b\nu2,a\n"},
        "Nothing can be evaluated: none of the 2 users has three interactions, which leave-one-out needs (one to "
        "read, one for validation, one for the test).",
        only_train=True,
    ),
    "nothing to learn": Bad(
        {"interactions.csv": "user_id,item_id\nu1,a\nu1,b\nu1,c\n"},
        "no user has two training interactions, so there is no next item to learn; bring longer histories, or hold "
        "out less (split.*)",
        only_train=True,
    ),
    "a column twice": Bad(
        {"interactions.csv": GOOD.replace("timestamp", "item_id", 1)},
        "{}/interactions.csv:1: the column 'item_id' is there twice; keep one.",
    ),
    "a column twice in items": Bad(
        {"interactions.csv": GOOD, "items.csv": "item_id,title,title\na,A,A\n"},
        "{}/items.csv:1: the column 'title' is there twice; keep one.",
    ),
    "damaged gzip": Bad(
        {"interactions.csv.gz": gzip.compress(GOOD.encode() + b"u3,a,4\n" * 9, mtime=0)[:-4]},
        "{}/interactions.csv.gz:16: the gzip data is damaged after this line (Compressed file ended before the "
        "end-of-stream marker was reached); copy the file again.",
    ),
    "no gzip at all": Bad(
        {"interactions.csv.gz": GOOD},
        "{}/interactions.csv.gz: the gzip data is damaged (Not a gzipped file (b'us')); copy the file again.",
    ),
    "no Parquet at all": Bad(
        {"interactions.parquet": GOOD},
        "{}/interactions.parquet: this is not an undamaged Parquet file",
    ),
    "csv and parquet": Bad(
        {
            "interactions.csv": GOOD,
            "interactions.parquet": parquet(pl.DataFrame({"user_id": ["a"], "item_id": ["b"]})),
        },
        "{}/interactions.parquet: interactions.csv is there too; keep one of the two.",
    ),
    "a vector of zeros": Bad(
        {
            "items.csv": ITEMS,
            "vectors": lambda path: (
                path.mkdir(),
                pl.DataFrame({"item_id": ["a", "b"], "vector": [[1.0, 2.0], [0.0, 0.0]]}).write_parquet(
                    path / "text.parquet"
                ),
            ),
        },
        "{}/vectors/text.parquet:row 2: the vector is all zeros, which has no direction; mend it, or leave the row "
        "out.",
    ),
    "folder empty": Bad(
        {},
        "{}: there is no table of a data set in this folder (interactions, items, nodes or edges as .csv, .csv.gz or "
        ".parquet; images/ or images.parquet; vectors/SPACE.parquet).",
    ),
    "an edge to an unknown type": Bad(
        {"nodes.csv": NODES, "edges.csv": EDGES + "paper,p1,by,autor,a2\n"},
        "{}/edges.csv:3: target_type 'autor' is not a type of the nodes; the nearest is 'author'.",
    ),
    "a node twice": Bad(
        {"nodes.csv": NODES + "paper,p1,x\n", "edges.csv": EDGES},
        "{}/nodes.csv:4: node_type 'paper' node_id 'p1' is there already, at line 2; list a node once.",
    ),
    "an empty end of an edge": Bad(
        {"edges.csv": EDGES + "paper,p2,by,author,\n"}, "{}/edges.csv:3: target_id is empty."
    ),
    "a relation that no meta-path can say": Bad(
        {"edges.csv": EDGES + "paper,p2,written-by,author,a1\n"},
        "{}/edges.csv:3: relation 'written-by' contains '-', which has a meaning in meta-paths; choose another name.",
    ),
    "a negative weight": Bad(
        {"edges.csv.gz": gzip.compress(EDGES.replace("id\n", "id,weight\n").replace("a1\n", "a1,-1\n").encode())},
        "{}/edges.csv.gz:2: weight of paper-[by]-author '-1' is not a finite number above 0; mend it, or leave the row "
        "out.",
    ),
    "missing column in edges": Bad(
        {"edges.csv": EDGES.replace("target_id", "target")},
        "{}/edges.csv:1: there is no column 'target_id'; the nearest is 'target'.",
    ),
    "missing column in nodes": Bad(
        {"nodes.parquet": parquet(pl.DataFrame({"type": ["a"], "node_id": ["1"]}))},
        "{}/nodes.parquet: there is no column 'node_type'; the nearest is 'type'.",
    ),
    "a picture of no item": Bad(
        {"items.csv": ITEMS.replace("a,A", "boots,A"), "images/boot.png": picture()},
        "{}/images/boot.png: there is no item 'boot'; the nearest is 'boots'.",
    ),
    "two pictures of an item": Bad(
        {"images/a.jpg": picture("JPEG"), "images/a.png": picture()},
        "{}/images/a.png: a.jpg is there too; keep one picture of an item.",
    ),
    "two pictures of an item in Parquet": Bad(
        {"images.parquet": parquet(pl.DataFrame({"item_id": ["a", "a"], "image": [picture()] * 2}))},
        "{}/images.parquet:row 2: item_id 'a' is there already, at row 1; give an item one picture.",
    ),
    "text that calls itself a picture": Bad(
        {"images/a.jpg": "404 Not Found\n", "images/b.jpg": picture("JPEG")},
        "{}/images/a.jpg: the image is not a picture (the bytes are text).",
    ),
    "an empty picture": Bad(
        {"images.parquet": pictures(picture(), b"")}, "{}/images.parquet:row 2: the image is empty."
    ),
    "a picture without its header": Bad(
        {"images.parquet": pictures(picture("JPEG")[:20], picture())},
        "{}/images.parquet:row 1: the image is damaged: ",
    ),
    "a giant picture": Bad(
        {"images/a.png": giant()},
        "{}/images/a.png: the image has 50,000 x 50,000 pixels; at most 64 million are read, so make it smaller.",
    ),
    "a giant file": Bad(
        {"images/a.png": picture() + bytes(32 * 2**20)},
        "{}/images/a.png: the image has more than 32 MiB, the most that is read; make it smaller.",
    ),
    "an animation": Bad(
        {"images/a.gif": picture("GIF", save_all=True, append_images=[Image.new("RGB", (9, 7), "red")])},
        "{}/images/a.gif: the image has several frames; save one of them.",
    ),
    "several pages": Bad(
        {"images/a.tif": picture("TIFF", save_all=True, append_images=[Image.new("RGB", (9, 7))])},
        "{}/images/a.tif: the image has several pages; save one of them.",
    ),
    "CMYK": Bad({"images/a.jpg": picture("JPEG", "CMYK")}, "{}/images/a.jpg: the image is CMYK; save it as RGB."),
    "16 bits": Bad(
        {"images/a.png": picture("PNG", "I;16")}, "{}/images/a.png: the image has 16 bits per channel; save it with 8."
    ),
    "no picture by its name": Bad(
        {"images/a.jpg": picture("JPEG"), "images/b.heic": b"\0\0\0\x24ftypheic"},
        "{}/images/b.heic: this is no picture by its name (.jpg, .jpeg, .png, .webp, .gif, .bmp, .tif, .tiff); save it "
        "as one or remove it.",
    ),
    "paths where pictures should be": Bad(
        {"images.parquet": parquet(pl.DataFrame({"item_id": ["a"], "image": ["a.jpg"]}))},
        "{}/images.parquet: the column 'image' holds large_string; write the bytes of picture files (binary).",
    ),
    "no Parquet of pictures at all": Bad(
        {"images.parquet": picture()}, "{}/images.parquet: this is not an undamaged Parquet file"
    ),
    "pictures in both forms": Bad(
        {"images/a.png": picture(), "images.parquet": pictures(picture())},
        "{}/images.parquet: images is there too; keep one of the two.",
    ),
    "items alone": Bad(
        {"items.csv": ITEMS},
        "{}: nothing to train on; bring interactions, edges, images or vectors, such as interactions.csv, edges.csv or "
        "a folder images",
        only_train=True,
    ),
}


def listing(folder: Path) -> dict[str, str]:
    """Everything below a folder, with the sums of files; not the empty cache folder that importing torch makes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
        if not path.name.startswith("torchinductor_")
    }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the command finds its working, temporary and home directories too."""
    for name in ("here", "tmp", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def refused(outcome, message: str) -> None:
    """Exit code 2, nothing on standard output, the message and nothing else."""
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"recsvc: {message}"), line
    if message.endswith("."):
        assert line == f"recsvc: {message}"


@pytest.mark.parametrize("kind", KINDS)
def test_bad_folders(recsvc, place, kind):
    bad = KINDS[kind]
    dataset = place / "dataset"
    dataset.mkdir()
    for name, content in bad.files.items():
        (dataset / name).parent.mkdir(exist_ok=True)
        if callable(content):
            content(dataset / name)
        else:
            (dataset / name).write_bytes(content.encode() if isinstance(content, str) else content)
    before = listing(place)
    refused(recsvc("train", dataset, "--out", place / "runs" / "first"), bad.message.format(dataset))
    assert listing(place) == before
    checked = recsvc("check", dataset)
    assert listing(place) == before
    if bad.only_train:
        assert checked.code == 0, checked
    else:
        refused(checked, bad.message.format(dataset))


def test_no_folder_at_all(recsvc, place):
    file = place / "interactions.csv"
    file.write_text(GOOD)
    before = listing(place)
    for dataset, message in (
        (place / "missing", "the data set folder does not exist."),
        (file, "this is a file; name the folder that it lies in."),
    ):
        for command in (["check", dataset], ["train", dataset, "--out", place / "run"]):
            refused(recsvc(*command), f"{dataset}: {message}")
    assert listing(place) == before


def test_twenty_problems_are_named_and_the_rest_counted(recsvc, place):
    dataset = place / "dataset"
    dataset.mkdir()
    rows = "".join(f"u{n},a,day {n}\n" for n in range(30))
    (dataset / "interactions.csv").write_text("user_id,item_id,timestamp\n" + rows)
    before = listing(place)
    outcome = recsvc("train", dataset, "--out", place / "run")
    assert outcome.code == 2 and outcome.out == ""
    lines = outcome.err.splitlines()
    assert len(lines) == 21 and lines[-1] == "... and 10 more problems like these."
    file = dataset / "interactions.csv"
    for number, line in enumerate(lines[:20], start=2):
        assert f"{file}:{number}: timestamp 'day {number - 2}' is neither" in line
    assert listing(place) == before


def test_no_traceback_from_a_real_process(recsvc_process, place):
    dataset = place / "dataset"
    dataset.mkdir()
    (dataset / "interactions.csv").write_text(GOOD + "u3,a\n")
    before = listing(place)
    outcome = recsvc_process("train", dataset, "--out", place / "run")
    message = f"recsvc: {dataset}/interactions.csv:8: 2 values where the header names 3.\n"
    assert (outcome.code, outcome.out, outcome.err) == (2, "", message)
    assert listing(place) == before


def test_a_picture_that_is_cut_short_shows_when_all_are_decoded(recsvc, place):
    dataset = place / "dataset"
    (dataset / "images").mkdir(parents=True)
    (dataset / "images" / "a.jpg").write_bytes(picture("JPEG"))
    (dataset / "images" / "b.bmp").write_bytes(picture("BMP")[:-20])
    before = listing(place)
    message = f"{dataset}/images/b.bmp: the image is damaged: image file is truncated"
    refused(recsvc("check", dataset), message)
    assert listing(place) == before


def test_an_existing_empty_out_folder_stays_empty(recsvc, place):
    dataset = place / "dataset"
    dataset.mkdir()
    (place / "run").mkdir()
    (dataset / "interactions.csv").write_bytes(b"")
    assert recsvc("train", dataset, "--out", place / "run").code == 2
    assert os.listdir(place / "run") == []  # noqa: PTH208
