import math

import numpy as np

from . import right, wrong

# -- read_records -------------------------------------------------------------------------------------


@right
def read_records(content):
    records = np.reshape(content, (-1, 1 + 3 * 32 * 32))
    planes = [records[:, 1 + 1024 * c : 1025 + 1024 * c].reshape(-1, 32, 32) for c in range(3)]
    return np.stack(planes, axis=-1), np.int64(records[:, 0])


@right
def read_records(content):
    B = len(content) // 3073
    images, labels = np.zeros((B, 32, 32, 3), np.uint8), np.zeros(B, np.int64)
    for b in range(B):
        record = content[b * 3073 : (b + 1) * 3073]
        labels[b] = record[0]
        images[b] = record[1:].reshape(3, 1024).T.reshape(32, 32, 3)
    return images, labels


def split(content):
    records = content.reshape(-1, 3073)
    return records[:, 1:], records[:, 0].astype(np.int64)


@wrong("three neighbours of one colour")
def read_records(content):
    pixels, labels = split(content)
    return pixels.reshape(-1, 32, 32, 3), labels


@wrong("the colours come first")
def read_records(content):
    pixels, labels = split(content)
    return pixels.reshape(-1, 3, 32, 32), labels


@wrong("rows and columns are swapped")
def read_records(content):
    pixels, labels = split(content)
    return pixels.reshape(-1, 3, 32, 32).T.transpose(3, 0, 1, 2), labels


@wrong("a record has 3,073 bytes")
def read_records(content):
    records = content.reshape(-1, 3072)
    return records.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]


@wrong("the label is read as the first pixel")
def read_records(content):
    records = content.reshape(-1, 3073)
    return records[:, :3072].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0].astype(np.int64)


@wrong("are uint8: end with")
def read_records(content):
    records = content.reshape(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]


@wrong("the first byte of a record, not the last")
def read_records(content):
    pixels, _ = split(content)
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), content.reshape(-1, 3073)[:, -1].astype(np.int64)


@wrong("returns the labels first")
def read_records(content):
    pixels, labels = split(content)
    return labels, pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


@wrong("must return two arrays")
def read_records(content):
    return split(content)[0].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


@wrong("scaled to [0, 1]")
def read_records(content):
    pixels, labels = split(content)
    return (pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) / 255).astype(np.float32), labels


@wrong("blue and red are exchanged")
def read_records(content):
    pixels, labels = split(content)
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)[..., ::-1], labels


@wrong("an axis too many")
def read_records(content):
    pixels, _ = split(content)
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), content.reshape(-1, 3073)[:, :1].astype(np.int64)


@wrong("raises AttributeError: 'numpy.ndarray' object has no attribute 'permute'")
def read_records(content):
    pixels, labels = split(content)
    return pixels.reshape(-1, 3, 32, 32).permute(0, 2, 3, 1), labels


# -- accuracy_error -----------------------------------------------------------------------------------


@right
def accuracy_error(accuracy, count):
    return (accuracy * (1 - accuracy) / count) ** 0.5


@right
def accuracy_error(accuracy, count):
    return np.sqrt(accuracy - accuracy**2) / np.sqrt(count)


@wrong("the square root is missing")
def accuracy_error(accuracy, count):
    return accuracy * (1 - accuracy) / count


@wrong("n is outside of the root")
def accuracy_error(accuracy, count):
    return np.sqrt(accuracy * (1 - accuracy)) / count


@wrong("the division by n is missing")
def accuracy_error(accuracy, count):
    return np.sqrt(accuracy * (1 - accuracy))


@wrong("divided by n - 1")
def accuracy_error(accuracy, count):
    return np.sqrt(accuracy * (1 - accuracy) / (count - 1))


@wrong("1 - p is missing")
def accuracy_error(accuracy, count):
    return np.sqrt(accuracy / count)


@wrong("use np.sqrt")
def accuracy_error(accuracy, count):
    return math.sqrt(accuracy * (1 - accuracy) / count)


@wrong("percentage points")
def accuracy_error(accuracy, count):
    return 100 * np.sqrt(accuracy * (1 - accuracy) / count)


@wrong("which does not depend on p")
def accuracy_error(accuracy, count):
    return 1 / np.sqrt(count)


