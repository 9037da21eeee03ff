import numpy as np

from . import right, right_value, wrong, wrong_value

right_value("shape_of_crop", (10, 16, 32))
right_value("shape_of_crop", np.zeros((10, 32, 32, 3))[:, 8:24, :, 0].shape)
wrong_value("shape_of_crop", (10, 16, 32, 1), "an integer index removes its axis")
wrong_value("shape_of_crop", (10, 16, 32, 3), "the last index, 0, picks one channel and removes the axis of")
wrong_value("shape_of_crop", (10, 17, 32), "stops before 24")
wrong_value("shape_of_crop", (10, 32, 16), "columns are the third")
wrong_value("shape_of_crop", (16, 32), "still ten images")
wrong_value("shape_of_crop", 5120, "must be a tuple")
wrong_value("shape_of_crop", np.zeros((10, 32, 32, 3))[:, 8:24, :, 0], "is an array: write down its shape")
wrong_value("shape_of_crop", "(10, 16, 32)", "leave out the quotation marks")
wrong_value("shape_of_crop", (10, 15, 32), "with both ends")
wrong_value("shape_of_crop", (10, 16), "there are still columns")
wrong_value("shape_of_crop", (10, 24, 32), "begins at row 8, not at row 0")
wrong_value("shape_of_crop", (10, 16, 32, 0), "a 0 in the index picks one channel")
wrong_value("shape_of_crop", (10, 32, 32, 3), "the shape of x itself")
wrong_value("shape_of_crop", (1, 2, 3), "(1, 2, 3) is wrong")


@right
def scale_pixels(pixels):
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)


@right
def scale_pixels(pixels):
    scaled = pixels.astype(np.float32)
    scaled -= 127.5
    scaled /= 127.5
    return scaled


@right
def scale_pixels(pixels):
    table = np.linspace(-1, 1, 256, dtype=np.float32)  # the result for each byte
    return table[pixels]


@right
def scale_pixels(pixels):
    out = np.empty(pixels.shape, np.float32)
    np.subtract(pixels, np.float32(127.5), out=out, dtype=np.float32)
    out /= 127.5
    return out


@wrong("the result runs from 0 to 1")
def scale_pixels(pixels):
    return pixels.astype(np.float32) / 255


@wrong("the result runs from 0 to 2")
def scale_pixels(pixels):
    return pixels.astype(np.float32) / 127.5


@wrong("100 - 127 became 229")
def scale_pixels(pixels):
    return ((pixels - 127) / 127).astype(np.float32)


@wrong("as float64")
def scale_pixels(pixels):
    return (pixels - 127.5) / 127.5


@wrong("the difference is not divided by 127.5")
def scale_pixels(pixels):
    return pixels.astype(np.float32) - 127.5


@wrong("parentheses are missing")
def scale_pixels(pixels):
    return pixels.astype(np.float32) - 127.5 / 127.5


@wrong("0 must become -1 and 255 must become 1")
def scale_pixels(pixels):
    x = pixels.astype(np.float32)
    x = (x - x.min()) / (x.max() - x.min())
    return 2 * x - 1


@wrong("changes its input")
def scale_pixels(pixels):
    scaled = (pixels.astype(np.float32) - 127.5) / 127.5
    pixels[...] = 0
    return scaled


@wrong("a new array")
def scale_pixels(pixels):
    pixels -= 127.5
    pixels /= 127.5
    return pixels


@wrong("NumPy's way is pixels.astype(np.float32)")
def scale_pixels(pixels):
    return (pixels.float() - 127.5) / 127.5


@wrong("it runs from -0.5 to 0.5")
def scale_pixels(pixels):
    return (pixels.astype(np.float32) - 127.5) / 255


@wrong("so white stays below 1: divide by 127.5")
def scale_pixels(pixels):
    return (pixels.astype(np.float32) - 127.5) / 128


@wrong("the centre of 0 and 255 is 127.5, not 128")
def scale_pixels(pixels):
    return (pixels.astype(np.float32) - 128) / 128


@wrong("black, 0, must become -1")
def scale_pixels(pixels):
    return 1 - pixels.astype(np.float32) / np.float32(127.5)


@wrong("is float16, which keeps three digits")
def scale_pixels(pixels):
    return ((pixels.astype(np.float32) - 127.5) / 127.5).astype(np.float16)


@wrong("do not use the array's mean and standard deviation")
def scale_pixels(pixels):
    x = pixels.astype(np.float32)
    return (x - x.mean()) / x.std()


