"""Every kind of picture that people have comes out as the same RGB pixels, or is refused for a reason they can read."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from recsvc.errors import PictureError
from recsvc.pictures import MAX_BYTES, MAX_PIXELS, check_picture, decode_picture

Encode = Callable[..., bytes]
Pixels = npt.NDArray[np.uint8]

LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}, "TIFF, deflated": {"compression": "tiff_lzw"}}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, bits: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG that says of itself what it likes."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_pixels_that_went_in(scene: Pixels, encode: Encode, kind: str) -> None:
    form = kind.partition(",")[0]
    content = encode(scene, form, **LOSSLESS[kind])
    pixels = decode_picture(content)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable and pixels.flags.c_contiguous
    assert np.array_equal(pixels, scene)
    assert check_picture(content) == ({"WEBP": "WebP"}.get(form, form), 32, 24)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True, "subsampling": 0}])
def test_jpeg(scene: Pixels, encode: Encode, options: dict[str, object]) -> None:
    content = encode(scene, "JPEG", quality=95, **options)
    assert np.abs(decode_picture(content).astype(int) - scene).max() < 12
    assert check_picture(content) == ("JPEG", 32, 24)


def test_a_single_gif_and_grey_and_palettes_and_black_and_white(scene: Pixels, encode: Encode) -> None:
    image = Image.fromarray(scene)
    grey = np.asarray(image.convert("L"))
    assert np.array_equal(decode_picture(encode(image.convert("L"), "PNG")), np.stack([grey] * 3, axis=2))
    palette = image.quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    for form in ("GIF", "PNG", "BMP"):
        assert np.array_equal(decode_picture(encode(palette, form)), expected)
    bits = image.convert("1")
    assert np.array_equal(decode_picture(encode(bits, "PNG")), np.asarray(bits.convert("RGB")))


def test_transparency_is_laid_over_white(scene: Pixels, encode: Encode) -> None:
    alpha = np.zeros((24, 32), dtype=np.uint8)
    alpha[:, 8:16] = 255
    alpha[:, 16:] = 128
    rgba = np.dstack([scene, alpha])
    expected = (scene.astype(float) * alpha[..., None] + 255.0 * (255 - alpha[..., None])) / 255
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        pixels = decode_picture(encode(rgba, form, **options))
        assert np.abs(pixels - expected).max() <= 1
        assert (pixels[:, :8] == 255).all()
        assert np.array_equal(pixels[:, 8:16], scene[:, 8:16])
    grey = np.dstack([scene[..., 0], alpha])
    assert (decode_picture(encode(Image.fromarray(grey, "LA"), "PNG"))[:, :8] == 255).all()


def test_one_transparent_colour_becomes_white(encode: Encode) -> None:
    image = Image.new("RGB", (4, 1), (10, 20, 30))
    image.putpixel((2, 0), (200, 0, 0))
    pixels = decode_picture(encode(image, "PNG", transparency=(10, 20, 30)))
    assert pixels[0].tolist() == [[255] * 3, [255] * 3, [200, 0, 0], [255] * 3]
    palette = image.quantize(2)
    clear = palette.getpixel((0, 0))
    for form in ("PNG", "GIF"):
        pixels = decode_picture(encode(palette, form, transparency=clear))
        assert pixels[0].tolist() == [[255] * 3, [255] * 3, [200, 0, 0], [255] * 3]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_exif_orientation_is_applied(scene: Pixels, encode: Encode, orientation: int, form: str) -> None:
    """An oracle by index arithmetic: where the stored row 0 and column 0 are shown (EXIF 2.3, 4.6.4)."""
    shown = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.transpose(1, 0, 2),
        6: scene[::-1].transpose(1, 0, 2),
        7: scene[::-1, ::-1].transpose(1, 0, 2),
        8: scene[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(form, {})
    pixels = decode_picture(encode(scene, form, exif=exif.tobytes() if form != "TIFF" else exif, **options))
    assert pixels.shape == shown.shape
    assert np.abs(pixels.astype(int) - shown).max() <= (4 if form == "JPEG" else 0)


def test_damaged_exif_is_no_reason_to_refuse_a_picture(scene: Pixels, encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(scene, "JPEG", exif=exif.tobytes())
    assert decode_picture(content).shape == (32, 24, 3)
    at = content.index(b"MM\0*")
    for damage in (b"MM\0*\x7f\xff\xff\xff", b"XXXXXXXX"):
        damaged = content[:at] + damage + content[at + len(damage) :]
        assert decode_picture(damaged).shape == (24, 32, 3)


def test_the_first_picture_of_a_phone_that_writes_several_into_a_jpeg(scene: Pixels, encode: Encode) -> None:
    first, second = Image.fromarray(scene), Image.fromarray(scene[::-1])
    content = encode(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert Image.open(io.BytesIO(content)).n_frames == 2
    assert check_picture(content).format == "JPEG"
    assert np.abs(decode_picture(content).astype(int) - scene).max() < 12


def refusals(encode: Encode) -> dict[str, tuple[bytes, str]]:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    other = noise.transpose(Image.Transpose.ROTATE_90)
    wide = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    sixteen = struct.pack(">8H", *range(8)) * 3
    movie = {"save_all": True, "append_images": [other]}
    jpeg, plain = encode(noise, "JPEG"), encode(noise, "PNG")
    return {
        "nothing": (b"", "is empty"),
        "text": ("Fehler 404: Nicht gefunden, é".encode() * 40, "is not a picture (the bytes are text)"),
        "a web page": (b"<!DOCTYPE html>\n<html>", "is not a picture (the bytes are text)"),
        "HEIC": (b"\0\0\0\x24ftypheic\0\0\0\0", "is of a kind that is not read (HEIC, AVIF or a video); save it"),
        "PDF": (b"%PDF-1.7\n\xe2\xe3\xcf\xd3\x00", "is not a picture of a kind that is read; save it as JPEG, PNG"),
        "zeros": (bytes(3000), "is not a picture of a kind that is read; save it as JPEG, PNG"),
        "too many bytes": (jpeg + bytes(MAX_BYTES), "has more than 32 MiB, the most that is read; make it smaller"),
        "a bomb": (png(50_000, 50_000), "has 50,000 x 50,000 pixels; at most 64 million are read, so make it smaller"),
        "a small bomb": (png(8001, 8000), "has 8,001 x 8,000 pixels; at most 64 million are read, so make it smaller"),
        "a bomb as GIF": (
            b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
            "has 65,535 x 65,535 pixels",
        ),
        "a bomb behind a small GIF screen": (
            b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
            "has more than 64 million pixels, the most that are read; make it smaller",
        ),
        "animated GIF": (encode(noise, "GIF", **movie), "has several frames; save one of them"),
        "animated WebP": (encode(noise, "WEBP", **movie), "has several frames; save one of them"),
        "animated PNG": (encode(noise, "PNG", **movie), "has several frames; save one of them"),
        "TIFF with pages": (encode(noise, "TIFF", **movie), "has several pages; save one of them"),
        "CMYK JPEG": (encode(noise.convert("CMYK"), "JPEG"), "is CMYK; save it as RGB"),
        "CMYK TIFF": (encode(noise.convert("CMYK"), "TIFF"), "is CMYK; save it as RGB"),
        "CIELAB": (encode(noise.convert("LAB"), "TIFF"), "has pixels of the kind LAB; save it as RGB"),
        "16 bits, grey": (encode(Image.fromarray(wide), "PNG"), "has 16 bits per channel; save it with 8"),
        "16 bits, colour": (png(8, 1, bits=16, data=b"\0" + sixteen), "has 16 bits per channel; save it with 8"),
        "16 bits, TIFF": (encode(Image.fromarray(wide), "TIFF"), "has 16 bits per channel; save it with 8"),
        "floats": (encode(Image.fromarray(np.eye(4, dtype=np.float32)), "TIFF"), "has 32 bits per channel; save it"),
        "JPEG, header cut": (jpeg[:30], "is damaged: "),
        "JPEG, 12 bits": (jpeg.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "is damaged: cannot handle 12"),
        "PNG, header only": (plain[:20], "is damaged: "),
        "PNG, sum of the header wrong": (plain[:29] + b"\0\0\0\0" + plain[33:], "is damaged: "),
        "no width": (png(0, 5), "is damaged: "),
    }  # fmt: skip


BODIES = {
    "JPEG, cut": ("JPEG", {}, "is damaged: image file is truncated"),
    "JPEG, progressive, cut": ("JPEG", {"progressive": True}, "is damaged: "),
    "PNG, cut": ("PNG", {}, "is damaged: "),
    "GIF, cut": ("GIF", {}, "is damaged: "),
    "BMP, cut": ("BMP", {}, "is damaged: image file is truncated"),
    "TIFF, cut": ("TIFF", {}, "is damaged: "),
    "TIFF, LZW, cut": ("TIFF", {"compression": "tiff_lzw"}, "is damaged: "),
    "WebP, cut": ("WEBP", {}, "is damaged: "),
    "WebP, lossless, cut": ("WEBP", {"lossless": True}, "is damaged: "),
}


def test_what_is_refused_from_the_header(encode: Encode) -> None:
    for kind, (content, message) in refusals(encode).items():
        for read in (check_picture, decode_picture):
            with pytest.raises(PictureError) as caught:
                read(content)
            text = str(caught.value)
            assert text.startswith(message), kind
            assert "\n" not in text and not text.endswith("."), kind


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_what_is_cut_short_is_refused_in_full(encode: Encode, kind: str, share: float) -> None:
    form, options, message = BODIES[kind]
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    content = encode(noise, form, **options)
    assert decode_picture(content).shape == (60, 60, 3)
    with pytest.raises(PictureError) as caught:
        decode_picture(content[: int(len(content) * share)])
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("; save it again")


def test_a_wrong_sum_in_the_body_is_refused(scene: Pixels, encode: Encode) -> None:
    content = bytearray(encode(scene, "PNG"))
    at = content.index(b"IDAT") + 40
    content[at] ^= 0xFF
    assert check_picture(bytes(content)).format == "PNG"
    with pytest.raises(PictureError, match="is damaged: "):
        decode_picture(bytes(content))


def test_the_limit_itself_is_read(encode: Encode) -> None:
    content = png(8000, 8000, bits=1, colour=0, data=bytes(1001 * 8000))
    assert check_picture(content)[1:] == (8000, 8000)
    assert MAX_PIXELS == 8000 * 8000
    padded = encode(Image.new("RGB", (2, 2)), "JPEG")
    padded += bytes(MAX_BYTES - len(padded))
    assert check_picture(padded).format == "JPEG"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_bytes_whatever_raise_anything_else(data: st.DataObject) -> None:
    """Flipped, cut and spliced pictures of every format: pixels or a `PictureError`, never another exception."""
    out = io.BytesIO()
    form = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]))
    noise = np.random.default_rng(data.draw(st.integers(0, 3))).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, form)
    content = bytearray(out.getvalue())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[at] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(len(content) // 3, len(content))) :]
    try:
        pixels = decode_picture(bytes(content))
    except PictureError as error:
        assert str(error)
    else:
        assert pixels.ndim == 3 and pixels.shape[2] == 3


def test_half_pictures_are_never_let_through() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_nothing_is_printed_about_odd_pictures(scene: Pixels, encode: Encode) -> None:
    """In a process of its own: pytest has its own way with warnings."""
    content = encode(scene, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05")  # five tags, and then nothing

    def said(code: str) -> str:
        command = [sys.executable, "-c", f"content = bytes.fromhex('{content.hex()}')\n{code}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr

    assert "Corrupt EXIF data" in said("import io\nfrom PIL import Image\nImage.open(io.BytesIO(content)).getexif()")
    assert said("from recsvc.pictures import decode_picture\nassert decode_picture(content).shape == (24, 32, 3)") == ""


def test_the_service_imports_no_tables_and_no_torch() -> None:
    code = (
        "import sys, recsvc.pictures\n"
        "heavy = {'polars', 'pyarrow', 'torch', 'pandas', 'recsvc.data', 'training', 'api'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
