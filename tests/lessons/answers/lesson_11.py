import numpy as np

import minivit
from minivit.training import clip_by_global_norm

from . import right, right_value, wrong, wrong_value

RIGHT = {
    "A": "labels shuffled",
    "B": "learning rate too low",
    "C": "validation leaked",
    "D": "images all alike",
    "E": "too few images",
    "F": "learning rate too high",
}


def swapped(one, other):
    return {**RIGHT, one: RIGHT[other], other: RIGHT[one]}


right_value("diagnosis", RIGHT)
right_value("diagnosis", {**RIGHT, "B": "rate too low", "F": "rate too high"})  # an older notebook's names
right_value("diagnosis", dict(reversed(list(RIGHT.items()))))
wrong_value("diagnosis", swapped("A", "E"), "A is not 'too few images'")
wrong_value("diagnosis", swapped("B", "D"), "far too slowly")
wrong_value("diagnosis", swapped("C", "F"), "too good to be true")
wrong_value("diagnosis", {**RIGHT, "D": "learning rate too low"}, "D is not 'learning rate too low'")
wrong_value("diagnosis", {**RIGHT, "C": "rate too low"}, "C is not 'learning rate too low'")
wrong_value("diagnosis", {**RIGHT, "E": "labels shuffled"}, "its validation loss rises above 5")
wrong_value(
    "diagnosis", {**RIGHT, "F": "images all alike"}, "both losses jump far above ln 10 and come back only as the"
)
wrong_value("diagnosis", {**RIGHT, "B": "learning rate"}, "'learning rate' is not among the causes")
wrong_value("diagnosis", {"A": "labels shuffled"}, "panel B is missing")
wrong_value("diagnosis", ["labels shuffled"], "must be a dictionary")


@right
def training_step(model, optimizer, images, labels):
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    gradients = [p.grad for p in optimizer.parameters.values()]
    clip_by_global_norm(gradients, 1.0)
    optimizer.step(gradients)
    optimizer.zero_grad()
    return float(loss.data)


@right
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    logits = model(images)
    loss = minivit.cross_entropy(logits, labels)
    loss.backward()
    clip_by_global_norm([p.grad for _, p in model.named_parameters()], 1.0)
    optimizer.step()
    return loss.item()


@wrong("gradients of earlier steps")
def training_step(model, optimizer, images, labels):
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return loss.item()


@wrong("are not clipped")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    return loss.item()


@wrong("each gradient is clipped separately")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    for p in optimizer.parameters.values():
        clip_by_global_norm([p.grad], 1.0)
    optimizer.step()
    return loss.item()


@wrong("after training_step the weights are unchanged")
def training_step(model, optimizer, images, labels):
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


@wrong("the step comes before backward")
def training_step(model, optimizer, images, labels):
    optimizer.step()
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    return loss.item()


@wrong("return loss.item()")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return loss


@wrong("the loss after the step")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    minivit.cross_entropy(model(images), labels).backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return minivit.cross_entropy(model(images), labels).item()


@wrong("returns None")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    minivit.cross_entropy(model(images), labels).backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step()


@right
def epoch_batches(count, batch_size, rng):
    indices = np.arange(count)
    rng.shuffle(indices)
    batches = []
    while len(indices):
        batches.append(indices[:batch_size])
        indices = indices[batch_size:]
    return batches


@right
def epoch_batches(count, batch_size, rng):
    return np.split(rng.permutation(count), range(batch_size, count, batch_size))


@right
def epoch_batches(count, batch_size, rng):
    order = rng.permutation(count).tolist()
    for start in range(0, count, batch_size):
        yield order[start : start + batch_size]


@right
def epoch_batches(count, batch_size, rng):
    left = list(rng.permutation(count))
    batches = []
    while left:
        batches.append(np.array(left[:batch_size]))
        del left[:batch_size]
    return batches


