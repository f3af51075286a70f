"""What an operator may set: command line options, or environment variables that begin with ``RECSVC_``."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsvc.errors import ConfigError


class Settings(BaseSettings):
    """Settings of one service process, for instance ``RECSVC_PORT=9000``."""

    model_config = SettingsConfigDict(env_prefix="RECSVC_", frozen=True, extra="forbid")

    store: Annotated[Path, Field(description="Folder of the releases; read only.")]
    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    poll_seconds: Annotated[
        float, Field(gt=0, le=3600, description="Seconds between two looks at which release is active.")
    ] = 1.0
    max_body_bytes: Annotated[
        int, Field(ge=1024, le=2**30, description="Bytes of the largest request body that is read.")
    ] = 1_048_576
    max_picture_bytes: Annotated[
        int,
        Field(
            ge=1024,
            le=2**25,
            description="Bytes of the largest upload of a picture that is read, its form included.",
        ),
    ] = 10_485_760
    max_uploads: Annotated[
        int, Field(ge=1, le=1000, description="Uploads that are held at once, the one worked on included.")
    ] = 16
    upload_seconds: Annotated[
        float,
        Field(gt=0, le=600, description="Seconds that an upload has to arrive, and then again until it is answered."),
    ] = 10.0
    drain_seconds: Annotated[
        float,
        Field(ge=0, le=600, description="Seconds that /readyz says 503 before the port closes, on SIGTERM."),
    ] = 3.0
    shutdown_seconds: Annotated[
        int, Field(ge=1, le=600, description="Seconds that requests in flight get once the port has closed.")
    ] = 10


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with overrides on top; an override of None is not one.

    Raises:
        ConfigError: If a setting is missing or out of bounds; it is named.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(problem["loc"][0])
        raise ConfigError(f"The setting {name} (RECSVC_{name.upper()}) cannot be used: {problem['msg']}.") from error
