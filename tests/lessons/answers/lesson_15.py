import numpy as np

from minivit import Tensor, cross_entropy

from . import right, wrong


@right
def colour_number(square):
    red, green, blue = np.minimum(7, ((square.mean(axis=(0, 1)) + 1) * 4).astype(int))
    return 64 * red + 8 * green + blue


@right
def colour_number(square):
    number = 0
    for c in range(3):
        average = float(square[:, :, c].mean())
        level = sum(average >= -1 + 0.25 * edge for edge in range(1, 8))
        number = 8 * number + level
    return number


@wrong("became level 8")
def colour_number(square):
    red, green, blue = np.floor((square.mean(axis=(0, 1)) + 1) * 4).astype(int)
    return 64 * red + 8 * green + blue


@wrong("blue is the first digit")
def colour_number(square):
    levels = np.clip(np.floor((square.mean(axis=(0, 1)) + 1) * 4), 0, 7).astype(int)
    return levels @ np.array([1, 8, 64])


@wrong("rounded to the nearest")
def colour_number(square):
    red, green, blue = np.clip(np.round((square.mean(axis=(0, 1)) + 1) * 4), 0, 7).astype(int)
    return 64 * red + 8 * green + blue


@wrong("add 1 first")
def colour_number(square):
    red, green, blue = np.clip(np.floor(square.mean(axis=(0, 1)) * 8), 0, 7).astype(int)
    return 64 * red + 8 * green + blue


@wrong("each pixel is rounded before averaging")
def colour_number(square):
    levels = np.clip(np.floor((square + 1) * 4), 0, 7)
    red, green, blue = levels.mean(axis=(0, 1)).astype(int)
    return 64 * red + 8 * green + blue


@wrong("an array of shape")
def colour_number(square):
    levels = np.clip(np.floor((square + 1) * 4), 0, 7).astype(int)
    return levels @ np.array([64, 8, 1])


@wrong("base 10")
def colour_number(square):
    red, green, blue = np.clip(np.floor((square.mean(axis=(0, 1)) + 1) * 4), 0, 7).astype(int)
    return 100 * red + 10 * green + blue


@wrong("PyTorch's dim is here: axis")
def colour_number(square):
    levels = np.clip(np.floor((square.mean(dim=(0, 1)) + 1) * 4), 0, 7)
    return int(levels @ np.array([64, 8, 1]))


@wrong("so that the channels, the last axis, are left")
def colour_number(square):
    red, green, blue = np.clip(np.floor((square.mean(axis=(1, 2)) + 1) * 4), 0, 7).astype(int)
    return 64 * red + 8 * green + blue


@wrong("64 · red overflows")
def colour_number(square):
    red, green, blue = np.clip((square.mean(axis=(0, 1)) + 1) * 4, 0, 7).astype(np.uint8)
    return 64 * red + 8 * green + blue


@wrong("need the factor 4")
def colour_number(square):
    red, green, blue = ((square.mean(axis=(0, 1)) + 1) * 3.5).astype(int)
    return 64 * red + 8 * green + blue


@wrong("so that they begin at 0")
def colour_number(square):
    red, green, blue = np.clip(np.ceil((square.mean(axis=(0, 1)) + 1) * 4), 0, 8).astype(int)
    return 64 * red + 8 * green + blue


@wrong("multiply by 4, not by 8")
def colour_number(square):
    red, green, blue = np.clip(np.floor((square.mean(axis=(0, 1)) + 1) * 8), 0, 7).astype(int)
    return 64 * red + 8 * green + blue


@wrong("the digits have base 7")
def colour_number(square):
    red, green, blue = np.clip(np.floor((square.mean(axis=(0, 1)) + 1) * 4), 0, 7).astype(int)
    return 49 * red + 7 * green + blue


@wrong("the channels are averaged too")
def colour_number(square):
    level = min(7, int((square.mean() + 1) * 4))
    return 64 * level + 8 * level + level