@wrong("leaves out the last 3")
def epoch_batches(count, batch_size, rng):
    order = rng.permutation(count)
    return [order[i * batch_size : (i + 1) * batch_size] for i in range(count // batch_size)]


@wrong("epoch_batches(23, 5, rng) has an index twice")
def epoch_batches(count, batch_size, rng):
    return [rng.integers(0, count, min(batch_size, count - start)) for start in range(0, count, batch_size)]


@wrong("is in order")
def epoch_batches(count, batch_size, rng):
    return [np.arange(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


@wrong("epoch_batches(23, 5, rng) shuffles only inside the batches")
def epoch_batches(count, batch_size, rng):
    return [rng.permutation(np.arange(count)[start : start + batch_size]) for start in range(0, count, batch_size)]


@wrong("which np.array_split does not do")
def epoch_batches(count, batch_size, rng):
    return np.array_split(rng.permutation(count), -(-count // batch_size))


@wrong("the same order in each epoch")
def epoch_batches(count, batch_size, rng):
    order = np.random.default_rng(0).permutation(count)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


@wrong("epoch_batches does not draw from rng")
def epoch_batches(count, batch_size, rng):
    order = np.random.permutation(count)  # noqa: NPY002
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


@wrong("return a list of index arrays")
def epoch_batches(count, batch_size, rng):
    return len(rng.permutation(count))


@wrong("return a list in which each batch is an array of indices")
def epoch_batches(count, batch_size, rng):
    return rng.permutation(count)


@right
def measure(model, images, labels, batch_size=100):
    losses, hits = [], []
    with minivit.no_grad():
        for start in range(0, len(images), batch_size):
            piece = slice(start, start + batch_size)
            logits = model(images[piece])
            for i, label in enumerate(labels[piece]):
                losses.append(minivit.cross_entropy(logits[i : i + 1], np.array([label])).item())
                hits.append(logits.data[i].argmax() == label)
    return np.mean(losses), np.mean(hits)


@right
def measure(model, images, labels, batch_size=100):
    with minivit.no_grad():
        pieces = [model(images[i : i + batch_size]).data for i in range(0, len(images), batch_size)]
    logits = np.concatenate(pieces)
    loss = minivit.cross_entropy(minivit.Tensor(logits), labels).item()
    return loss, float((logits.argmax(axis=1) == labels).mean())


@right
def measure(model, images, labels, batch_size=100):
    loss, right = [], []
    start = 0
    with minivit.no_grad():
        while start < len(images):
            logits = model(images[start : start + batch_size])
            targets = labels[start : start + batch_size]
            loss += [minivit.cross_entropy(logits, targets).item()] * len(targets)
            right += list(np.argmax(logits.data, axis=-1) == targets)
            start += batch_size
    return sum(loss) / len(loss), sum(right) / len(right)


@wrong("keeps a tape")
def measure(model, images, labels, batch_size=100):
    loss, hits = 0.0, 0
    for i in range(0, len(images), batch_size):
        logits = model(images[i : i + batch_size])
        loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item() * len(logits.data)
        hits += (logits.data.argmax(axis=1) == labels[i : i + batch_size]).sum()
    return loss / len(images), hits / len(images)


@wrong("11 images at once")
def measure(model, images, labels, batch_size=100):
    with minivit.no_grad():
        logits = model(images)
    return minivit.cross_entropy(logits, labels).item(), (logits.data.argmax(axis=1) == labels).mean()


@wrong("this is the mean of the batches' means, in which the shorter")
def measure(model, images, labels, batch_size=100):
    losses, shares = [], []
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            losses.append(minivit.cross_entropy(logits, labels[i : i + batch_size]).item())
            shares.append((logits.data.argmax(axis=1) == labels[i : i + batch_size]).mean())
    return np.mean(losses), np.mean(shares)


@wrong("the loss is the mean of the batches' means")
def measure(model, images, labels, batch_size=100):
    losses, hits = [], 0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            losses.append(minivit.cross_entropy(logits, labels[i : i + batch_size]).item())
            hits += (logits.data.argmax(axis=1) == labels[i : i + batch_size]).sum()
    return np.mean(losses), hits / len(images)


@wrong("the accuracy comes first")
def measure(model, images, labels, batch_size=100):
    loss, hits = 0.0, 0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item() * len(logits.data)
            hits += (logits.data.argmax(axis=1) == labels[i : i + batch_size]).sum()
    return hits / len(images), loss / len(images)


@wrong("the batches' means are divided by the number of images")
def measure(model, images, labels, batch_size=100):
    loss, hits = 0.0, 0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item()
            hits += (logits.data.argmax(axis=1) == labels[i : i + batch_size]).sum()
    return loss / len(images), hits / len(images)


@wrong("pass the last, shorter batch too")
def measure(model, images, labels, batch_size=100):
    loss, hits, count = 0.0, 0, len(images) // batch_size * batch_size
    with minivit.no_grad():
        for i in range(0, count, batch_size):
            logits = model(images[i : i + batch_size])
            loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item() * batch_size
            hits += (logits.data.argmax(axis=1) == labels[i : i + batch_size]).sum()
    return loss / count, hits / count


@wrong("must return two numbers")
def measure(model, images, labels, batch_size=100):
    hits = 0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            hits += (model(images[i : i + batch_size]).data.argmax(axis=1) == labels[i : i + batch_size]).sum()
    return hits / len(images)


def padded(images, shift, mode="edge"):
    return np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode=mode)


def cut(images, big, top, left, mirrored):
    B, H, W, C = images.shape
    pieces = [big[i, top[i] : top[i] + H, left[i] : left[i] + W] for i in range(B)]
    return np.stack([piece[:, ::-1] if mirrored[i] else piece for i, piece in enumerate(pieces)])


@right
def shift_and_flip(images, shift, rng):
    result = []
    for image in padded(images, shift):
        top, left = rng.integers(0, 2 * shift + 1), rng.integers(0, 2 * shift + 1)
        piece = image[top : top + images.shape[1], left : left + images.shape[2]]
        result.append(np.fliplr(piece) if rng.random() < 0.5 else piece)
    return np.array(result)


@right
def shift_and_flip(images, shift, rng):
    B, H, W, C = images.shape
    down, across = rng.integers(-shift, shift, (2, B), endpoint=True)
    rows = np.clip(np.arange(H) - down[:, None], 0, H - 1)  # (B, H)
    columns = np.clip(np.arange(W) - across[:, None], 0, W - 1)
    columns = np.where(rng.integers(0, 2, (B, 1)) == 1, columns[:, ::-1], columns)
    return images[np.arange(B)[:, None, None], rows[:, :, None], columns[:, None, :]]


@wrong("fills the border with black")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift + 1, (2, len(images)))
    return cut(images, padded(images, shift, "constant"), top, left, rng.random(len(images)) < 0.5)


@wrong("shift_and_flip moves pixels that leave on one side to the")
def shift_and_flip(images, shift, rng):
    result = images.copy()
    for i in range(len(images)):
        down, across = rng.integers(-shift, shift + 1, 2)
        result[i] = np.roll(images[i], (down, across), axis=(0, 1))
        if rng.random() < 0.5:
            result[i] = result[i, :, ::-1]
    return result


@wrong("all images of a batch alike")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift + 1, 2)
    result = padded(images, shift)[:, top : top + images.shape[1], left : left + images.shape[2]]
    return result[:, :, ::-1] if rng.random() < 0.5 else result


@wrong("it must be -1, 0 or +1 (rng.integers excludes its upper end)")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift, (2, len(images)))
    return cut(images, padded(images, shift), top, left, rng.random(len(images)) < 0.5)


@wrong("upside down")
def shift_and_flip(images, shift, rng):
    B, H, W, C = images.shape
    big = padded(images, shift)
    top, left = rng.integers(0, 2 * shift + 1, (2, B))
    pieces = [big[i, top[i] : top[i] + H, left[i] : left[i] + W] for i in range(B)]
    return np.stack([piece[::-1] if rng.random() < 0.5 else piece for piece in pieces])


@wrong("order of the channels")
def shift_and_flip(images, shift, rng):
    B, H, W, C = images.shape
    big = padded(images, shift)
    top, left = rng.integers(0, 2 * shift + 1, (2, B))
    pieces = [big[i, top[i] : top[i] + H, left[i] : left[i] + W] for i in range(B)]
    return np.stack([piece[..., ::-1] if rng.random() < 0.5 else piece for piece in pieces])


@wrong("mirrors no image")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift + 1, (2, len(images)))
    return cut(images, padded(images, shift), top, left, np.zeros(len(images), bool))


@wrong("mirrors every image")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift + 1, (2, len(images)))
    return cut(images, padded(images, shift), top, left, np.ones(len(images), bool))


