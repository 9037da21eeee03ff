import math
import statistics
import time

import numpy as np

from minivit import Tensor, no_grad
from minivit.engine.tensor import record

from . import lesson, right, wrong

names = lesson(16)
gelu_chain = names["gelu_chain"]


@right
def floor_seconds(flops, moved, peak, bandwidth):
    arithmetic, memory = flops / peak, moved / bandwidth
    return arithmetic if arithmetic > memory else memory


@right
def floor_seconds(flops, moved, peak, bandwidth):
    return np.maximum(flops / peak, moved / bandwidth)


@wrong("take the larger, since both go on at the same time")
def floor_seconds(flops, moved, peak, bandwidth):
    return flops / peak + moved / bandwidth


@wrong("the shorter of the two times")
def floor_seconds(flops, moved, peak, bandwidth):
    return min(flops / peak, moved / bandwidth)


@wrong("speed divided by work")
def floor_seconds(flops, moved, peak, bandwidth):
    return max(peak / flops, bandwidth / moved)


@wrong("this is a speed")
def floor_seconds(flops, moved, peak, bandwidth):
    return min(peak, bandwidth * flops / moved)


@wrong("the time for memory is missing")
def floor_seconds(flops, moved, peak, bandwidth):
    return flops / peak


@wrong("the time for arithmetic is missing")
def floor_seconds(flops, moved, peak, bandwidth):
    return moved / bandwidth


@wrong("the two rates are swapped")
def floor_seconds(flops, moved, peak, bandwidth):
    return max(flops / bandwidth, moved / peak)


@wrong("use max(a, b) or np.maximum")
def floor_seconds(flops, moved, peak, bandwidth):
    return np.max(flops / peak, moved / bandwidth)


@wrong("this is the mean of the two times")
def floor_seconds(flops, moved, peak, bandwidth):
    return (flops / peak + moved / bandwidth) / 2


@wrong("do not multiply it by 4")
def floor_seconds(flops, moved, peak, bandwidth):
    return max(flops / peak, 4 * moved / bandwidth)


@wrong("divide each amount by its own rate")
def floor_seconds(flops, moved, peak, bandwidth):
    return max(flops, moved) / max(peak, bandwidth)


@right
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first()
    second()
    ratios = []
    for _ in range(rounds):
        times = []
        for function in (first, second):
            start = clock()
            function()
            times.append(clock() - start)
        ratios.append(times[0] / times[1])
    return np.median(ratios)


