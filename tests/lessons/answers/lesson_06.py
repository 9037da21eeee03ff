import numpy as np

from . import lesson, right, right_value, wrong, wrong_value

names = lesson(6)
Tensor, concatenate, broadcast_to = names["Tensor"], names["concatenate"], names["broadcast_to"]

right_value("notices_order", {"c", "e", "f"})
right_value("notices_order", ["f", "e", "c"])
right_value("notices_order", "cef")
wrong_value("notices_order", {"c", "e"}, "f changes too")
wrong_value("notices_order", {"e", "f"}, "c changes too")
wrong_value("notices_order", {"c", "f"}, "e changes too")
wrong_value("notices_order", {"c", "d", "e", "f"}, "d does not change")
wrong_value("notices_order", ["a", "c", "e", "f"], "a does not change")
wrong_value("notices_order", {"b"}, "b does not change")
wrong_value("notices_order", 3, "must be letters")


# -- add_class_token --------------------------------------------------------------------------------------


@right
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([cls * np.ones((B, 1, 1)), z], axis=1)


@right
def add_class_token(z, cls):
    return concatenate([concatenate([cls, image.reshape(1, *image.shape)], axis=1) for image in each(z)], axis=0)


@right
def add_class_token(z, cls):
    B, N, D = z.shape
    down = np.eye(N + 1)[:, 1:]  # (N + 1, N): one row further down
    return Tensor(down.astype(z.dtype)) @ z + cls * np.eye(N + 1)[:, :1]


def each(z):
    return [z[i] for i in range(z.shape[0])]


@wrong("the class token is last")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([z, broadcast_to(cls, (B, 1, D))], axis=1)


@wrong("added to every patch")
def add_class_token(z, cls):
    return z + cls


@wrong("repeat it for each, broadcast_to(cls, (B, 1, D))")
def add_class_token(z, cls):
    return concatenate([cls, z], axis=1)


@wrong("the class token replaced the first patch")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([broadcast_to(cls, (B, 1, D)), z[:, 1:]], axis=1)


@wrong("the first token is zeros")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([Tensor(np.zeros((B, 1, D), z.dtype)), z], axis=1)


@wrong("leaves no gradient on cls")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([Tensor(np.repeat(cls.data, B, axis=0)), z], axis=1)


@wrong("returns an array")
def add_class_token(z, cls):
    return np.concatenate([np.repeat(cls.data, z.shape[0], axis=0), z.data], axis=1)


@wrong("list of Tensors: concatenate([a, b], axis=1)")
def add_class_token(z, cls):
    return concatenate(broadcast_to(cls, (len(z.data), 1, z.shape[2])), z, axis=1)


# -- sincos2d ---------------------------------------------------------------------------------------------


