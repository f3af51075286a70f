"""Encoded pictures become RGB pixels, or are refused in one clause that says what to do.

Whatever is to be refused is refused from the header, before memory is asked for; what only the body shows
(it is cut short, a sum is wrong) comes out when it is decoded. No picture is ever mended or half-read.
"""

import codecs
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from recsvc.errors import PictureError

MAX_BYTES: Final = 32 * 2**20
"""The largest picture file that is read; of a larger one, a byte more than this is all that anybody need fetch."""

MAX_PIXELS: Final = 64_000_000
"""The most pixels, width times height, that are decoded."""

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Ends of the names of picture files, in small letters."""

# Pillow's own classes and not `Image.open`, which hides why a format refused a file, stops at sizes of its own
# choosing before they can be named, and takes the JPEG of many phones (MPO: previews behind it) for an animation.
_READERS: Final[tuple[tuple[bytes, str, type[ImageFile]], ...]] = (
    (b"\xff\xd8\xff", "JPEG", JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", "PNG", PngImageFile),
    (b"GIF87a", "GIF", GifImageFile),
    (b"GIF89a", "GIF", GifImageFile),
    (b"BM", "BMP", BmpImageFile),
    (b"II*\0", "TIFF", TiffImageFile),
    (b"MM\0*", "TIFF", TiffImageFile),
    (b"II+\0", "TIFF", TiffImageFile),
    (b"MM\0+", "TIFF", TiffImageFile),
)

_KINDS = "JPEG, PNG, WebP, GIF, BMP or TIFF"

_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"}
"""Pillow's names of the pixel forms with eight bits per channel that have one meaning in RGB."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what puts the picture upright."""


class PictureFacts(NamedTuple):
    """What the header of a picture says; width and height in stored pixels, before any turn by EXIF."""

    format: str
    width: int
    height: int


def check_picture(content: bytes) -> PictureFacts:
    """Look at the header of an encoded picture.

    Raises:
        PictureError: it cannot be read; a clause to follow "the picture", such as "is CMYK; save it as RGB".
    """
    with _quiet_pillow():
        form, image = _open(content)
        return PictureFacts(form, image.width, image.height)


def decode_picture(content: bytes) -> npt.NDArray[np.uint8]:
    """Decode an encoded picture into RGB, uint8 [H, W, 3], upright.

    EXIF orientation is applied, grey and palettes become RGB, transparency is laid over white. Colour profiles
    are left alone. Of a JPEG with further pictures behind it (MPO) the first is read.

    Raises:
        PictureError: as by `check_picture`, or the body is damaged.
    """
    with _quiet_pillow():
        _, image = _open(content)
        with _pillow_errors():
            image.load()
            turn = _TURNS.get(_orientation(image))
            rgb = _to_rgb(image)
            return np.array(rgb if turn is None else rgb.transpose(turn))


def _open(content: bytes) -> tuple[str, ImageFile]:
    """Return the format and the picture, its header read and found good and its pixels not yet decoded."""
    if not content:
        raise PictureError("is empty")
    if len(content) > MAX_BYTES:
        raise PictureError(f"has more than {MAX_BYTES // 2**20} MiB, the most that is read; make it smaller")
    form, reader = _reader(content)
    with _pillow_errors():
        image = reader(io.BytesIO(content))
        several = form != "JPEG" and getattr(image, "is_animated", False)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"has {width:,} x {height:,} pixels; at most {MAX_PIXELS // 1_000_000} million are read, so make it smaller"
        )
    if several:
        raise PictureError(f"has several {'pages' if form == 'TIFF' else 'frames'}; save one of them")
    if image.mode == "CMYK":
        raise PictureError("is CMYK; save it as RGB")
    if (bits := _bits(content, image)) > 8:
        raise PictureError(f"has {bits} bits per channel; save it with 8")
    if image.mode not in _MODES:
        raise PictureError(f"has pixels of the kind {image.mode}; save it as RGB")
    return form, image


def _reader(content: bytes) -> tuple[str, type[ImageFile]]:
    for signature, form, reader in _READERS:
        if content.startswith(signature):
            return form, reader
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP", WebPImageFile
    if content[4:8] == b"ftyp":
        raise PictureError(f"is of a kind that is not read (HEIC, AVIF or a video); save it as {_KINDS}")
    if _is_text(content[:512]):
        raise PictureError("is not a picture (the bytes are text)")
    raise PictureError(f"is not a picture of a kind that is read; save it as {_KINDS}")


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # forgives a character that is cut at the end
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)


def _bits(content: bytes, image: ImageFile) -> int:
    """Return the bits per channel, which Pillow cuts down to eight without a word where there are sixteen."""
    if isinstance(image, PngImageFile) and content[12:16] == b"IHDR":
        return content[24]
    if isinstance(image, TiffImageFile):
        tag = image.tag_v2.get(258, 1)  # BitsPerSample
        return max(tag) if isinstance(tag, tuple) else int(tag)
    return 8


def _orientation(image: ImageFile) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none that can be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF says nothing; viewers show such a picture as it lies
        return 1


def _to_rgb(image: ImageFile) -> Image.Image:
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")  # which would copy
    layer = image.convert("RGBA")
    white = Image.new("RGB", layer.size, (255, 255, 255))
    white.paste(layer, mask=layer)
    return white


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Turn whatever Pillow raises, which may be of any type, into a `PictureError`."""
    try:
        yield
    except Image.DecompressionBombError:
        raise PictureError(
            f"has more than {MAX_PIXELS // 1_000_000} million pixels, the most that are read; make it smaller"
        ) from None
    except MemoryError:
        raise PictureError("needs more memory than there is; make it smaller") from None
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise PictureError(f"is damaged: {reason}; save it again") from None


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings off the screen: what they warn of is checked here, or is of no consequence."""
    with warnings.catch_warnings():
        # By module: should threads get into each other's way here, this filter is all that can be left behind.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