@wrong("use them as digits")
def colour_number(square):
    return int(np.clip(np.floor((square.mean(axis=(0, 1)) + 1) * 4), 0, 7).sum())


@right
def draw_corruption(B, N, rng):
    number = round(0.5 * N)
    hidden, swapped = round(0.8 * number), round(0.1 * number)
    order = rng.permuted(np.tile(np.arange(N), (B, 1)), axis=1)
    rows = np.arange(B)[:, None]
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    corrupted[rows, order[:, :number]] = True
    masked[rows, order[:, :hidden]] = True
    places = order[:, hidden : hidden + swapped]
    source[rows, places] = (places + rng.integers(1, N, places.shape)) % N
    return corrupted, masked, source


@right
def draw_corruption(B, N, rng):
    corrupted, masked = np.zeros((B, N), bool), np.zeros((B, N), bool)
    source = np.tile(np.arange(N), (B, 1))
    for b in range(B):
        bad = rng.choice(N, size=round(N * 0.5), replace=False)
        corrupted[b, bad] = True
        hidden = round(len(bad) * 0.8)
        masked[b, bad[:hidden]] = True
        for n in bad[hidden : hidden + round(len(bad) * 0.1)]:
            source[b, n] = rng.choice([m for m in range(N) if m != n])
    return corrupted, masked, source


@wrong("corrupt exactly half")
def draw_corruption(B, N, rng):
    corrupted = rng.random((B, N)) < 0.5
    masked = corrupted & (rng.random((B, N)) < 0.8)
    return corrupted, masked, np.tile(np.arange(N), (B, 1))