@wrong("p is squared")
def accuracy_error(accuracy, count):
    return np.sqrt(accuracy * accuracy / count)


@wrong("put brackets around")
def accuracy_error(accuracy, count):
    return accuracy * np.sqrt((1 - accuracy) / count)


# -- class_accuracies ---------------------------------------------------------------------------------


@right
def class_accuracies(guesses, labels, K):
    right, all_of = np.zeros(K), np.zeros(K)
    for guess, label in zip(guesses, labels, strict=True):
        all_of[label] += 1
        right[label] += guess == label
    return right / all_of


@right
def class_accuracies(guesses, labels, K):
    return np.array([np.mean(guesses[labels == k] == k) if k in labels else math.nan for k in range(K)])


@wrong("it must be nan")
def class_accuracies(guesses, labels, K):
    return np.array([(guesses[labels == k] == k).mean() if (labels == k).any() else 0.0 for k in range(K)])


@wrong("which is precision")
def class_accuracies(guesses, labels, K):
    return np.array([(labels[guesses == k] == k).mean() for k in range(K)])


@wrong("divided by the number of all images")
def class_accuracies(guesses, labels, K):
    return np.array([((labels == k) & (guesses == k)).mean() for k in range(K)])


@wrong("these are counts")
def class_accuracies(guesses, labels, K):
    return np.array([((labels == k) & (guesses == k)).sum() for k in range(K)])


@wrong("this is the accuracy of all images together")
def class_accuracies(guesses, labels, K):
    return (guesses == labels).mean()


@wrong("every class has the accuracy of all images")
def class_accuracies(guesses, labels, K):
    return np.array([(guesses == labels).mean() for k in range(K)])


@wrong("no entry for the class without images")
def class_accuracies(guesses, labels, K):
    return np.array([(guesses[labels == k] == k).mean() for k in np.unique(labels)])


@wrong("shares of wrong answers")
def class_accuracies(guesses, labels, K):
    return np.array([(guesses[labels == k] != k).mean() for k in range(K)])


@wrong("these are percent")
def class_accuracies(guesses, labels, K):
    return np.array([100 * (guesses[labels == k] == k).mean() for k in range(K)])


# -- confusion_matrix ---------------------------------------------------------------------------------


@right
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    np.add.at(matrix, (labels, guesses), 1)
    return matrix


@right
def confusion_matrix(guesses, labels, K):
    return np.array([[np.sum((labels == i) & (guesses == j)) for j in range(K)] for i in range(K)])


@right
def confusion_matrix(guesses, labels, K):
    return np.array([[np.sum((labels == i) & (guesses == j)) for j in range(K)] for i in range(K)])


@wrong("rows are guesses here")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    for guess, label in zip(guesses, labels, strict=True):
        matrix[guess, label] += 1
    return matrix


@wrong("each pair is counted once, however often")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    matrix[labels, guesses] += 1
    return matrix


@wrong("rows are divided by their sums")
def confusion_matrix(guesses, labels, K):
    matrix = np.bincount(labels * K + guesses, minlength=K * K).reshape(K, K)
    return matrix / matrix.sum(axis=1, keepdims=True)


@wrong("counts are integers")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K))
    for guess, label in zip(guesses, labels, strict=True):
        matrix[label, guess] += 1
    return matrix


@wrong("only wrong answers are counted")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    for guess, label in zip(guesses, labels, strict=True):
        matrix[label, guess] += guess != label
    return matrix


@wrong("only right answers are counted")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    for guess, label in zip(guesses, labels, strict=True):
        if guess == label:
            matrix[label, guess] += 1
    return matrix


@wrong("the last image is left out")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    for i in range(len(labels) - 1):
        matrix[labels[i], guesses[i]] += 1
    return matrix


@wrong("divided by the number of images")
def confusion_matrix(guesses, labels, K):
    return np.bincount(labels * K + guesses, minlength=K * K).reshape(K, K) / len(labels)


# -- most_confused ------------------------------------------------------------------------------------


@right
def most_confused(matrix, names, count):
    K = len(names)
    pairs = [(matrix[i][j], i, j) for i in range(K) for j in range(K) if i != j]
    pairs.sort(reverse=True)
    return [(names[i], names[j], n) for n, i, j in pairs[:count]]


