"""The manifest of a release: what is in the folder, where it came from, and the sum of every file.

A release id holds the first twelve hexadecimal digits of the SHA-256 of ``manifest.json``, and the manifest
holds the SHA-256 and size of every other file, so that one flipped bit anywhere in a release is noticed.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

import recsvc
from recsvc.errors import ReleaseError

MANIFEST_NAME: Final = "manifest.json"
MANIFEST_FORMAT: Final = 2
MAX_JSON_BYTES: Final = 16 * 2**20
"""A manifest, or a ``current`` pointer, larger than this is refused unread."""

ALLOWED_SUFFIXES: Final = (".json", ".onnx", ".onnx.data", ".safetensors", ".faiss", ".sqlite", ".md")
"""The kinds of file that a release may hold: none of them runs code when it is read."""

_MAX_NAME = 255
_NAME_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ID_TIME = "%Y%m%dT%H%M%S"
_RELEASE_ID = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{12}")


def check_file_name(name: str) -> str:
    """Return the name if it is a plain relative path of a kind that a release may hold.

    Parts are ASCII letters, digits, ``_``, ``.`` and ``-``, start with neither a dot nor a dash, and are
    joined by single slashes: so a name is never absolute, never climbs out, and is never hidden.

    Raises:
        ValueError: With one clause that says what is wrong with the name.
    """
    if len(name) > _MAX_NAME:
        raise ValueError(f"a file name of {len(name)} characters is longer than {_MAX_NAME}")
    if not all(_NAME_PART.fullmatch(part) for part in name.split("/")):
        raise ValueError(f"the file name {name!r} is not a plain relative path inside the release")
    if not name.endswith(ALLOWED_SUFFIXES):
        raise ValueError(f"the file {name!r} is none of the allowed kinds ({', '.join(ALLOWED_SUFFIXES)})")
    if name == MANIFEST_NAME:
        raise ValueError(f"{MANIFEST_NAME} cannot list itself")
    return name


def check_release_id(release_id: str) -> str:
    """Return the id if it has the form of a release id.

    Raises:
        ValueError: If it has not.
    """
    try:
        if _RELEASE_ID.fullmatch(release_id):
            created_of(release_id)
            return release_id
    except ValueError:
        pass  # the form is right, but the date is none
    raise ValueError(f"{release_id!r} is not a release id such as 20261122T024512-0123456789ab")


def created_of(release_id: str) -> datetime:
    """When the release of this id was made, UTC."""
    return datetime.strptime(release_id.partition("-")[0], _ID_TIME).replace(tzinfo=UTC)


def _check_whole_utc_second(moment: datetime) -> datetime:
    if moment.utcoffset() != timedelta(0) or moment.microsecond:
        raise ValueError("the time must be a whole second in UTC")
    return moment


def _check_finite(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    # The JSON parser lets NaN and Infinity through in free JSON, where no field type forbids them.
    json.dumps(value, allow_nan=False)
    return value


def only_format(known: int, advice: str) -> AfterValidator:
    """A check that lets one format number through; ``advice`` says what to do about an older one."""

    def check(value: int) -> int:
        if value != known:
            way_out = f"use the newer version of recsvc that wrote it, or {advice}" if value > known else advice
            raise ValueError(f"this version of recsvc reads format {known}, not {value}; {way_out}")
        return value

    return AfterValidator(check)


def utc_now() -> datetime:
    """The time now in UTC, cut to whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ReleaseId = Annotated[str, AfterValidator(check_release_id)]
FileName = Annotated[str, AfterValidator(check_file_name)]
SpaceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
UtcSecond = Annotated[datetime, AfterValidator(_check_whole_utc_second)]
FreeJson = Annotated[dict[str, JsonValue], AfterValidator(_check_finite)]
ManifestFormat = Annotated[int, only_format(MANIFEST_FORMAT, "publish again")]


class StrictModel(BaseModel):
    """Base of everything that is read from a store: frozen, no unknown keys, no conversions, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FileEntry(StrictModel):
    """Sum and size of one file of a release."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]  # bytes


Triple = tuple[float, float, float]
_Spread = Annotated[float, Field(gt=0)]


class PictureEntry(StrictModel):
    """How a picture becomes the input of a space's encoder: cut to a square, then ``(rgb / 255 - mean) / std``."""

    size: Annotated[int, Field(ge=1, le=4096)]  # pixels of a side
    mean: Triple  # red, green, blue, as shares of full light
    std: tuple[_Spread, _Spread, _Spread]


_LATER_FIELDS: Final = ("search", "next_index")
_SEARCH_PARAMETERS: Final[dict[str, set[str]]] = {
    "flat": set(),
    "hnsw": {"m", "ef_construction", "ef_search"},
    "ivf": {"lists", "probes"},
}


class SearchEntry(StrictModel):
    """How the vectors in an index file are searched, and how well that finds what exact search finds."""

    kind: Literal["flat", "hnsw", "ivf"]
    parameters: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)  # of the kind, all of them
    recall_at_10: Annotated[float, Field(ge=0, le=1)]  # measured at publish against exact search
    queries: Annotated[int, Field(ge=1)]  # that it was measured on; none of them chose a parameter

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        if set(self.parameters) != _SEARCH_PARAMETERS[self.kind]:
            needed = ", ".join(sorted(_SEARCH_PARAMETERS[self.kind])) or "none"
            raise ValueError(f"the parameters of a search of kind {self.kind} are {needed}")
        return self


class NextIndexEntry(StrictModel):
    """The index of next items: of ``[vector, bias / scale]``, asked for ``[query, scale]``."""

    file: FileName
    scale: Annotated[float, Field(gt=0)]
    search: SearchEntry


