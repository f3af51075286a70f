"""Uploads of pictures: what is answered, and the problem of every upload that cannot be."""

import asyncio
import struct
import zlib
from collections.abc import Callable, Iterator
from types import ModuleType

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from api.settings import Settings
from recsvc.pictures import MAX_BYTES

UPLOAD = "/v1/similar/image"
FORM = "multipart/form-data; boundary=b"


def files(content: bytes, name: str = "picture.png") -> dict:
    return {"image": (name, content)}


def pairs(answer: dict) -> list:
    return [(item["item_id"], pytest.approx(item["score"], abs=1e-4)) for item in answer["items"]]


def test_a_picture_of_the_catalogue_finds_its_own_item_first(client: httpx.Client, tiny, release: str) -> None:
    for item_id, content in tiny.pictures.items():
        response = client.post(UPLOAD, files=files(content))
        assert response.status_code == 200, response.text
        answer = response.json()
        expected = tiny.image.nearest(tiny.picture_vector(content), 10)
        assert pairs(answer) == [(found, score) for _, found, score in expected]
        assert answer["items"][0]["item_id"] == item_id
        assert answer["items"][0]["score"] == pytest.approx(1, abs=1e-4)
        assert answer["recommendation_id"] == response.headers["x-request-id"]
        assert (answer["release"], answer["space"], answer["source"]) == (release, "image", "model")
        assert answer["unknown"] == []
        assert response.headers["cache-control"] == "private, no-store"


def test_the_fields_of_the_form_are_those_of_a_question(client: httpx.Client, tiny) -> None:
    content = tiny.pictures["1193"]
    data = {"k": "4", "exclude": ["1193", "Zoë 🎬", "nobody", "item-2"], "space": "image"}
    answer = client.post(UPLOAD, files=files(content), data=data).json()
    banned = [("film", item_id) for item_id in data["exclude"]]
    expected = tiny.image.nearest(tiny.picture_vector(content), 4, banned)
    assert pairs(answer) == [(found, score) for _, found, score in expected]
    assert answer["unknown"] == ["nobody"]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF"])
def test_every_format_is_read_whatever_the_client_calls_it(
    client: httpx.Client, tiny, support: ModuleType, form: str
) -> None:
    content = support.picture(np.random.default_rng(1), form)
    expected = tiny.image.nearest(tiny.picture_vector(content), 10)
    for part in (("picture", content), ("x.txt", content, "text/plain"), ("a/../b", content, "image/jpeg")):
        answer = client.post(UPLOAD, files={"image": part}).json()
        assert pairs(answer) == [(found, score) for _, found, score in expected]


def test_the_stages_are_measured_and_nothing_of_the_upload_is_in_a_label(client: httpx.Client, tiny) -> None:
    names = [f'recsvc_stage_seconds_count{{stage="{stage}"}} ' for stage in ("decode", "encode", "score", "catalogue")]

    def counts() -> list[float]:
        lines = client.get("/metrics").text.splitlines()
        return [sum(float(line.split()[-1]) for line in lines if line.startswith(name)) for name in names]

    before = counts()
    client.post(UPLOAD, files={"image": ("planted", tiny.pictures["1193"])}, data={"exclude": "planted"})
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1, 1]
    text = client.get("/metrics").text
    assert 'route="/v1/similar/image",status="200"' in text
    assert "planted" not in text


# Pictures that are refused: the name of a file and its content type say nothing, the bytes do.


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def animated(support: ModuleType, frames: int) -> bytes:
    pictures = [Image.new("L", (9, 9), shade) for shade in range(frames)]
    return support.encoded(pictures[0], "GIF", save_all=True, append_images=pictures[1:])


def sixteen_bits(support: ModuleType) -> bytes:
    return support.encoded(Image.fromarray(np.full((9, 9), 40_000, dtype=np.uint16)), "PNG")


BAD_PICTURES: dict[str, tuple[Callable[[ModuleType], bytes], str]] = {
    "text named .jpg": (lambda s: b"The quick brown fox, named .jpg.", "is not a picture"),
    "HTML": (lambda s: b"<html><img src=x></html>", "is not a picture"),
    "noise": (lambda s: np.random.default_rng(0).bytes(500), "is not a picture"),
    "truncated JPEG": (lambda s: s.encoded(noise(200), "JPEG")[:-2000], "is damaged"),
    "truncated PNG": (lambda s: s.encoded(noise(200), "PNG")[:-2000], "is damaged"),
    "a header that lies": (lambda s: png_header(100, 100), "is damaged"),
    "animated GIF": (lambda s: animated(s, 12), "frames"),
    "CMYK JPEG": (lambda s: s.encoded(Image.new("CMYK", (9, 9)), "JPEG"), "is CMYK; save it as RGB"),
    "16-bit PNG": (sixteen_bits, "has 16 bits per channel; save it with 8"),
    "giant PNG": (lambda s: png_header(50_000, 50_000), "has 50,000 x 50,000 pixels"),
}


def noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, size=(side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_bad_picture_is_one_clear_problem(client: httpx.Client, is_problem, support: ModuleType, kind: str) -> None:
    make, words = BAD_PICTURES[kind]
    response = client.post(UPLOAD, files={"image": ("picture.jpg", make(support), "image/jpeg")})
    detail = is_problem(response, 422, "invalid-picture")["detail"]
    assert detail.startswith("The picture ") and detail.endswith(".") and "\n" not in detail
    assert words in detail


# Forms that are refused.


@pytest.mark.parametrize(
    ("parts", "data", "place", "words"),
    [
        ({}, {"k": "5"}, "image", "Field required"),
        ({}, {"image": "text"}, "image", "a part with a file name"),
        ({"image": ("a.png", b"")}, {}, "image", "is empty"),
        ({"file": ("a.png", b"x"), "image": ("a.png", b"x")}, {}, "file", "no such file"),
        ({"image": ("a.png", b"x")}, {"k": "0"}, "k", "greater"),
        ({"image": ("a.png", b"x")}, {"k": "101"}, "k", "less"),
        ({"image": ("a.png", b"x")}, {"k": "five"}, "k", "integer"),
        ({"image": ("a.png", b"x")}, {"k": "1" * 4000}, "k", "less"),
        ({"image": ("a.png", b"x")}, {"k": ["5", "6"]}, "k", "once"),
        ({"image": ("a.png", b"x")}, {"space": ["image", "image"]}, "space", "once"),
        ({"image": ("a.png", b"x")}, {"space": "x" * 41}, "space", "40"),
        ({"image": ("a.png", b"x")}, {"exclude": ""}, "exclude", "at least 1"),
        ({"image": ("a.png", b"x")}, {"exclude": "é" * 257}, "exclude", "512 bytes"),
        ({"image": ("a.png", b"x")}, {"url": "http://192.0.2.1/a.png"}, "url", "not permitted"),
        ({"image": ("a.png", b"x")}, {"node_type": "film"}, "node_type", "not permitted"),
    ],
)
def test_a_form_with_other_parts(client: httpx.Client, is_problem, parts, data, place: str, words: str) -> None:
    # A form of no files is sent as such only with a boundary of ours.
    if parts:
        response = client.post(UPLOAD, files=parts, data=data)
    else:
        response = client.post(UPLOAD, files=[(key, (None, value)) for key, value in data.items()])
    problem = is_problem(response, 422, "invalid-request", with_errors=True)
    (error,) = problem["errors"]
    assert error["loc"][:2] == ["body", place]
    assert words in error["msg"]


def test_two_files(client: httpx.Client, is_problem, tiny) -> None:
    part = ("a.png", tiny.pictures["1193"])
    for parts in ([("image", part)] * 2, [("image", part), ("image", (None, "text"))]):
        problem = is_problem(client.post(UPLOAD, files=parts), 422, "invalid-request", with_errors=True)
        assert [(error["loc"], error["msg"]) for error in problem["errors"]] == [(["body", "image"], "Send one file")]
    is_problem(client.post(UPLOAD, files=[("image", part)] * 9), 400, "malformed-body")


def test_all_that_is_wrong_is_said_at_once(client: httpx.Client, is_problem) -> None:
    response = client.post(UPLOAD, files={"other": ("a", b"x")}, data={"k": "-1", "exclude": ["a", ""]})
    problem = is_problem(response, 422, "invalid-request", with_errors=True)
    assert sorted(error["loc"][1] for error in problem["errors"]) == ["exclude", "image", "k", "other"]


@pytest.mark.parametrize(
    "content_type", ["application/json", "image/png", "text/plain", "", "multipart/mixed; boundary=b"]
)
def test_a_body_of_another_type(client: httpx.Client, is_problem, tiny, content_type: str) -> None:
    response = client.post(UPLOAD, content=tiny.pictures["1193"], headers={"content-type": content_type})
    is_problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--b--\r\n"),
        ("multipart/form-data; boundary=", b"--b--\r\n"),
        (FORM, b""),
        (FORM, b"no form at all"),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nhalf a file'),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nfile\r\n--b'),
        (FORM, b"--b\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--b--\r\n"),
        (FORM, b"--b\r\n\r\nno headers\r\n--b--\r\n"),
        (FORM, b"--b\r\n" + b"X: y\r\n" * 500 + b"\r\nmany headers\r\n--b--\r\n"),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n' + b"5" * 5000 + b"\r\n--b--\r\n"),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n5\r\n' * 1001 + b"--b--\r\n"),
        (FORM + "; charset=undefined", b'--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n5\r\n--b--\r\n'),
    ],
)
def test_a_body_that_is_no_form(client: httpx.Client, is_problem, content_type: str, body: bytes) -> None:
    response = client.post(UPLOAD, content=body, headers={"content-type": content_type})
    is_problem(response, 400, "malformed-body")


