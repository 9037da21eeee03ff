"""Oxford Flowers-102: 8,189 photographs of 102 flowers, of many sizes.

The official splits of `setid.mat` are used: 1,020 images to train on, ten of each class, and 6,149 to test on. The
official validation images, another 1,020, are left out, as in the transfer runs that the authors of ViT published
with big_vision; `--validation` holds out training images instead.
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

# The files hold numbers alone; these are the names of classes 1 to 102, as TensorFlow Datasets lists them.
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
    """Oxford Flowers-102: the training split (1,020 images of 102 classes) and the test split (6,149).

    In `data_dir/flowers-102` are `imagelabels.mat` and `setid.mat` (their md5 is checked each time) and the folder
    `jpg`. If that is not there, it is unpacked from `102flowers.tgz` beside it. What is missing is downloaded (345 MB).

    progress: draw progress bars while downloading and unpacking.

    Raises as `pets`.
    """
    root = Path(data_dir) / FOLDER
    for name in (LABELS, SPLITS):
        obtain(URL + name, root / name, MD5[name], download, progress)
    if not (root / "jpg").is_dir():
        archive = obtain(URL + PICTURES, root / PICTURES, MD5[PICTURES], download, progress)
        unpack(archive, root / "jpg", "jpg", lambda name: name.endswith(".jpg"), progress, checksums=True)
    check_unpacked(root / "jpg")

    labels = _read_numbers(root / LABELS, "labels", len(CLASSES)) - 1  # of image 1, 2, ...
    train, test = (_read_numbers(root / SPLITS, split, len(labels)) for split in ("trnid", "tstid"))
    return _dataset(root, train, labels), _dataset(root, test, labels)


def _read_numbers(path: Path, name: str, largest: int) -> np.ndarray:
    """The integers, from 1 up, that a MATLAB 5 file holds under a name: int64 (N,)."""
    from scipy.io import loadmat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SciPy warns of damage before it raises
            numbers = np.asarray(loadmat(path, appendmat=False, variable_names=[name])[name]).ravel()
    except Exception as error:  # damage can hit a reader anywhere: a list of its errors would have gaps
        reason = printable(" ".join(str(error).split()), 80)
        raise DataError(f"{path} has no {name} that can be read: {reason}") from error
    if numbers.dtype.kind not in "iu" or not len(numbers) or not 1 <= numbers.min() <= numbers.max() <= largest:
        raise DataError(f"{name} in {path} are not integers from 1 to {largest}")
    return numbers.astype(np.int64)


def _dataset(root: Path, numbers: np.ndarray, labels: np.ndarray) -> FileDataset:
    paths = [root / "jpg" / f"image_{number:05}.jpg" for number in numbers]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing; delete its folder, so that it can be unpacked again")
    return FileDataset("flowers", ImageFiles(paths), labels[numbers - 1], CLASSES)
