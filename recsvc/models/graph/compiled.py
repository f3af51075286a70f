"""How kernels are compiled: by numba, without the GIL, and kept on disk where there is room for it."""

from collections.abc import Callable
from typing import Any

import numba as nb


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a kernel.

    Compiled code is kept beside the source, in the user's cache folder or in ``NUMBA_CACHE_DIR``, which saves seconds
    in every later process. Where none of these can be written, it is compiled anew each time.

    Args:
        options: further options of ``numba.njit``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return nb.njit(function, nogil=True, cache=True, **options)
        except RuntimeError:  # numba has found no folder
            return nb.njit(function, nogil=True, **options)

    return decorate
