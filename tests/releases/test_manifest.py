import json
import posixpath
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsvc.errors import ReleaseError
from recsvc.releases import FileEntry, Manifest, ManifestDraft, PictureEntry, SpaceEntry, read_manifest
from recsvc.releases.manifest import (
    ALLOWED_SUFFIXES,
    MAX_JSON_BYTES,
    check_file_name,
    check_release_id,
    release_id_of,
)

SUM = "0" * 64
ENTRY = FileEntry(sha256=SUM, size=3)
SPACE = SpaceEntry(dim=4, count=5, table="b/items.safetensors", index="b/similar.faiss")
FILES = {"b/items.safetensors": ENTRY, "b/similar.faiss": ENTRY, "b/e.onnx": ENTRY, "notes.md": ENTRY}
PICTURE = {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def manifest() -> Manifest:
    return ManifestDraft(metrics={"ndcg@10": 0.13}, spaces={"behaviour": SPACE}).with_files(FILES)


def changed(**changes: object) -> bytes:
    return json.dumps({**json.loads(manifest().to_bytes()), **changes}).encode()


def with_space(**changes: object) -> bytes:
    return changed(spaces={"b": {**SPACE.model_dump(), **changes}})


def is_safe(name: str) -> bool:
    """Independent statement of what a safe name is."""
    parts = name.split("/")
    return (
        posixpath.normpath(name) == name
        and not posixpath.isabs(name)
        and all(part and not part.startswith((".", "-")) for part in parts)
        and name.isascii()
        and not set(name) & set("\\\0\n\r\t :*?\"'<>|~$%")
        and name.endswith(ALLOWED_SUFFIXES)
    )


safe_part = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
safe_name = st.builds(
    lambda parts, stem, suffix: "/".join([*parts, stem + suffix]),
    st.lists(safe_part, max_size=3),
    safe_part,
    st.sampled_from(ALLOWED_SUFFIXES),
).filter(lambda name: name != "manifest.json")
evil_part = st.sampled_from(["..", ".", "", "/", "~", ".hidden", "-rf", "a\\b", "a\0", "a\n", "C:", "é", " "])


@given(st.text(max_size=40) | st.text("./\\ab-_~\n", max_size=12).map(lambda name: name + ".json"))
@example("a.json\n")
@example("../a.json")
@example("/a.json")
@example("a//b.json")
@example("a/./b.json")
@example("a/../../b.json")
@example(".json")
@example("")
def test_every_accepted_file_name_stays_inside_the_release(name: str) -> None:
    try:
        check_file_name(name)
    except ValueError:
        return
    assert is_safe(name)


@given(safe_name)
def test_plain_names_are_accepted(name: str) -> None:
    assert check_file_name(name) == name


@given(safe_name, evil_part, st.data())
def test_an_evil_part_anywhere_refuses_the_manifest(name: str, part: str, data: st.DataObject) -> None:
    parts = name.split("/")
    parts.insert(data.draw(st.integers(0, len(parts) - 1)), part)
    evil = "/".join(parts)
    with pytest.raises(ReleaseError, match="file name"):
        ManifestDraft(spaces={"behaviour": SPACE}).with_files({**FILES, evil: ENTRY})
    with pytest.raises(ReleaseError, match="file name"):
        Manifest.parse(changed(files={evil: {"sha256": SUM, "size": 3}}, spaces={}), where="M")


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".pth", ".joblib", ".npy", ".npz", ".py", ".so", ".data", ""])
def test_other_kinds_of_file_are_refused(suffix: str) -> None:
    with pytest.raises(ValueError, match="none of the allowed kinds"):
        check_file_name(f"behaviour/model{suffix}")


def test_the_manifest_does_not_list_itself_and_names_are_short() -> None:
    with pytest.raises(ValueError, match="itself"):
        check_file_name("manifest.json")
    with pytest.raises(ValueError, match="longer"):
        check_file_name("a" * 300 + ".json")


