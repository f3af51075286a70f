"""Keys of word2vec files and walks: an id, or ``type:id`` for a node, without white space.

Both formats separate by blanks, so what would break them is written ``%XX``, as in addresses: white space, control
characters, the percent sign itself, and, in types, colons. Everything else stays as it is, in UTF-8.
"""

from urllib.parse import unquote

SENTENCE_END = "</s>"
"""word2vec's own first row, which readers drop."""


def encode_key(value: str) -> str:
    """Write an id as a key.

    >>> encode_key("Tom Hanks"), encode_key("100%"), encode_key("Zürich")
    ('Tom%20Hanks', '100%25', 'Zürich')
    """
    if value == SENTENCE_END:
        return "%3C/s%3E"
    return "".join(_escaped(character) if _breaks(character) else character for character in value)


def encode_node(node_type: str, node_id: str) -> str:
    """Write a node as a key.

    >>> encode_node("film", "Heat: 2"), encode_node("a:b", "1")
    ('film:Heat:%202', 'a%3Ab:1')
    """
    return f"{encode_key(node_type).replace(':', '%3A')}:{encode_key(node_id)}"


def decode_key(key: str) -> str:
    """Read what :func:`encode_key` has written."""
    return unquote(key, errors="strict") if "%" in key else key


def split_key(key: str) -> tuple[str, str]:
    """Read what :func:`encode_node` has written: type and id.

    Raises:
        ValueError: there is no colon.
    """
    node_type, colon, node_id = key.partition(":")
    if not colon:
        raise ValueError(f"{key!r} is not written type:id")
    return decode_key(node_type), decode_key(node_id)


def _breaks(character: str) -> bool:
    return character == "%" or character.isspace() or character < " " or "\x7f" <= character <= "\x9f"


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8"))
