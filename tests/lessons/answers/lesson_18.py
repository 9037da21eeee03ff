import numpy as np

from . import right, wrong

# -- centre_square ------------------------------------------------------------------------------------


@right
def centre_square(pixels):
    H, W, _ = pixels.shape
    if H > W:
        start = (H - W) // 2
        return pixels[start : start + W]
    start = (W - H) // 2
    return pixels[:, start : start + H]


@right
def centre_square(pixels):
    S = min(pixels.shape[0], pixels.shape[1])
    rows = np.arange(S) + (pixels.shape[0] - S) // 2
    columns = np.arange(S) + (pixels.shape[1] - S) // 2
    return pixels[np.ix_(rows, columns)].copy()


@wrong("this is the upper left corner")
def centre_square(pixels):
    side = min(pixels.shape[:2])
    return pixels[:side, :side]


@wrong("the image is returned unchanged")
def centre_square(pixels):
    return pixels


@wrong("one row or column too late")
def centre_square(pixels):
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = -((side - height) // 2), -((side - width) // 2)
    return pixels[top : top + side, left : left + side]


@wrong("rows and columns are swapped")
def centre_square(pixels):
    width, height = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


@wrong("channels last: slice the first two axes")
def centre_square(pixels):
    _, height, width = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]


@wrong("its end is counted from the wrong place")
def centre_square(pixels):
    height, width = pixels.shape[:2]
    side = min(height, width)
    return pixels[(height - side) // 2 : side, (width - side) // 2 : side]


@wrong("use pixels.shape[:2]")
def centre_square(pixels):
    height, width = pixels.shape
    side = min(height, width)
    return pixels[:side, :side]


@wrong("this is the lower right corner")
def centre_square(pixels):
    height, width = pixels.shape[:2]
    side = min(height, width)
    return pixels[height - side :, width - side :][:side, :side]


@wrong("squeezed, not cut")
def centre_square(pixels):
    side = min(pixels.shape[:2])
    rows = (np.arange(side) * pixels.shape[0] / side).astype(int)
    columns = (np.arange(side) * pixels.shape[1] / side).astype(int)
    return pixels[rows][:, columns]


@wrong("raises TypeError")
def centre_square(pixels):
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) / 2, (width - side) / 2
    return pixels[top : top + side, left : left + side]


@wrong("refills the shape with bytes in their order")
def centre_square(pixels):
    side = min(pixels.shape[:2])
    return np.resize(pixels, (side, side, 3))


