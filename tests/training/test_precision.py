"""Which arithmetic `auto` is, and that a model trains in each."""

import pytest
import torch

import training.precision as module
from training.precision import FLOAT32, Precision, choose_picture_precision, choose_precision


@pytest.fixture
def cpu_flags(monkeypatch, tmp_path):
    """Makes this machine's processor one with the flags that it is called with."""

    def pretend(flags):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu sse2 {flags}\n", "ascii")
        monkeypatch.setattr(module, "Path", lambda path: tmp_path / path.removeprefix("/proc/"))
        module._cpu_flags.cache_clear()

    yield pretend
    module._cpu_flags.cache_clear()


@pytest.mark.parametrize("flags", ["avx512_bf16 sha_ni", "amx_bf16 amx_tile"])
def test_auto_is_bfloat16_for_wide_models_where_the_processor_multiplies_it(cpu_flags, flags):
    cpu_flags(flags)
    assert choose_precision("auto", "cpu", 128) == Precision("bf16-mixed", loss=True)
    assert choose_precision("auto", "cpu", 64) == Precision("32-true", loss=True)


@pytest.mark.parametrize("flags", ["avx2", "avx512f avx512_bf16x"])
def test_auto_is_float32_elsewhere(cpu_flags, flags):
    cpu_flags(flags)
    assert choose_precision("auto", "cpu", 1024) == FLOAT32
    assert choose_precision("auto", "mps", 1024) == FLOAT32


@pytest.mark.parametrize("flags", ["avx512_bf16 amx_bf16", "avx512_bf16"])
def test_pictures_are_in_bfloat16_where_the_processor_multiplies_it(cpu_flags, flags):
    cpu_flags(flags)
    assert choose_picture_precision("auto", "cpu") == Precision("bf16-mixed", loss=False)
    assert choose_picture_precision("32-true", "cpu") == FLOAT32
    cpu_flags("avx512f")
    assert choose_picture_precision("auto", "cpu") == FLOAT32


def test_no_cpuinfo_is_float32(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "Path", lambda path: tmp_path / "nothing")
    module._cpu_flags.cache_clear()
    assert choose_precision("auto", "cpu", 128) == FLOAT32
    module._cpu_flags.cache_clear()


def test_told_is_told(cpu_flags):
    cpu_flags("amx_bf16")
    assert choose_precision("32-true", "cpu", 512) == FLOAT32
    cpu_flags("avx2")
    assert choose_precision("bf16-mixed", "cpu", 8) == Precision("bf16-mixed", loss=True)


def test_attention_runs_in_float32_under_autocast():
    from recsvc.models.sequence.blocks import Attention

    torch.manual_seed(0)
    attention, x = Attention(16, 2), torch.randn(3, 5, 16)
    seen = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def spy(q, *others, **named):
        seen.append(q.dtype)
        heads = plain(q, *others, **named)
        seen.append(heads.dtype)
        return heads

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
        with torch.autocast("cpu", torch.bfloat16):
            found = attention(x, None, causal=True)
    assert seen == [torch.float32, torch.float32] and found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), attention(x, None, causal=True), atol=0.02, rtol=0.02)