@wrong("all corrupted patches are masked")
def draw_corruption(B, N, rng):
    corrupted = np.zeros((B, N), bool)
    for b in range(B):
        corrupted[b, rng.permutation(N)[: N // 2]] = True
    return corrupted, corrupted.copy(), np.tile(np.arange(N), (B, 1))


@wrong("corrupt half of them")
def draw_corruption(B, N, rng):
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        order = rng.permutation(N)
        masked[b, order[: round(0.8 * N)]] = True
        corrupted[b, order[: round(0.9 * N)]] = True
    return corrupted, masked, source


@wrong("the same patches of all images are corrupted")
def draw_corruption(B, N, rng):
    number = N // 2
    order = rng.permutation(N)
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    corrupted[:, order[:number]] = True
    masked[:, order[: round(0.8 * number)]] = True
    for n in order[round(0.8 * number) : round(0.9 * number)]:
        source[:, n] = (n + rng.integers(1, N, B)) % N
    return corrupted, masked, source


@wrong("some patches are both masked and replaced")
def draw_corruption(B, N, rng):
    number = N // 2
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        order = rng.permutation(N)
        corrupted[b, order[:number]] = True
        masked[b, order[: round(0.8 * number)]] = True
        for n in order[: round(0.1 * number)]:
            source[b, n] = (n + rng.integers(1, N)) % N
    return corrupted, masked, source


@wrong("never draw the patch itself as source")
def draw_corruption(B, N, rng):
    number = N // 2
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        order = rng.permutation(N)
        corrupted[b, order[:number]] = True
        masked[b, order[: round(0.8 * number)]] = True
        for n in order[round(0.8 * number) : round(0.9 * number)]:
            source[b, n] = rng.integers(0, N)
    return corrupted, masked, source


@wrong("draw only from rng")
def draw_corruption(B, N, rng):
    rng = np.random.default_rng()
    number = N // 2
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        order = rng.permutation(N)
        corrupted[b, order[:number]] = True
        masked[b, order[: round(0.8 * number)]] = True
        for n in order[round(0.8 * number) : round(0.9 * number)]:
            source[b, n] = (n + rng.integers(1, N)) % N
    return corrupted, masked, source


@wrong("only some patches are sources of a replaced one")
def draw_corruption(B, N, rng):
    number = N // 2
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        order = rng.permutation(N)
        corrupted[b, order[:number]] = True
        masked[b, order[: round(0.8 * number)]] = True
        for n in order[round(0.8 * number) : round(0.9 * number)]:
            source[b, n] = (n + 1) % N
    return corrupted, masked, source


@wrong("always stay unmasked")
def draw_corruption(B, N, rng):
    number = N // 2
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        bad = np.sort(rng.permutation(N)[:number])
        corrupted[b, bad] = True
        masked[b, bad[: round(0.8 * number)]] = True
        for n in bad[round(0.8 * number) : round(0.9 * number)]:
            source[b, n] = (n + rng.integers(1, N)) % N
    return corrupted, masked, source


def _half_of_each(B, N, rng):
    number = N // 2
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        order = rng.permutation(N)
        corrupted[b, order[:number]] = True
        masked[b, order[: round(0.8 * number)]] = True
        for n in order[round(0.8 * number) : round(0.9 * number)]:
            source[b, n] = (n + rng.integers(1, N)) % N
    return corrupted, masked, source


@wrong("some patches are drawn twice")
def draw_corruption(B, N, rng):
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        bad = rng.choice(N, size=N // 2)
        corrupted[b, bad] = True
        masked[b, bad[: round(0.8 * len(bad))]] = True
    return corrupted, masked, source


@wrong("corrupted and masked are swapped")
def draw_corruption(B, N, rng):
    corrupted, masked, source = _half_of_each(B, N, rng)
    return masked, corrupted, source


@wrong("no patch receives another's embedding")
def draw_corruption(B, N, rng):
    corrupted, masked, _ = _half_of_each(B, N, rng)
    return corrupted, masked, np.tile(np.arange(N), (B, 1))


@wrong("draw from the rng that is handed over")
def draw_corruption(B, N, rng):
    return _half_of_each(B, N, np.random.default_rng(0))


@wrong("80 % of all patches are masked")
def draw_corruption(B, N, rng):
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        order = rng.permutation(N)
        corrupted[b, order[: N // 2]] = True
        masked[b, order[: round(0.8 * N)]] = True
    return corrupted, masked, source


@wrong("must return three arrays")
def draw_corruption(B, N, rng):
    return np.stack(_half_of_each(B, N, rng))


@right
def corrupt(z, mask, masked, source):
    B, N, D = z.shape
    m = masked[:, :, None].astype(z.dtype)
    picks = (source[:, :, None] == np.arange(N)).astype(z.dtype)
    return Tensor(picks) @ z * (1.0 - m) + mask * m


@right
def corrupt(z, mask, masked, source):
    B, N, D = z.shape
    flat = z.reshape(B * N, D)
    numbers = (source + N * np.arange(B)[:, None]).reshape(-1)
    received = flat[numbers].reshape(B, N, D)
    return received + (mask - received) * masked[:, :, None]


@wrong("the mask is added")
def corrupt(z, mask, masked, source):
    return z[np.arange(z.shape[0])[:, None], source] + mask * masked[:, :, None]


@wrong("use source")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None].astype(z.dtype)
    return z * (1.0 - m) + mask * m


@wrong("masked and kept patches are swapped")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None].astype(z.dtype)
    return z[np.arange(z.shape[0])[:, None], source] * m + mask * (1.0 - m)


@wrong("returns an array")
def corrupt(z, mask, masked, source):
    received = z.data[np.arange(z.shape[0])[:, None], source]
    return np.where(masked[:, :, None], mask.data, received)


@wrong("leaves no gradient on mask")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None].astype(z.dtype)
    return z[np.arange(z.shape[0])[:, None], source] * (1.0 - m) + mask.data * m


@wrong("the masked patches are zeros")
def corrupt(z, mask, masked, source):
    return z[np.arange(z.shape[0])[:, None], source] * ~masked[:, :, None] + mask * 0.0


@wrong("from the first image")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None].astype(z.dtype)
    return z[0][source] * (1.0 - m) + mask * m


@wrong("z[source] picks images")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None].astype(z.dtype)
    return z[source] * (1.0 - m) + mask * m


