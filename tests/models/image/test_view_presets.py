"""The papers' views by name, and what a configuration changes of them."""

import math
import subprocess
import sys

import pytest
from pydantic import ValidationError

from recsvc.models.image.view_config import ViewConfig
from recsvc.models.image.view_presets import PRESETS, ViewsConfig


def changes(view):
    """Largest change of brightness, contrast, saturation and hue."""
    return [round(view.strength * each, 6) for each in (view.brightness, view.contrast, view.saturation, view.hue)]


@pytest.mark.parametrize(
    ("name", "area", "jitter", "colours", "blurs", "solarise"),
    [
        ("default", (0.2, 1), 0.8, [0.4, 0.4, 0.4, 0.1], (0.5, 0.5), 0),
        ("simclr", (0.08, 1), 0.8, [0.8, 0.8, 0.8, 0.2], (0.5, 0.5), 0),
        ("simclr-cifar", (0.08, 1), 0.8, [0.4, 0.4, 0.4, 0.1], (0, 0), 0),
        ("moco-v1", (0.2, 1), 1, [0.4, 0.4, 0.4, 0.4], (0, 0), 0),
        ("moco-v2", (0.2, 1), 0.8, [0.4, 0.4, 0.4, 0.1], (0.5, 0.5), 0),
        ("moco-cifar", (0.08, 1), 0.8, [0.4, 0.4, 0.4, 0.1], (0, 0), 0),
        ("byol", (0.08, 1), 0.8, [0.4, 0.4, 0.2, 0.1], (1, 0.1), 0.2),
        ("byol-cifar", (0.08, 1), 0.8, [0.4, 0.4, 0.2, 0.1], (0, 0), 0.2),
        ("swav", (0.14, 1), 0.8, [0.8, 0.8, 0.8, 0.2], (0.5, 0.5), 0),
        ("swav-cifar", (0.08, 1), 0.8, [0.8, 0.8, 0.8, 0.2], (0.5, 0.5), 0),
        ("i-mix", (0.2, 1), 0.8, [0.4, 0.4, 0.4, 0.1], (0, 0), 0),
    ],
)
def test_presets_are_the_papers(name, area, jitter, colours, blurs, solarise):
    views = ViewsConfig(preset=name).view_set()
    for view, blur, inverted in zip((views.first, views.second), blurs, (0, solarise), strict=True):
        assert view.crop_area == area and view.flip == 0.5 and view.grey == 0.2 and view.aspect == (3 / 4, 4 / 3)
        assert view.jitter == jitter and changes(view) == colours
        assert view.blur == blur and view.sigma == (0.1, 2) and view.solarise == inverted
        assert not (view.rotate or view.angle or view.cutout or view.sobel)
    assert views.count == (8 if name == "swav" else 2)


def test_swav_has_six_small_crops():
    views = PRESETS["swav"]
    assert (views.small_count, round(224 * views.small_size)) == (6, 96)
    assert views.small == views.first.model_copy(update={"crop_area": (0.05, 0.14)})


def test_the_default_is_what_it_was():
    views = ViewsConfig().view_set()
    assert views.first == views.second == ViewConfig() and views.small is None and views.small_count == 0


def test_changes_hold_for_both_full_views_or_for_one():
    views = ViewsConfig.model_validate(
        {"preset": "swav", "crop_area": 0.3, "grey": 0.0, "first": {"grey": 0.5}, "small": {"flip": 0.0}}
    ).view_set()
    assert (views.first.crop_area, views.second.crop_area) == ((0.3, 1), (0.3, 1))
    assert (views.first.grey, views.second.grey) == (0.5, 0)
    assert (views.small.crop_area, views.small.grey, views.small.flip) == ((0.05, 0.14), 0.2, 0)
    assert views.first.strength == 1


def test_small_views_can_be_added_resized_and_left_out():
    views = ViewsConfig.model_validate(
        {"preset": "simclr-cifar", "small_count": 2, "small_size": 0.5, "small": {"crop_area": [0.1, 0.3]}}
    ).view_set()
    assert (views.small_count, views.small_size, views.small.crop_area) == (2, 0.5, (0.1, 0.3))
    assert views.small.blur == 0  # the rest is as in the second full view
    views = ViewsConfig(preset="swav", small_count=0).view_set()
    assert views.small is None and views.count == 2


def test_what_is_written_out_reads_back_the_same():
    config = ViewsConfig.model_validate({"preset": "byol", "crop_area": 0.3, "second": {"sigma": [1, 2]}})
    again = ViewsConfig.model_validate(config.model_dump(mode="json"))
    assert again == config and again.view_set() == config.view_set()


@pytest.mark.parametrize(
    ("settings", "where", "message"),
    [
        ({"crop_are": 0.2}, ("crop_are",), "Extra inputs"),
        ({"first": {"crop_are": 0.2}}, ("first", "crop_are"), "Extra inputs"),
        ({"crop_area": "wide"}, ("crop_area",), "valid tuple"),
        ({"second": {"flip": 1.5}}, ("second", "flip"), "less than or equal to 1"),
        ({"crop_area": [0.5, 0.2]}, (), "first: crop_area: the least, 0.5, is above the most, 0.2"),
        ({"crop_area": [0.5, 1.2]}, (), "first: crop_area: 1.2 is more than the whole picture"),
        ({"second": {"sigma": [2, 1]}}, (), "second: sigma: the least"),
        ({"second": {"hue": 0.4, "strength": 2}}, (), "second: hue: 0.4 at strength 2"),
        ({"small_count": 4}, (), "small.crop_area: the preset 'default' has no small views"),
        ({"preset": "simclr-v9"}, ("preset",), "Input should be 'default', 'simclr'"),
    ],
)
def test_mistakes_are_named_by_their_key(settings, where, message):
    with pytest.raises(ValidationError) as caught:
        ViewsConfig.model_validate(settings)
    first = caught.value.errors()[0]
    assert first["loc"] == where and message in first["msg"]


def test_every_setting_is_explained():
    for name, field in ViewsConfig.model_fields.items():
        assert field.description, name
    assert math.isclose(ViewConfig.model_validate({"crop_area": 1}).crop_area[0], 1)


def test_settings_load_no_torch():
    code = "import sys, recsvc.models.image.view_presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