@right
def accuracy(logits, labels):
    return np.mean(np.argmax(logits, axis=-1) == labels)


@right
def accuracy(logits, labels):
    hits = 0
    for row, label in zip(logits, labels, strict=True):
        hits += int(row.argmax() == label)
    return hits / len(labels)


@right
def accuracy(logits, labels):
    seen = np.zeros(0, bool)
    for row, label in zip(logits, labels, strict=True):
        seen = np.append(seen, row[label] >= row.max())
    return seen.mean()


@wrong("number of right answers")
def accuracy(logits, labels):
    return (logits.argmax(axis=1) == labels).sum()


@wrong("this is a percentage")
def accuracy(logits, labels):
    return 100 * (logits.argmax(axis=1) == labels).mean()


@wrong("down the columns")
def accuracy(logits, labels):
    return (logits.argmax(axis=0) == labels).mean()


@wrong("take the mean")
def accuracy(logits, labels):
    return logits.argmax(axis=1) == labels


@wrong("share of wrong answers")
def accuracy(logits, labels):
    return (logits.argmax(axis=1) != labels).mean()


@wrong("no answer is right")
def accuracy(logits, labels):
    return (logits.max(axis=1) == labels).mean()


@wrong("divide by the number of images, not by the number of classes")
def accuracy(logits, labels):
    return (logits.argmax(axis=1) == labels).sum() / logits.shape[1]


@wrong("PyTorch's dim is here: axis")
def accuracy(logits, labels):
    return (logits.argmax(dim=1) == labels).float().mean()


@wrong("so .mean() is enough")
def accuracy(logits, labels):
    return (logits.argmax(axis=1) == labels).float().mean()


@wrong("is there a // where / is needed?")
def accuracy(logits, labels):
    return (logits.argmax(axis=1) == labels).sum() // len(labels)


@wrong("it is rounded: return the share itself")
def accuracy(logits, labels):
    return round(float((logits.argmax(axis=1) == labels).mean()), 2)


@wrong("the largest logit, not the smallest")
def accuracy(logits, labels):
    return (logits.argmin(axis=1) == labels).mean()


@wrong("one for each image: compare them with labels")
def accuracy(logits, labels):
    return logits.argmax(axis=1)


@wrong("by the number of all logits")
def accuracy(logits, labels):
    return (logits.argmax(axis=1) == labels).sum() / logits.size


# -- top_k_accuracy -------------------------------------------------------------------------------------


@right
def top_k_accuracy(logits, labels, k):
    top = np.argsort(-logits, axis=1)[:, :k]
    return (top == labels[:, None]).any(axis=1).mean()


@right
def top_k_accuracy(logits, labels, k):
    own = logits[np.arange(len(labels)), labels]
    return ((logits > own[:, None]).sum(axis=1) < k).mean()


@wrong("argsort puts the smallest first")
def top_k_accuracy(logits, labels, k):
    top = np.argsort(logits, axis=1)[:, :k]
    return (top == labels[:, None]).any(axis=1).mean()


@wrong("use any(axis=1) first")
def top_k_accuracy(logits, labels, k):
    top = np.argsort(logits, axis=1)[:, -k:]
    return (top == labels[:, None]).mean()


@wrong("labels must be a column here")
def top_k_accuracy(logits, labels, k):
    top = np.argsort(logits, axis=1)[:, -k:]
    return np.equal(top, labels).any(axis=1).mean()


@wrong("as for k = 1")
def top_k_accuracy(logits, labels, k):
    return (logits.argmax(axis=1) == labels).mean()


@wrong("one class too many")
def top_k_accuracy(logits, labels, k):
    own = logits[np.arange(len(labels)), labels]
    return ((logits > own[:, None]).sum(axis=1) <= k).mean()


@wrong("only the k-th largest logit is compared")
def top_k_accuracy(logits, labels, k):
    return (np.argsort(logits, axis=1)[:, -k] == labels).mean()


@wrong("divide it by all images")
def top_k_accuracy(logits, labels, k):
    top = np.argsort(logits, axis=1)[:, -k:]
    return (top == labels[:, None]).sum()


# -- more mistakes ------------------------------------------------------------------------------------------


@wrong("returns a list: compute with the whole array")
def scale_pixels(pixels):
    return [(x.astype(np.float32) - 127.5) / 127.5 for x in pixels]