@right
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    def one_round():
        a = clock()
        first()
        b = clock()
        second()
        return (b - a) / (clock() - b)

    one_round()
    ratios = sorted(one_round() for _ in range(rounds))
    return (ratios[(rounds - 1) // 2] + ratios[rounds // 2]) / 2


@right
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    second()
    first()
    readings = []
    for _ in range(rounds):
        readings.append([clock(), first(), clock(), second(), clock()][::2])
    a, b, c = np.array(readings).T
    return float(np.median((b - a) / (c - b)))


@wrong("this is the mean of the ratios")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    ratios = []
    for _ in range(rounds):
        a = clock()
        first()
        b = clock()
        second()
        ratios.append((b - a) / (clock() - b))
    return statistics.fmean(ratios)


@wrong("the first call, which is slow, is counted")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    ratios = []
    for _ in range(rounds):
        a = clock()
        first()
        b = clock()
        second()
        ratios.append((b - a) / (clock() - b))
    return statistics.median(ratios)


@wrong("measure in turns")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    def measure(function):
        times = []
        for _ in range(rounds):
            start = clock()
            function()
            times.append(clock() - start)
        return statistics.median(times)

    first(), second()
    return measure(first) / measure(second)


@wrong("the ratio is inverted")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    ratios = []
    for _ in range(rounds):
        a = clock()
        first()
        b = clock()
        second()
        ratios.append((clock() - b) / (b - a))
    return statistics.median(ratios)


@wrong("this is the ratio of the sums, which one slow call spoils")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    total = [0.0, 0.0]
    for _ in range(rounds):
        a = clock()
        first()
        b = clock()
        second()
        total[0] += b - a
        total[1] += clock() - b
    return total[0] / total[1]


@wrong("call clock()")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    ratios = []
    for _ in range(rounds):
        a = time.perf_counter()
        first()
        b = time.perf_counter()
        second()
        ratios.append((b - a) / (time.perf_counter() - b))
    return statistics.median(ratios)


def _measured(first, second, rounds, clock):
    times = []
    for _ in range(rounds):
        a = clock()
        first()
        b = clock()
        second()
        times.append((b - a, clock() - b))
    return times


@wrong("are the functions called")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    ratios = []
    for _ in range(rounds):
        a = clock()
        first  # noqa: B018
        b = clock()
        second  # noqa: B018
        ratios.append((b - a) / (clock() - b))
    return statistics.median(ratios)


@wrong("call second once too")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first()
    return statistics.median(a / b for a, b in _measured(first, second, rounds, clock))


@wrong("this is a difference of times")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    return statistics.median(a - b for a, b in _measured(first, second, rounds, clock))


@wrong("this is the ratio of two medians")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    times = _measured(first, second, rounds, clock)
    return statistics.median(a for a, _ in times) / statistics.median(b for _, b in times)


@wrong("return one number")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    return [a / b for a, b in _measured(first, second, rounds, clock)]


@wrong("this is the time of second")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    return statistics.median(b for _, b in _measured(first, second, rounds, clock))


@right
def gelu_in_blocks(x, block):
    out = np.zeros_like(x)
    for i in range(-(-len(x) // block)):
        out[i * block : (i + 1) * block] = gelu_chain(x[i * block : (i + 1) * block])
    return out


@right
def gelu_in_blocks(x, block):
    out = np.empty(x.shape, x.dtype)
    start = 0
    while start < len(x):
        end = min(start + block, len(x))
        a = x[start:end]
        u = a * a
        u *= 0.044715
        u += 1.0
        u *= a
        u *= math.sqrt(2 / math.pi)
        np.tanh(u, out=u)
        u += 1.0
        u *= a
        np.multiply(u, 0.5, out=out[start:end])
        start = end
    return out


@right
def gelu_in_blocks(x, block):
    out = np.zeros(len(x), x.dtype)
    for i in range(-(-len(x) // block)):
        out[i * block : i * block + block] = gelu_chain(x[i * block : i * block + block])
    return out


@wrong("compute the formula block by block, not on all of x")
def gelu_in_blocks(x, block):
    return gelu_chain(x)


@wrong("instead of joining")
def gelu_in_blocks(x, block):
    return np.concatenate([gelu_chain(x[start : start + block]) for start in range(0, len(x), block)])


@wrong("which is shorter")
def gelu_in_blocks(x, block):
    out = np.zeros_like(x)
    for i in range(len(x) // block):
        out[i * block : (i + 1) * block] = gelu_chain(x[i * block : (i + 1) * block])
    return out


@wrong("all blocks but the first are missing")
def gelu_in_blocks(x, block):
    pieces = [gelu_chain(x[start : start + block]) for start in range(0, len(x), block)]
    return pieces[0]


@wrong("changes its input")
def gelu_in_blocks(x, block):
    for start in range(0, len(x), block):
        x[start : start + block] = gelu_chain(x[start : start + block])
    return x


@wrong("does range run to len(x)?")
def gelu_in_blocks(x, block):
    out = np.zeros_like(x)
    for start in range(0, len(x) - block, block):
        out[start : start + block] = gelu_chain(x[start : start + block])
    return out


@wrong("does each slice go from start to start + block?")
def gelu_in_blocks(x, block):
    out = np.zeros_like(x)
    for start in range(0, len(x), block):
        out[start:block] = gelu_chain(x[start:block])
    return out


@wrong("as float64 instead of float32")
def gelu_in_blocks(x, block):
    out = np.zeros(len(x))
    for start in range(0, len(x), block):
        out[start : start + block] = gelu_chain(x[start : start + block])
    return out


@wrong("write each block into its place in one array")
def gelu_in_blocks(x, block):
    return np.array([gelu_chain(x[start : start + block]) for start in range(0, len(x), block)]).reshape(-1)


@wrong("every block repeats the values of the first")
def gelu_in_blocks(x, block):
    out = np.zeros_like(x)
    for start in range(0, len(x), block):
        piece = out[start : start + block]
        piece[...] = gelu_chain(x[:block])[: len(piece)]
    return out


@wrong("PyTorch's split is here")
def gelu_in_blocks(x, block):
    return np.concatenate([gelu_chain(piece) for piece in x.split(block)])


@wrong("compute x[start : start + block] at once")
def gelu_in_blocks(x, block):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i : i + 1] = gelu_chain(x[i : i + 1])
    return out


@wrong("`block` is the length of a block, not how many there are")
def gelu_in_blocks(x, block):
    out = np.empty_like(x)
    size = -(-len(x) // block)
    for i in range(block):
        out[i * size : (i + 1) * size] = gelu_chain(x[i * size : (i + 1) * size])
    return out


@right
def layer_norm_backward(dy, n, inverse, weight):
    D = dy.shape[1]
    g = dy * weight
    along_ones = g.sum(axis=1, keepdims=True) / D
    along_n = np.einsum("md,md->m", g, n)[:, None] / D
    return (g - along_ones - n * along_n) * inverse, np.einsum("md,md->d", dy, n), np.ones(len(dy)) @ dy


@right
def layer_norm_backward(dy, n, inverse, weight):
    M, D = dy.shape
    dx, dw, db = np.zeros_like(dy), np.zeros_like(weight), np.zeros_like(weight)
    for i in range(M):
        jacobian = inverse[i, 0] * (np.eye(D) - 1 / D - np.outer(n[i], n[i]) / D)
        dx[i] = jacobian @ (dy[i] * weight)
        dw += dy[i] * n[i]
        db += dy[i]
    return dx, dw, db


@wrong("mean(g) is not subtracted")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    return inverse * (g - n * (g * n).mean(axis=1, keepdims=True)), (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("along n")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    return inverse * (g - g.mean(axis=1, keepdims=True)), (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("the weight is missing")
def layer_norm_backward(dy, n, inverse, weight):
    dx = inverse * (dy - dy.mean(axis=1, keepdims=True) - n * (dy * n).mean(axis=1, keepdims=True))
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("dw of layer_norm_backward: it is not summed over the rows")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True))
    return dx, dy * n, dy.sum(axis=0)


@wrong("it uses g, which includes the weight")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True))
    return dx, (g * n).sum(axis=0), g.sum(axis=0)


@wrong("all rows together")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    return inverse * (g - g.mean() - n * (g * n).mean()), (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("three arrays")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    return inverse * (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True))


@wrong("the factor 1/σ is missing")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True)
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("is keepdims=True missing")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    return inverse * (g - g.mean(axis=1) - n * (g * n).mean(axis=1)), (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("mean(g) is added")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * (g + g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True))
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("n · mean(g · n) is added")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * (g - g.mean(axis=1, keepdims=True) + n * (g * n).mean(axis=1, keepdims=True))
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("these use sums")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * (g - g.sum(axis=1, keepdims=True) - n * (g * n).sum(axis=1, keepdims=True))
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("put parentheses around all three terms")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True)
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("run down the columns")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    return inverse * (g - g.mean(axis=0) - n * (g * n).mean(axis=0)), (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("it is divided by 1/σ")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True)) / inverse
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("dw of layer_norm_backward: this is db")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True))
    return dx, dy.sum(axis=0), (dy * n).sum(axis=0)


