"""What a database that fails says, as one sentence about what to do."""

from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from recsvc.errors import DatabaseError
from recsvc.events.urls import DatabaseUrl

_MAX_REASON = 300
_FORBIDDEN = "42501"  # PostgreSQL's code for a missing right

_SQLITE_ADVICE = (
    ("locked", "is locked by another process: try again, or stop what has been writing to it for seconds"),
    ("busy", "is busy: try again, or stop what has been writing to it for seconds"),
    ("unable to open", "cannot be opened: make its folder, and let this user write there"),
    ("readonly", "cannot be written: let this user write to the file and to its folder"),
    ("not a database", "is a file, but no SQLite database: name another file"),
    ("malformed", "is damaged: put back a copy of the file"),
    ("full", "cannot be written: the disk is full"),
)


def explain(error: DBAPIError, url: DatabaseUrl) -> DatabaseError | None:
    """Return the error to raise instead of a driver's, or None where the mistake is ours."""
    code = getattr(error.orig, "sqlstate", None)
    connecting = error.statement is None  # then the URL's options may be wrong, and no statement of ours is
    ours = isinstance(error, ProgrammingError) and code != _FORBIDDEN and not connecting
    if ours or isinstance(error, IntegrityError):
        return None
    lines = str(error.orig).strip().splitlines()
    reason = url.without_secrets(lines[0] if lines else type(error.orig).__name__)[:_MAX_REASON].rstrip(".")
    if url.kind == "sqlite":
        for sign, advice in _SQLITE_ADVICE:
            if sign in reason:
                return DatabaseError(f"The database {url.shown} {advice}.")
    elif code == _FORBIDDEN:
        return DatabaseError(f"The database {url.shown} forbids this user what is needed: {reason}.")
    elif code is None:  # no server has answered with a code
        return DatabaseError(f"The database {url.shown} cannot be reached: {reason}.")
    return DatabaseError(f"The database {url.shown} has failed: {reason}.")