@wrong("returns a square of 4 pixels of an image of 5 x 8")
def centre_square(pixels):
    H, W = pixels.shape[:2]
    half = min(H, W) // 2
    return pixels[H // 2 - half : H // 2 + half, W // 2 - half : W // 2 + half]


# -- top_classes --------------------------------------------------------------------------------------


@right
def top_classes(logits, names, k=5):
    powers = [float(np.exp(z - max(logits))) for z in logits]
    pairs = sorted(zip(powers, names, strict=True), reverse=True)
    return [(name, power / sum(powers)) for power, name in pairs[:k]]


@right
def top_classes(logits, names, k=5):
    shifted = logits.astype(float) - np.max(logits)
    p = np.exp(shifted - np.log(np.exp(shifted).sum()))
    order = np.argsort(p)[::-1][:k]
    return list(zip([names[i] for i in order], p[order], strict=True))


def probabilities(logits):
    powers = np.exp(logits - np.max(logits))
    return powers / powers.sum()


@wrong("these are the least probable classes")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    return [(names[i], p[i]) for i in np.argsort(p)[:k]]


@wrong("the most probable one must come first")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    return [(names[i], p[i]) for i in np.argsort(p)[-k:]]


@wrong("softmax runs over the chosen classes alone")
def top_classes(logits, names, k=5):
    best = np.argsort(-logits)[:k]
    p = probabilities(logits[best])
    return [(names[i], q) for i, q in zip(best, p, strict=True)]


@wrong("these are the logits")
def top_classes(logits, names, k=5):
    return [(names[i], float(logits[i])) for i in np.argsort(-logits)[:k]]


@wrong("begin with the class's number")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    return [(int(i), p[i]) for i in np.argsort(-p)[:k]]


@wrong("turned round")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    return [(p[i], names[i]) for i in np.argsort(-p)[:k]]


@wrong("(k is not used)")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    return [(names[i], p[i]) for i in np.argsort(-p)]


@wrong("subtract the largest logit")
def top_classes(logits, names, k=5):
    p = np.exp(logits) / np.exp(logits).sum()
    return [(names[i], p[i]) for i in np.argsort(-logits)[:k]]


@wrong("these are percent")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    return [(names[i], round(100 * p[i], 8)) for i in np.argsort(-p)[:k]]


@wrong("names alone")
def top_classes(logits, names, k=5):
    return [names[i] for i in np.argsort(-logits)[:k]]


@wrong("sort by probability")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    return list(zip(names[:k], p[:k], strict=True))


@wrong("call list(...) on it")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    best = np.argsort(-p)[:k]
    return zip([names[i] for i in best], p[best], strict=True)


@wrong("returns two lists")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    best = np.argsort(-p)[:k]
    return [names[i] for i in best], p[best]


@wrong("a sigmoid of each logit")
def top_classes(logits, names, k=5):
    p = 1 / (1 + np.exp(-logits))
    return [(names[i], p[i]) for i in np.argsort(-p)[:k]]


@wrong("the powers are divided by the largest one")
def top_classes(logits, names, k=5):
    p = np.exp(logits - logits.max())
    return [(names[i], p[i]) for i in np.argsort(-p)[:k]]


@wrong("raises AttributeError")
def top_classes(logits, names, k=5):
    values, indices = logits.softmax(-1).topk(k)
    return [(names[i], v) for i, v in zip(indices, values, strict=True)]


@wrong("look up one class at a time")
def top_classes(logits, names, k=5):
    p = probabilities(logits)
    best = np.argsort(-p)[:k]
    return list(zip(names[best], p[best], strict=True))


# -- head_maps ----------------------------------------------------------------------------------------


@right
def head_maps(weights, front, rows, columns):
    return np.stack([head[0, front:].reshape(rows, columns) for head in weights])


@right
def head_maps(weights, front, rows, columns):
    maps = np.zeros((weights.shape[0], rows, columns))
    for n in range(rows * columns):
        maps[:, n // columns, n % columns] = weights[:, 0, front + n]
    return maps


@wrong("this is the first column")
def head_maps(weights, front, rows, columns):
    return weights[:, front:, 0].reshape(-1, rows, columns)


@wrong("leave out the first 1 of the T = 7 columns")
def head_maps(weights, front, rows, columns):
    return weights[:, 0].reshape(-1, rows, columns)


@wrong("leave out the first 5 of the T = 14 columns")
def head_maps(weights, front, rows, columns):
    return weights[:, 0, 1:].reshape(-1, rows, columns)


@wrong("which is not always 1")
def head_maps(weights, front, rows, columns):
    return weights[:, 0, 1 : 1 + rows * columns].reshape(-1, rows, columns)


@wrong("the last tokens are left out")
def head_maps(weights, front, rows, columns):
    return weights[:, 0, :-front].reshape(-1, rows, columns)


@wrong("this is the mean over the heads")
def head_maps(weights, front, rows, columns):
    return weights.mean(axis=0)[0, front:].reshape(rows, columns)


@wrong("the mean over the patches that ask")
def head_maps(weights, front, rows, columns):
    return weights[:, front:, front:].mean(axis=1).reshape(-1, rows, columns)


@wrong("rows and columns are swapped")
def head_maps(weights, front, rows, columns):
    return weights[:, 0, front:].reshape(-1, columns, rows)


@wrong("in column order")
def head_maps(weights, front, rows, columns):
    return weights[:, 0, front:].reshape(-1, columns, rows).transpose(0, 2, 1)


@wrong("there is no batch axis")
def head_maps(weights, front, rows, columns):
    return weights[0, :, 0, front:].reshape(-1, rows, columns)


@wrong("reshape each head's N patches")
def head_maps(weights, front, rows, columns):
    return weights[:, 0, front:]


@wrong("rescaled to the sum 1")
def head_maps(weights, front, rows, columns):
    maps = weights[:, 0, front:].reshape(-1, rows, columns)
    return maps / maps.sum(axis=(1, 2), keepdims=True)


@wrong("the row of the first patch")
def head_maps(weights, front, rows, columns):
    return weights[:, front, front:].reshape(-1, rows, columns)


# -- attention_mask -----------------------------------------------------------------------------------


@right
def attention_mask(values, share):
    order = np.argsort(values, axis=None)
    below = np.cumsum(values.ravel()[order]) / values.sum()
    mask = np.zeros(values.size, bool)
    mask[order] = below > 1 - share + 1e-9
    return mask.reshape(values.shape)


@right
def attention_mask(values, share):
    mask, held = np.zeros(values.shape, dtype=bool), 0.0
    left = values.astype(float).copy()
    while held < share * values.sum() - 1e-9:
        place = np.unravel_index(left.argmax(), left.shape)
        held += values[place]
        mask[place], left[place] = True, -1.0
    return mask


@right
def attention_mask(values, share):
    mask, held = np.zeros(values.shape, bool), 0.0
    left = values.astype(float)
    while held < share * values.sum() - 1e-12:
        place = np.unravel_index(left.argmax(), left.shape)
        held += values[place]
        mask[place], left[place] = True, -np.inf
    return mask


def sorted_down(values):
    order = np.argsort(-values, axis=None)
    return order, np.cumsum(values.ravel()[order]) / values.sum()


def marked(values, chosen):
    mask = np.zeros(values.size, bool)
    mask[chosen] = True
    return mask.reshape(values.shape)


@wrong("one patch is missing")
def attention_mask(values, share):
    order, held = sorted_down(values)
    return marked(values, order[: (held < share).sum()])


@wrong("the share of the patches, not of their sum")
def attention_mask(values, share):
    order, _ = sorted_down(values)
    return marked(values, order[: int(np.ceil(share * values.size))])


@wrong("it is compared with the share)")
def attention_mask(values, share):
    return values > share


@wrong("it is compared with a share of the largest")
def attention_mask(values, share):
    return values > share * values.max()


@wrong("sort downwards")
def attention_mask(values, share):
    order = np.argsort(values, axis=None)
    held = np.cumsum(values.ravel()[order]) / values.sum()
    return marked(values, order[: (held < share).sum() + 1])


@wrong("not divided by their sum")
def attention_mask(values, share):
    order = np.argsort(-values, axis=None)
    held = np.cumsum(values.ravel()[order])
    return marked(values, order[: (held < share).sum() + 1])


@wrong("sort them first")
def attention_mask(values, share):
    return (np.cumsum(values) / values.sum() < share).reshape(values.shape)


@wrong("return booleans, with dtype bool")
def attention_mask(values, share):
    order, held = sorted_down(values)
    return marked(values, order[: (held < share).sum() + 1]).astype(int)


@wrong("the values of the chosen patches")
def attention_mask(values, share):
    order, held = sorted_down(values)
    return values * marked(values, order[: (held < share).sum() + 1])


@wrong("the numbers of the patches")
def attention_mask(values, share):
    order, held = sorted_down(values)
    return order[: (held < share).sum() + 1]


@wrong("put each True back to its patch")
def attention_mask(values, share):
    order, held = sorted_down(values)
    return (np.arange(values.size) < (held < share).sum() + 1).reshape(values.shape)


@wrong("has shape (4,) instead of (2, 2)")
def attention_mask(values, share):
    order, held = sorted_down(values)
    return marked(values, order[: (held < share).sum() + 1]).ravel()


# -- occlusion_map ------------------------------------------------------------------------------------


@right
def occlusion_map(predict, image, label, side, fill=128):
    h, w = image.shape[0] // side, image.shape[1] // side
    hidden = np.repeat(image[None], h * w, axis=0)
    for i in range(h * w):
        row, column = divmod(i, w)
        hidden[i, row * side : (row + 1) * side, column * side : (column + 1) * side] = fill
    return predict(image[None])[0, label] - predict(hidden)[:, label].reshape(h, w)


@right
def occlusion_map(predict, image, label, side, fill=128):
    found = []
    for top in range(0, image.shape[0] - side + 1, side):
        row = []
        for left in range(0, image.shape[1] - side + 1, side):
            copy = np.array(image)
            copy[top : top + side, left : left + side, :] = fill
            row.append(float(predict(image[np.newaxis])[0][label] - predict(copy[np.newaxis])[0][label]))
        found.append(row)
    return np.array(found)


def places(image, side):
    for row in range(image.shape[0] // side):
        for column in range(image.shape[1] // side):
            yield row, column, slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)


def empty(image, side):
    return np.zeros((image.shape[0] // side, image.shape[1] // side))


@wrong("changes its input image: work on a copy, image = image.copy()")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    whole = predict(image[None])[0, label]
    for row, column, down, across in places(image, side):
        image[down, across] = fill
        drops[row, column] = whole - predict(image[None])[0, label]
    return drops


@wrong("the squares stay hidden")
def occlusion_map(predict, image, label, side, fill=128):
    drops, hidden = empty(image, side), image.copy()
    whole = predict(image[None])[0, label]
    for row, column, down, across in places(image, side):
        hidden[down, across] = fill
        drops[row, column] = whole - predict(hidden[None])[0, label]
    return drops


@wrong("the sign is wrong")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, across in places(image, side):
        hidden = image.copy()
        hidden[down, across] = fill
        drops[row, column] = predict(hidden[None])[0, label] - predict(image[None])[0, label]
    return drops


@wrong("these are the probabilities with a place hidden")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, across in places(image, side):
        hidden = image.copy()
        hidden[down, across] = fill
        drops[row, column] = predict(hidden[None])[0, label]
    return drops


@wrong("it takes a batch, such as image[None]")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    whole = predict(image)[label]
    for row, column, down, across in places(image, side):
        hidden = image.copy()
        hidden[down, across] = fill
        drops[row, column] = whole - predict(hidden)[label]
    return drops


@wrong("it follows the largest probability: ")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, across in places(image, side):
        hidden = image.copy()
        hidden[down, across] = fill
        drops[row, column] = predict(image[None]).max() - predict(hidden[None]).max()
    return drops


@wrong("moves by one pixel")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column in np.ndindex(drops.shape):
        hidden = image.copy()
        hidden[row : row + side, column : column + side] = fill
        drops[row, column] = predict(image[None])[0, label] - predict(hidden[None])[0, label]
    return drops


@wrong("the square is black")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, across in places(image, side):
        hidden = image.copy()
        hidden[down, across] = 0
        drops[row, column] = predict(image[None])[0, label] - predict(hidden[None])[0, label]
    return drops


@wrong("the square is always 128")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, across in places(image, side):
        hidden = image.copy()
        hidden[down, across] = 128
        drops[row, column] = predict(image[None])[0, label] - predict(hidden[None])[0, label]
    return drops


@wrong("everything but the square is hidden")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, across in places(image, side):
        hidden = np.full_like(image, fill)
        hidden[down, across] = image[down, across]
        drops[row, column] = predict(image[None])[0, label] - predict(hidden[None])[0, label]
    return drops


@wrong("whole rows are hidden")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, _ in places(image, side):
        hidden = image.copy()
        hidden[down] = fill
        drops[row, column] = predict(image[None])[0, label] - predict(hidden[None])[0, label]
    return drops


@wrong("keep the image's integers from 0 to 255")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, across in places(image, side):
        hidden = image / 255.0
        hidden[down, across] = 0.5
        drops[row, column] = predict(image[None])[0, label] - predict(hidden[None])[0, label]
    return drops


@wrong("nothing is hidden")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, across in places(image, side):
        hidden = image.copy()
        hidden[down, across] = fill
        drops[row, column] = predict(image[None])[0, label] - predict(image[None])[0, label]
    return drops


@wrong("a share of the probability")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    whole = predict(image[None])[0, label]
    for row, column, down, across in places(image, side):
        hidden = image.copy()
        hidden[down, across] = fill
        drops[row, column] = (whole - predict(hidden[None])[0, label]) / whole
    return drops


@wrong("take row 0 and column `label`")
def occlusion_map(predict, image, label, side, fill=128):
    drops = empty(image, side)
    for row, column, down, across in places(image, side):
        hidden = image.copy()
        hidden[down, across] = fill
        drops[row, column] = predict(image[None])[label] - predict(hidden[None])[label]
    return drops


@wrong("row and column are swapped: the first axis is that of rows, row * side")
def occlusion_map(predict, image, label, side, fill=128):
    d = np.zeros((image.shape[0] // side, image.shape[1] // side))
    whole = predict(image[None])[0, label]
    for r, c in np.ndindex(d.shape):
        h = image.copy()
        h[c * side : (c + 1) * side, r * side : (r + 1) * side] = fill
        d[r, c] = whole - predict(h[None])[0, label]
    return d


# -- spread_map ---------------------------------------------------------------------------------------


@right
def spread_map(values, rows, columns, P):
    return (np.ones((rows, P, columns, P)) * values.reshape((rows, 1, columns, 1))).reshape((rows * P, columns * P))


@right
def spread_map(values, rows, columns, P):
    return (values.reshape(rows, 1, columns, 1) * np.ones((P, 1, P))).reshape(rows * P, columns * P)


@right
def spread_map(values, rows, columns, P):
    return (values.reshape(rows, 1, -1, 1) * np.ones((1, P, 1, P))).reshape(-1, columns * P)


@wrong("P times in each direction")
def spread_map(values, rows, columns, P):
    return (values.reshape(1, rows, 1, columns) * np.ones((P, 1, P, 1))).reshape(rows * P, columns * P)


@wrong("the copies of a patch are all in one row")
def spread_map(values, rows, columns, P):
    return (values.reshape(rows, columns, 1, 1) * np.ones((1, 1, P, P))).reshape(rows * P, columns * P)


@wrong("spread_map uses repeat")
def spread_map(values, rows, columns, P):
    return np.repeat(np.repeat(values, P, axis=0), P, axis=1)


@wrong("spread_map uses kron")
def spread_map(values, rows, columns, P):
    return np.kron(values, np.ones((P, P)))


@wrong("must be a single line")
def spread_map(values, rows, columns, P):
    apart = values.reshape(rows, 1, columns, 1)
    return (apart * np.ones((1, P, 1, P))).reshape(rows * P, columns * P)


@wrong("only the rows are repeated")
def spread_map(values, rows, columns, P):
    return (values.reshape(rows, 1, columns) * np.ones((1, P, 1))).reshape(rows * P, columns)


@wrong("the copies are right: reshape")
def spread_map(values, rows, columns, P):
    return values.reshape(rows, 1, columns, 1) * np.ones((1, P, 1, P))


@wrong("give values axes of length 1")
def spread_map(values, rows, columns, P):
    return (values * np.ones((rows, P, columns, P))).reshape(rows * P, columns * P)


@wrong("an odd difference leaves one too many at the end")
def centre_square(pixels):
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : height - top, left : width - left]


@wrong("S is the smaller of H and W, min(H, W)")
def centre_square(pixels):
    height, width = pixels.shape[:2]
    side = max(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


@wrong("compared with that share of the largest")
def attention_mask(values, share):
    return values >= share * values.max()


@wrong("the quantile of `share`")
def attention_mask(values, share):
    return values >= np.quantile(values, share)


@wrong("this is in the order of sorting: write True to the places, mask[order[:count]]")
def attention_mask(values, share):
    o = np.argsort(-values, axis=None)
    h = np.cumsum(values.ravel()[o]) / values.sum()
    return (h < share).reshape(values.shape)


@wrong("where nothing is cut off, -0 as an end is 0: add S")
def centre_square(pixels):
    h, w = pixels.shape[:2]
    s = min(h, w)
    t, left = (h - s) // 2, (w - s) // 2
    return pixels[t:-t, left:-left]


@wrong("end at top + S, without - 1")
def centre_square(pixels):
    h, w = pixels.shape[:2]
    s = min(h, w)
    t, left = (h - s) // 2, (w - s) // 2
    return pixels[t : t + s - 1, left : left + s - 1]


@wrong("does a slice end one too early or too late? A slice stops")
def top_classes(logits, names, k=5):
    p = np.exp(logits - logits.max())
    p /= p.sum()
    return [(names[i], float(p[i])) for i in np.argsort(p)[:-k:-1]]


@wrong("subtract the largest logit, not the mean")
def top_classes(logits, names, k=5):
    powers = np.exp(logits - logits.mean())
    powers = powers / powers.sum()
    return [(names[i], float(powers[i])) for i in np.argsort(-powers)[:k]]


@wrong("only one head is left: keep all of axis 0, weights[:, 0, front:]")
def head_maps(weights, front, rows, columns):
    return weights[0, 0, front:].reshape(1, rows, columns)


@wrong("each row is treated separately: take the share of the whole map")
def attention_mask(values, share):
    o = np.argsort(-values, axis=1)
    held = np.cumsum(np.take_along_axis(values, o, 1), axis=1) / values.sum(axis=1, keepdims=True)
    m = np.zeros(values.shape, bool)
    for r in range(len(values)):
        m[r, o[r, : int((held[r] < share).sum()) + 1]] = True
    return m


@wrong("PyTorch's descending is here: np.argsort(-x), since NumPy sorts upwards")
def top_classes(logits, names, k=5):
    powers = np.exp(logits - logits.max())
    best = np.argsort(powers, descending=True)[:k]
    return [(names[i], float(powers[i] / powers.sum())) for i in best]


@wrong("each row of the map is sorted separately: sort all values together")
def attention_mask(values, share):
    order = np.argsort(-values).ravel()
    held = np.cumsum(values.ravel()[order]) / values.sum()
    mask = np.zeros(values.size, bool)
    mask[order[: int((held < share).sum()) + 1]] = True
    return mask.reshape(values.shape)


@wrong("counts the three colours too")
def centre_square(pixels):
    side = min(pixels.shape)
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


@wrong("keep the heads")
def head_maps(weights, front, rows, columns):
    return weights[:, 0, front:].reshape(rows, columns)


@wrong("these are all rows of head 0")
def head_maps(weights, front, rows, columns):
    return weights[0, :, front:].reshape(-1, rows, columns)


@wrong("count the sums that are below the share")
def attention_mask(values, share):
    order = np.argsort(-values, axis=None)
    held = np.cumsum(values.ravel()[order]) / values.sum()
    mask = np.zeros(values.size, bool)
    mask[order] = held <= share
    return mask.reshape(values.shape)


@wrong("only the first place is hidden")
def occlusion_map(predict, image, label, side, fill=128):
    drops = np.zeros((image.shape[0] // side, image.shape[1] // side))
    whole = predict(image[None])[0, label]
    for row, column in np.ndindex(drops.shape):
        hidden = image.copy()
        hidden[row * side : side, column * side : side] = fill
        drops[row, column] = whole - predict(hidden[None])[0, label]
    return drops


@wrong("NumPy's view changes the type: use reshape(...)")
def head_maps(weights, front, rows, columns):
    return weights[:, 0, front:].view(-1, rows, columns)


@wrong("one patch is too many, and all that are equal to it")
def attention_mask(values, share):
    falling, held, count = np.sort(values, axis=None)[::-1], 0.0, 0
    while held < share * values.sum():
        held += falling[count]
        count += 1
    return values >= falling[min(count, values.size - 1)]


@wrong("more are taken where the share is reached exactly")
def attention_mask(values, share):
    falling, held, count = np.sort(values, axis=None)[::-1], 0.0, 0
    while count < values.size and held <= share * values.sum():
        held += falling[count]
        count += 1
    return values >= falling[count - 1]


@wrong("one patch is too many where the share is reached exactly")
def attention_mask(values, share):
    order = np.argsort(-values, axis=None)
    held = np.cumsum(values.ravel()[order]) / values.sum()
    mask = np.zeros(values.size, bool)
    mask[order[: int((held <= share).sum()) + 1]] = True
    return mask.reshape(values.shape)
