"""Kernels compile also where compiled code cannot be kept."""

import numba
import pytest

from recsvc.models.compiled import compiled


def double(x):
    return 2 * x


def test_kept_where_there_is_a_folder():
    kernel = compiled()(double)
    assert kernel(21) == 42 and kernel.stats.cache_path is not None


def test_compiled_anew_where_there_is_none(monkeypatch):
    njit = numba.njit

    def without_folder(function, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'double': no locator available")
        return njit(function, **options)

    monkeypatch.setattr(numba, "njit", without_folder)
    assert compiled(fastmath={"nsz"})(double)(21) == 42


def test_a_kernel_that_cannot_be_compiled_still_says_so():
    with pytest.raises(numba.TypingError):
        compiled()(lambda x: x.no_such_thing)(1)
