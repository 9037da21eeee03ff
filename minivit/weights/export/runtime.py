"""ONNX and ONNX Runtime: imported when they are needed, and a session that takes what minivit's models take."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from ...backend.arrays import available_cores
from ...errors import MissingExtraError, SaveError
from ...preprocessing import Preprocessing, preprocess
from ...utils.text import printable


def onnx_library() -> ModuleType:
    """Return the module `onnx`.

    Raises:
        MissingExtraError: if ONNX or ONNX Runtime is not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401  (the check at the end needs it: better said before the work than after it)
    except ImportError as error:
        raise MissingExtraError("an export to ONNX needs onnx and onnxruntime: pip install 'minivit[onnx]'") from error
    return onnx


class Session:
    """A model that ONNX Runtime has loaded.

    Args:
        content: the bytes of an ONNX file.
        preprocessing: of the model, for a file that does not scale pixels itself.

    Raises:
        SaveError: if ONNX Runtime does not load it.
    """

    def __init__(self, content: bytes, preprocessing: Preprocessing) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_cores()  # else it takes all of the machine's, and pins threads to them
        options.log_severity_level = 3  # errors
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own have no common base
            raise SaveError(f"nothing was written: ONNX Runtime refuses the model: {printable(error, 100)}") from error
        self._input = self._session.get_inputs()[0]
        self._preprocessing = preprocessing

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Return the first result, the logits or the representation: (M, H, W, C) -> (M, K).

        Args:
            pixels: uint8, of the model's size.
        """
        images = pixels if "uint8" in self._input.type else scaled_pixels(pixels, self._preprocessing)
        return np.asarray(self._session.run(None, {self._input.name: images})[0])


def scaled_pixels(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return pixels scaled as a model expects them: uint8 (M, H, W, C) to float32.

    Args:
        pixels: of the model's size.
        preprocessing: of the model.
    """
    if preprocessing.is_neutral:
        return preprocess(pixels)
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    return ((pixels / 255.0 - mean) / std).astype(np.float32)
