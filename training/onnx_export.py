"""Writing a torch module as an ONNX file with dynamic shapes, without the exporter's chatter."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_OPSET = 18


def write_encoder(
    module: nn.Module, inputs: Mapping[str, Tensor], output: str, shapes: Mapping[str, dict[int, Any]], path: Path
) -> None:
    """Export a module in evaluation mode, weights inside the file.

    Args:
        module: takes the inputs in their order, gives one tensor.
        inputs: an example of each by name.
        output: name of what comes out.
        shapes: of each input, its dynamic dimensions as ``torch.export.Dim``.
        path: the file to make.
    """
    with warnings.catch_warnings(), _quiet("torch.onnx", "onnxscript", "onnx_ir"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=dict(shapes),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Hold back the progress messages of these loggers."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
