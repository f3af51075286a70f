"""Pictures that are meant to do harm, to a real process: each gets a 4xx in time, and little memory is taken."""

import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import httpx
import numpy as np
import pytest
from PIL import Image

UPLOAD = "/v1/similar/image"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, *, depth: int = 8, kind: int = 2, extra: bytes = b"") -> bytes:
    """A PNG that says this size, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def gif(frames: int) -> bytes:
    """A GIF of so many frames of one pixel."""
    frame = b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c\0\0\0\0\1\0\1\0\0" + b"\x02\x02\x44\x01\0"
    return b"GIF89a\1\0\1\0\x80\0\0" + b"\0\0\0\xff\xff\xff" + frame * frames + b";"


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 1, 1, 0, 0)


def tiff(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 10)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"


def noise(support: ModuleType, form: str, side: int = 200) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, size=(side, side, 3), dtype=np.uint8)
    return support.encoded(Image.fromarray(pixels), form)


ZEROS = zlib.compress(b"\0" * 50_000_000, 9)  # 50 kB
BOMBS: dict[str, Callable[[ModuleType], bytes]] = {
    "50,000 x 50,000 PNG": lambda s: png(50_000, 50_000, ZEROS),
    "largest numbers PNG": lambda s: png(2**31 - 1, 2**31 - 1, ZEROS),
    "no size PNG": lambda s: png(0, 0, ZEROS),
    "one line PNG": lambda s: png(2**31 - 1, 1, ZEROS),
    "PNG with more pixels than it says": lambda s: png(10_000, 6_500, ZEROS, kind=6),
    "PNG with fewer pixels than it says": lambda s: png(4000, 4000, zlib.compress(b"\0" * 99)),
    "PNG with a text that unpacks": lambda s: png(9, 9, b"", extra=chunk(b"zTXt", b"a\0\0" + ZEROS)),
    "PNG with a profile that unpacks": lambda s: png(9, 9, b"", extra=chunk(b"iCCP", b"a\0\0" + ZEROS)),
    "PNG with a chunk that says it is large": lambda s: png(9, 9, b"")[:33] + b"\x7f\xff\xff\xffIDAT" + b"\0" * 50,
    "50,000 x 50,000 BMP": lambda s: bmp(50_000, 50_000),
    "negative BMP": lambda s: bmp(-50_000, -(2**31)),
    "50,000 x 50,000 TIFF": lambda s: tiff(50_000, 50_000),
    "largest numbers TIFF": lambda s: tiff(2**32 - 1, 2**32 - 1),
    "GIF of ten thousand frames": lambda s: gif(10_000),
    "GIF that says it is large": lambda s: b"GIF89a\xff\xff\xff\xff" + gif(1)[10:],
    "truncated JPEG": lambda s: noise(s, "JPEG")[:-3000],
    "head of a JPEG": lambda s: noise(s, "JPEG")[:100],
    "truncated WebP": lambda s: noise(s, "WEBP")[:-3000],
    "JPEG that says another size": lambda s: noise(s, "JPEG").replace(b"\0\xc8\0\xc8", b"\xff\xff\xff\xff", 1),
    "SVG": lambda s: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "PostScript": lambda s: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
    "PDF": lambda s: b"%PDF-1.7\n1 0 obj <<>> endobj\n%%EOF",
    "ZIP": lambda s: b"PK\x03\x04" + b"\0" * 100,
    "HTML that begins as a GIF": lambda s: b"GIF89a/*" + b"<script>alert(1)</script>" * 10,
    "FLI": lambda s: b"\0\0\0\0\x11\xaf" + b"\xff" * 200,
    "PSD": lambda s: (
        b"8BPS\0\1" + b"\0" * 6 + b"\0\3" + struct.pack(">II", 50_000, 50_000) + b"\0\x08\0\3" + b"\0" * 50
    ),
    "PPM": lambda s: b"P6 50000 50000 255\n",
    "XBM": lambda s: b"#define a_width 50000\n#define a_height 50000\nstatic char a_bits[] = {0x00};",
}


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.fixture
def client(attacked):
    with attacked.client() as client:
        yield client
    assert attacked.is_fine()


@pytest.mark.parametrize("kind", BOMBS)
def test_pictures_that_are_bombs_or_no_pictures(client: httpx.Client, attacked, support: ModuleType, kind: str) -> None:
    bomb = BOMBS[kind](support)
    client.post(UPLOAD, files={"image": ("warm.png", noise(support, "PNG", 500))})
    before, started = peak_bytes(attacked.process.pid), time.monotonic()
    answer = client.post(UPLOAD, files={"image": ("cat.jpg", bomb, "image/jpeg")})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert answer.json()["type"] == "urn:recsvc:problem:invalid-picture"
    assert time.monotonic() - started < 5
    assert peak_bytes(attacked.process.pid) - before < 250 * 2**20  # the most pixels that are read are 192 MB


def test_a_picture_with_something_behind_it_is_the_picture(client: httpx.Client, support: ModuleType) -> None:
    """A polyglot: what follows is read by nobody."""
    picture = noise(support, "PNG")
    plain = client.post(UPLOAD, files={"image": ("a", picture)}).json()["items"]
    behind = client.post(UPLOAD, files={"image": ("a", picture + b"PK\x03\x04<script>" + b"\0" * 10_000)})
    assert behind.status_code == 200
    assert [item["item_id"] for item in behind.json()["items"]] == [item["item_id"] for item in plain]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\r\nX-Evil: 1", "a" * 60_000, "\0", "a;b", "%2e%2e/", "é" * 1000]
)
def test_the_name_of_a_file_says_nothing(client: httpx.Client, attacked, support: ModuleType, name: str) -> None:
    answer = client.post(UPLOAD, files={"image": (name, noise(support, "PNG"))})
    assert answer.status_code in (200, 400)
    assert name not in attacked.text and "x-evil" not in answer.headers


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=" + "b" * 5000, b""),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: y\r\n" * 20_000),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=k\r\n\r\n1\r\n" * 5000),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=" + b"n" * 500_000),
        ("multipart/form-data; boundary=b", b"-" * 900_000),
        ("multipart/form-data; boundary=b", b"--b\r\n" * 100_000),
        ("multipart/form-data; boundary=b; charset=utf-7", b"--b--\r\n"),
    ],
    ids=["boundary", "headers", "fields", "name", "dashes", "empty-parts", "charset"],
)
def test_forms_that_are_bombs(client: httpx.Client, content_type: str, body: bytes) -> None:
    started = time.monotonic()
    answer = client.post(UPLOAD, content=body, headers={"content-type": content_type})
    assert answer.status_code in (400, 422), answer.text
    assert time.monotonic() - started < 5
