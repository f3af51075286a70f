"""Export of a trained image model: an ONNX encoder, the table of the catalogue's pictures and a FAISS index."""

import copy
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsvc.models.image.method import Encoder
from recsvc.pictures import PictureInput, normalise
from recsvc.releases import PictureEntry, SpaceEntry
from training.export import write_cosine_index, write_table
from training.onnx_export import write_encoder

# Largest difference of an entry of a unit vector between PyTorch and the exported encoder.
TOLERANCE = 1e-5
_BATCH = 64

Float32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]


class _PictureEncoder(nn.Module):
    """What is exported: normalised pictures in, unit vectors out; the projector stays behind."""

    def __init__(self, model: Encoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.features(pixels)


def export_pictures(
    model: Encoder, spec: PictureInput, pixels: Pixels, catalogue_rows: NDArray[np.integer], folder: Path
) -> SpaceEntry:
    """Write ``encoder.onnx``, ``items.safetensors`` and ``similar.faiss`` into ``folder``.

    The vectors are those that the exported encoder gives, so that a picture of the catalogue that is uploaded to the
    service finds itself.

    Args:
        model: trained model.
        spec: what it reads.
        pixels: uint8 [V, S, S, 3], the pictures of the catalogue.
        catalogue_rows: [V], the catalogue's row of each.
        folder: exists and is empty; its name is the space's folder inside the release.

    Raises:
        RuntimeError: the exported encoder does not answer as the model does.
    """
    model = copy.deepcopy(model).cpu().eval()
    path = folder / "encoder.onnx"
    _export_encoder(model, spec.size, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    _check_parity(model, session, pixels, spec)
    vectors = np.concatenate(
        [_run(session, normalise(pixels[start : start + _BATCH], spec)) for start in range(0, len(pixels), _BATCH)]
    )
    write_table(vectors, catalogue_rows, folder / "items.safetensors")
    write_cosine_index(vectors, folder / "similar.faiss")
    return SpaceEntry(
        dim=model.dim,
        count=len(vectors),
        table=f"{folder.name}/items.safetensors",
        index=f"{folder.name}/similar.faiss",
        encoder=f"{folder.name}/encoder.onnx",
        picture=PictureEntry(size=spec.size, mean=spec.mean, std=spec.std),
    )


def _export_encoder(model: Encoder, size: int, path: Path) -> None:
    example = torch.zeros(2, 3, size, size)
    batch = torch.export.Dim("batch", min=1)
    write_encoder(_PictureEncoder(model), {"pixels": example}, "vector", {"pixels": {0: batch}}, path)


def _check_parity(model: Encoder, session: onnxruntime.InferenceSession, pixels: Pixels, spec: PictureInput) -> None:
    """Encode real pictures, noise and plain black and white with both, alone and together."""
    noise = np.random.default_rng(0).integers(0, 256, (2, *pixels.shape[1:]), dtype=np.uint8)
    plain = np.stack([np.zeros_like(noise[0]), np.full_like(noise[0], 255)])
    pictures = normalise(np.concatenate([pixels[:: max(1, len(pixels) // 8)][:8], noise, plain]), spec)
    with torch.inference_mode():
        expected = model.features(torch.from_numpy(pictures)).numpy()
    for start, end in ((0, 1), (1, 3), (0, len(pictures))):
        worst = float(np.abs(_run(session, pictures[start:end]) - expected[start:end]).max())
        if not worst <= TOLERANCE:
            raise RuntimeError(f"the exported encoder differs from the model by {worst:.2g}")


def _run(session: onnxruntime.InferenceSession, pictures: Float32) -> Float32:
    (vectors,) = session.run(["vector"], {"pixels": pictures})
    found: Float32 = vectors
    return found
