"""What share of the machine's matrix-multiplication peak a training step reaches, and what takes the rest.

    python benchmarks/sequence_speed.py DATASET [--set KEY=VALUE]... [--steps 100]

The peak is a product of 2048 x 2048 matrices on the same threads, in bfloat16 where training multiplies in it.
Operations of a step are counted from the shapes by PyTorch's FlopCounterMode (matrix products and attention, forward
and backward); its time is the median of whole steps of the training loop's kind: batch, forward, backward, clipping,
AdamW. Times by kind of operation come from PyTorch's profiler and are shares of the step.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from recsvc.data import make_split, read_dataset
from training.config import load_config
from training.optimiser import clip_gradients, make_optimisers
from training.runtime import prepare_process
from training.sequence.data import prepare_sequences
from training.sequence.fit import SequenceTask, Step

# Operators by what they are; everything else is "other".
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm"),
    "attention": (
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    ),
    "softmax of the loss": ("aten::exp_", "aten::amax", "aten::sub_", "aten::scatter_add_"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "LayerNorm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "AdamW and clipping": ("aten::_fused_adamw_", "aten::linalg_vector_norm", "Optimizer.step#AdamW.step"),
    "embedding gradient": ("aten::embedding_dense_backward",),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    config = load_config(overrides=arguments.settings)
    prepare_process(config.runtime)
    log = read_dataset(arguments.dataset, config.data).log
    assert log is not None
    data = prepare_sequences(log, make_split(log, config.split))
    task = SequenceTask(data, config.sequence, config.evaluation)
    precision = task.precision("cpu")
    model = Fabric(accelerator="cpu", precision=precision.encoder).setup(task.model)
    optimisers = make_optimisers(task.model, config.sequence.loop)

    def train(step: Step) -> None:
        loss, count = task.loss(model, step)
        (loss / count).backward()
        clip_gradients(task.model.parameters(), config.sequence.loop.clip_norm)
        for optimiser in optimisers.values():
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    batches = task.batches(0, 0)
    for _ in range(10):
        train(next(batches))
    seconds, tokens, targets, operations = [], 0, 0, 0.0
    for _ in range(arguments.steps):
        start = time.perf_counter()
        step = next(batches)
        train(step)
        seconds.append(time.perf_counter() - start)
        tokens += step.batch.tokens.size
        targets += len(step.batch.labels)
    with FlopCounterMode(display=False) as counter:
        for step in (steps := [next(batches) for _ in range(5)]):
            train(step)
    operations = counter.get_total_flops() / len(steps)
    peak = gemm_peak(torch.bfloat16 if precision.loss else torch.float32)
    median = float(np.median(seconds))
    print(f"threads {torch.get_num_threads()}, PyTorch {torch.__version__}, {len(seconds)} steps\n")
    print("| | |\n|---|---|")
    of_loss = "bf16" if precision.loss else "fp32"
    print(f"| precision of encoder; of the loss's products | {precision.encoder}; {of_loss} |")
    print(f"| tokens and targets in a step | {tokens / len(seconds):.0f}, {targets / len(seconds):.0f} |")
    print(f"| a step (median) | {median * 1e3:.1f} ms |")
    print(f"| tokens a second | {tokens / len(seconds) / median:,.0f} |")
    print(f"| arithmetic of a step | {operations / 1e9:.2f} GFLOP |")
    print(f"| peak of matrix products in {of_loss} | {peak / 1e9:.0f} GFLOP/s |")
    print(f"| reached | {operations / median / 1e9:.0f} GFLOP/s, {operations / median / peak:.0%} of the peak |\n")
    print_profile(train, [next(batches) for _ in range(30)])


def gemm_peak(dtype: torch.dtype, size: int = 2048, repeats: int = 7) -> float:
    """Operations a second of a square product, the best of several."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def print_profile(train: "object", steps: list[Step]) -> None:
    """The table of times by kind of operation."""
    assert callable(train)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for step in steps:
            train(step)
    kind_of = {name: kind for kind, names in KINDS.items() for name in names}
    times: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        times[kind_of.get(event.key, "other (elementwise, copies, dropout, dispatch)")] += event.self_cpu_time_total
    total = sum(times.values())
    print("| kind of operation | share of the time |\n|---|---|")
    for kind, spent in sorted(times.items(), key=lambda each: -each[1]):
        print(f"| {kind} | {spent / total:.0%} |")


if __name__ == "__main__":
    main()