@wrong("// cuts off the decimals")
def scale_pixels(pixels):
    return (pixels.astype(np.float32) - 127.5) // 127.5


@wrong("128 is subtracted: subtract 127.5")
def scale_pixels(pixels):
    return (pixels.astype(np.float32) - 128) / 127.5


@wrong("bright pixels became negative")
def scale_pixels(pixels):
    return ((pixels.astype(np.int8) - 127.5) / 127.5).astype(np.float32)


@wrong("the mean of each channel is subtracted: subtract 127.5")
def scale_pixels(pixels):
    x = pixels.astype(np.float32)
    return (x - x.mean(axis=(0, 1, 2))) / 127.5


@wrong("the mean logit of the right class")
def accuracy(logits, labels):
    return logits[np.arange(len(labels)), labels].mean()


@wrong("subtracted: compare them with ==")
def accuracy(logits, labels):
    return (logits.argmax(axis=1) - labels).mean()


@wrong("use axis=1")
def accuracy(logits, labels):
    return (logits.argmax(axis=2) == labels).mean()


@wrong("without if, and, or")
def accuracy(logits, labels):
    return 1.0 if logits.argmax(axis=1) == labels else 0.0


wrong_value("shape_of_crop", (10, 16, 3), "not that of columns")


@wrong("the logits are sorted down the columns")
def top_k_accuracy(logits, labels, k):
    return (np.argsort(-logits, axis=0)[:, :k] == labels[:, None]).any(axis=1).mean()


@wrong("it is divided by the number of all logits: divide by the number of images")
def top_k_accuracy(logits, labels, k):
    top = np.argsort(logits, axis=1)[:, -k:]
    return (top == labels[:, None]).sum() / (len(labels) * logits.shape[1])


@wrong("these are logits, compared with labels: np.argsort gives the numbers of the classes")
def top_k_accuracy(logits, labels, k):
    top = np.sort(logits, axis=1)[:, -k:]
    return (top == labels[:, None]).any(axis=1).mean()


@wrong("not with labels.argmax()")
def accuracy(logits, labels):
    return (logits.argmax(axis=1) == labels.argmax()).mean()


@wrong("is `return` inside the loop? It ends the loop in its first turn: move it behind the loop")
def accuracy(logits, labels):
    right = 0
    for i in range(len(labels)):
        if logits[i].argmax() == labels[i]:
            right += 1
        return right / len(labels)
    return 0.0


@wrong("the first image is left out: a loop begins at 0")
def accuracy(logits, labels):
    right = 0
    for i in range(1, len(labels)):
        right += int(logits[i].argmax() == labels[i])
    return right / len(labels)


@wrong("this counts positive logits of the right class: it must be the largest of its row")
def accuracy(logits, labels):
    return (logits[np.arange(len(labels)), labels] > 0).mean()


@wrong("uint8 ends at 255, so 2 * pixels wraps round: convert to float")
def scale_pixels(pixels):
    return (2 * pixels / 255 - 1).astype(np.float32)


@wrong("the channels are moved in front of rows and columns: keep the")
def scale_pixels(pixels):
    return (
        ((pixels.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)
        if pixels.ndim == 3
        else ((pixels.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
    )


@wrong("this is the right number in percent, and rounded: return it as")
def accuracy(logits, labels):
    return round(100 * (logits.argmax(1) == labels).mean(), 1)


@wrong("only one column is compared, the largest logit but k: take the first k, [:, :k]")
def top_k_accuracy(logits, labels, k):
    if k == logits.shape[1]:
        return 1.0
    return (np.argsort(-logits, axis=1)[:, k] == labels).mean()


@wrong("np.where returns a tuple of index arrays, so its length is 1")
def accuracy(logits, labels):
    return len(np.where(logits.argmax(axis=1) == labels)) / len(labels)


@wrong("uint8 ends at 255, so 2 * pixels - 255 wraps round")
def scale_pixels(pixels):
    return ((2 * pixels - 255) / 255).astype(np.float32)


@wrong("axis=-1 is missing in logits.argmax()")
def accuracy(logits, labels):
    return (logits.argmax() == labels).mean()


@wrong("max must be argmax in logits.max(axis=1)")
def accuracy(logits, labels):
    best = logits.max(axis=1)
    return (best == labels).mean()


@wrong("`in` gives one answer for all: compare with ==, and take any(axis=1)")
def top_k_accuracy(logits, labels, k):
    return np.mean(labels in np.argsort(-logits)[:, :k])
