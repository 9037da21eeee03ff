import numpy as np

from . import lesson, right, wrong

names = lesson(2)
Tensor, record, arrays = names["Tensor"], names["record"], names["arrays"]
given, youngest_first, used_up = names["unbroadcast"], names["youngest_first"], names["used_up"]

# -- unbroadcast ----------------------------------------------------------------------------------------


@right
def unbroadcast(dy, shape):
    while dy.ndim > len(shape):
        dy = dy.sum(axis=0)
    for i, length in enumerate(shape):
        if length == 1:
            dy = dy.sum(axis=i, keepdims=True)
    return dy


@right
def unbroadcast(dy, shape):
    padded = (1,) * (dy.ndim - len(shape)) + tuple(shape)
    axes = tuple(i for i in range(dy.ndim) if padded[i] == 1)
    return dy.sum(axis=axes, keepdims=True).reshape(shape)


@right
def unbroadcast(dy, shape):
    places = np.broadcast_to(np.arange(int(np.prod(shape))).reshape(shape), dy.shape)
    dx = np.zeros(int(np.prod(shape)), dy.dtype)
    np.add.at(dx, places.reshape(-1), dy.reshape(-1))
    return dx.reshape(shape)


@right
def unbroadcast(dy, shape):
    padded = (1,) * (dy.ndim - len(shape)) + tuple(shape)
    for i in range(dy.ndim):
        if padded[i] != dy.shape[i]:
            dy = dy.sum(axis=i, keepdims=True)
    return dy.reshape(shape)


@wrong("sum it over the axes that broadcasting added or stretched")
def unbroadcast(dy, shape):
    return dy


@wrong("the added axes in front are summed, but not the axes stretched")
def unbroadcast(dy, shape):
    return dy.sum(axis=tuple(range(dy.ndim - len(shape))))


@wrong("a reshape or keepdims=True is missing")
def unbroadcast(dy, shape):
    new = dy.ndim - len(shape)
    stretched = [new + i for i, length in enumerate(shape) if length == 1]
    return dy.sum(axis=(*range(new), *stretched))


@wrong("the gradients of the copies are averaged")
def unbroadcast(dy, shape):
    padded = (1,) * (dy.ndim - len(shape)) + tuple(shape)
    axes = tuple(i for i in range(dy.ndim) if padded[i] == 1)
    return dy.mean(axis=axes, keepdims=True).reshape(shape)


@wrong("only one copy's gradient")
def unbroadcast(dy, shape):
    while dy.ndim > len(shape):
        dy = dy[0]
    for i, length in enumerate(shape):
        if length == 1:
            dy = dy.take([0], axis=i)
    return dy


@wrong("the stretched axes are summed, but not the added ones in front")
def unbroadcast(dy, shape):
    new = dy.ndim - len(shape)
    stretched = tuple(new + i for i, length in enumerate(shape) if length == 1)
    return dy.sum(axis=stretched, keepdims=True)


@wrong("axes of `shape` are used as axes of dy")
def unbroadcast(dy, shape):
    new = dy.ndim - len(shape)
    stretched = [i for i, length in enumerate(shape) if length == 1]
    dx = dy.sum(axis=tuple({*range(new), *stretched}))
    return dx.reshape(shape) if dx.size == np.prod(shape) else dx


@wrong("compared from the left")
def unbroadcast(dy, shape):
    axes = tuple(i for i, (here, before) in enumerate(zip(dy.shape, shape, strict=False)) if here != before)
    return dy.sum(axis=axes, keepdims=True)


@wrong("sum dy over axes 0 and 2, counted from 0")
def unbroadcast(dy, shape):
    new = dy.ndim - len(shape)
    return dy.sum(axis=tuple(range(new))).reshape(shape)


@wrong("broadcasting repeats numbers; here the copies must be added up")
def unbroadcast(dy, shape):
    return np.broadcast_to(dy, shape)


@wrong("before the reshape, sum dy over")
def unbroadcast(dy, shape):
    return dy.reshape(shape)


@wrong("everything is added up: sum only over the axes")
def unbroadcast(dy, shape):
    return dy.sum()