@wrong("never shifts an image")
def shift_and_flip(images, shift, rng):
    coins = rng.random(len(images)) < 0.5
    return np.where(coins[:, None, None, None], images[:, :, ::-1], images)


@wrong("shift_and_flip shifts by the same number down and across")
def shift_and_flip(images, shift, rng):
    top = rng.integers(0, 2 * shift + 1, len(images))
    return cut(images, padded(images, shift), top, top, rng.random(len(images)) < 0.5)


@wrong("shift_and_flip does not draw from rng")
def shift_and_flip(images, shift, rng):
    top, left = np.random.randint(0, 2 * shift + 1, (2, len(images)))  # noqa: NPY002
    return cut(images, padded(images, shift), top, left, np.random.rand(len(images)) < 0.5)  # noqa: NPY002


@wrong("draw from rng")
def shift_and_flip(images, shift, rng):
    rng = np.random.default_rng(0)
    top, left = rng.integers(0, 2 * shift + 1, (2, len(images)))
    return cut(images, padded(images, shift), top, left, rng.random(len(images)) < 0.5)


@wrong("draws unevenly")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift + 1, (2, len(images)))
    return cut(images, padded(images, shift), top, left, rng.random(len(images)) < 0.9)


@wrong("is a number written instead of `shift`?")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 3, (2, len(images)))
    B, H, W, C = images.shape
    big = padded(images, shift, "edge" if shift == 1 else "constant")
    return cut(images, big, top, left, rng.random(B) < 0.5)