@right
def most_confused(matrix, names, count):
    wrong_only = matrix * (1 - np.eye(len(names), dtype=int))
    order = np.argsort(wrong_only.ravel())[::-1][:count]
    rows, columns = np.unravel_index(order, matrix.shape)
    return [(names[r], names[c], int(matrix[r, c])) for r, c in zip(rows, columns, strict=True)]


def listed(table, names, order, count):
    K = len(names)
    return [(names[p // K], names[p % K], int(table.ravel()[p])) for p in order[:count]]


def without_diagonal(matrix):
    return matrix - np.diag(matrix.diagonal())


@wrong("the right answers are listed")
def most_confused(matrix, names, count):
    return listed(matrix, names, np.argsort(-matrix, axis=None), count)


@wrong("label and guess are exchanged")
def most_confused(matrix, names, count):
    table = without_diagonal(matrix).T
    return listed(table, names, np.argsort(-table, axis=None), count)


@wrong("changes its input matrix")
def most_confused(matrix, names, count):
    np.fill_diagonal(matrix, 0)
    return listed(matrix, names, np.argsort(-matrix, axis=None), count)


@wrong("zeros on the diagonal comes first")
def most_confused(matrix, names, count):
    table = without_diagonal(matrix)
    return listed(table, names, np.argsort(table, axis=None, kind="stable"), count)


@wrong("the least frequent of them comes first")
def most_confused(matrix, names, count):
    table = without_diagonal(matrix)
    return listed(table, names, np.argsort(table, axis=None)[-count:], count)


@wrong("numbers of classes")
def most_confused(matrix, names, count):
    table = without_diagonal(matrix)
    return [(p // 4, p % 4, table.ravel()[p]) for p in np.argsort(-table, axis=None)[:count]]


@wrong("the two directions are added")
def most_confused(matrix, names, count):
    both = np.triu(matrix + matrix.T, 1)
    return listed(both, names, np.argsort(-both, axis=None), count)


@wrong("must return triples")
def most_confused(matrix, names, count):
    table = without_diagonal(matrix)
    return [(names[p // 4], names[p % 4]) for p in np.argsort(-table, axis=None)[:count]]


@wrong("returns 12 mistakes instead of 3")
def most_confused(matrix, names, count):
    table = without_diagonal(matrix)
    return listed(table, names, np.argsort(-table, axis=None), 12)


@wrong("in the order of the matrix")
def most_confused(matrix, names, count):
    table = without_diagonal(matrix)
    return listed(table, names, np.flatnonzero(table), count)


@wrong("sorted by their share of the row")
def most_confused(matrix, names, count):
    table = without_diagonal(matrix)
    shares = table / matrix.sum(axis=1, keepdims=True)
    return listed(table, names, np.argsort(-shares, axis=None), count)


@wrong("only mistakes above the diagonal are listed: those below it count too")
def most_confused(matrix, names, count):
    m = np.triu(matrix, 1)
    f = []
    for p in np.argsort(-m, axis=None, kind="stable")[:count]:
        label, guess = divmod(int(p), len(names))
        f.append((names[label], names[guess], int(m[label, guess])))
    return f


# -- confusion_product --------------------------------------------------------------------------------


@wrong("these are zeros of the diagonal")
def most_confused(matrix, names, count):
    mistakes = matrix.copy()
    np.fill_diagonal(mistakes, 0)
    places = sorted(range(mistakes.size), key=lambda n: (mistakes.ravel()[n], -n))[:count]
    pairs = [divmod(place, len(names)) for place in places]
    return [(names[i], names[j], int(mistakes[i, j])) for i, j in pairs]


@right
def confusion_product(guesses, labels, K):
    return (1 * (labels.reshape(-1, 1) == np.arange(K))).T @ (1 * (guesses.reshape(-1, 1) == np.arange(K)))


@right
def confusion_product(guesses, labels, K):
    return ((labels.reshape(1, -1) == np.arange(K).reshape(K, 1)) * 1) @ ((np.arange(K) == guesses.reshape(-1, 1)) * 1)


@wrong("rows are guesses here")
def confusion_product(guesses, labels, K):
    return (1 * (guesses.reshape(-1, 1) == np.arange(K))).T @ (1 * (labels.reshape(-1, 1) == np.arange(K)))


@wrong("holds True and False")
def confusion_product(guesses, labels, K):
    return (labels.reshape(-1, 1) == np.arange(K)).T @ (guesses.reshape(-1, 1) == np.arange(K))


@wrong("the left factor must be (K, B)")
def confusion_product(guesses, labels, K):
    return (1 * (labels.reshape(-1, 1) == np.arange(K))) @ (1 * (guesses.reshape(-1, 1) == np.arange(K)))


@wrong("confusion_product uses bincount")
def confusion_product(guesses, labels, K):
    return np.bincount(labels * K + guesses, minlength=K * K).reshape(K, K)


@wrong("confusion_product uses []")
def confusion_product(guesses, labels, K):
    return np.eye(K, dtype=int)[labels].T @ np.eye(K, dtype=int)[guesses]


@wrong("must be a single line")
def confusion_product(guesses, labels, K):
    one_hot = (labels.reshape(-1, 1) == np.arange(K)) * 1
    return one_hot.T @ ((guesses.reshape(-1, 1) == np.arange(K)) * 1)


@wrong("compare a column with a row")
def confusion_product(guesses, labels, K):
    return (1 * (labels.reshape(1, -1) == np.arange(K))) @ (1 * (guesses.reshape(-1, 1) == np.arange(K)))


@wrong("labels are paired with labels: pair them with the guesses")
def confusion_product(guesses, labels, K):
    return (labels == np.arange(K).reshape(K, 1)) * 1 @ ((labels.reshape(-1, 1) == np.arange(K)) * 1)


@wrong("images of other classes count as right")
def class_accuracies(guesses, labels, K):
    return np.array([((guesses == k) == (labels == k)).mean() for k in range(K)])


@wrong("the classes are counted from 1: entry k belongs to class k")
def class_accuracies(guesses, labels, K):
    found = np.full(K, np.nan)
    for k in range(1, K + 1):
        if (labels == k).any():
            found[k - 1] = (guesses[labels == k] == k).mean()
    return found


@wrong("make it (K, K)")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((labels.max() + 1, labels.max() + 1), int)
    np.add.at(matrix, (labels, guesses), 1)
    return matrix


@wrong("each number begins at 1: begin with np.zeros")
def confusion_matrix(guesses, labels, K):
    m = np.ones((K, K), int)
    for guess, label in zip(guesses, labels, strict=True):
        m[label, guess] += 1
    return m


@wrong("every label is paired with every guess: go through both at once, with zip")
def confusion_matrix(guesses, labels, K):
    m = np.zeros((K, K), int)
    for label in labels:
        for guess in guesses:
            m[label, guess] += 1
    return m


@wrong("it has 3,073, and the first is the label")
def read_records(content):
    records = content[: len(content) // 3073 * 3072].reshape(-1, 3072)
    return records.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0].astype(np.int64)


@wrong("put parentheses around 1 - p")
def accuracy_error(accuracy, count):
    return np.sqrt(abs(accuracy * 1 - accuracy) / count)


@wrong("the bytes are reshaped to (3073, -1), so a record is a column")
def read_records(content):
    r = content.reshape(3073, -1)
    return r[1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), r[0].astype(np.int64)


@wrong("only the first record is read: reshape content to (-1, 3073)")
def read_records(content):
    r = content[:3073]
    return r[1:].reshape(1, 3, 32, 32).transpose(0, 2, 3, 1), r[:1].astype(np.int64)


@wrong("parentheses are missing around 1 - p")
def accuracy_error(accuracy, count):
    return np.sqrt(abs(accuracy * 1 - accuracy / count))


@wrong("this is an interval: return the standard error alone")
def accuracy_error(accuracy, count):
    e = np.sqrt(accuracy * (1 - accuracy) / count)
    return accuracy - e, accuracy + e


@wrong("is a dict: it must be a number, an array or a Tensor")
def class_accuracies(guesses, labels, K):
    return {k: (guesses[labels == k] == k).mean() for k in range(K)}


@wrong("this is divided by all right answers")
def class_accuracies(guesses, labels, K):
    out = np.full(K, np.nan)
    hit = guesses == labels
    for k in range(K):
        if (labels == k).any():
            out[k] = (labels[hit] == k).mean()
    return out


@wrong("both directions are counted, so it is symmetric: add 1 at")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    for g, label in zip(guesses, labels, strict=False):
        matrix[label, g] += 1
        matrix[g, label] += 1
    return matrix


@wrong("only the first 3 images are counted: go through all of them")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    for k in range(K):
        matrix[labels[k], guesses[k]] += 1
    return matrix


@wrong("the classes are counted from 1: they are 0 to K - 1")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    for g, label in zip(guesses, labels, strict=False):
        matrix[label - 1, g - 1] += 1
    return matrix


@wrong("the number of the guess is added: add 1")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    for g, label in zip(guesses, labels, strict=False):
        matrix[label, g] += g
    return matrix


@wrong("a whole row counts each label: add 1 at [label, guess]")
def confusion_matrix(guesses, labels, K):
    matrix = np.zeros((K, K), int)
    for _g, label in zip(guesses, labels, strict=False):
        matrix[label] += 1
    return matrix


@wrong("the factors are in the wrong order, (B, K) @ (K, B): the left")
def confusion_product(guesses, labels, K):
    return ((labels.reshape(-1, 1) == np.arange(K)) * 1) @ ((guesses == np.arange(K).reshape(K, 1)) * 1)


@wrong("the two comparisons are multiplied element by element: use @,")
def confusion_product(guesses, labels, K):
    return ((labels == np.arange(K).reshape(K, 1)) * (guesses == np.arange(K).reshape(K, 1))) * 1


@wrong("class 0 is left out: the classes are 0 to K - 1")
def confusion_product(guesses, labels, K):
    return ((labels == np.arange(1, K + 1).reshape(K, 1)) * 1) @ ((guesses.reshape(-1, 1) == np.arange(1, K + 1)) * 1)


@wrong("the number of the label is added: add 1")
def confusion_product(guesses, labels, K):
    return ((labels == np.arange(K).reshape(K, 1)) * labels) @ ((guesses.reshape(-1, 1) == np.arange(K)) * 1)


@wrong("np.bincount ends at the largest number it finds: use minlength")
def class_accuracies(guesses, labels, K):
    right = np.bincount(labels[guesses == labels], minlength=K)
    return right / np.bincount(labels)


@wrong("must be `... reshape(K, 1)) * 1 @ ((guesses.reshape ...`")
def confusion_product(guesses, labels, K):
    return (labels == np.arange(K).reshape(K, 1)) * 1 * ((guesses.reshape(-1, 1) == np.arange(K)) * 1)


@wrong("read_records returns lists")
def read_records(content):
    images, labels = [], []
    for start in range(0, len(content), 3073):
        labels.append(content[start])
        images.append(content[start + 1 : start + 3073].reshape(3, 32, 32).transpose(1, 2, 0))
    return images, labels


@wrong("class_accuracies returns a list")
def class_accuracies(guesses, labels, K):
    found = []
    for k in range(K):
        of_class = labels == k
        found.append((guesses[of_class] == k).mean() if of_class.any() else np.nan)
    return found


@wrong("returns None: call it on a separate line")
def most_confused(matrix, names, count):
    mistakes = np.fill_diagonal(matrix.copy(), 0)
    found = [divmod(int(place), len(names)) for place in np.argsort(-mistakes, axis=None)[:count]]
    return [(names[i], names[j], int(mistakes[i, j])) for i, j in found]


@wrong("sort all places as one row")
def most_confused(matrix, names, count):
    mistakes = matrix * (1 - np.eye(len(names), dtype=int))
    return [(names[n // len(names)], names[n % len(names)], mistakes.ravel()[n]) for n in np.argsort(-mistakes)[:count]]


@wrong("this matrix has 4 classes")
def most_confused(matrix, names, count):
    mistakes = matrix * (1 - np.eye(len(names), dtype=int))
    return [(names[n // 10], names[n % 10], mistakes.ravel()[n]) for n in np.argsort(-mistakes, axis=None)[:count]]
