"""`GET /livez` and `GET /readyz`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from api.schemas.common import RELEASE


class LiveAnswer(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "alive"}]})

    status: Literal["alive"] = "alive"


class ReadyAnswer(BaseModel):
    """The process takes traffic."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready", "release": RELEASE}]})

    status: Literal["ready"] = "ready"
    release: str