@wrong("return uint8, as the images are")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift + 1, (2, len(images)))
    return cut(images, padded(images, shift), top, left, rng.random(len(images)) < 0.5) / 1.0


@wrong("shape (1200, 6, 8, 3)")
def shift_and_flip(images, shift, rng):
    return padded(images, shift)


@wrong("return one array (np.stack makes one of a list)")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift + 1, (2, len(images)))
    return list(cut(images, padded(images, shift), top, left, rng.random(len(images)) < 0.5))


# -- more mistakes, by what a learner knows --------------------------------------------------------------


@wrong("not clipped between backward and the")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("loop over its .values()")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters], 1.0)
    optimizer.step()
    return loss.item()


@wrong("this is the sum over the mini-batch")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return loss.item() * len(labels)


@wrong("fills the last batch up to 5")
def epoch_batches(count, batch_size, rng):
    order = rng.permutation(count)
    order = np.concatenate([order, order[: -count % batch_size]])
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


@wrong("has batches of one index")
def epoch_batches(count, batch_size, rng):
    return [[i] for i in rng.permutation(count)]


@wrong("they must run from 0 to 22")
def epoch_batches(count, batch_size, rng):
    order = rng.permutation(np.arange(1, count + 1))
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


@wrong("argmax is NumPy's")
def measure(model, images, labels, batch_size=100):
    loss, hits = 0.0, 0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item() * len(logits.data)
            hits += (logits.argmax(axis=1) == labels[i : i + batch_size]).sum()
    return loss / len(images), hits / len(images)


@wrong("is `return` inside the loop?")
def measure(model, images, labels, batch_size=100):
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            loss = minivit.cross_entropy(logits, labels[i : i + batch_size]).item()
            return loss, (logits.data.argmax(axis=1) == labels[i : i + batch_size]).mean()
    return None


@wrong("the second number is a count")
def measure(model, images, labels, batch_size=100):
    loss, hits = 0.0, 0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item() * len(logits.data)
            hits += int((logits.data.argmax(axis=1) == labels[i : i + batch_size]).sum())
    return loss / len(images), hits


@wrong("the loss is the sum over all images")
def measure(model, images, labels, batch_size=100):
    loss, hits = 0.0, 0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item() * len(logits.data)
            hits += int((logits.data.argmax(axis=1) == labels[i : i + batch_size]).sum())
    return loss, hits / len(images)


@wrong("fills with the mirror image")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift + 1, (2, len(images)))
    return cut(images, padded(images, shift, "reflect"), top, left, rng.random(len(images)) < 0.5)


@wrong("by 90 or 180 degrees")
def shift_and_flip(images, shift, rng):
    top, left = rng.integers(0, 2 * shift + 1, (2, len(images)))
    shifted = cut(images, padded(images, shift), top, left, np.zeros(len(images), bool))
    return np.stack([image[::-1, ::-1] if rng.random() < 0.5 else image for image in shifted])


@right
def dropout(x, p, rng):
    mask = rng.random(x.shape) >= p
    return x * (mask / (1 - p)).astype(x.dtype)


@right
def dropout(x, p, rng):
    result = x.copy()
    result[rng.uniform(size=x.shape) < p] = 0
    return result / (1 - p)


@right
def dropout(x, p, rng):
    scale = rng.choice(np.array([0, 1 / (1 - p)], x.dtype), size=x.shape, p=[p, 1 - p])
    return x * scale


@wrong("p is the probability of dropping, not of keeping")
def dropout(x, p, rng):
    return (x * (rng.random(x.shape) < p) / p).astype(x.dtype)


@wrong("does not scale the others")
def dropout(x, p, rng):
    return x * (rng.random(x.shape) >= p)


