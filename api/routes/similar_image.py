"""What looks like a picture: `POST /v1/similar/image`."""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request

from api.dependencies import ServingDep, UploadsDep
from api.forms import MEDIA_TYPE, check_media_type, read_form
from api.openapi import problems
from api.problems import INVALID_PICTURE, OVERLOADED, UNKNOWN_SPACE, UPLOAD_TIMEOUT
from api.routes.recommendations import QUESTION_PROBLEMS
from api.routes.similar import similar_answer
from api.schemas import SimilarAnswer, SimilarImageFields

router = APIRouter(tags=["answers"])

PATH: Final = "/v1/similar/image"
_FILE: Final = "image"


def _request_body() -> dict[str, Any]:
    """The form as OpenAPI describes it: FastAPI cannot, since it does not read it."""
    schema = SimilarImageFields.model_json_schema()
    file = {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "title": "Image",
        "description": "A picture file: JPEG, PNG, WebP, GIF, BMP or TIFF, one frame, 8 bits per channel.",
    }
    schema["properties"] = {_FILE: file, **schema["properties"]}
    schema["required"] = [_FILE]
    return {"required": True, "content": {MEDIA_TYPE: {"schema": schema}}}


@router.post(
    PATH,
    operation_id="find_similar_to_picture",
    summary="Look-alikes of a picture",
    responses=problems(*QUESTION_PROBLEMS, UNKNOWN_SPACE, INVALID_PICTURE, UPLOAD_TIMEOUT, OVERLOADED),
    openapi_extra={"requestBody": _request_body()},
)
async def find_similar_to_picture(request: Request, serving: ServingDep, uploads: UploadsDep) -> SimilarAnswer:
    """Which items look like an uploaded picture. An item of which it is the very picture comes first.

    The file is read, never kept. Only so many uploads are answered at once; ask again after `Retry-After` seconds.
    """
    check_media_type(request)
    async with uploads.place() as upload:
        form = read_form(request, SimilarImageFields, file=_FILE, repeatable=("exclude",))
        content, fields = await upload.receive(form)
        serving.require_space(fields.space)
        answer = await upload.work(
            partial(serving.recommender.similar_image, content, space=fields.space, k=fields.k, exclude=fields.exclude)
        )
    return similar_answer(answer, serving)
