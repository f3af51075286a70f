"""How ids stand in a path."""

from starlette.convertors import PathConvertor, register_url_convertor


class _AnyTextConvertor(PathConvertor):
    """The rest of the path, whatever it holds: Starlette's own `path` stops at a line feed."""

    regex = r"[\s\S]*"


def register_any_text() -> None:
    """Let routes write ``{id:any_text}``."""
    register_url_convertor("any_text", _AnyTextConvertor())
