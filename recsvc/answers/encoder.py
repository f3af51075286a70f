"""The exported encoders of a release, run by ONNX Runtime: a history, or a picture, to a vector of the space."""

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import onnxruntime

from recsvc.errors import ReleaseError

Vectors = npt.NDArray[np.float32]


class Encoder:
    """One ONNX file that gives one vector of ``dim`` numbers; a subclass says what goes in."""

    inputs: ClassVar[dict[str, str]]
    """Names and types of what goes in."""
    output: ClassVar[str]
    """The name of what comes out."""

    def __init__(self, session: onnxruntime.InferenceSession, path: Path, dim: int) -> None:
        self._session = session
        self._path = path
        self._dim = dim

    @classmethod
    def open(cls, path: Path, *, dim: int) -> Self:
        """Load an encoder file whose sum has been verified.

        Raises:
            ReleaseError: If the file cannot be loaded, or its inputs and output are not those of this kind.
        """
        options = onnxruntime.SessionOptions()
        # A request is one short sequence or one picture: a second thread costs more than it gives, and a
        # spinning one takes the core that the next request needs.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors only: they are raised as well
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            raise ReleaseError(f"{path} cannot be used as an encoder: ONNX Runtime cannot load it.") from error
        found = {node.name: node.type for node in session.get_inputs()}
        if found != cls.inputs:
            raise ReleaseError(f"{path} cannot be used as an encoder: its inputs are {found}, not {cls.inputs}.")
        if [node.name for node in session.get_outputs()] != [cls.output]:
            raise ReleaseError(f"{path} cannot be used as an encoder: its one output must be {cls.output!r}.")
        return cls(session, path, dim)

    def _run(self, inputs: dict[str, npt.NDArray[np.generic]], count: int, what: str) -> Vectors:
        """The vectors, float32 ``[count, d]``, of ``count`` inputs."""
        try:
            (output,) = self._session.run([self.output], inputs)
        except Exception as error:  # as above
            raise ReleaseError(f"{self._path} failed on {what}.") from error
        if output.shape != (count, self._dim) or output.dtype != np.float32:
            raise ReleaseError(
                f"{self._path} gives {output.dtype} {output.shape}: an encoder of this space gives float32 "
                f"({count}, {self._dim})."
            )
        vectors: Vectors = output
        if not np.isfinite(vectors).all():
            raise ReleaseError(f"{self._path} gives NaN or infinity for {what}.")
        return vectors


class SequenceEncoder(Encoder):
    """``query = encoder(vectors, mask)``: a user's newest items to one vector in the space of the items."""

    inputs = {"vectors": "tensor(float)", "mask": "tensor(bool)"}  # noqa: RUF012  (declared in the base class)
    output = "query"

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
        query: Vectors = self._run({"vectors": vectors[np.newaxis], "mask": mask}, 1, f"{len(vectors)} vectors")[0]
        return query

    def encode_batch(self, vectors: Vectors, mask: npt.NDArray[np.bool_]) -> Vectors:
        """The query vectors of several histories in one pass.

        Args:
            vectors: float32 ``[B, L, d]``, oldest first, right-aligned: the newest item of each is in the last column.
            mask: bool ``[B, L]``, False where there is padding, or an item is hidden; the last column is all True.

        Returns:
            float32 ``[B, d]``.

        Raises:
            ReleaseError: As ``encode``.
        """
        count, length = mask.shape
        return self._run({"vectors": vectors, "mask": mask}, count, f"{count} histories of {length} vectors")


class PictureEncoder(Encoder):
    """``vector = encoder(pixels)``: a picture to its vector among those of the catalogue's pictures."""

    inputs = {"pixels": "tensor(float)"}  # noqa: RUF012  (declared in the base class)
    output = "vector"

    def encode(self, pixels: Vectors) -> Vectors:
        """The vector of one picture.

        Args:
            pixels: float32 ``[3, S, S]``, as ``recsvc.pictures`` prepares them.

        Returns:
            float32 ``[d]``, of any length.

        Raises:
            ReleaseError: If the encoder fails or gives anything but ``d`` finite numbers.
        """
        what = f"a picture of {pixels.shape[1]} x {pixels.shape[2]} pixels"
        vector: Vectors = self._run({"pixels": pixels[np.newaxis]}, 1, what)[0]
        return vector