class SpaceEntry(StrictModel):
    """One space: its vectors, its index and, where it answers sequences or pictures, its encoder.

    The table of a space whose encoder reads sequences holds a ``bias`` beside ``vectors`` and ``catalogue_rows``.
    """

    dim: Annotated[int, Field(ge=1)]
    count: Annotated[int, Field(ge=0)]  # vectors in the table and in the index
    metric: Literal["cosine"] = "cosine"  # the index holds unit vectors; inner product = cosine
    table: FileName
    index: FileName
    encoder: FileName | None = None
    max_history: Annotated[int, Field(ge=1)] | None = None  # newest items that a sequence encoder reads
    picture: PictureEntry | None = None  # what a picture encoder reads
    search: SearchEntry | None = None  # of the index; exhaustive without it
    next_index: NextIndexEntry | None = None  # of next items; every item is scored without it

    @model_serializer(mode="wrap")
    def _leave_out_what_is_not_there(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Versions that know no such fields can then read a release that has no use for them.
        content: dict[str, Any] = dump(self)
        return {key: value for key, value in content.items() if value is not None or key not in _LATER_FIELDS}

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        for role, name, suffix in (
            ("table", self.table, ".safetensors"),
            ("index", self.index, ".faiss"),
            ("encoder", self.encoder, ".onnx"),
            ("next_index", None if self.next_index is None else self.next_index.file, ".faiss"),
        ):
            if name is not None and not name.endswith(suffix):
                raise ValueError(f"the {role} {name!r} is not a {suffix} file")
        read = [self.max_history is not None, self.picture is not None].count(True)
        if read != (self.encoder is not None):
            raise ValueError("an encoder comes with exactly one of max_history and picture, and neither without it")
        if self.next_index is not None and self.max_history is None:
            raise ValueError("next_index comes with max_history: only what reads histories has next items")
        return self

    @property
    def files(self) -> list[str]:
        """The files that the space is made of."""
        names = [self.table, self.index, self.encoder, None if self.next_index is None else self.next_index.file]
        return [name for name in names if name is not None]


class ManifestDraft(StrictModel):
    """Everything of a manifest but the files: what whoever fills a release folder says about it."""

    created: UtcSecond = Field(default_factory=utc_now)
    recsvc: str = recsvc.__version__
    data: FreeJson = Field(default_factory=dict)  # fingerprint and provenance of the data set
    config: FreeJson = Field(default_factory=dict)
    metrics: FreeJson = Field(default_factory=dict)
    spaces: dict[SpaceName, SpaceEntry] = Field(default_factory=dict)

    def with_files(self, files: Mapping[str, FileEntry]) -> "Manifest":
        """The manifest of a folder with these files.

        Raises:
            ReleaseError: If a file may not be in a release, or a space names a file that is not there.
        """
        try:
            return Manifest(
                format=MANIFEST_FORMAT,
                created=self.created,
                recsvc=self.recsvc,
                data=self.data,
                config=self.config,
                metrics=self.metrics,
                spaces=self.spaces,
                files=dict(files),
            )
        except ValidationError as error:
            raise ReleaseError(f"The release cannot be published: {first_problem(error)}.") from error


class Manifest(StrictModel):
    """``manifest.json``: what a release holds, where it came from, and the sum of every other file."""

    format: ManifestFormat
    created: UtcSecond
    recsvc: str  # the version that published it
    data: FreeJson
    config: FreeJson
    metrics: FreeJson
    spaces: dict[SpaceName, SpaceEntry]
    files: dict[FileName, FileEntry]

    @model_validator(mode="after")
    def _check_space_files(self) -> Self:
        for space, entry in self.spaces.items():
            for name in entry.files:
                if name not in self.files:
                    raise ValueError(f"the space {space!r} names {name!r}, which is not among the files")
        return self

    @property
    def size(self) -> int:
        """Bytes of all files but the manifest."""
        return sum(entry.size for entry in self.files.values())

    def to_bytes(self) -> bytes:
        """The bytes of ``manifest.json``: UTF-8, sorted keys, the same for the same content."""
        content = self.model_dump(mode="json")
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes, *, where: str) -> Self:
        """Read the bytes of a ``manifest.json``; ``where`` names it in messages.

        Raises:
            ReleaseError: If they are not a manifest of this format.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise ReleaseError(f"{where} is not a manifest: {first_problem(error)}.") from error

    def release_id(self) -> str:
        """The id under which this manifest is published."""
        return release_id_of(self.created, hashlib.sha256(self.to_bytes()).hexdigest())


def release_id_of(created: datetime, manifest_sha256: str) -> str:
    """The release id for a creation time in UTC and the full sum of the manifest's bytes."""
    return f"{created.strftime(_ID_TIME)}-{manifest_sha256[:12]}"


def read_manifest(release_dir: Path) -> Manifest:
    """Read the manifest of a release folder whose sums the caller has verified (``Store.verify`` did).

    Raises:
        ReleaseError: If it is missing, too large, or not a manifest of this format.
    """
    path = release_dir / MANIFEST_NAME
    return Manifest.parse(read_bounded(path), where=str(path))


def read_bounded(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """Read a small file whole.

    Raises:
        ReleaseError: If it cannot be read or holds more than ``limit`` bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > limit:
        raise ReleaseError(f"{path} is larger than {limit} bytes, which no such file is: it is damaged.")
    return content


def first_problem(error: ValidationError) -> str:
    """The first complaint of a validation as one clause: the place and what is wrong there."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{place}: {message}" if place else message