@wrong("z[:, source] picks from every image")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None].astype(z.dtype)
    return z[:, source] * (1.0 - m) + mask * m


@wrong("to assign to a part of a Tensor is not possible")
def corrupt(z, mask, masked, source):
    received = z[np.arange(z.shape[0])[:, None], source]
    received[masked] = mask
    return received


@wrong("copy first")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None].astype(z.dtype)
    return (z * (1.0 - m) + mask * m)[np.arange(z.shape[0])[:, None], source]


@wrong("no patch is masked")
def corrupt(z, mask, masked, source):
    return z[np.arange(z.shape[0])[:, None], source]


@wrong("z is returned as it came")
def corrupt(z, mask, masked, source):
    return z + 0.0


@wrong("reshape(...), or None in an index")
def corrupt(z, mask, masked, source):
    m = masked.unsqueeze(-1)
    return z[np.arange(z.shape[0])[:, None], source] * ~m + mask * m


@wrong("changes its input z")
def corrupt(z, mask, masked, source):
    z.data[masked] = mask.data[0, 0]
    return z


@right
def masked_loss(logits, targets, corrupted):
    K = logits.shape[-1]
    places = np.flatnonzero(corrupted)
    return cross_entropy(logits.reshape(-1, K)[places], targets.reshape(-1)[places])


@right
def masked_loss(logits, targets, corrupted):
    K = logits.shape[-1]
    right = np.eye(K)[targets] * corrupted[:, :, None]
    e = (logits - logits.detach().max(axis=-1, keepdims=True)).exp()
    return -((e / e.sum(axis=-1, keepdims=True)).log() * right).sum() / float(corrupted.sum())


@right
def masked_loss(logits, targets, corrupted):
    places = np.flatnonzero(corrupted)
    B, N, K = logits.shape
    return cross_entropy(logits.reshape(B * N, K)[places], targets.ravel()[places])


@wrong("all patches count")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


@wrong("not corrupted")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits[~corrupted], targets[~corrupted])


@wrong("this is the sum")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits[corrupted], targets[corrupted]) * float(corrupted.sum())


@wrong("this is the mean of the images' means")
def masked_loss(logits, targets, corrupted):
    losses = [cross_entropy(logits[b][corrupted[b]], targets[b][corrupted[b]]) for b in range(len(targets))]
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total / float(len(losses))


@wrong("leaves no gradient on logits")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(Tensor(logits.data[corrupted], requires_grad=True), targets[corrupted])


@wrong("divided by the number of all patches")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits[corrupted], targets[corrupted]) * (corrupted.sum() / corrupted.size)


@wrong("pick the corrupted patches first")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits, targets)


@wrong("argument 'ignore_index'")
def masked_loss(logits, targets, corrupted):
    flat = np.where(corrupted, targets, -100).reshape(-1)
    return cross_entropy(logits.reshape(-1, logits.shape[-1]), flat, ignore_index=-100)


@wrong("pick the same patches from both")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits[corrupted], targets)


@wrong("each still costs ln K")
def masked_loss(logits, targets, corrupted):
    hidden = logits * corrupted[:, :, None]
    return cross_entropy(hidden.reshape(-1, logits.shape[-1]), targets.reshape(-1))


@wrong("divided by the number of images")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits[corrupted], targets[corrupted]) * float(corrupted.sum() / len(targets))


@wrong("has the wrong sign")
def masked_loss(logits, targets, corrupted):
    return -cross_entropy(logits[corrupted], targets[corrupted])


@wrong("returns a plain number")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits[corrupted], targets[corrupted]).item()


@right
def ridge(X, Y, l2):
    if len(X) >= X.shape[1]:
        values, vectors = np.linalg.eigh(X.T @ X)
        return vectors @ ((vectors.T @ X.T @ Y) / (values + l2)[:, None])
    values, vectors = np.linalg.eigh(X @ X.T)
    return X.T @ (vectors @ ((vectors.T @ Y) / (values + l2)[:, None]))


