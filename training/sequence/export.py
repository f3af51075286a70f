"""Export of a trained sequence model: an ONNX encoder, its item table and a FAISS index of look-alikes."""

import logging
import warnings
from pathlib import Path

import faiss
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn

from recsvc.models.sequence.bert4rec import BERT4Rec
from recsvc.releases import SpaceEntry

# Largest difference of a query's entries between PyTorch and the exported encoder; float32 rounding stays below.
TOLERANCE = 1e-4
_OPSET = 18


class _QueryEncoder(nn.Module):
    """The part that is exported: vectors and mask in, query out; [MASK] and positions live inside."""

    def __init__(self, model: BERT4Rec) -> None:
        super().__init__()
        self.model = model
        self.mask_vector: Tensor
        self.register_buffer("mask_vector", model.items.weight[model.mask_token].detach().clone())

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        return self.model.query(vectors, mask, self.mask_vector)


def export_sequence(model: BERT4Rec, catalogue_rows: NDArray[np.int64], folder: Path) -> SpaceEntry:
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
    save_file(
        {
            "vectors": np.ascontiguousarray(vectors),
            "bias": model.bias.detach().float().numpy(),
            "catalogue_rows": catalogue_rows.astype(np.int32),
        },
        folder / "items.safetensors",
    )
    _write_cosine_index(vectors, folder / "similar.faiss")
    _export_encoder(model, folder / "encoder.onnx")
    return SpaceEntry(
        dim=model.config.dim,
        count=model.num_items,
        metric="cosine",
        table=f"{folder.name}/items.safetensors",
        index=f"{folder.name}/similar.faiss",
        encoder=f"{folder.name}/encoder.onnx",
        max_history=model.config.max_length - 1,
    )


def _write_cosine_index(vectors: NDArray[np.float32], path: Path) -> None:
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(unit)
    faiss.write_index(index, str(path))


def _export_encoder(model: BERT4Rec, path: Path) -> None:
    limit = model.config.max_length - 1
    example = (torch.zeros(2, 2, model.config.dim), torch.ones(2, 2, dtype=torch.bool))
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1, max=limit)
    shapes = {0: batch, 1: length}
    with warnings.catch_warnings(), _quiet("torch.onnx", "onnxscript", "onnx_ir"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _QueryEncoder(model),
            example,
            input_names=["vectors", "mask"],
            output_names=["query"],
            dynamic_shapes={"vectors": shapes, "mask": shapes},
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)
    _check_parity(model, path)


def _check_parity(model: BERT4Rec, path: Path) -> None:
    """Answer random histories of many lengths with both, padded and not."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    limit = model.config.max_length - 1
    for longest in sorted({1, 2, min(17, limit), limit}):
        lengths = np.array([longest, *rng.integers(1, longest + 1, size=3)])
        mask = np.arange(longest) >= (longest - lengths)[:, None]
        rows = rng.integers(0, model.num_items, size=mask.shape)
        with torch.inference_mode():
            vectors = model.items(torch.from_numpy(rows))
            expected = model.query(vectors, torch.from_numpy(mask)).numpy()
        (found,) = session.run(["query"], {"vectors": vectors.numpy(), "mask": mask})
        worst = float(np.abs(found - expected).max())
        if not worst <= TOLERANCE:
            raise RuntimeError(f"the exported encoder differs from the model by {worst:.2g} at length {longest}")


class _quiet:  # noqa: N801  (a context manager used like a function)
    """Hold back the exporter's progress messages."""

    def __init__(self, *names: str) -> None:
        self._loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
