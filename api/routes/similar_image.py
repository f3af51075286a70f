"""What looks like a picture: `POST /v1/similar/image`."""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.dependencies import DataDep, ServingDep, UploadsDep
from api.fast_route import GuardedRoute, json_response
from api.forms import MEDIA_TYPE, check_media_type, read_form
from api.openapi import problems
from api.problems import INVALID_PICTURE, UNKNOWN_SPACE, UPLOAD_TIMEOUT
from api.routes.recommendations import QUESTION_PROBLEMS
from api.routes.similar import check_spaces, similar_answer
from api.schemas import SimilarAnswer, SimilarImageFields

router = APIRouter(tags=["answers"], route_class=GuardedRoute)

PATH: Final = "/v1/similar/image"
_FILE: Final = "image"


def _request_body() -> dict[str, Any]:
    """The form as OpenAPI describes it: FastAPI cannot, since it does not read it."""
    schema = SimilarImageFields.model_json_schema()
    del schema["$defs"]
    schema["properties"]["filter"] = {
        "type": "string",
        "title": "Filter",
        "description": "As in `/v1/similar`, in JSON.",
        "examples": ['{"attribute": "popularity", "gte": 1}'],
    }
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
    response_model=SimilarAnswer,
    responses=problems(*QUESTION_PROBLEMS, UNKNOWN_SPACE, INVALID_PICTURE, UPLOAD_TIMEOUT),
    openapi_extra={"requestBody": _request_body()},
)
async def find_similar_to_picture(
    request: Request, serving: ServingDep, uploads: UploadsDep, data: DataDep
) -> Response:
    """Which items look like an uploaded picture. An item of which it is the very picture comes first.

    The file is read, never kept. Only so many uploads are answered at once; ask again after `Retry-After` seconds.
    """
    check_media_type(request)
    async with uploads.place() as upload:
        form = read_form(request, SimilarImageFields, file=_FILE, repeatable=("exclude", "allow"))
        content, fields = await upload.receive(form)
        check_spaces(serving, fields)
        options = {name: getattr(fields, name) for name in SimilarImageFields.model_fields}
        answer = await upload.work(partial(serving.recommender.similar_image, content, **options))
    return json_response(similar_answer(answer, serving, data))