@wrong("db of layer_norm_backward: it is summed over each row")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True))
    return dx, (dy * n).sum(axis=0), dy.sum(axis=1)


@wrong("PyTorch's keepdim is here: keepdims")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * (g - g.mean(axis=1, keepdim=True) - n * (g * n).mean(axis=1, keepdim=True))
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0)


@right
def add_in_order(arrivals):
    by_number = dict(arrivals)
    sums = [np.zeros_like(gradient) for gradient in by_number[0]]
    for number in range(len(by_number)):
        for i, gradient in enumerate(by_number[number]):
            sums[i] = sums[i] + gradient
    return sums


@right
def add_in_order(arrivals):
    waiting, sums, following = {}, None, 0
    for number, gradients in arrivals:
        waiting[number] = gradients
        while following in waiting:  # add whatever has its turn
            ready = waiting.pop(following)
            sums = [g.copy() for g in ready] if sums is None else [s + g for s, g in zip(sums, ready, strict=True)]
            following += 1
    return sums


@wrong("gives other last bits")
def add_in_order(arrivals):
    sums = None
    for _, gradients in arrivals:
        sums = list(gradients) if sums is None else [a + b for a, b in zip(sums, gradients, strict=True)]
    return sums


@wrong("changes the gradients that arrive")
def add_in_order(arrivals):
    in_order = sorted(arrivals, key=lambda arrival: arrival[0])
    sums = in_order[0][1]
    for _, gradients in in_order[1:]:
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient
    return sums


@wrong("this is the mean")
def add_in_order(arrivals):
    in_order = sorted(arrivals, key=lambda arrival: arrival[0])
    count = len(in_order)
    return [sum(part[1][i] for part in in_order) / count for i in range(len(in_order[0][1]))]


@wrong("counted twice")
def add_in_order(arrivals):
    in_order = sorted(arrivals, key=lambda arrival: arrival[0])
    sums = [gradient.copy() for gradient in in_order[0][1]]
    for _, gradients in in_order:
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient
    return sums