def test_bytes_round_trip_and_are_the_same_for_the_same_content() -> None:
    first = manifest()
    again = Manifest.parse(first.to_bytes(), where="M")
    assert again == first
    assert again.to_bytes() == first.to_bytes()
    content = json.loads(first.to_bytes())
    assert content["format"] == 2
    assert content["created"].endswith("Z")
    assert content["spaces"]["behaviour"]["encoder"] is None
    assert content["spaces"]["behaviour"]["metric"] == "cosine"
    assert first.release_id() == release_id_of(first.created, first.release_id().split("-")[1] + "0" * 52)
    assert first.size == 12


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "recursion limit"),
        (b"[]", "valid dictionary|object"),
        (changed(format=1), "reads format 2, not 1; publish again"),
        (changed(format=3), "reads format 2, not 3"),
        (changed(format=True), "format"),
        (changed(surprise=1), "surprise"),
        (changed(created="2026-11-22T02:45:12+01:00"), "UTC"),
        (changed(created="2026-11-22T02:45:12.5Z"), "UTC"),
        (changed(metrics={"ndcg": float("nan")}), "metrics"),
        (changed(config={"deep": [float("inf")]}), "config"),
        (changed(files={"a.json": {"sha256": "A" * 64, "size": 1}}, spaces={}), "sha256"),
        (changed(files={"a.json": {"sha256": SUM + "\n", "size": 1}}, spaces={}), "sha256"),
        (changed(files={"a.json": {"sha256": SUM, "size": -1}}, spaces={}), "size"),
        (changed(files={"a.json": {"sha256": SUM, "size": 1.0}}, spaces={}), "size"),
        (changed(files={"notes.md": {"sha256": SUM, "size": 1}}), "not among the files"),
        (changed(spaces={"Behaviour!": SPACE.model_dump()}), "Behaviour!"),
        (with_space(metric="l2"), "metric"),
        (with_space(table="notes.md"), ".safetensors"),
        (with_space(max_history=5), "exactly one of max_history and picture"),
        (with_space(picture=PICTURE), "exactly one of max_history and picture"),
        (with_space(encoder="b/e.onnx"), "exactly one of max_history and picture"),
        (with_space(encoder="b/e.onnx", max_history=5, picture=PICTURE), "exactly one of max_history and picture"),
        (with_space(encoder="b/e.onnx", picture={**PICTURE, "size": 0}), "size"),
        (with_space(encoder="b/e.onnx", picture={**PICTURE, "std": [1, 0, 1]}), "std"),
        (with_space(encoder="b/e.onnx", picture={**PICTURE, "mean": [0.5]}), "mean"),
        (with_space(encoder="b/e.onnx", picture={**PICTURE, "crop": 1}), "crop"),
        (with_space(dim=0), "dim"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(content: bytes, complaint: str) -> None:
    with pytest.raises(ReleaseError, match=complaint) as refusal:
        Manifest.parse(content, where="the manifest of X")
    message = str(refusal.value)
    assert message.startswith("the manifest of X is not a manifest: ")
    assert message.endswith(".")
    assert "\n" not in message


def test_a_space_that_reads_pictures_says_how() -> None:
    picture = PictureEntry(size=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    space = SPACE.model_copy(update={"encoder": "b/e.onnx", "picture": picture})
    written = ManifestDraft(spaces={"image": space}).with_files(FILES)
    again = Manifest.parse(written.to_bytes(), where="M")
    assert again == written
    assert again.spaces["image"].picture == picture


def test_a_draft_refuses_what_json_cannot_hold() -> None:
    with pytest.raises(ValidationError):
        ManifestDraft(metrics={"ndcg": float("nan")})
    with pytest.raises(ValidationError):
        ManifestDraft(created=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))))


def test_a_manifest_is_read_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(ReleaseError, match="cannot be read"):
        read_manifest(tmp_path)
    path.write_bytes(manifest().to_bytes())
    assert read_manifest(tmp_path) == manifest().model_copy(update={"created": read_manifest(tmp_path).created})
    with path.open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(ReleaseError, match="larger than"):
        read_manifest(tmp_path)


def test_release_ids_have_one_form() -> None:
    made = datetime(2026, 11, 22, 2, 45, 12, tzinfo=UTC)
    good = release_id_of(made, "0123456789abcdef" * 4)
    assert good == "20261122T024512-0123456789ab"
    assert check_release_id(good) == good
    for bad in ("", "..", good + "\n", good.upper(), good[:-1], "20261322T024512-0123456789ab", "../" + good):
        with pytest.raises(ValueError, match="is not a release id"):
            check_release_id(bad)
