"""From the bytes of a picture to the numbers that the network reads.

A file of its own, above engine, nn, models and data: data sets preprocess their batches with it, and
`model.predict` preprocesses the pixels that it is handed.
"""

import numpy as np

from minivit.errors import DTypeError


def preprocess(images: np.ndarray) -> np.ndarray:
    """Rescale pixels from [0, 255] to [-1, 1], as the authors' code does: `(x - 127.5) / 127.5`.

    images: uint8, of any shape; usually (B, H, W, C).
    Returns float32 of the same shape, in new memory. The data set's mean and standard deviation play no
    part: the published weights expect exactly this.

    Raises DTypeError if `images` is not uint8: floats may have been rescaled already; and if it is a masked array.
    """
    if isinstance(images, np.ma.MaskedArray):
        raise DTypeError("preprocess: masked pixels have no values: fill them first, with images.filled(0)")
    if getattr(images, "dtype", None) != np.uint8:
        found = getattr(images, "dtype", type(images).__name__)
        raise DTypeError(f"preprocess takes uint8 pixels from 0 to 255, not {found}.")
    rescaled = images.astype(np.float32)
    rescaled -= 127.5
    rescaled /= 127.5
    return rescaled
