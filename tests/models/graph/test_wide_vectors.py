"""512-bit vectors: asked for by a command alone, and only where it makes a difference."""

import os
import subprocess
import sys

import pytest

from recsvc.models.graph.wide_vectors import VARIABLE, prefer_wide_vectors, wide_features


def in_a_new_process(code, **variables):
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_is_asked_for():
    features = {"sse2": True, "avx512f": True, "amx-int8": False}
    assert wide_features("sapphirerapids", features) == "-amx-int8,+avx512f,+sse2,-prefer-256-bit"
    assert wide_features("haswell", features | {"avx512f": False}) is None
    assert wide_features("znver4", features) is None, "LLVM takes 512 bits there without being asked"


def test_after_numba_it_is_too_late():
    import numba  # noqa: F401

    environment = {}
    prefer_wide_vectors(environment)
    assert environment == {}


@pytest.mark.parametrize("value", ["+avx2", ""])
def test_a_value_already_set_stays(value):
    code = (
        "import os; from recsvc.models.graph.wide_vectors import *; prefer_wide_vectors(); print(os.environ[VARIABLE])"
    )
    assert in_a_new_process(code, **{VARIABLE: value}) == value


def test_kernels_work_with_what_is_asked_for():
    """The features that we would ask for compile, whatever LLVM would do on this processor by itself."""
    code = (
        "import os; from llvmlite import binding as b; from recsvc.models.graph.wide_vectors import *\n"
        "wide = wide_features('', b.get_host_cpu_features())\n"
        f"if wide: os.environ[{VARIABLE!r}] = wide\n"
        "import numba, numpy as np\n"
        "@numba.njit(fastmath=True)\n"
        "def f(x):\n    s = np.float32(0)\n    for v in x: s += v * v\n    return s\n"
        "assert f(np.ones(100, np.float32)) == 100\n"
        "print('zmm' in next(iter(f.inspect_asm().values())) if wide else 'narrow')"
    )
    assert in_a_new_process(code) in ("True", "narrow")


def test_the_library_asks_for_nothing():
    code = f"import os, recsvc, recsvc.models.graph.skipgram; print({VARIABLE!r} in os.environ)"
    assert in_a_new_process(code) == "False"