@wrong("gradient 0 is missing")
def add_in_order(arrivals):
    in_order = sorted(arrivals, key=lambda arrival: arrival[0])
    sums = [np.zeros_like(gradient) for gradient in in_order[0][1]]
    for _, gradients in in_order[1:]:
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient
    return sums


@wrong("raises")
def add_in_order(arrivals):
    in_order = sorted(arrivals)  # compares arrays where numbers tie, and here a generator is used up
    first = next(arrivals)
    return [a + b for a, b in zip(first[1], in_order[0][1], strict=True)]


@wrong("collect them first")
def add_in_order(arrivals):
    sums = [g.copy() for g in arrivals[0][1]]
    for _, gradients in arrivals[1:]:
        sums = [a + b for a, b in zip(sums, gradients, strict=True)]
    return sums


@wrong("sort by the number alone")
def add_in_order(arrivals):
    in_order = sorted(arrivals, key=lambda arrival: arrival[1])
    return [sum(part[1][i] for part in in_order) for i in range(len(in_order[0][1]))]


@wrong("only gradient 0 is returned")
def add_in_order(arrivals):
    in_order = sorted(arrivals, key=lambda arrival: arrival[0])
    sums = [gradient.copy() for gradient in in_order[0][1]]
    for _, gradients in in_order[1:]:
        for total, gradient in zip(sums, gradients, strict=True):
            total = total + gradient
    return sums


@wrong("only the last gradient is returned")
def add_in_order(arrivals):
    for _, gradients in sorted(arrivals, key=lambda arrival: arrival[0]):
        sums = [gradient.copy() for gradient in gradients]
    return sums


@wrong("must return a list of 2 arrays")
def add_in_order(arrivals):
    in_order = sorted(arrivals, key=lambda arrival: arrival[0])
    return sum(part[1][0] for part in in_order)


# -- recomputed ---------------------------------------------------------------------------------------------


@right
def recomputed(function, x):
    with no_grad():
        out = function(x)

    def vjp(dy):
        leaf = x.detach()
        leaf.requires_grad = True
        function(leaf).backward(dy)
        return [leaf.grad]

    return record(out.data, [x], vjp)


@right
def recomputed(function, x):
    with no_grad():
        data = function(x).data

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)
        (function(again) * dy).sum().backward()
        return (again.grad,)

    return record(data, (x,), vjp)


@wrong("use no_grad()")
def recomputed(function, x):
    data = function(x).data

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)
        function(again).backward(dy)
        return (again.grad,)

    return record(data, (x,), vjp)


@wrong("the first call writes to the tape, which keeps all activations")
def recomputed(function, x):
    return function(x)


@wrong("the result is not on the tape")
def recomputed(function, x):
    with no_grad():
        return function(x)


@wrong("does not call the function again")
def recomputed(function, x):
    with no_grad():
        data = function(x).data
    return record(data, (x,), lambda dy: (dy,))


@wrong("the inner backward pass starts from ones")
def recomputed(function, x):
    with no_grad():
        data = function(x).data

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)
        function(again).sum().backward()
        return (again.grad,)

    return record(data, (x,), vjp)


@wrong("outside of no_grad()")
def recomputed(function, x):
    with no_grad():
        data = function(x).data

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)
        with no_grad():
            function(again).backward(dy)
        return (again.grad,)

    return record(data, (x,), vjp)


@wrong("return the Tensor that record(...) returns")
def recomputed(function, x):
    with no_grad():
        return function(x).data


@wrong("the gradient of the function's parameter: it arrives twice")
def recomputed(function, x):
    with no_grad():
        data = function(x).data

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)
        function(again).backward(dy)
        function(Tensor(x.data)).backward(dy)
        return (again.grad,)

    return record(data, (x,), vjp)


@wrong("add each parameter's separately")
def add_in_order(arrivals):
    in_order = sorted(arrivals, key=lambda arrival: arrival[0])
    return np.sum([gradients for _, gradients in in_order], axis=0)


@wrong("from the highest number to the lowest")
def add_in_order(arrivals):
    (_, first), *others = sorted(arrivals, key=lambda arrival: -arrival[0])
    sums = [gradient.copy() for gradient in first]
    for _, gradients in others:
        sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]
    return sums


@wrong("puts the lists behind one another")
def add_in_order(arrivals):
    total = []
    for _, gradients in sorted(arrivals, key=lambda arrival: arrival[0]):
        total = total + gradients
    return total


