"""The exported sequence encoder of a space, run by ONNX Runtime: vectors in, one query vector out."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from recsvc.errors import ReleaseError

Vectors = npt.NDArray[np.float32]

_INPUTS = {"vectors": "tensor(float)", "mask": "tensor(bool)"}
_OUTPUT = "query"


class Encoder:
    """``query = encoder(vectors, mask)``: a user's newest items to one vector in the space of the items."""

    def __init__(self, session: onnxruntime.InferenceSession, path: Path, dim: int) -> None:
        self._session = session
        self._path = path
        self._dim = dim

    @classmethod
    def open(cls, path: Path, *, dim: int) -> "Encoder":
        """Load an encoder file whose sum has been verified.

        Raises:
            ReleaseError: If the file cannot be loaded, or its inputs and output are not those of an encoder
                for vectors of ``dim`` numbers.
        """
        options = onnxruntime.SessionOptions()
        # A request is one short sequence: a second thread costs more than it gives, and a spinning one takes
        # the core that the next request needs.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors only: they are raised as well
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            raise ReleaseError(f"{path} cannot be used as an encoder: ONNX Runtime cannot load it.") from error
        found = {node.name: node.type for node in session.get_inputs()}
        if found != _INPUTS:
            raise ReleaseError(f"{path} cannot be used as an encoder: its inputs are {found}, not {_INPUTS}.")
        if [node.name for node in session.get_outputs()] != [_OUTPUT]:
            raise ReleaseError(f"{path} cannot be used as an encoder: its one output must be {_OUTPUT!r}.")
        encoder = cls(session, path, dim)
        encoder.encode(np.zeros((1, dim), dtype=np.float32))  # wrong widths show here, not in a request
        return encoder

    def encode(self, vectors: Vectors) -> Vectors:
        """The query vector of one history.

        Args:
            vectors: float32 ``[L, d]``, oldest first, at least one and nothing but real items.

        Returns:
            float32 ``[d]``.

        Raises:
            ReleaseError: If the encoder fails or gives anything but ``d`` finite numbers.
        """
        mask = np.ones((1, len(vectors)), dtype=np.bool_)
        try:
            (output,) = self._session.run([_OUTPUT], {"vectors": vectors[np.newaxis], "mask": mask})
        except Exception as error:  # as above
            raise ReleaseError(f"{self._path} failed on {len(vectors)} vectors.") from error
        if output.shape != (1, self._dim) or output.dtype != np.float32:
            raise ReleaseError(
                f"{self._path} gives {output.dtype} {output.shape}: an encoder of this space gives float32 "
                f"(1, {self._dim})."
            )
        query: Vectors = output[0]
        if not np.isfinite(query).all():
            raise ReleaseError(f"{self._path} gives NaN or infinity for {len(vectors)} vectors.")
        return query
