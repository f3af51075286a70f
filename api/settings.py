"""What an operator may set: command line options, or environment variables that begin with ``RECSVC_``."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsvc.secret_files import secret
from recsvc.settings import PREFIX, from_environment


class Settings(BaseSettings):
    """Settings of one service process, for instance ``RECSVC_PORT=9000``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    store: Annotated[Path, Field(description="Folder of the releases; read only.")]
    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    auth: Annotated[
        Literal["off", "keys"] | None,
        Field(description="Whether requests need an API key; must be said for a host that is no loopback address."),
    ] = None
    database: Annotated[
        str | None,
        Field(description="URL of the database of events and keys; a SQLite file in the store unless given."),
    ] = None
    database_threads: Annotated[int, Field(ge=1, le=64, description="Threads that ask PostgreSQL; SQLite has one.")] = 4
    history_kinds: Annotated[
        str, Field(max_length=1000, description="Kinds of event that make a history, with commas; all unless given.")
    ] = ""
    record_answers: Annotated[
        bool,
        Field(description="Whether answers are kept in the database: next pages on any replica, clicks by release."),
    ] = True
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
    body_seconds: Annotated[
        float,
        Field(
            gt=0, le=600, description="Seconds that the body of a request has to arrive, and a client to take bytes."
        ),
    ] = 10.0
    head_seconds: Annotated[
        float, Field(gt=0, le=600, description="Seconds that the head of a request has to arrive.")
    ] = 10.0
    idle_seconds: Annotated[
        float, Field(gt=0, le=3600, description="Seconds that a connection may stay open between two requests.")
    ] = 75.0
    max_connections: Annotated[int, Field(ge=1, le=100_000, description="Connections that a worker holds at once.")] = (
        2000
    )
    max_running: Annotated[
        int,
        Field(ge=1, le=1000, description="Requests that a worker answers at once; they compute one after the other."),
    ] = 16
    max_waiting: Annotated[int, Field(ge=1, le=100_000, description="Requests that may wait for their turn.")] = 500
    max_wait_seconds: Annotated[
        float, Field(gt=0, le=60, description="Longest predicted wait with which a request is still taken.")
    ] = 0.25
    request_seconds: Annotated[
        float, Field(gt=0, le=600, description="Seconds after which a request that is not answered is given up.")
    ] = 10.0
    log_requests: Annotated[bool, Field(description="Whether every request is a line in the log.")] = True
    split_salt: Annotated[
        str,
        Field(max_length=100, description="Mixed into keys that choose between releases; another one deals anew."),
    ] = ""
    workers: Annotated[int, Field(ge=1, le=256, description="Processes that answer, on one port.")] = 1
    drain_seconds: Annotated[
        float,
        Field(ge=0, le=600, description="Seconds that /readyz says 503 before the port closes, on SIGTERM."),
    ] = 3.0
    shutdown_seconds: Annotated[
        int, Field(ge=1, le=600, description="Seconds that requests in flight get once the port has closed.")
    ] = 10

    @model_validator(mode="after")
    def _check_door(self) -> Self:
        if self.auth is None and not is_loopback(self.host):
            raise ValueError(
                f"the host {self.host} can be reached from other machines: set RECSVC_AUTH to keys, and make keys by "
                "`recsvc keys create`; or to off, where something else keeps strangers out"
            )
        return self

    @property
    def needs_keys(self) -> bool:
        """Whether requests need an API key."""
        return self.auth == "keys"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with overrides on top; an override of None is not one.

    Secrets may stand in files that the environment names, such as ``RECSVC_DATABASE_FILE``.

    Raises:
        ConfigError: If a setting is missing or out of bounds, or the file of a secret cannot be read; it is named.
    """
    overrides["database"] = secret("RECSVC_DATABASE", overrides.get("database"))
    return from_environment(Settings, "The settings", overrides)
