"""From the bytes of a picture file to the numbers that an image encoder reads.

Training, export and the service all come through here, so that a picture means the same pixels to each. Pillow
and NumPy are all that it needs:

>>> spec = PictureInput(size=64, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
>>> preprocess(open("cat.jpg", "rb").read(), spec).shape  # doctest: +SKIP
(3, 64, 64)
"""

from recsvc.pictures.decode import MAX_BYTES, MAX_PIXELS, SUFFIXES, PictureFacts, check_picture, decode_picture
from recsvc.pictures.preprocess import PictureInput, fit_square, normalise, preprocess

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "PictureFacts",
    "PictureInput",
    "check_picture",
    "decode_picture",
    "fit_square",
    "normalise",
    "preprocess",
]
