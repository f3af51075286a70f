"""How kernels are compiled: by numba, without the GIL, and kept on disk where there is room for it."""

from collections.abc import Callable
from typing import Any

import numba as nb
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

_CACHE_LINE = 64  # bytes


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


@intrinsic
def _prefetch(context: Any, array: Any, row: Any, column: Any) -> tuple[Signature, Callable[..., Any]]:
    """Ask for the cache line of an entry of a table, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, *_ = signature.args
        table = make_array(kind)(context, builder, arguments[0])
        place = cgutils.get_item_pointer(context, builder, kind, table, arguments[1:], wraparound=False)
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0"
        )
        # To be read soon, kept near, data.
        builder.call(function, [builder.bitcast(place, byte), *(ir.Constant(word, each) for each in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


@compiled()
def fetch(table, row, dim):  # type: ignore[no-untyped-def]
    """Have the processor bring ``table[row]``, of ``dim`` float32, into its cache while it goes on; changes nothing."""
    for column in range(0, dim, _CACHE_LINE // 4):
        _prefetch(table, row, column)