@wrong("the largest copy is taken")
def unbroadcast(dy, shape):
    padded = (1,) * (dy.ndim - len(shape)) + tuple(shape)
    axes = tuple(i for i in range(dy.ndim) if padded[i] == 1)
    return dy.max(axis=axes, keepdims=True).reshape(shape)


# -- multiply -------------------------------------------------------------------------------------------


def product(vjp_of):
    """multiply with the vjp that `vjp_of(x, y)` makes."""

    def multiply(a, b):
        x, y = arrays(a, b)
        return record(x * y, (a, b), vjp_of(x, y))

    multiply.__module__ = __name__
    return multiply


right(product(lambda x, y: lambda dy: (given(dy * y, x.shape), given(dy * x, y.shape))))


@right
def multiply(a, b):
    x, y = arrays(a, b)

    def vjp(dy):
        if x.shape == y.shape:
            return dy * y, dy * x
        dx = (dy * y).sum(axis=tuple(range(dy.ndim - x.ndim))) if dy.ndim > x.ndim else dy * y
        return given(dx, x.shape), given(x * dy, y.shape)

    return record(x * y, (a, b), vjp)


wrong("dy is multiplied by a")(product(lambda x, y: lambda dy: (given(dy * x, x.shape), given(dy * y, y.shape))))
wrong("the copies' gradients are not summed")(product(lambda x, y: lambda dy: (dy * y, dy * x)))
wrong("dy is missing")(product(lambda x, y: lambda dy: (given(y + 0 * dy, x.shape), given(x + 0 * dy, y.shape))))
wrong("unbroadcast came before the product with a")(
    product(lambda x, y: lambda dy: (given(dy * y, x.shape), given(given(dy, y.shape) * x, y.shape)))
)
wrong("this is dy itself, as for a sum")(product(lambda x, y: lambda dy: (given(dy, x.shape), given(dy, y.shape))))
wrong("compute with arrays, not with Tensors")(
    product(lambda x, y: lambda dy: (given(dy * Tensor(y), x.shape), given(dy * Tensor(x), y.shape)))
)
wrong("returns 1 gradients for 2 inputs")(product(lambda x, y: lambda dy: (given(dy * y, x.shape),)))
wrong("returns a list, not a tuple")(product(lambda x, y: lambda dy: [given(dy * y, x.shape), given(dy * x, y.shape)]))


@wrong("changes its input")
def multiply(a, b):
    x, y = arrays(a, b)

    def vjp(dy):
        db = given(dy * x, y.shape)
        dy *= y
        return given(dy, x.shape), db

    return record(x * y, (a, b), vjp)


@wrong("pass the result, the inputs and the vjp to record, and return")
def multiply(a, b):
    x, y = arrays(a, b)
    return x * y


@wrong("use the arrays x and w")
def multiply(a, b):
    x, y = arrays(a, b)

    def vjp(dy):
        return given(dy * b.data, a.shape), given(dy * a.data, b.shape)

    return record(x * y, (a, b), vjp)