@wrong("divides the others by p")
def dropout(x, p, rng):
    return x * (rng.random(x.shape) >= p) / p


@wrong("multiplies the others by 1 - p")
def dropout(x, p, rng):
    return x * (rng.random(x.shape) >= p) * (1 - p)


@wrong("drops whole rows or columns")
def dropout(x, p, rng):
    return x * (rng.random((len(x), 1)) >= p) / (1 - p)


@wrong("dropout does not draw from rng")
def dropout(x, p, rng):
    return x * (np.random.rand(*x.shape) >= p) / (1 - p)  # noqa: NPY002


@wrong("drops the same numbers for every rng")
def dropout(x, p, rng):
    return x * (np.random.default_rng(0).random(x.shape) >= p) / (1 - p)


@wrong("returns the mask")
def dropout(x, p, rng):
    return rng.random(x.shape) >= p


@wrong("convert the result")
def dropout(x, p, rng):
    return x * ((rng.random(x.shape) >= p) / (1 - p))


@wrong("draw for each number separately, so that the share varies")
def dropout(x, p, rng):
    y = x.copy() / (1 - p)
    k = int(p * x.size)
    y.reshape(-1)[rng.permutation(x.size)[:k]] = 0
    return y.astype(x.dtype)


@wrong("the logits come first")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(labels, model(images))
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return loss.item()


@wrong("use rng.permutation")
def epoch_batches(count, batch_size, rng):
    order = rng.shuffle(np.arange(count))
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


@wrong("give range the step batch_size")
def epoch_batches(count, batch_size, rng):
    order = rng.permutation(count)
    return [order[start : start + batch_size] for start in range(count)]


@wrong("cut with slices")
def epoch_batches(count, batch_size, rng):
    return rng.permutation(count).reshape(-1, batch_size)


@wrong("draw one permutation of all indices, then cut it")
def epoch_batches(count, batch_size, rng):
    return [rng.permutation(count)[s : s + batch_size] for s in range(0, count, batch_size)]


@wrong("shuffle the indices, then cut")
def epoch_batches(count, batch_size, rng):
    b = [np.arange(s, min(s + batch_size, count)) for s in range(0, count, batch_size)]
    rng.shuffle(b)
    return b


@wrong("cut order[start : start + batch_size], with the start of the turn")
def epoch_batches(count, batch_size, rng):
    o = rng.permutation(count)
    return [o[:batch_size] for s in range(0, count, batch_size)]


@wrong("each image needs its largest logit")
def measure(model, images, labels, batch_size=100):
    loss, hits = 0.0, 0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item() * len(logits.data)
            hits += (logits.data.argmax(axis=0) == labels[i : i + batch_size]).sum()
    return loss / len(images), hits / len(images)


@wrong("a negative start counts from the end")
def shift_and_flip(images, shift, rng):
    B, H, W, C = images.shape
    big, result = padded(images, shift), []
    for image in big:
        top, left = rng.integers(-shift, shift + 1, 2)
        result.append(image[top : top + H, left : left + W])
    return np.stack(result)


@wrong("pads all four axes")
def shift_and_flip(images, shift, rng):
    return np.pad(images, shift, mode="edge")


@wrong("weight it by len(batch)")
def measure(model, images, labels, batch_size=100):
    loss, hits = 0.0, 0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item() * batch_size
            hits += (logits.data.argmax(axis=1) == labels[i : i + batch_size]).sum()
    return loss / len(images), hits / len(images)


@wrong("add up their number")
def measure(model, images, labels, batch_size=100):
    loss, share = 0.0, 0.0
    with minivit.no_grad():
        for i in range(0, len(images), batch_size):
            logits = model(images[i : i + batch_size])
            loss += minivit.cross_entropy(logits, labels[i : i + batch_size]).item() * len(logits.data)
            share += (logits.data.argmax(axis=1) == labels[i : i + batch_size]).mean()
    return loss / len(images), share / len(images)


@wrong("every batch gets the labels of the first: cut the labels like the images")
def measure(model, images, labels, batch_size=100):
    loss, right = 0.0, 0
    with minivit.no_grad():
        for s in range(0, len(images), batch_size):
            x, y = images[s : s + batch_size], labels[:batch_size]
            z = model(x)
            loss += minivit.cross_entropy(z, y[: len(x)]).item() * len(x)
            right += (z.data.argmax(1) == y[: len(x)]).sum()
    return loss / len(images), right / len(images)