@wrong("this is the smallest ratio")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    ratios = []
    for _ in range(rounds):
        times = [clock()]
        first()
        times.append(clock())
        second()
        times.append(clock())
        ratios.append((times[1] - times[0]) / (times[2] - times[1]))
    return min(ratios)


@wrong("r starts again in each turn: set its first value before the loop")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first()
    second()
    for _ in range(rounds):
        r = []
        a = clock()
        first()
        b = clock()
        second()
        c = clock()
        r.append((b - a) / (c - b))
    return statistics.median(r)


@wrong("the weight multiplies the result")
def layer_norm_backward(dy, n, inverse, weight):
    dx = dy - dy.mean(axis=1, keepdims=True) - n * (dy * n).mean(axis=1, keepdims=True)
    return weight * inverse * dx, (dy * n).sum(axis=0), dy.sum(axis=0)


@wrong("amount and rate are multiplied")
def floor_seconds(flops, moved, peak, bandwidth):
    return max(flops * peak, moved * bandwidth)


@wrong("measure first, and directly after it second")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first()
    second()
    ratios = []
    for _ in range(rounds):
        a = clock()
        second()
        b = clock()
        first()
        c = clock()
        ratios.append((c - b) / (b - a))
    return statistics.median(ratios)


@wrong("the calls before the first round do not count")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    ratios = []
    for _ in range(rounds):
        a = clock()
        first()
        b = clock()
        second()
        c = clock()
        ratios.append((b - a) / (c - b))
    return statistics.median(ratios[1:])


@wrong("the step of the loop must be block")
def gelu_in_blocks(x, block):
    out = np.empty_like(x)
    for s in range(len(x)):
        out[s : s + block] = gelu_chain(x[s : s + block])
    return out


@wrong("write each block into one array, np.empty_like(x)")
def gelu_in_blocks(x, block):
    return [gelu_chain(x[s : s + block]) for s in range(0, len(x), block)]


@wrong("each block begins with a new array of zeros: create the result")
def gelu_in_blocks(x, block):
    for s in range(0, len(x), block):
        out = np.zeros_like(x)
        out[s : s + block] = gelu_chain(x[s : s + block])
    return out


@wrong("call the function with a new leaf, Tensor(x.data,")
def recomputed(function, x):
    with no_grad():
        data = function(x).data

    def vjp(dy):
        function(x).backward(dy)
        return (x.grad,)

    return record(data, (x,), vjp)


@wrong("the vjp returns a tuple with one gradient: (again.grad,)")
def recomputed(function, x):
    with no_grad():
        data = function(x).data

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)
        function(again).backward(dy)
        return again.grad

    return record(data, (x,), vjp)


@wrong("record takes the array of the result, .data, not a Tensor")
def recomputed(function, x):
    with no_grad():
        y = function(x)

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)
        function(again).backward(dy)
        return (again.grad,)

    return record(y, (x,), vjp)


@wrong("dy is multiplied at the end: begin the inner backward pass with")
def recomputed(function, x):
    with no_grad():
        data = function(x).data

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)
        function(again).backward(np.ones_like(dy))
        return (again.grad * dy,) if again.grad.shape == dy.shape else (again.grad,)

    return record(data, (x,), vjp)


@wrong("the last block may be shorter: take x[start : start + block] in a loop")
def gelu_in_blocks(x, block):
    return np.concatenate([gelu_chain(piece) for piece in x.reshape(-1, block)])


@wrong("both are timed together: read the clock between first() and second() too")
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    first(), second()
    times = []
    for _ in range(rounds):
        start = clock()
        first()
        second()
        times.append((clock() - start) / 2)
    return statistics.median(times)


@wrong("is a list of blocks")
def gelu_in_blocks(x, block):
    return np.array([gelu_chain(x[start : start + block]) for start in range(0, len(x), block)])


@wrong("an axis of length 1 is too many")
def layer_norm_backward(dy, n, inverse, weight):
    g = dy * weight
    dx = inverse * (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True))
    return dx, (dy * n).sum(axis=0, keepdims=True), dy.sum(axis=0, keepdims=True)


@wrong("record takes the inputs as a tuple")
def recomputed(function, x):
    with no_grad():
        data = function(x).data

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)
        function(again).backward(dy)
        return (again.grad,)

    return record(data, x, vjp)


@wrong("sum begins with 0, which is not a list: add up each position")
def add_in_order(arrivals):
    gradients = dict(arrivals)
    return sum(gradients[number] for number in sorted(gradients))