@right
def sincos2d(rows, columns, D):
    omega = 1 / 10_000 ** (np.arange(D // 4) / (D // 4 - 1))
    table = np.zeros((rows, columns, 4, D // 4), np.float32)
    x = np.arange(columns)[None, :, None] * omega
    y = np.arange(rows)[:, None, None] * omega
    table[:, :, 0], table[:, :, 1], table[:, :, 2], table[:, :, 3] = np.sin(x), np.cos(x), np.sin(y), np.cos(y)
    return table.reshape(rows * columns, D)


@right
def sincos2d(rows, columns, D):
    table = []
    for y in range(rows):
        for x in range(columns):
            omega = np.geomspace(1, 1e-4, D // 4)
            table.append([*np.sin(x * omega), *np.cos(x * omega), *np.sin(y * omega), *np.cos(y * omega)])
    return np.array(table, dtype=np.float32)


def table_of(x, y, omega):
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


@wrong("the rows y come first")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    return table_of(y, x, np.geomspace(1, 1e-4, D // 4))


@wrong("the patches are in column order")
def sincos2d(rows, columns, D):
    x, y = np.divmod(np.arange(rows * columns), rows)
    return table_of(x, y, np.geomspace(1, 1e-4, D // 4))


@wrong("divides by D/4: divide by D/4 - 1")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    return table_of(x, y, 10_000.0 ** (-np.arange(D // 4) / (D // 4)))


@wrong("the speeds grow")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    return table_of(x, y, np.geomspace(1, 1e4, D // 4))


@wrong("divides by D or D/2")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    return table_of(x, y, 10_000.0 ** (-2 * np.arange(D // 4) / D))


@wrong("count from 1")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    return table_of(x + 1, y + 1, np.geomspace(1, 1e-4, D // 4))


@wrong("sines and cosines alternate")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    omega = np.geomspace(1, 1e-4, D // 4)
    table = np.zeros((rows * columns, D), np.float32)
    table[:, 0 : D // 2 : 2], table[:, 1 : D // 2 : 2] = np.sin(np.outer(x, omega)), np.cos(np.outer(x, omega))
    table[:, D // 2 :: 2], table[:, D // 2 + 1 :: 2] = np.sin(np.outer(y, omega)), np.cos(np.outer(y, omega))
    return table


@wrong("as float64")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    omega = np.geomspace(1, 1e-4, D // 4)
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)


@wrong("end with .astype(np.float32)")
def sincos2d(rows, columns, D):
    omega = 10_000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)


# -- learned_2d -------------------------------------------------------------------------------------------


@right
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    places = np.arange(h * w)
    return concatenate([X[places % w], Y[places // w]], axis=1).reshape(1, h * w, 2 * half)


@right
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    rows = [concatenate([X, broadcast_to(Y[i : i + 1], (w, half))], axis=1) for i in range(h)]
    return concatenate(rows, axis=0).reshape(1, h * w, 2 * half)


@wrong("Y's half comes first")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    x, y = broadcast_to(X.reshape(1, w, half), (h, w, half)), broadcast_to(Y.reshape(h, 1, half), (h, w, half))
    return concatenate([y, x], axis=2).reshape(1, h * w, 2 * half)


@wrong("the positions are in column order")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    x, y = broadcast_to(X.reshape(w, 1, half), (w, h, half)), broadcast_to(Y.reshape(1, h, half), (w, h, half))
    return concatenate([x, y], axis=2).reshape(1, h * w, 2 * half)


@wrong("were added")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    return (X.reshape(1, w, half) + Y.reshape(h, 1, half)).reshape(1, h * w, half)


@wrong("the first axis of length 1 is missing")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    x, y = broadcast_to(X.reshape(1, w, half), (h, w, half)), broadcast_to(Y.reshape(h, 1, half), (h, w, half))
    return concatenate([x, y], axis=2).reshape(h * w, 2 * half)


@wrong("the grid is two axes")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    x, y = broadcast_to(X.reshape(1, w, half), (h, w, half)), broadcast_to(Y.reshape(h, 1, half), (h, w, half))
    return concatenate([x, y], axis=2)


@wrong("X and Y were concatenated along the columns of the grid")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    x, y = broadcast_to(X.reshape(1, w, half), (h, w, half)), broadcast_to(Y.reshape(h, 1, half), (h, w, half))
    return concatenate([x, y], axis=1).reshape(1, h * w, 2 * half)


@wrong("the tables are below one another")
def learned_2d(X, Y):
    return concatenate([X, Y], axis=0).reshape(1, -1, X.shape[1])


@wrong("leaves no gradient on Y")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    x = broadcast_to(X.reshape(1, w, half), (h, w, half))
    y = Tensor(np.repeat(Y.data[:, None], w, axis=1))
    return concatenate([x, y], axis=2).reshape(1, h * w, 2 * half)


@wrong("NumPy's functions take no Tensor")
def learned_2d(X, Y):
    w, half = X.shape
    h, half = Y.shape
    x, y = np.tile(X, (h, 1)), np.repeat(Y, w, axis=0)
    return concatenate([x, y], axis=1).reshape(1, h * w, 2 * half)


@wrong("a row of the grid has `columns` patches")
def sincos2d(rows, columns, D):
    omega = 10_000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    x, y = np.meshgrid(np.arange(rows), np.arange(columns))
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


# -- more mistakes ----------------------------------------------------------------------------------------


right_value("notices_order", "c, e, f")


@wrong("PyTorch's expand is here: broadcast_to(x, shape)")
def add_class_token(z, cls):
    return concatenate([cls.expand(z.shape[0], -1, -1), z], axis=1)


@wrong("do without PyTorch")
def add_class_token(z, cls):
    return torch.cat([broadcast_to(cls, (z.shape[0], 1, z.shape[2])), z], dim=1)  # noqa: F821


@wrong("PyTorch's dim is here: axis")
def add_class_token(z, cls):
    return concatenate([broadcast_to(cls, (z.shape[0], 1, z.shape[2])), z], dim=1)


@wrong("the tokens are axis 1")
def add_class_token(z, cls):
    return concatenate([broadcast_to(cls, (z.shape[0], 1, z.shape[2])), z])


@wrong("np.concatenate takes no Tensors")
def add_class_token(z, cls):
    return np.concatenate([broadcast_to(cls, (z.shape[0], 1, z.shape[2])), z], axis=1)


@wrong("is there N times")
def add_class_token(z, cls):
    return concatenate([broadcast_to(cls, z.shape), z], axis=1)


@wrong("the first token is the mean of the patches")
def add_class_token(z, cls):
    return concatenate([z.mean(axis=1, keepdims=True), z], axis=1)


@wrong("a reshape cannot repeat")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([cls.reshape(B, 1, D), z], axis=1)


@wrong("join with concatenate")
def add_class_token(z, cls):
    z[:, 0] = cls
    return z


@wrong("write 10_000.0, a float")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    return table_of(x, y, 10_000 ** -np.arange(D // 4))


@wrong("this uses the patch's number n")
def sincos2d(rows, columns, D):
    n = np.arange(rows * columns)
    return table_of(n, n, np.geomspace(1, 1e-4, D // 4))


@wrong("the row is n // columns, the column n % columns")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), rows)
    return table_of(x, y, np.geomspace(1, 1e-4, D // 4))


@wrong("below one another: concatenate along axis 1")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    omega = np.geomspace(1, 1e-4, D // 4)
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)]).astype(np.float32)


@wrong("the speeds are evenly spaced")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    return table_of(x, y, np.linspace(1, 1e-4, D // 4))


@wrong("np.outer(x, omega)")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    omega = np.geomspace(1, 1e-4, D // 4)
    return np.concatenate([np.sin(x * omega), np.cos(x * omega), np.sin(y * omega), np.cos(y * omega)], axis=1)


@wrong("math.sin takes one number")
def sincos2d(rows, columns, D):
    import math

    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.array([math.sin(x), math.cos(x), math.sin(y), math.cos(y)])


@wrong("sines and cosines are swapped")
def sincos2d(rows, columns, D):
    y, x = np.divmod(np.arange(rows * columns), columns)
    omega = np.geomspace(1, 1e-4, D // 4)
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.concatenate([np.cos(x), np.sin(x), np.cos(y), np.sin(y)], axis=1).astype(np.float32)


@wrong("broadcast both to (h, w, half) first")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    return concatenate([X.reshape(1, w, half), Y.reshape(h, 1, half)], axis=2)


@wrong("X has a row for each column")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    n = np.arange(h * w)
    return concatenate([X[n // w], Y[n % w]], axis=1).reshape(1, h * w, 2 * half)


@wrong("Y's row is the same for a whole row")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    n = np.arange(h * w)
    return concatenate([X[n % w], Y[n % h]], axis=1).reshape(1, h * w, 2 * half)


@wrong("learned_2d returns an array")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    n = np.arange(h * w)
    return np.concatenate([X.data[n % w], Y.data[n // w]], axis=1)[None]


@wrong("X and Y were multiplied")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    return (X.reshape(1, w, half) * Y.reshape(h, 1, half)).reshape(1, h * w, half)


@wrong("PyTorch's unsqueeze is here")
def learned_2d(X, Y):
    (w, half), h = X.shape, Y.shape[0]
    x = broadcast_to(X.unsqueeze(0), (h, w, half))
    y = broadcast_to(Y.unsqueeze(1), (h, w, half))
    return concatenate([x, y], axis=2).reshape(1, h * w, 2 * half)


# -- move_right -------------------------------------------------------------------------------------------


@right
def move_right(D, columns=1):
    M = np.eye(D)
    for k, omega in enumerate(np.geomspace(1, 1e-4, D // 4)):
        s, c = k, k + D // 4
        M[s, s] = M[c, c] = np.cos(columns * omega)
        M[c, s], M[s, c] = np.sin(columns * omega), -np.sin(columns * omega)
    return M


def rotation(angle, D):
    M, Q = np.eye(D), D // 4
    M[:Q, :Q] = M[Q : 2 * Q, Q : 2 * Q] = np.diag(np.cos(angle))
    M[Q : 2 * Q, :Q], M[:Q, Q : 2 * Q] = np.diag(np.sin(angle)), -np.diag(np.sin(angle))
    return M


@right
def move_right(D, columns=1):
    return rotation(columns * np.geomspace(1, 1e-4, D // 4), D)


@wrong("moves to the left")
def move_right(D, columns=1):
    return rotation(columns * np.geomspace(1, 1e-4, D // 4), D).T


@wrong("by one column only")
def move_right(D, columns=1):
    return rotation(np.geomspace(1, 1e-4, D // 4), D)


@wrong("the numbers of y become 0")
def move_right(D, columns=1):
    M = rotation(columns * np.geomspace(1, 1e-4, D // 4), D)
    M[D // 2 :] = 0
    return M


@wrong("it moves down")
def move_right(D, columns=1):
    M = rotation(columns * np.geomspace(1, 1e-4, D // 4), D)
    return np.roll(M, (D // 2, D // 2), axis=(0, 1))


@wrong("are not neighbours")
def move_right(D, columns=1):
    M = np.eye(D)
    for k, omega in enumerate(np.geomspace(1, 1e-4, D // 4)):
        s, c = 2 * k, 2 * k + 1
        M[s, s] = M[c, c] = np.cos(columns * omega)
        M[c, s], M[s, c] = np.sin(columns * omega), -np.sin(columns * omega)
    return M


@wrong("this is the identity")
def move_right(D, columns=1):
    return np.eye(D)


# -- mistakes by people who know PyTorch, NumPy alone, or guess -------------------------------------------


@wrong("broadcast_to keeps the token's axes: the shape is (B, 1, D)")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([broadcast_to(cls, (B, D)), z], axis=1)


@wrong("concatenate takes one list of Tensors")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate(broadcast_to(cls, (B, 1, D)), z)


@wrong("NumPy's functions take no Tensor: use broadcast_to")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([np.tile(cls, (B, 1, 1)), z], axis=1)


@wrong("PyTorch's repeat is here: broadcast_to(x, shape)")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([cls.repeat(B, 1, 1), z], axis=1)


@wrong("the last patch is cut off: return N + 1 tokens")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([broadcast_to(cls, (B, 1, D)), z[:, :-1]], axis=1)


@wrong("join all images at once, along axis 1")
def add_class_token(z, cls):
    B, N, D = z.shape
    return [concatenate([cls[0], z[b]], axis=0) for b in range(B)]


@wrong("there are D/4 speeds, in four groups of D/4")
def sincos2d(rows, columns, D):
    omega = 10000 ** (-np.arange(D) / (D - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], 1).astype(np.float32)


@wrong("there are D/2 speeds and two groups")
def sincos2d(rows, columns, D):
    omega = 10000 ** (-np.arange(D // 2) / (D // 2 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.concatenate([np.sin(x), np.cos(y)], 1).astype(np.float32)


@wrong("the numbers are right, but a reshape or keepdims=True is missing")
def sincos2d(rows, columns, D):
    omega = 10000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.stack([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], 1).astype(np.float32)


@wrong("both sines come first, then both cosines")
def sincos2d(rows, columns, D):
    omega = 10000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = x[:, None] * omega, y[:, None] * omega
    return np.concatenate([np.sin(x), np.sin(y), np.cos(x), np.cos(y)], 1).astype(np.float32)


@wrong("the exponent is rounded: use / instead of //")
def sincos2d(rows, columns, D):
    omega = 10000.0 ** (-np.arange(D // 4) // (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = x[:, None] * omega, y[:, None] * omega
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], 1).astype(np.float32)


@wrong("the four groups are added: put them side by side")
def sincos2d(rows, columns, D):
    omega = 10000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = x[:, None] * omega, y[:, None] * omega
    return np.sin(x) + np.cos(x) + np.sin(y) + np.cos(y)


@wrong("the four groups alternate from number to number: write the groups one after the other")
def sincos2d(rows, columns, D):
    omega = 10_000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.stack([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=2).reshape(rows * columns, D).astype(np.float32)


@wrong("the cosines of x and y are swapped: sin x, cos x, sin y, cos y")
def sincos2d(rows, columns, D):
    w = 10_000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = np.outer(x, w), np.outer(y, w)
    return np.concatenate([np.sin(x), np.cos(y), np.sin(y), np.cos(x)], axis=1).astype(np.float32)


@wrong("the columns are divided by their number, and the rows too: use the numbers 0, 1, 2 ...")
def sincos2d(rows, columns, D):
    w = 10_000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = np.outer(x / columns, w), np.outer(y / rows, w)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


@wrong("the angles have a factor 2π: multiply position and speed alone")
def sincos2d(rows, columns, D):
    w = 2 * np.pi * 10_000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = np.outer(x, w), np.outer(y, w)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


@wrong("X becomes (1, w, half) and Y (h, 1, half) before broadcast_to(..., (h,")
def learned_2d(X, Y):
    w, half = X.shape
    h, half = Y.shape
    return concatenate([broadcast_to(X, (h, w, half)), broadcast_to(Y, (h, w, half))], axis=2).reshape(
        1, h * w, 2 * half
    )


@wrong("the numbers are right, but the last reshape names the axes in another ")
def learned_2d(X, Y):
    w, half = X.shape
    h, half = Y.shape
    a = broadcast_to(X.reshape(1, w, half), (h, w, half))
    b = broadcast_to(Y.reshape(h, 1, half), (h, w, half))
    return concatenate([a, b], axis=2).reshape(h * w, 1, 2 * half)


@wrong("an axis is lost by a sum or an index")
def learned_2d(X, Y):
    return X @ Y.T


@wrong("this Tensor was made from nothing that needs a gradient; compute learn")
def learned_2d(X, Y):
    w, half = X.shape
    h, half = Y.shape
    a = np.broadcast_to(X.reshape(1, w, half).data, (h, w, half))
    b = np.broadcast_to(Y.reshape(h, 1, half).data, (h, w, half))
    return Tensor(np.concatenate([a, b], axis=2).reshape(1, h * w, 2 * half))


@wrong("both halves are X + Y")
def learned_2d(X, Y):
    w, half = X.shape
    h, half = Y.shape
    both = broadcast_to(X.reshape(1, w, half), (h, w, half)) + broadcast_to(Y.reshape(h, 1, half), (h, w, half))
    return concatenate([both, both], axis=2).reshape(1, h * w, 2 * half)


@wrong("the identity for y is missing, and the sines too")
def move_right(D, columns=1):
    omega = np.geomspace(1, 1e-4, D // 4)
    M = np.zeros((D, D))
    for k, w in enumerate(omega):
        M[k, k] = np.cos(columns * w)
    return M


@wrong("this moves the numbers within a row, not the position")
def move_right(D, columns=1):
    return np.roll(np.eye(D), columns, axis=1)


@wrong("cls is joined along axis 0, as another image: join along axis 1")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([broadcast_to(cls, (1, N, D)), z], axis=0)


@wrong("make all float64 or all float32: Tensor(array.astype(x.dtype))")
def add_class_token(z, cls):
    B, N, D = z.shape
    return concatenate([Tensor(np.zeros((B, 1, D), np.float32)), z], axis=1)


@wrong("plus the mean of the patches")
def add_class_token(z, cls):
    return concatenate([z.mean(axis=1, keepdims=True) + cls, z], axis=1)


@wrong("the base is e, as in np.exp: it must be 10000")
def sincos2d(rows, columns, D):
    omega = np.exp(-np.arange(D // 4) / (D // 4 - 1))
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = np.outer(x, omega), np.outer(y, omega)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


@wrong("the rows are counted from the bottom")
def sincos2d(rows, columns, D):
    omega = 10_000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    n = np.arange(rows * columns)
    y, x = rows - 1 - n // columns, n % columns
    parts = [f(np.outer(place, omega)) for place in (x, y) for f in (np.sin, np.cos)]
    return np.concatenate(parts, axis=1).astype(np.float32)


@wrong("-1 is a length in reshape alone: give the length itself")
def add_class_token(z, cls):
    return concatenate([broadcast_to(cls, (z.shape[0], -1, -1)), z], axis=1)