@wrong("these sums are divided by the number of batches: divide by the number of images")
def measure(model, images, labels, batch_size=100):
    loss, right, n = 0.0, 0, 0
    with minivit.no_grad():
        for s in range(0, len(images), batch_size):
            x, y = images[s : s + batch_size], labels[s : s + batch_size]
            z = model(x)
            loss += minivit.cross_entropy(z, y).item() * len(x)
            right += (z.data.argmax(1) == y).sum()
            n += 1
    return loss / n, right / n


@wrong("shifts all images of a batch alike")
def shift_and_flip(images, shift, rng):
    B, H, W, C = images.shape
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="edge")
    down, across = rng.integers(0, 2 * shift + 1, 2)
    out = padded[:, down : down + H, across : across + W].copy()
    flipped = rng.random(B) < 0.5
    out[flipped] = out[flipped, :, ::-1]
    return out


@wrong("mirrors all images of a batch or none")
def shift_and_flip(images, shift, rng):
    B, H, W, C = images.shape
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="edge")
    turn = rng.random() < 0.5
    out = np.empty_like(images)
    for i in range(B):
        y, x = rng.integers(0, 2 * shift + 1, 2)
        out[i] = padded[i, y : y + H, x : x + W]
    return out[:, :, ::-1] if turn else out


@wrong("cross_entropy takes the logits")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(minivit.softmax(model(images)), labels)
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return loss.item()


@wrong("optimizer.step() is called twice")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step()
    optimizer.step()
    return loss.item()


@wrong("the gradients are clipped to 0.1: the limit is 1.0")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 0.1)
    optimizer.step()
    return loss.item()


@wrong("the weights are clipped: clip the gradients, parameter.grad")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([p.data for p in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return loss.item()


@wrong("clip parameter.grad itself, no copy")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    copies = [parameter.grad.copy() for parameter in optimizer.parameters.values()]
    clip_by_global_norm(copies, 1.0)
    optimizer.step()
    return loss.item()


@wrong("the loss is that of the last batch alone: add up over the")
def measure(model, images, labels, batch_size=100):
    loss, right = 0.0, 0
    with minivit.no_grad():
        for s in range(0, len(images), batch_size):
            x, t = images[s : s + batch_size], labels[s : s + batch_size]
            logits = model(x)
            loss = minivit.cross_entropy(logits, t).item()
            right += int((logits.data.argmax(axis=1) == t).sum())
    return loss, right / len(images)


@wrong("call the model inside `with minivit.no_grad():`")
def measure(model, images, labels, batch_size=100):
    loss, right = 0.0, 0
    model.eval()
    for s in range(0, len(images), batch_size):
        x, t = images[s : s + batch_size], labels[s : s + batch_size]
        logits = model(x)
        loss += minivit.cross_entropy(logits, t).item() * len(x)
        right += int((logits.data.argmax(axis=1) == t).sum())
    return loss / len(images), right / len(images)


@wrong("draw numbers from 0 to 1, rng.random(x.shape), and set to 0")
def dropout(x, p, rng):
    return np.where(rng.standard_normal(x.shape) >= p, x / (1 - p), 0).astype(x.dtype)


@wrong("the clip works in place and returns the norm")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    gradients = clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step(gradients)
    return loss.item()


@wrong("the loss goes backward, not the logits")
def training_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    logits = model(images)
    logits.backward()
    clip_by_global_norm([p.grad for p in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return minivit.cross_entropy(logits, labels).item()


@wrong("a slice ends at start + batch_size")
def measure(model, images, labels, batch_size=100):
    loss, right = 0.0, 0
    with minivit.no_grad():
        for start in range(0, len(images), batch_size):
            batch, targets = images[start:batch_size], labels[start:batch_size]
            logits = model(batch)
            loss += minivit.cross_entropy(logits, targets).item() * len(batch)
            right += (logits.data.argmax(axis=1) == targets).sum()
    return loss / len(images), right / len(images)


@wrong("no answer counts as right")
def measure(model, images, labels, batch_size=100):
    loss, right = 0.0, 0
    with minivit.no_grad():
        for start in range(0, len(images), batch_size):
            batch, targets = images[start : start + batch_size], labels[start : start + batch_size]
            logits = model(batch)
            loss += minivit.cross_entropy(logits, targets).item() * len(batch)
            right += (logits.data.max(axis=1) == targets).sum()
    return loss / len(images), right / len(images)


@wrong("PyTorch's split is here: slices such as x[..., :D], or x[i : i + n] in a loop")
def epoch_batches(count, batch_size, rng):
    return list(rng.permutation(count).split(batch_size))