@right
def ridge(X, Y, l2):
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    return Vt.T @ ((s / (s**2 + l2))[:, None] * (U.T @ Y))


@right
def ridge(X, Y, l2):
    M, D = X.shape
    if M < D:
        return X.T @ np.linalg.solve(np.diag(np.full(M, float(l2))) + X @ X.T, Y)
    U, s, V = np.linalg.svd(X, full_matrices=False)
    return V.T @ ((s / (s**2 + l2))[:, None] * (U.T @ Y))


@wrong("builds a matrix of 800 x 800")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T @ X + l2 * np.eye(X.shape[1]), X.T @ Y)


@wrong("the regularisation is missing")
def ridge(X, Y, l2):
    return np.linalg.pinv(X) @ Y


@wrong("added to every element")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T @ X + l2, X.T @ Y)


@wrong("these are the predictions")
def ridge(X, Y, l2):
    return X @ np.linalg.solve(X.T @ X + l2 * np.eye(X.shape[1]), X.T @ Y)


@wrong("in front of the M x M system is missing")
def ridge(X, Y, l2):
    if len(X) >= X.shape[1]:
        return np.linalg.solve(X.T @ X + l2 * np.eye(X.shape[1]), X.T @ Y)
    return np.linalg.solve(X @ X.T + l2 * np.eye(len(X)), Y)


@wrong("1 is added to the diagonal")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T @ X + np.eye(X.shape[1]), X.T @ Y)


@wrong("X is not square")
def ridge(X, Y, l2):
    return np.linalg.solve(X, Y)


@wrong("the right-hand side must fit the system")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T @ X + l2 * np.eye(X.shape[1]), Y)


@wrong("the identity must be as large as the product")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T @ X + l2 * np.eye(len(X)), X.T @ Y)


@wrong("l2 is subtracted")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T @ X - l2 * np.eye(X.shape[1]), X.T @ Y)


@wrong("the number of images: add l2 itself")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T @ X + l2 * len(X) * np.eye(X.shape[1]), X.T @ Y)


@wrong("the root of l2")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T @ X + np.sqrt(l2) * np.eye(X.shape[1]), X.T @ Y)


@wrong("it is transposed")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T @ X + l2 * np.eye(X.shape[1]), X.T @ Y).T


@wrong("the lessons do without PyTorch")
def ridge(X, Y, l2):
    return torch.linalg.solve(X.T @ X + l2 * torch.eye(X.shape[1]), X.T @ Y)  # noqa: F821


@right
def copy_by_product(z, source, N):
    return (np.arange(N).reshape(1, N) == source.reshape(N, 1)) @ z


@right
def copy_by_product(z, source, N):
    return (np.arange(N) == source.reshape(N, 1)) @ z


@wrong("the matrix is transposed")
def copy_by_product(z, source, N):
    return (source == np.arange(N).reshape(N, 1)) @ z


@wrong("source must be a column")
def copy_by_product(z, source, N):
    return (source.reshape(1, N) == np.arange(N)) @ z


@wrong("uses []")
def copy_by_product(z, source, N):
    return z[source]


@wrong("copy_by_product uses []")
def copy_by_product(z, source, N):
    return np.eye(N)[source] @ z


@wrong("multiply it by z")
def copy_by_product(z, source, N):
    return (source.reshape(N, 1) == np.arange(N)) * 1.0


@wrong("must be a single line")
def copy_by_product(z, source, N):
    chosen = source.reshape(N, 1) == np.arange(N)
    return chosen @ z


@wrong("z is returned as it came")
def copy_by_product(z, source, N):
    return z.copy()


@wrong("uses take")
def copy_by_product(z, source, N):
    return z.take(source, axis=0)


@wrong("the levels are not rounded")
def colour_number(square):
    red, green, blue = (square.mean(axis=(0, 1)) + 1) * 4
    return 64 * red + 8 * green + blue