def test_a_space_that_reads_no_pictures(client: httpx.Client, is_problem, tiny) -> None:
    picture = files(tiny.pictures["1193"])
    problem = is_problem(client.post(UPLOAD, files=picture, data={"space": "video"}), 422, "unknown-space")
    assert problem["detail"] == "The spaces of the release: behaviour, graph, image."
    problem = is_problem(client.post(UPLOAD, files=picture, data={"space": "graph"}), 422, "invalid-request")
    assert "reads no pictures" in problem["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_method_that_the_route_has_not(client: httpx.Client, is_problem, method: str) -> None:
    is_problem(client.request(method, UPLOAD), 405, "method-not-allowed")


# Sizes.


def form_of(content: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n"


def test_an_upload_has_a_limit_of_its_own(client: httpx.Client, is_problem, support: ModuleType) -> None:
    picture = support.encoded(noise(250), "BMP")
    assert 100_000 < len(form_of(picture)) < 200_000  # larger than a question may be
    assert client.post(UPLOAD, files=files(picture)).status_code == 200
    exact = form_of(picture.ljust(200_000 - len(form_of(b"")), b"\0"))
    headers = {"content-type": FORM}
    assert client.post(UPLOAD, content=exact, headers=headers).status_code == 200
    response = client.post(UPLOAD, content=exact + b"\0", headers=headers)
    assert "200000 bytes" in is_problem(response, 413, "body-too-large")["detail"]


def test_an_upload_that_turns_out_to_be_too_large(client: httpx.Client, is_problem, support: ModuleType) -> None:
    picture = support.encoded(noise(250), "BMP")

    def chunks(length: int) -> Iterator[bytes]:  # sent without a Content-Length
        whole = form_of(picture.ljust(length - len(form_of(b"")), b"\0"))
        yield from (whole[start : start + 7000] for start in range(0, len(whole), 7000))

    headers = {"content-type": FORM}
    assert client.post(UPLOAD, content=chunks(200_000), headers=headers).status_code == 200
    is_problem(client.post(UPLOAD, content=chunks(200_001), headers=headers), 413, "body-too-large")


def test_no_more_is_read_than_the_limit(client) -> None:
    """A body without an end, asked of the application itself, which says how much it took."""
    taken = 0
    sent: list[dict] = []

    async def receive() -> dict:
        nonlocal taken
        chunk = form_of(b"")[:-9] if not taken else b"x" * 8192
        taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"content-type", FORM.encode())]
    scope = {"type": "http", "method": "POST", "path": UPLOAD, "headers": headers, "query_string": b""}
    asyncio.run(client.app(scope, receive, send))
    assert sent[0]["status"] == 413
    assert taken <= 200_000 + 8192


def test_the_largest_setting_is_what_the_decoder_reads(store) -> None:
    assert Settings(store=store.path, max_picture_bytes=MAX_BYTES).max_picture_bytes == MAX_BYTES
    with pytest.raises(ValueError, match="max_picture_bytes"):
        Settings(store=store.path, max_picture_bytes=MAX_BYTES + 1)


# Fuzz: parts of any name and content, and bodies that look like forms and are none.

NAMES = st.sampled_from(["image", "k", "exclude", "space", "url", "", "\x00", "im\r\nage", "é"]) | st.text(max_size=8)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["5", "image", "graph", "1193"]
)
CHARSETS = ["", "utf-8", "utf-7", "utf-16", "idna", "punycode", "hex", "undefined", "no-such", "unicode_escape"]


@settings(max_examples=200, deadline=None)
@given(
    fields=st.lists(st.tuples(NAMES, PLAIN), max_size=5),
    parts=st.lists(st.tuples(NAMES, PLAIN, st.binary(max_size=40) | st.just(b"PICTURE")), min_size=1, max_size=3),
)
def test_any_form_gets_an_answer_or_a_problem(client: httpx.Client, is_problem, tiny, fields, parts) -> None:
    picture = tiny.pictures["661"]
    sent = [(name, (file, picture if content == b"PICTURE" else content)) for name, file, content in parts]
    response = client.post(UPLOAD, files=[(name, (None, value)) for name, value in fields] + sent)
    if response.status_code == 200:
        assert len(response.json()["items"]) <= 100
    else:
        assert response.status_code in (400, 422)
        slug = response.json()["type"].rpartition(":")[2]
        is_problem(response, response.status_code, slug, with_errors="errors" in response.json())


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(
        st.binary(max_size=20)
        | st.sampled_from(
            [
                *(b"--b\r\n", b"--b--\r\n", b"\r\n", b"\r\n\r\n", b"+2AA-", b"\xff\xfe", b"xn--\xff"),
                b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n',
                b'Content-Disposition: form-data; name="exclude"\r\n\r\n',
                b"Content-Disposition: form-data; name*=utf-8''image\r\n\r\n",
                b"Content-Transfer-Encoding: base64\r\n",
            ]
        ),
        max_size=12,
    ),
    charset=st.sampled_from(CHARSETS),
)
def test_any_bytes_get_a_problem(client: httpx.Client, pieces: list[bytes], charset: str) -> None:
    headers = {"content-type": f"{FORM}; charset={charset}" if charset else FORM}
    response = client.post(UPLOAD, content=b"".join(pieces), headers=headers)
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"
