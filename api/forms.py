"""The form of an upload: one file and some fields, kept in memory, every part of it bounded.

FastAPI would read the form before anything of ours runs, onto the disk where it is large; a service may have no disk.
"""

from collections.abc import Collection
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from api.problems import MALFORMED_BODY, UNSUPPORTED_MEDIA_TYPE, ProblemError

Fields = TypeVar("Fields", bound=BaseModel)

MEDIA_TYPE: Final = "multipart/form-data"
MAX_FIELDS: Final = 1000
_MAX_FIELD_BYTES: Final = 4096
_MAX_FILES: Final = 8  # more than the one that is wanted, so that a second one is told as such


class _Parser(MultiPartParser):
    spool_max_size = 0  # all in memory: the body has a limit of its own
    complete = False

    def on_end(self) -> None:
        self.complete = True


def check_media_type(request: Request) -> None:
    """Refuse a body of another type unread.

    Raises:
        ProblemError: If it is not a form with files.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        detail = f"Send Content-Type: {MEDIA_TYPE}."
        raise ProblemError(UNSUPPORTED_MEDIA_TYPE, detail, headers={"Connection": "close"})


async def read_form(
    request: Request, fields: type[Fields], *, file: str, repeatable: Collection[str]
) -> tuple[bytes, Fields]:
    """Read the form in the body, whose size ``RequestLayer`` bounds.

    Args:
        request: The request; its type has been checked.
        fields: What the fields beside the file must be.
        file: The name of the file.
        repeatable: The fields that may come more than once: they are lists.

    Returns:
        The content of the file, and the fields.

    Raises:
        ProblemError: If the body is not such a form.
        RequestValidationError: If its parts are not those wanted.
    """
    form = await _parse(request)
    try:
        content, errors = await _take_file(form, file)
        values: dict[str, Any] = {}
        for name, value in form.multi_items():
            if not isinstance(value, str) or name == file:
                continue
            if name in repeatable:
                values.setdefault(name, []).append(value)
            elif name in values:
                errors.append(_error(name, message="Give this field once", kind="too_long"))
            else:
                values[name] = value
    finally:
        await form.close()
    try:
        checked = fields.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        errors += [_error(*problem["loc"], message=problem["msg"], kind=problem["type"]) for problem in found]
    if errors:
        raise RequestValidationError(errors)
    return content, checked


async def _parse(request: Request) -> FormData:
    parser = _Parser(
        request.headers,
        request.stream(),
        max_files=_MAX_FILES,
        max_fields=MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(MALFORMED_BODY, f"The form cannot be read: {error.message}") from error
    except UnicodeError as error:  # the client may name any charset
        raise ProblemError(MALFORMED_BODY, "The form cannot be read: its texts are not of its charset.") from error
    except ClientDisconnect as error:
        raise ProblemError(MALFORMED_BODY, "The upload broke off.") from error
    if not parser.complete:
        raise ProblemError(MALFORMED_BODY, "The form ends before its last boundary.")
    return form


async def _take_file(form: FormData, wanted: str) -> tuple[bytes, list[dict[str, Any]]]:
    """The content of the one file of this name, and what is wrong with the form's files."""
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    named = [file for name, file in files if name == wanted]
    errors = [
        _error(name, message="There is no such file in this form", kind="extra_forbidden")
        for name, _ in files
        if name != wanted
    ]
    content = await named[0].read() if named else b""
    if len(named) > 1 or (named and any(isinstance(value, str) for value in form.getlist(wanted))):
        errors.append(_error(wanted, message="Send one file", kind="too_long"))
    elif not named and wanted in form:
        errors.append(_error(wanted, message="Send a file: a part with a file name", kind="missing"))
    elif not named:
        errors.append(_error(wanted, message="Field required", kind="missing"))
    elif not content:
        errors.append(_error(wanted, message="The file is empty", kind="too_short"))
    return content, errors


def _error(*place: str | int, message: str, kind: str) -> dict[str, Any]:
    return {"loc": ("body", *place), "msg": message, "type": kind}
