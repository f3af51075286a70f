"""Export of a trained sequence model: an ONNX encoder, its item table and a FAISS index of look-alikes."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsvc.models.sequence.model import SequenceModel
from recsvc.releases import SpaceEntry
from training.export import write_cosine_index, write_table
from training.onnx_export import write_encoder

# Largest difference of a query's entries between PyTorch and the exported encoder; float32 rounding stays below.
TOLERANCE = 1e-4


class _QueryEncoder(nn.Module):
    """The part that is exported: vectors and mask in, query out; [MASK] and positions live inside."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model
        self.mask_vector: Tensor
        self.register_buffer("mask_vector", model.items.weight[model.mask_token].detach().clone())

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        return self.model.query(vectors, mask, self.mask_vector)


def export_sequence(model: SequenceModel, catalogue_rows: NDArray[np.int64], folder: Path) -> SpaceEntry:
    """Write ``encoder.onnx``, ``items.safetensors`` and ``similar.faiss`` into ``folder``.

    Args:
        model: trained model; V items.
        catalogue_rows: int64 [V], the catalogue's row of each of the model's items.
        folder: exists and is empty; its name is the space's folder inside the release.

    Raises:
        RuntimeError: the exported encoder does not answer as the model does.
    """
    model = model.cpu().eval()
    vectors = model.item_vectors.detach().float().numpy()
    bias = model.bias.detach().float().numpy()
    write_table(vectors, catalogue_rows, folder / "items.safetensors", bias)
    write_cosine_index(vectors, folder / "similar.faiss")
    _export_encoder(model, folder / "encoder.onnx")
    return SpaceEntry(
        dim=model.config.dim,
        count=model.num_items,
        metric="cosine",
        table=f"{folder.name}/items.safetensors",
        index=f"{folder.name}/similar.faiss",
        encoder=f"{folder.name}/encoder.onnx",
        max_history=model.config.max_history,
    )


def _export_encoder(model: SequenceModel, path: Path) -> None:
    limit = model.config.max_history
    example = (torch.zeros(2, 2, model.config.dim), torch.ones(2, 2, dtype=torch.bool))
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1, max=limit)
    shapes = {0: batch, 1: length}
    write_encoder(
        _QueryEncoder(model),
        {"vectors": example[0], "mask": example[1]},
        "query",
        {"vectors": shapes, "mask": shapes},
        path,
    )
    _check_parity(model, path)


def _check_parity(model: SequenceModel, path: Path) -> None:
    """Answer random histories of many lengths with both, padded and not."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    limit = model.config.max_history
    for longest in sorted({1, 2, min(17, limit), limit}):
        lengths = np.array([longest, *rng.integers(1, longest + 1, size=3)])
        mask = np.arange(longest) >= (longest - lengths)[:, None]
        rows = rng.integers(0, model.num_items, size=mask.shape)
        with torch.inference_mode():
            vectors = model.embed(torch.from_numpy(rows))
            expected = model.query(vectors, torch.from_numpy(mask)).numpy()
        (found,) = session.run(["query"], {"vectors": vectors.numpy(), "mask": mask})
        worst = float(np.abs(found - expected).max())
        if not worst <= TOLERANCE:
            raise RuntimeError(f"the exported encoder differs from the model by {worst:.2g} at length {longest}")
