"""Settings from environment variables that begin with ``RECSVC_``, and what is said of one that cannot be used."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from recsvc.errors import ConfigError

PREFIX: Final = "RECSVC_"
S = TypeVar("S", bound=BaseSettings)


def from_environment(model: type[S], whose: str, overrides: Mapping[str, Any]) -> S:
    """Settings from the environment, with overrides on top; an override of None is not one.

    Args:
        model: Their class.
        whose: What messages call them.
        overrides: By name.

    Raises:
        ConfigError: A setting is missing or out of bounds; it is named.
    """
    try:
        return model(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            raise ConfigError(f"{whose} cannot be used: {message}.") from None
        name = str(problem["loc"][0])
        raise ConfigError(f"The setting {name} ({PREFIX}{name.upper()}) cannot be used: {message}.") from None
