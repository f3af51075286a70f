"""The one exception family for mistakes a caller can mend.

Every message is one clear sentence (or a list of them): what is wrong, where, and what to do.
The command line turns these into one line and exit code 2; the service into problem details.
Anything else that escapes is our fault: exit code 1, HTTP 500.
"""


class RecsvcError(Exception):
    """Something the caller can mend; ``str(error)`` is the whole message."""


class ConfigError(RecsvcError):
    """A configuration file or override that cannot be used."""


class DatasetError(RecsvcError):
    """A data set folder that cannot be used as it stands."""


class RunError(RecsvcError):
    """A run folder that is missing, unfinished, or in the way."""


class ReleaseError(RecsvcError):
    """A release or a store that is missing, damaged, or in the way."""


class DatabaseError(RecsvcError):
    """A database that cannot be used: wrong URL, out of reach, locked, too new; no message has a password in it."""


class RequestError(RecsvcError):
    """A question that a release cannot answer as it was put."""


class PictureError(RecsvcError):
    """A picture that cannot be read; the message is a clause without a place: "is CMYK; save it as RGB"."""


class JobError(RecsvcError):
    """A job that cannot be queued, cancelled or tried again as things stand."""
