"""Oxford Flowers-102: 8,189 photographs of 102 kinds of flowers, of different sizes.

The splits are the official ones of `setid.mat`: 1,020 training images, ten of each class, and 6,149 test images. The
1,020 official validation images are left out, as in the transfer runs that the authors of ViT published with
big_vision; `--validation` holds out training images instead.
https://www.robots.ox.ac.uk/~vgg/data/flowers/102/ (Nilsback and Zisserman, ICVGIP 2008).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..utils.text import printable
from .archive import check_unpacked, unpack
from .dataset import FileDataset, ImageFiles
from .download import obtain

FOLDER = "flowers-102"
URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
PICTURES, LABELS, SPLITS = "102flowers.tgz", "imagelabels.mat", "setid.mat"
MD5 = {
    PICTURES: "52808999861908f626f3c1f4e79d11fa",
    LABELS: "e0620be6f572b9609742df49c70aed4d",
    SPLITS: "a5357ecc9cb78c4bef273ce3793fc85c",
}

# The files have only numbers; these are the names of classes 1 to 102, as TensorFlow Datasets lists them.
CLASSES = (
    "pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea", "english marigold", "tiger lily",
    "moon orchid", "bird of paradise", "monkshood", "globe thistle", "snapdragon", "colt's foot", "king protea",
    "spear thistle", "yellow iris", "globe-flower", "purple coneflower", "peruvian lily", "balloon flower",
    "giant white arum lily", "fire lily", "pincushion flower", "fritillary", "red ginger", "grape hyacinth",
    "corn poppy", "prince of wales feathers", "stemless gentian", "artichoke", "sweet william", "carnation",
    "garden phlox", "love in the mist", "mexican aster", "alpine sea holly", "ruby-lipped cattleya", "cape flower",
    "great masterwort", "siam tulip", "lenten rose", "barbeton daisy", "daffodil", "sword lily", "poinsettia",
    "bolero deep blue", "wallflower", "marigold", "buttercup", "oxeye daisy", "common dandelion", "petunia",
    "wild pansy", "primula", "sunflower", "pelargonium", "bishop of llandaff", "gaura", "geranium", "orange dahlia",
    "pink-yellow dahlia", "cautleya spicata", "japanese anemone", "black-eyed susan", "silverbush", "californian poppy",
    "osteospermum", "spring crocus", "bearded iris", "windflower", "tree poppy", "gazania", "azalea", "water lily",
    "rose", "thorn apple", "morning glory", "passion flower", "lotus", "toad lily", "anthurium", "frangipani",
    "clematis", "hibiscus", "columbine", "desert-rose", "tree mallow", "magnolia", "cyclamen", "watercress",
    "canna lily", "hippeastrum", "bee balm", "ball moss", "foxglove", "bougainvillea", "camellia", "mallow",
    "mexican petunia", "bromelia", "blanket flower", "trumpet creeper", "blackberry lily",
)  # fmt: skip


def flowers(data_dir: str | Path, download: bool = True, progress: bool = True) -> tuple[FileDataset, FileDataset]:
    """Return Oxford Flowers-102: the training split (1,020 images of 102 classes) and the test split (6,149).

    `data_dir/flowers-102` has the files `imagelabels.mat` and `setid.mat`, whose md5 is checked each time, and the
    folder `jpg`. A missing folder is unpacked from `102flowers.tgz` in the same place. Missing files are downloaded
    (345 MB together).

    Args:
        data_dir: the folder of the data sets.
        download: whether missing files may be downloaded.
        progress: whether to draw progress bars.

    Raises:
        DataError, DataNotFoundError, DownloadError, SaveError: as `pets`.
    """
    root = Path(data_dir) / FOLDER
    for name in (LABELS, SPLITS):
        obtain(URL + name, root / name, MD5[name], download, progress)
    if not (root / "jpg").is_dir():
        archive = obtain(URL + PICTURES, root / PICTURES, MD5[PICTURES], download, progress)
        unpack(archive, root / "jpg", "jpg", lambda name: name.endswith(".jpg"), progress, checksums=True)
    check_unpacked(root / "jpg")

    labels = _read_numbers(root / LABELS, "labels", len(CLASSES)) - 1  # (8189,), of image 1, 2 ...
    train, test = (_read_numbers(root / SPLITS, split, len(labels)) for split in ("trnid", "tstid"))
    return _dataset(root, train, labels), _dataset(root, test, labels)


def _read_numbers(path: Path, name: str, largest: int) -> np.ndarray:
    """Return the integers from 1 to `largest` that a MATLAB 5 file holds under a name: int64 (N,)."""
    from scipy.io import loadmat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SciPy warns about damage before it raises an error
            numbers = np.asarray(loadmat(path, appendmat=False, variable_names=[name])[name]).ravel()
    except Exception as error:  # a damaged file can make the reader raise any error
        reason = printable(" ".join(str(error).split()), 80)
        raise DataError(f"{path} has no {name} that can be read: {reason}") from error
    if numbers.dtype.kind not in "iu" or not len(numbers) or not 1 <= numbers.min() <= numbers.max() <= largest:
        raise DataError(f"{name} in {path} are not integers from 1 to {largest}")
    return numbers.astype(np.int64)


def _dataset(root: Path, numbers: np.ndarray, labels: np.ndarray) -> FileDataset:
    paths = [root / "jpg" / f"image_{number:05}.jpg" for number in numbers]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing: delete its folder, so that it is unpacked again")
    return FileDataset("flowers", ImageFiles(paths), labels[numbers - 1], CLASSES)