@wrong("this is for values from 0 to 255")
def colour_number(square):
    red, green, blue = np.clip(square.mean(axis=(0, 1)) // 32, 0, 7).astype(int)
    return 64 * red + 8 * green + blue


@wrong("the levels are rounded up: np.floor rounds down")
def colour_number(square):
    r, g, b = np.clip(np.ceil((square.mean(axis=(0, 1)) + 1) * 4), 0, 7).astype(int)
    return 64 * r + 8 * g + b


@wrong("these are medians: take the mean")
def colour_number(square):
    r, g, b = np.clip(np.floor((np.median(square, axis=(0, 1)) + 1) * 4), 0, 7).astype(int)
    return 64 * r + 8 * g + b


@wrong("no patch is masked")
def draw_corruption(B, N, rng):
    corrupted, masked, source = _half_of_each(B, N, rng)
    return corrupted, np.zeros_like(masked), source


@wrong("the shares are swapped")
def draw_corruption(B, N, rng):
    corrupted, masked, source = np.zeros((B, N), bool), np.zeros((B, N), bool), np.tile(np.arange(N), (B, 1))
    for b in range(B):
        order = rng.permutation(N)[: N // 2]
        corrupted[b, order] = True
        masked[b, order[:2]] = True
        for n in order[2:18]:
            source[b, n] = (n + rng.integers(1, N)) % N
    return corrupted, masked, source


@wrong("turn True and False into 1 and 0 first")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None]
    return z[np.arange(z.shape[0])[:, None], source] * (True - m) + mask * m


@wrong("masked needs an axis for D")
def corrupt(z, mask, masked, source):
    return z[np.arange(z.shape[0])[:, None], source] * (1.0 - masked) + mask * masked


@wrong("all images use the source of the first image")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None].astype(z.dtype)
    return z[:, source[0]] * (1.0 - m) + mask * m


@wrong("flatten corrupted like the logits")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits.reshape(-1, logits.shape[-1])[corrupted], targets[corrupted])


@wrong("the targets are those of other patches: pick both with the same mask, targets[corrupted]")
def masked_loss(logits, targets, corrupted):
    M = int(corrupted.sum())
    return cross_entropy(logits[corrupted], targets.reshape(-1)[:M])


@wrong("only image 1 counts: is the loss of the others overwritten, or the loop left too early?")
def masked_loss(logits, targets, corrupted):
    for b in range(len(targets)):
        loss = cross_entropy(logits[b][corrupted[b]], targets[b][corrupted[b]])
    return loss


@wrong("the mean is divided by the number of corrupted patches once more")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits[corrupted], targets[corrupted]) / int(corrupted.sum())


@wrong("the other patches count too, with class 0 as their target: leave them out")
def masked_loss(logits, targets, corrupted):
    B, N, K = logits.shape
    return cross_entropy(logits.reshape(B * N, K), (targets * corrupted).reshape(-1))


@wrong("return W alone")
def ridge(X, Y, l2):
    D = X.shape[1]
    return np.linalg.lstsq(X.T @ X + l2 * np.eye(D), X.T @ Y)


@wrong("the weights are divided by 1 + l2 at the end: add l2 * np.eye(...) to XᵀX before you solve")
def ridge(X, Y, l2):
    M, D = X.shape
    if M >= D:
        return np.linalg.solve(X.T @ X, X.T @ Y) / (1 + l2)
    return X.T @ np.linalg.solve(X @ X.T, Y) / (1 + l2)


@wrong("l2 is added to the right-hand side: add l2 * np.eye(...) to XᵀX before you solve")
def ridge(X, Y, l2):
    M, D = X.shape
    if M >= D:
        return np.linalg.solve(X.T @ X, X.T @ Y + l2)
    return X.T @ np.linalg.solve(X @ X.T, Y + l2)


@wrong("the diagonal is multiplied by 1 + l2: add l2 * np.eye(...) to XᵀX before you solve")
def ridge(X, Y, l2):
    A = X.T @ X if len(X) >= X.shape[1] else X @ X.T
    A = A + np.diag(np.diag(A)) * l2
    return np.linalg.solve(A, X.T @ Y) if len(X) >= X.shape[1] else X.T @ np.linalg.solve(A, Y)


