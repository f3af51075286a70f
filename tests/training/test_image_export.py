"""A published image space answers as the PyTorch model does."""

import io

import faiss
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from recsvc.models.image import backbones
from recsvc.models.image.config import EncoderConfig, SimCLRConfig
from recsvc.models.image.simclr import SimCLR
from recsvc.pictures import PictureInput, decode_picture, fit_square, preprocess
from training.image.encode import encode_pixels
from training.image.export import _check_parity as check_parity
from training.image.export import export_pictures
from training.image.offline import offline_look_alikes

SPEC = PictureInput(32, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def encoded(count):
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(count):
        content = io.BytesIO()
        coarse = Image.fromarray(rng.integers(0, 256, (6, 5, 3)).astype(np.uint8))
        coarse.resize((50, 60), Image.Resampling.BICUBIC).save(content, "JPEG")
        contents.append(content.getvalue())
    return contents


def make_model(backbone):
    torch.manual_seed(1)
    model = SimCLR(*backbones.build_backbone(EncoderConfig(backbone=backbone, width=8), 32), SimCLRConfig())
    with torch.no_grad():  # running statistics away from their initial values
        for _ in range(3):
            model(torch.randn(2, 8, 3, 32, 32) + 0.3)
    return model.eval()


@pytest.mark.parametrize("backbone", ["resnet9", "vit_tiny"])
def test_exported_vectors_are_the_models(tmp_path, backbone, monkeypatch):
    monkeypatch.setitem(backbones._VITS, "vit_tiny", (48, 2, 3))  # the same layers, fewer of them
    contents, model = encoded(70), make_model(backbone)
    pixels = np.stack([fit_square(decode_picture(content), 32) for content in contents])
    rows = np.arange(70, dtype=np.int32)[::-1]
    folder = tmp_path / "image"
    folder.mkdir()
    before = {name: tensor.clone() for name, tensor in model.train().state_dict().items()}
    entry = export_pictures(model, SPEC, pixels, rows, folder)
    assert model.training  # the model is left as it is
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.eval().state_dict().items())
    assert (entry.dim, entry.count, entry.max_history) == (model.dim, 70, None)
    assert (entry.picture.size, entry.picture.mean, entry.picture.std) == (32, SPEC.mean, SPEC.std)
    assert {file.name for file in folder.iterdir()} == {"encoder.onnx", "items.safetensors", "similar.faiss"}
    table = load_file(folder / "items.safetensors")
    assert set(table) == {"vectors", "catalogue_rows"} and np.array_equal(table["catalogue_rows"], rows)
    np.testing.assert_allclose(table["vectors"], encode_pixels(model, pixels, SPEC), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(table["vectors"], axis=1), 1, rtol=1e-5)
    index = faiss.read_index(str(folder / "similar.faiss"))
    assert index.ntotal == 70 and index.d == model.dim

    session = onnxruntime.InferenceSession(str(folder / "encoder.onnx"), providers=["CPUExecutionProvider"])
    ((given,), (made,)) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("pixels", "tensor(float)", [3, 32, 32])
    assert (made.name, made.type) == ("vector", "tensor(float)")
    for row, content in enumerate(contents[:10]):  # an uploaded picture of the catalogue finds itself
        (vector,) = session.run(["vector"], {"pixels": preprocess(content, SPEC)[None]})
        np.testing.assert_allclose(vector[0], table["vectors"][row], atol=1e-5)
        scores, found = index.search(vector, 1)
        assert found[0, 0] == row and scores[0, 0] == pytest.approx(1, abs=1e-5)
    offline = offline_look_alikes(model, SPEC, pixels, contents[:3], 4)
    for row, answers in enumerate(offline):
        assert answers[0] == (row, pytest.approx(1, abs=1e-5)) and len(answers) == 4
        (vector,) = session.run(["vector"], {"pixels": preprocess(contents[row], SPEC)[None]})
        scores, found = index.search(vector, 4)
        assert [answer for answer, _ in answers] == found[0].tolist()
        np.testing.assert_allclose([score for _, score in answers], scores[0], atol=1e-5)

    torch.manual_seed(2)
    other = SimCLR(*backbones.build_backbone(EncoderConfig(backbone=backbone, width=8), 32), SimCLRConfig()).eval()
    with pytest.raises(RuntimeError, match="differs from the model by"):
        check_parity(other, session, pixels, SPEC)
