"""AdamW for the model, and row-wise Adam for item tables whose steps touch only some of their rows.

A table with sparse gradients (``nn.Embedding(sparse=True)``) costs what the touched rows cost, however many there are:
``torch.optim.SparseAdam`` moves their two moments and no others. Such rows do not decay: AdamW's decay would touch the
whole table at every step.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.sections import LoopConfig

# Names in checkpoints.
_DENSE, _SPARSE = "optimizer", "sparse_optimizer"


def make_optimisers(model: nn.Module, config: LoopConfig) -> dict[str, Optimizer]:
    """The optimisers of a model by the name that they bear in checkpoints; weight decay on matrices and tables."""
    tables = sparse_tables(model)
    known = {id(table) for table in tables}
    dense = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in dense if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in dense if p.ndim <= 1], "weight_decay": 0.0},
    ]
    made: dict[str, Optimizer] = {_DENSE: torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)}
    if tables:
        made[_SPARSE] = torch.optim.SparseAdam(tables, lr=config.learning_rate)
    return made


def sparse_tables(model: nn.Module) -> list[nn.Parameter]:
    """The tables of a model that get sparse gradients."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding) and module.sparse]
    return [p for table in tables for p in table.parameters() if p.requires_grad]


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float | None) -> float:
    """Scale all gradients together to a norm of at most ``max_norm``, if one is given; sparse ones count as dense.

    Returns:
        The norm before; nothing is scaled if it is not finite.
    """
    values: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            # A row that was looked up twice has two entries until they are added up.
            parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad._values())
        else:
            values.append(parameter.grad)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(value) for value in values]))
    if max_norm is not None and norm.isfinite():
        torch._foreach_mul_(values, torch.clamp(max_norm / (norm + 1e-6), max=1.0))
    return float(norm)


def optimiser_tensors(optimisers: dict[str, Optimizer]) -> dict[str, Tensor]:
    """Everything that optimisers remember, for a checkpoint; tensors are shared, not copied."""
    return {
        f"{name}.{number}.{slot}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, optimiser in optimisers.items()
        for number, slots in optimiser.state_dict()["state"].items()
        for slot, value in slots.items()
    }


def restore_optimisers(optimisers: dict[str, Optimizer], tensors: dict[str, Tensor]) -> None:
    """Give optimisers back what :func:`optimiser_tensors` took from them."""
    for name, optimiser in optimisers.items():
        slots: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            owner, number, slot = key.split(".", 2) if key.count(".") >= 2 else ("", "0", "")
            if owner == name:
                # SparseAdam counts its steps in an int, AdamW in a tensor.
                slots.setdefault(int(number), {})[slot] = value.item() if _counts_in_int(optimiser, slot) else value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})


def _counts_in_int(optimiser: Optimizer, slot: str) -> bool:
    inner = getattr(optimiser, "optimizer", optimiser)  # Fabric wraps what it sets up
    return slot == "step" and isinstance(inner, torch.optim.SparseAdam)