@wrong("compute corrupt with the Tensors")
def corrupt(z, mask, masked, source):
    picked = z.data[np.arange(len(z.data))[:, None], source]
    return Tensor(np.where(masked[:, :, None], mask.data, picked))


@wrong("the colours of all pixels are added up: take their mean")
def colour_number(square):
    return int((64, 8, 1) @ np.clip(np.floor((square.sum(axis=(0, 1)) + 1) * 4), 0, 7).astype(int))


@wrong("the average is cut to an integer first: add 1 and multiply by 4")
def colour_number(square):
    r, g, b = np.clip((square.mean(axis=(0, 1)).astype(int) + 1) * 4, 0, 7)
    return 64 * r + 8 * g + b


@wrong("the mean over all patches is multiplied by the corrupted share:")
def masked_loss(logits, targets, corrupted):
    B, N, K = logits.shape
    return cross_entropy(logits.reshape(B * N, K), targets.reshape(-1)) * corrupted.mean()


@wrong("corrupted counts as numbers of images here: keep it boolean,")
def masked_loss(logits, targets, corrupted):
    return cross_entropy(logits[corrupted.astype(int)], targets[corrupted.astype(int)])


@wrong("choose the form by comparing M and D")
def ridge(X, Y, l2):
    M, D = X.shape
    if M < D:
        return np.linalg.solve(X.T @ X + l2 * np.eye(D), X.T @ Y)
    return X.T @ np.linalg.solve(X @ X.T + l2 * np.eye(M), Y)


@wrong("source is a row, so only its own places are compared: reshape")
def copy_by_product(z, source, N):
    return (source == np.arange(N)) @ z


@wrong("source is compared with itself: compare it with np.arange(N)")
def copy_by_product(z, source, N):
    return (source.reshape(N, 1) == source) @ z


@wrong("the matrix multiplies z element by element, with *: use @")
def copy_by_product(z, source, N):
    return (source.reshape(N, 1) == np.arange(N).reshape(N, 1)) * z


@wrong("each digit weighs 8 times too much: 64 · red + 8 · green + blue")
def colour_number(square):
    levels = np.clip(np.floor((square.mean(axis=(0, 1)) + 1) * 4), 0, 7).astype(int)
    return levels @ [512, 64, 8]


@wrong("a count must be an integer")
def draw_corruption(B, N, rng):
    corrupted, masked = np.zeros((B, N), bool), np.zeros((B, N), bool)
    for b in range(B):
        order = rng.permutation(N)
        corrupted[b, order[: 0.5 * N]] = True
        masked[b, order[: 0.4 * N]] = True
    return corrupted, masked, np.tile(np.arange(N), (B, 1))


@wrong("the rows must be a column")
def corrupt(z, mask, masked, source):
    m = masked[:, :, None].astype(z.dtype)
    return z[np.arange(z.shape[0]), source] * (1.0 - m) + mask * m


@wrong("a matrix product is X.T @ X")
def ridge(X, Y, l2):
    return np.linalg.solve(X.T * X + l2 * np.eye(X.shape[1]), X.T @ Y)


@wrong("PyTorch's masked_fill is here: x * (1 - mask) + value * mask")
def corrupt(z, mask, masked, source):
    return z[np.arange(len(source))[:, None], source].masked_fill(masked[:, :, None], mask)


@wrong("PyTorch's reduction is here: always the mean of the rows that it gets; pick the corrupted patches first")
def masked_loss(logits, targets, corrupted):
    K = logits.shape[-1]
    losses = cross_entropy(logits.reshape(-1, K), targets.reshape(-1), reduction="none")
    mask = corrupted.reshape(-1)
    return (losses * mask).sum() / mask.sum()


@wrong("np.where and the like take no Tensors")
def corrupt(z, mask, masked, source):
    picked = z[np.arange(len(source))[:, None], source]
    return np.where(masked[:, :, None], mask, picked)