@wrong("dy is added up before the product: multiply dy itself, element by element")
def multiply(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        return unbroadcast(dy.sum() * w, x.shape), unbroadcast(dy.sum() * x, w.shape)

    return record(x * w, (a, b), vjp)


@wrong("dy is multiplied by b: the derivative of a · b with respect to b is a")
def multiply(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        return unbroadcast(dy * w, x.shape), unbroadcast(dy * w, w.shape)

    return record(x * w, (a, b), vjp)


@wrong("it is twice the gradient: a factor of 2 belongs to a square")
def multiply(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        return unbroadcast(dy * w * 2, x.shape), unbroadcast(dy * x * 2, w.shape)

    return record(x * w, (a, b), vjp)


@wrong("dy is added to b: multiply them")
def multiply(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        return unbroadcast(dy + w, x.shape), unbroadcast(dy + x, w.shape)

    return record(x * w, (a, b), vjp)


# -- total ----------------------------------------------------------------------------------------------


@wrong("the copies' gradients are averaged")
def multiply(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        dx, dw = dy * w, dy * x
        if dx.shape != x.shape:
            dx = dx.mean(axis=0)
        if dw.shape != w.shape:
            dw = dw.mean(axis=0)
        return dx, dw

    return record(x * w, (a, b), vjp)


def summing(vjp_of):
    """total with the vjp that `vjp_of(shape, axis, keepdims)` makes."""

    def total(a, axis=None, keepdims=False):
        out = a.data.sum(axis=axis, keepdims=keepdims)
        return record(out, (a,), vjp_of(a.shape, axis, keepdims))

    total.__module__ = __name__
    return total


def back(dy, axis, keepdims):
    return dy if axis is None or keepdims else np.expand_dims(dy, axis)


right(summing(lambda shape, axis, kept: lambda dy: (np.broadcast_to(back(dy, axis, kept), shape),)))
right(summing(lambda shape, axis, kept: lambda dy: (back(dy, axis, kept) * np.ones(shape, dy.dtype),)))


@right
def total(a, axis=None, keepdims=False):
    x = a.data

    def vjp(dy):
        lengths = x.sum(axis=axis, keepdims=True).shape
        return (np.zeros_like(x) + dy.reshape(lengths),)

    return record(x.sum(axis=axis, keepdims=keepdims), (a,), vjp)


@right
def total(a, axis=None, keepdims=False):
    out = a.data.sum(axis=axis, keepdims=keepdims)
    kept = a.data.sum(axis=axis, keepdims=True).shape
    return record(out, (a,), lambda dy: (np.zeros(a.shape, dy.dtype) + dy.reshape(kept),))


wrong("this is dy unchanged")(summing(lambda shape, axis, kept: lambda dy: (dy,)))
wrong("put it back at `axis` with np.expand_dims")(
    summing(lambda shape, axis, kept: lambda dy: (np.broadcast_to(dy, shape),))
)
wrong("the summed axis came back at the end")(
    summing(
        lambda shape, axis, kept: lambda dy: (np.broadcast_to(dy if axis is None or kept else dy[..., None], shape),)
    )
)
wrong("dy is missing")(summing(lambda shape, axis, kept: lambda dy: (np.ones(shape),)))
wrong("returns an array, not a tuple")(
    summing(lambda shape, axis, kept: lambda dy: np.broadcast_to(back(dy, axis, kept), shape))
)
wrong("float64")(summing(lambda shape, axis, kept: lambda dy: (back(dy, axis, kept) * np.ones(shape),)))
wrong("the axis is still there")(
    summing(
        lambda shape, axis, kept: lambda dy: (np.broadcast_to(back(dy, axis, False), shape),),
    )
)


@wrong("the derivatives of a sum are 1, whatever a is")
def total(a, axis=None, keepdims=False):
    x = a.data

    def vjp(dy):
        return (back(dy, axis, keepdims) * x,)

    return record(x.sum(axis=axis, keepdims=keepdims), (a,), vjp)


@wrong("this is the gradient of a mean")
def total(a, axis=None, keepdims=False):
    x = a.data
    out = x.sum(axis=axis, keepdims=keepdims)

    def vjp(dy):
        return (np.broadcast_to(back(dy, axis, keepdims), x.shape) * (out.size / x.size),)

    return record(out, (a,), vjp)


@wrong("keepdims is not passed to sum")
def total(a, axis=None, keepdims=False):
    shape = a.shape

    def vjp(dy):
        if axis is not None:
            dy = np.expand_dims(dy, axis)
        return (np.broadcast_to(dy, shape),)

    return record(a.data.sum(axis=axis), (a,), vjp)


@wrong("without an axis everything is added up: axis=None must be the default")
def total(a, axis=-1, keepdims=False):
    shape = a.shape

    def vjp(dy):
        if axis is not None and not keepdims:
            dy = np.expand_dims(dy, axis)
        return (np.broadcast_to(dy, shape),)

    return record(a.data.sum(axis=axis, keepdims=keepdims), (a,), vjp)


@wrong("dy is averaged: each summand gets the gradient of its sum")
def total(a, axis=None, keepdims=False):
    shape = a.shape

    def vjp(dy):
        return (np.ones(shape) * dy.mean(),)

    return record(a.data.sum(axis=axis, keepdims=keepdims), (a,), vjp)


@wrong("dy is summed once more")
def total(a, axis=None, keepdims=False):
    shape = a.shape

    def vjp(dy):
        return (dy.sum(axis=axis, keepdims=keepdims) * np.ones(shape),)

    return record(a.data.sum(axis=axis, keepdims=keepdims), (a,), vjp)


wrong("there is no axis to put back")(
    summing(lambda shape, axis, kept: lambda dy: (np.broadcast_to(np.expand_dims(dy, axis), shape),))
)
wrong("repeat dy with np.broadcast_to, not with reshape")(
    summing(lambda shape, axis, kept: lambda dy: (dy.reshape(shape),))
)


# -- getitem --------------------------------------------------------------------------------------------


def indexing(vjp_of):
    """getitem with the vjp that `vjp_of(x, index)` makes."""

    def getitem(a, index):
        return record(a.data[index], (a,), vjp_of(a.data, index))

    getitem.__module__ = __name__
    return getitem


@right
def getitem(a, index):
    x = a.data

    def vjp(dy):
        dx = np.zeros_like(x)
        np.add.at(dx, index, dy)  # slow for slices, but right
        return (dx,)

    return record(x[index], (a,), vjp)


@right
def getitem(a, index):
    x = a.data

    def vjp(dy):
        places = np.arange(x.size).reshape(x.shape)[index]  # where each number came from
        dx = np.bincount(places.reshape(-1), weights=dy.reshape(-1), minlength=x.size)
        return (dx.reshape(x.shape).astype(x.dtype),)

    return record(x[index], (a,), vjp)


@wrong("a position picked twice keeps only one gradient")
def getitem(a, index):
    x = a.data

    def vjp(dy):
        dx = np.zeros_like(x)
        dx[index] += dy
        return (dx,)

    return record(x[index], (a,), vjp)


@wrong("is float64")
def getitem(a, index):
    x = a.data

    def vjp(dy):
        dx = np.zeros(x.shape)
        np.add.at(dx, index, dy)
        return (dx,)

    return record(x[index], (a,), vjp)


@wrong("the gradient of what was not picked is 1")
def getitem(a, index):
    x = a.data

    def vjp(dy):
        dx = np.ones_like(x)
        dx[index] = dy
        return (dx,)

    return record(x[index], (a,), vjp)


@wrong("dy is missing")
def getitem(a, index):
    x = a.data

    def vjp(dy):
        dx = np.zeros_like(x)
        np.add.at(dx, index, 1)
        return (dx,)

    return record(x[index], (a,), vjp)


wrong("np.add.at, for example, returns nothing")(
    indexing(lambda x, index: lambda dy: (np.add.at(np.zeros_like(x), index, dy),))
)
wrong("put it into an array of zeros")(indexing(lambda x, index: lambda dy: (dy,)))
wrong("spread over the whole array")(indexing(lambda x, index: lambda dy: (np.zeros_like(x) + dy,)))
wrong("dy itself is indexed")(indexing(lambda x, index: lambda dy: (dy[index],)))


@wrong("not the shape of dy")
def getitem(a, index):
    x = a.data

    def vjp(dy):
        dx = np.zeros_like(dy)
        dx[index] = dy
        return (dx,)

    return record(x[index], (a,), vjp)


wrong("not a tuple: for one input")(
    indexing(lambda x, index: lambda dy: np.zeros_like(x)),
)


# -- backward_walk --------------------------------------------------------------------------------------


def walking(turn):
    """backward_walk with what `turn(tensor, arrived)` does when it is a Tensor's turn."""

    def backward_walk(loss, dy):
        arrived = {loss: dy}
        for tensor in youngest_first(loss):
            turn(tensor, arrived)
            tensor.parents, tensor.vjp = (), used_up
        return arrived

    backward_walk.__module__ = __name__
    return backward_walk


@right
def backward_walk(loss, dy):
    arrived = {loss: dy}
    for tensor in youngest_first(loss):
        dy = arrived.pop(tensor)
        for parent, gradient in zip(tensor.parents, tensor.vjp(dy), strict=True):
            if parent is not None:
                arrived[parent] = arrived.get(parent, 0) + gradient
        tensor.parents, tensor.vjp = (), used_up
    return arrived


@right
def backward_walk(loss, dy):
    """An order of its own, by walking the graph to its end first."""
    order, seen, stack = [], set(), [(loss, False)]
    while stack:
        tensor, done = stack.pop()
        if done:
            order.append(tensor)
        elif tensor not in seen:
            seen.add(tensor)
            stack.append((tensor, True))
            stack.extend((parent, False) for parent in tensor.parents if parent is not None)
    gradients = {loss: dy}
    for tensor in reversed(order):
        if tensor.vjp is None:
            continue
        for i, gradient in enumerate(tensor.vjp(gradients[tensor])):
            parent = tensor.parents[i]
            if parent in gradients:
                gradients[parent] = np.add(gradients[parent], gradient)
            elif parent is not None:
                gradients[parent] = gradient
        del gradients[tensor]
        tensor.parents, tensor.vjp = (), used_up
    return gradients


def added(arrived, parent, gradient):
    arrived[parent] = arrived[parent] + gradient if parent in arrived else gradient


@wrong("keeps only the last gradient")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        if parent is not None:
            arrived[parent] = gradient


@wrong("keeps only the first gradient")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        if parent is not None:
            arrived.setdefault(parent, gradient)


@wrong("use + instead")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        if parent in arrived:
            arrived[parent] += gradient
        elif parent is not None:
            arrived[parent] = gradient


@wrong("skip it, it is a constant")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        added(arrived, parent, gradient)


@wrong("take each out with pop")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived[tensor]), strict=True):
        if parent is not None:
            added(arrived, parent, gradient)


@wrong("the gradient that arrived was not used")
@walking
def backward_walk(tensor, arrived):
    arrived.pop(tensor)
    for parent, gradient in zip(tensor.parents, tensor.vjp(np.ones(tensor.shape)), strict=True):
        if parent is not None:
            added(arrived, parent, gradient)


@wrong("no gradient had arrived for a Tensor")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        if parent is not None:
            parent.grad = gradient


@wrong("backward_walk for y = (x * 3) * 5 leaves the graph in memory")
def backward_walk(loss, dy):
    arrived = {loss: dy}
    for tensor in youngest_first(loss):
        for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
            if parent is not None:
                added(arrived, parent, gradient)
    return arrived


@wrong("returns a list")
def backward_walk(loss, dy):
    return [dy]


@wrong("each vjp got dy of the result")
def backward_walk(loss, dy):
    arrived = {loss: dy}
    for tensor in youngest_first(loss):
        arrived.pop(tensor)
        for parent, gradient in zip(tensor.parents, tensor.vjp(dy), strict=True):
            if parent is not None:
                added(arrived, parent, gradient)
        tensor.parents, tensor.vjp = (), used_up
    return arrived


@wrong("the gradient is passed on unchanged")
@walking
def backward_walk(tensor, arrived):
    gradient = arrived.pop(tensor)
    for parent in tensor.parents:
        if parent is not None:
            added(arrived, parent, gradient)


@wrong("x got the constant's gradient")
@walking
def backward_walk(tensor, arrived):
    parents = [parent for parent in tensor.parents if parent is not None]
    for parent, gradient in zip(parents, tensor.vjp(arrived.pop(tensor)), strict=False):
        added(arrived, parent, gradient)


@wrong("skip only the parent that is None")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        if parent is None:
            break
        added(arrived, parent, gradient)


@wrong("backward_walk for y = (x * 3) * 5 writes a leaf's .grad")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        if parent is not None:
            added(arrived, parent, gradient)
            parent.grad = arrived[parent]


@wrong("put the first one in, then add")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        arrived[parent] = arrived.get(parent) + gradient


@wrong("a parent may be None, a constant: skip it")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        if parent.requires_grad:
            added(arrived, parent, gradient)


@wrong("a leaf has no vjp: visit only the Tensors of youngest_first")
def backward_walk(loss, dy):
    """It visits each parent in turn, down to the leaves."""
    arrived, waiting = {loss: dy}, [loss]
    while waiting:
        tensor = waiting.pop(0)
        for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
            if parent is not None:
                added(arrived, parent, gradient)
                waiting.append(parent)
        tensor.parents, tensor.vjp = (), used_up
    return arrived


# -- sum_blocks -----------------------------------------------------------------------------------------


@right
def sum_blocks(x, rows, columns):
    return x.reshape(rows, 2, columns, 2).sum((1, 3))


@right
def sum_blocks(x, rows, columns):
    return x.reshape(rows, 2, columns, 2).sum(axis=3).sum(axis=1)


@right
def sum_blocks(x, rows, columns):
    return x.reshape(rows, 2, -1, 2).sum(axis=-1).sum(axis=1)


@wrong("four neighbours of one row")
def sum_blocks(x, rows, columns):
    return x.reshape(rows, columns, 4).sum(axis=2)


@wrong("half an image apart")
def sum_blocks(x, rows, columns):
    return x.reshape(2, rows, 2, columns).sum(axis=(0, 2))


@wrong("these are means")
def sum_blocks(x, rows, columns):
    return x.reshape(rows, 2, columns, 2).mean(axis=(1, 3))


@wrong("the blocks are added to one another")
def sum_blocks(x, rows, columns):
    return x.reshape(rows, 2, columns, 2).sum(axis=(0, 2))


@wrong("only pairs of columns are added")
def sum_blocks(x, rows, columns):
    return x.reshape(rows, 2, columns, 2).sum(axis=3)


@wrong("keepdims=True keeps the axes")
def sum_blocks(x, rows, columns):
    return x.reshape(rows, 2, columns, 2).sum(axis=(1, 3), keepdims=True)


@wrong("rows far apart are added")
def sum_blocks(x, rows, columns):
    return x.reshape(2, rows, columns, 2).sum(axis=(0, 3))


@wrong("this puzzle allows reshape, sum and -")
def sum_blocks(x, rows, columns):
    return x[0::2, 0::2] + x[0::2, 1::2] + x[1::2, 0::2] + x[1::2, 1::2]


@wrong("must be a single line")
def sum_blocks(x, rows, columns):
    blocks = x.reshape(rows, 2, columns, 2)
    return blocks.sum(axis=(1, 3))


@wrong("cannot reshape array")
def sum_blocks(x, rows, columns):
    return x.reshape(rows, columns, 2).sum(axis=2)


@wrong("only pairs of rows are added: split the columns into (columns, 2) too")
def sum_blocks(x, rows, columns):
    return x.reshape(rows, 2, 2 * columns).sum(axis=1)


# -- more mistakes ------------------------------------------------------------------------------------------


@wrong("the new axes in front must go")
def unbroadcast(dy, shape):
    return dy.sum(axis=tuple(range(dy.ndim - len(shape))), keepdims=True)


@wrong("the last axes are summed")
def unbroadcast(dy, shape):
    while dy.ndim > len(shape):
        dy = dy.sum(axis=-1)
    return dy


@wrong("and the new axes in front must be summed too")
def unbroadcast(dy, shape):
    for i, length in enumerate(shape):
        if length == 1:
            dy = dy.sum(axis=i, keepdims=True)
    return dy


@wrong("the new axes are averaged: add up over them")
def unbroadcast(dy, shape):
    while dy.ndim > len(shape):
        dy = dy.mean(axis=0)
    for i, n in enumerate(shape):
        if n == 1:
            dy = dy.sum(axis=i, keepdims=True)
    return dy


@wrong("of the new axes only the first copy is used")
def unbroadcast(dy, shape):
    while dy.ndim > len(shape):
        dy = dy[0]
    for i, n in enumerate(shape):
        if n == 1:
            dy = dy.sum(axis=i, keepdims=True)
    return dy


@wrong("keepdims=True is missing in dy.sum(axis=i)")
def unbroadcast(dy, shape):
    extra = dy.ndim - len(shape)
    if extra:
        dy = dy.sum(axis=tuple(range(extra)))
    for i, n in enumerate(shape):
        if n == 1:
            dy = dy.sum(axis=i)  # the axes behind it move to the front
    return dy.reshape(shape)


wrong("dy is divided by b")(product(lambda x, y: lambda dy: (given(dy / y, x.shape), given(dy / x, y.shape))))
wrong("dy is multiplied by both factors")(
    product(lambda x, y: lambda dy: (given(dy * x * y, x.shape), given(dy * x * y, y.shape)))
)
wrong("it has the shape of b")(product(lambda x, y: lambda dy: (given(dy * y, y.shape), given(dy * x, x.shape))))
wrong("with * in place of @")(product(lambda x, y: lambda dy: (given(dy @ y, x.shape), given(dy @ x, y.shape))))
wrong("dy is added up")(summing(lambda shape, axis, kept: lambda dy: (dy.sum() * np.ones(shape),)))
wrong("np.tile repeats whole blocks")(summing(lambda shape, axis, kept: lambda dy: (np.tile(dy, shape),)))
wrong("it is a function of NumPy")(summing(lambda shape, axis, kept: lambda dy: (dy.expand_dims(axis),)))


@wrong("the numbers of the input are still there")
def getitem(a, index):
    def vjp(dy):
        dx = a.data.copy()
        dx[index] = dy
        return (dx,)

    return record(a.data[index], (a,), vjp)


@wrong("use dx[index] as a whole")
def getitem(a, index):
    def vjp(dy):
        dx = np.zeros_like(a.data)
        for i in index:
            dx[i] += dy[i]
        return (dx,)

    return record(a.data[index], (a,), vjp)


@wrong("dy is added up first: write dy itself to the positions, dx[index] = dy")
def getitem(a, index):
    shape, dtype = a.shape, a.dtype

    def vjp(dy):
        dx = np.zeros(shape, dtype)
        dx[index] = dy.sum()
        return (dx,)

    return record(a.data[index], (a,), vjp)


@wrong("dx begins with ones: begin with np.zeros(shape, dtype)")
def getitem(a, index):
    shape, dtype = a.shape, a.dtype

    def vjp(dy):
        dx = np.ones(shape, dtype)
        np.add.at(dx, index, dy)
        return (dx,)

    return record(a.data[index], (a,), vjp)


@wrong("the gradients of two uses are multiplied")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
        if parent is not None:
            arrived[parent] = arrived.get(parent, 1) * gradient


@wrong("pair them with zip")
@walking
def backward_walk(tensor, arrived):
    gradient = arrived.pop(tensor)
    for parent in tensor.parents:
        if parent is not None:
            arrived[parent] = arrived.get(parent, 0) + tensor.vjp(gradient)


@wrong("since .grad is None here")
@walking
def backward_walk(tensor, arrived):
    for parent, gradient in zip(tensor.parents, tensor.vjp(tensor.grad), strict=True):
        if parent is not None:
            arrived[parent] = arrived.get(parent, 0) + gradient


@wrong("does a return or break end the loop early?")
def backward_walk(loss, dy):
    arrived = {loss: dy}
    for tensor in youngest_first(loss):
        for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
            if parent is None:
                return arrived
            arrived[parent] = arrived.get(parent, 0) + gradient
        tensor.parents, tensor.vjp = (), used_up
    return arrived


@wrong("the gradients of two uses are averaged: add them")
def backward_walk(loss, dy):
    arrived = {loss: dy}
    for tensor in youngest_first(loss):
        gradients = tensor.vjp(arrived.pop(tensor))
        for parent, gradient in zip(tensor.parents, gradients, strict=False):
            if parent is None:
                continue
            if parent in arrived:
                gradient = (arrived[parent] + gradient) / 2
            arrived[parent] = gradient
        tensor.parents, tensor.vjp = (), used_up
    return arrived


@wrong("no gradient had arrived for a Tensor: put all of the vjp's gradients into `arrived`")
def backward_walk(loss, dy):
    arrived = {loss: dy}
    for tensor in youngest_first(loss):
        g = tensor.vjp(arrived.pop(tensor))
        parent = tensor.parents[0]
        if parent is not None:
            arrived[parent] = arrived.get(parent, 0) + g[0]
        tensor.parents, tensor.vjp = (), used_up
    return arrived


@wrong("dy is repeated along one axis alone: repeat it to `shape`")
def total(a, axis=None, keepdims=False):
    shape = a.shape

    def vjp(dy):
        if axis is not None and not keepdims:
            dy = np.expand_dims(dy, axis)
        return (dy * np.ones(shape[0]),)

    return record(a.data.sum(axis=axis, keepdims=keepdims), (a,), vjp)
