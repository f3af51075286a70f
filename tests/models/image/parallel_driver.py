"""One of two processes, for `test_parallel.py`: runs every scenario on its share of the rows and writes what came out.

All is in float64, so that what remains between two processes and one is the order of additions.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.autograd import Function

from recsvc.models.image import nt_xent as nt_xent_module
from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.byol import BYOL
from recsvc.models.image.config import (
    BYOLConfig,
    EncoderConfig,
    IMixConfig,
    MoCoConfig,
    PairConfig,
    SimCLRConfig,
    SwAVConfig,
)
from recsvc.models.image.imix import IMixMoCo, IMixNPair
from recsvc.models.image.mixing import Mix, mixup
from recsvc.models.image.moco import MoCo
from recsvc.models.image.pair import PairContrast
from recsvc.models.image.parallel import from_first, gather, gather_detached, own_rows, world
from recsvc.models.image.simclr import SimCLR
from recsvc.models.image.swav import SwAV
from recsvc.models.image.sync_norm import SyncNorm, sync_norms
from recsvc.models.progress import Progress

PICTURES, STEPS = 12, 2
# Rows of the whole batch that each process has where the numbers may differ.
UNEQUAL = (5, 3)


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def own(whole):
    """The share of this process."""
    rank, size = world()
    return whole.chunk(size)[rank]


def gathers():
    """What the functions on rows give, on rows that say where they come from."""
    rank, size = world()
    mine = torch.arange(4.0).view(2, 2) + 10 * rank
    pictures = rows(2, 3, 4, 5, seed=rank)
    return {
        "rows": gather(mine),
        "detached": gather_detached(mine),
        "pictures": gather_detached(pictures.contiguous(memory_format=torch.channels_last)),
        "own": torch.tensor(own_rows(2)),
        "first": from_first(mine.clone()),
        "size": torch.tensor(size),
    }


class UnsummedGather(Function):
    """Wrong: each process takes its own slice of its own gradient."""

    @staticmethod
    def forward(ctx, mine):
        ctx.count = len(mine)
        return gather_detached(mine)

    @staticmethod
    def backward(ctx, gradient):
        first = own_rows(ctx.count)
        return gradient[first : first + ctx.count]


class SlotGather(UnsummedGather):
    """Wrong: each process sums slices that belong to different rows."""

    @staticmethod
    def backward(ctx, gradient):
        first = own_rows(ctx.count)
        mine = gradient[first : first + ctx.count].contiguous()
        if world()[1] > 1:
            dist.all_reduce(mine)
        return mine


def nt_xent(gathered=gather):
    """Loss and the gradient by the projections of all pictures."""
    first, second = (own(rows(PICTURES, 5, seed=seed)).requires_grad_() for seed in (0, 1))
    nt_xent_module.gather = gathered
    loss = nt_xent_module.nt_xent(first, second, 0.3)
    nt_xent_module.gather = gather
    loss.backward()
    return {"loss": mean(loss), "first": gather_detached(first.grad), "second": gather_detached(second.grad)}


def mean(value):
    return gather_detached(value.detach()[None]).mean()


def norm(shape):
    """Outputs, gradients and running statistics of BatchNorm over parts of unequal size, two batches long."""
    rank, size = world()
    layer = SyncNorm(3).double()
    begins = sum(UNEQUAL[:rank])
    part = slice(begins, begins + UNEQUAL[rank]) if size > 1 else slice(None)
    found = {}
    with torch.no_grad():
        layer.weight.copy_(rows(3, seed=8))
        layer.bias.copy_(rows(3, seed=9))
    for batch in range(2):
        x = (rows(sum(UNEQUAL), *shape, seed=batch) * 3 + 50)[part].requires_grad_()
        out = layer(x)
        (out * rows(sum(UNEQUAL), *shape, seed=5)[part]).sum().backward()
        found |= {f"out{batch}": out.detach(), f"gradient{batch}": x.grad}
    # The gradients of weights are left to DDP, which adds them up.
    for name, gradient in (("weight", layer.weight.grad), ("bias", layer.bias.grad)):
        found[f"whole/{name}"] = gather_detached(gradient[None]).sum(0)
    return found | {f"whole/{name}": tensor.clone() for name, tensor in layer.named_buffers()}


def small(method, config, *more):
    torch.manual_seed(0)
    return method(*build_backbone(EncoderConfig(width=4, side=8), 8), config, *more).double()


def mixed(model):
    """The loss of i-Mix with partners that are drawn within each half of the batch."""
    shares = torch.linspace(0.5, 1, PICTURES, dtype=torch.float64)
    halves = [torch.tensor([2, 0, 1, 5, 3, 4]), torch.tensor([1, 2, 3, 4, 5, 0])]
    rank, size = world()
    partners = halves[rank] if size > 1 else torch.cat([halves[0], halves[1] + PICTURES // 2])
    mix = Mix(own(shares), partners)

    def loss(views, step):
        anchors = mixup(views[0], mix)
        if isinstance(model, IMixNPair):
            return model.mixed_loss(anchors, views[1], mix)
        keys = model._encode_keys(views[1], order(step))
        model._new_keys = [keys]
        return model.mixed_loss(anchors, keys, mix)

    return loss


def order(step):
    return torch.randperm(PICTURES, generator=torch.Generator().manual_seed(step))


MOCO = MoCoConfig(queue=17, momentum=0.6, projection=8, norm_groups=4)
SWAV = SwAVConfig(hidden=16, projection=8, prototypes=7, freeze_epochs=0)
METHODS = {
    "simclr": lambda: small(SimCLR, SimCLRConfig(projection=8)),
    "moco": lambda: small(MoCo, MOCO),
    "moco-symmetric": lambda: small(MoCo, MOCO.model_copy(update={"symmetric": True})),
    "moco-one-norm": lambda: small(MoCo, MOCO.model_copy(update={"norm_groups": 1})),
    "byol": lambda: small(BYOL, BYOLConfig(hidden=16, projection=8)),
    "byol-negatives": lambda: small(BYOL, BYOLConfig(hidden=16, projection=8, negatives=0.5)),
    "swav": lambda: small(SwAV, SWAV),
    "swav-queue": lambda: small(SwAV, SWAV.model_copy(update={"queue": 11, "queue_from_epoch": 0})),
    "swav-logarithms": lambda: small(SwAV, SWAV.model_copy(update={"epsilon": 0.02})),
    "pair": lambda: small(PairContrast, PairConfig(projection=8)),
    "i-mix-n-pair": lambda: small(IMixNPair, IMixConfig(projection=8)),
    "i-mix-moco": lambda: small(IMixMoCo, IMixConfig(base="moco"), MOCO),
}


def method(name):
    """Losses, gradients and all that a method remembers, over two steps of SGD."""
    model = METHODS[name]()
    size = world()[1]
    if size > 1:
        sync_norms(model)
    loss_of = mixed(model) if name.startswith("i-mix") else None
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.SGD(trained.values(), 0.1)
    found = {}
    for step in range(STEPS):
        views = [own(rows(PICTURES, 3, 8, 8, seed=10 * step + view)) for view in range(2)]
        if loss_of:
            loss = loss_of(views, step)
        elif isinstance(model, MoCo):
            loss = model(views, [order(step + 5 * way) for way in range(2 if model.symmetric else 1)])
        else:
            loss = model(views)
        found[f"whole/loss{step}"] = mean(loss)
        optimiser.zero_grad()
        loss.backward()
        for key, p in trained.items():
            p.grad = gather_detached(p.grad[None]).mean(0)  # as DDP does
            found[f"whole/gradient{step}/{key}"] = p.grad.clone()
        progress = Progress(step, STEPS, 0.0)
        model.before_update(progress)
        optimiser.step()
        model.after_update(progress)
    # Those of norms by parts are each process's own until DDP takes the first one's.
    apart = ("running_mean", "running_var", "num_batches_tracked") if "moco" in name and name != "moco-one-norm" else ()
    state = {f"whole/state/{key}": value for key, value in model.state_dict().items() if not key.endswith(apart or "?")}
    return found | state


def drawn_orders():
    """Permutations that MoCo draws where every process has another seed."""
    torch.manual_seed(world()[0])
    model = small(MoCo, MOCO)
    torch.manual_seed(world()[0])
    return {"order": model._draw_order(own(rows(PICTURES, 1)))}


SCENARIOS = {
    "gathers": gathers,
    "nt-xent": nt_xent,
    "nt-xent-unsummed": lambda: nt_xent(UnsummedGather.apply),
    "nt-xent-slot": lambda: nt_xent(SlotGather.apply),
    "norm-1d": lambda: norm((3,)),
    "norm-2d": lambda: norm((3, 2, 4)),
    "orders": drawn_orders,
    **{name: (lambda name=name: method(name)) for name in METHODS},
}


def run_all():
    """What every scenario gives in this process."""
    torch.set_num_threads(1)
    return {
        f"{name}/{key}": value.detach().clone().contiguous()
        for name, scenario in SCENARIOS.items()
        for key, value in scenario().items()
    }


if __name__ == "__main__":
    folder, this = Path(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=this, world_size=2)
    save_file(run_all(), folder / f"{this}.safetensors")
    dist.destroy_process_group()
