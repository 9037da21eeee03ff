import math
from collections import deque

import numpy as np

from . import lesson, right, wrong

names = lesson(1)
Value, backward_order_given = names["Value"], names["backward_order"]


@right
def slope(f, x, step=1e-5):
    left, ahead = f(x - step), f(x + step)
    return (ahead - left) / step / 2


@right
def slope(f, x, step=1e-5):
    to_the_right = (f(x + step) - f(x)) / step
    to_the_left = (f(x) - f(x - step)) / step
    return 0.5 * (to_the_right + to_the_left)


@right
def slope(f, x, step=1e-5):
    ends = [f(x + sign * step) for sign in (1, -1)]
    return (ends[0] - ends[1]) / sum((step, step))


@wrong("only the step to the right")
def slope(f, x, step=1e-5):
    return (f(x + step) - f(x)) / step


@wrong("two steps apart")
def slope(f, x, step=1e-5):
    return (f(x + step) - f(x - step)) / step


@wrong("the result has a factor step² too many")
def slope(f, x, step=1e-5):
    return (f(x + step) - f(x - step)) / 2 * step


@wrong("wrong sign")
def slope(f, x, step=1e-5):
    return (f(x - step) - f(x + step)) / (2 * step)


@wrong("not divided by anything")
def slope(f, x, step=1e-5):
    return f(x + step) - f(x - step)


@wrong("only f(x - step) is divided: put parentheses around the difference")
def slope(f, x, step=1e-5):
    return f(x + step) - f(x - step) / (2 * step)


@wrong("parentheses are missing around the difference and around 2 * step")
def slope(f, x, step=1e-5):
    return f(x + step) - f(x - step) / 2 * step


@wrong("put parentheses around the difference, and divide it by 2 * step")
def slope(f, x, step=1e-5):
    return f(x + step) - f(x - step) / step


@wrong("x + step and x are one step apart, but divided by two")
def slope(f, x, step=1e-5):
    return (f(x + step) - f(x)) / (2 * step)


@wrong("the values of f are added")
def slope(f, x, step=1e-5):
    return (f(x + step) + f(x - step)) / (2 * step)


@wrong("this is the second derivative")
def slope(f, x, step=1e-5):
    return (f(x + step) - 2 * f(x) + f(x - step)) / step**2


@wrong("the change is divided by 2, but not by the step")
def slope(f, x, step=1e-5):
    return (f(x + step) - f(x - step)) / 2


@wrong("the mean of the two values of f")
def slope(f, x, step=1e-5):
    return (f(x + step) + f(x - step)) / 2


@wrong("only the step to the left")
def slope(f, x, step=1e-5):
    return (f(x) - f(x - step)) / step


@wrong("use the argument step, not another number")
def slope(f, x, step=1e-5):
    step = 1e-6
    return (f(x + step) - f(x - step)) / (2 * step)


@right
def multiply_values(a, b):
    return Value(a.data * b.data, "×", (a, b), (b.data, a.data))


@right
def multiply_values(a, b):
    result = Value(a.data * b.data, label="×")
    result.parents = [b, a]
    result.slopes = [a.data, b.data]
    return result


@wrong("the slopes are swapped")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(a.data, b.data))


@wrong("these are the derivatives of a sum")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(1.0, 1.0))


@wrong("use .data of a Value")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(b, a))


@wrong("returns a float")
def multiply_values(a, b):
    return a.data * b.data


@wrong("has no parents")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", slopes=(b.data, a.data))


@wrong("has no slopes")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a, b))


@wrong("this is the sum")
def multiply_values(a, b):
    return Value(a.data + b.data, "×", parents=(a, b), slopes=(b.data, a.data))


@wrong("the Values themselves")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a.data, b.data), slopes=(b.data, a.data))


@wrong(".grad is still 0 in the forward pass")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(b.grad, a.grad))


@wrong("both slopes are b.data")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(b.data,) * 2)


@wrong("the derivative is not the product")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(a.data * b.data, a.data * b.data))


@wrong("1 slopes: one for each parent")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(b.data,))


@wrong("b is missing among the parents")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a,), slopes=(b.data,))


@wrong("calls itself without end")
def multiply_values(a, b):
    class Again(Value):  # as Value is in a notebook, where a * b is the learner's function
        def __mul__(self, other):
            return self * other

    return Again(a.data) * b


@right
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", (a,), (1 - t**2,))


@right
def tanh_value(a):
    x = a.data
    slope = 1 / math.cosh(x) ** 2 if abs(x) < 300 else 0.0
    return Value(math.tanh(x), "tanh", parents=[a], slopes=[slope])


@wrong("the derivative is 1 - x² with the input x")
def tanh_value(a):
    return Value(math.tanh(a.data), "tanh", parents=(a,), slopes=(1 - a.data**2,))


@wrong("the square is missing")
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", parents=(a,), slopes=(1 - t,))


@wrong("a tuple of one needs a comma, (a,)")
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", parents=(a), slopes=(1 - t * t))


@wrong("the derivative is tanh(x)")
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", parents=(a,), slopes=(t,))


@wrong("math range error")
def tanh_value(a):
    e = math.exp(2 * a.data)
    t = (e - 1) / (e + 1)
    return Value(t, "tanh", parents=(a,), slopes=(1 - t * t,))


@wrong("the tangent, math.tan")
def tanh_value(a):
    t = math.tan(a.data)
    return Value(t, "tanh", parents=(a,), slopes=(1 - t * t,))


@wrong("it must be squared")
def tanh_value(a):
    return Value(math.tanh(a.data), "tanh", parents=(a,), slopes=(1 / math.cosh(a.data),))


@wrong("the form for the sigmoid")
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", parents=(a,), slopes=(t * (1 - t),))


@wrong("the sign is wrong: the derivative is 1 - tanh(x)²")
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", parents=(a,), slopes=(t * t - 1,))


@wrong("tanh was applied twice")
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", parents=(a,), slopes=(1 - math.tanh(t) ** 2,))


@wrong("must be real number, not Value")
def tanh_value(a):
    t = math.tanh(a)
    return Value(t, "tanh", parents=(a,), slopes=(1 - t * t,))


@wrong("1 is the derivative of a sum")
def tanh_value(a):
    return Value(math.tanh(a.data), "tanh", parents=(a,), slopes=(1.0,))


@wrong("returns a float")
def tanh_value(a):
    return math.tanh(a.data)


@right
def backward_order(end):
    found = [end]
    seen = {id(end)}
    for value in found:  # the list grows while we go through it
        for parent in value.parents:
            if id(parent) not in seen:
                seen.add(id(parent))
                found.append(parent)
    found.sort(key=lambda value: -value.number)
    return found


@right
def backward_order(end):
    """Depth first, and a Value is written down when all below it are."""
    order, seen, stack = [], set(), [(end, iter(end.parents))]
    seen.add(end)
    while stack:
        value, parents = stack[-1]
        for parent in parents:
            if parent not in seen:
                seen.add(parent)
                stack.append((parent, iter(parent.parents)))
                break
        else:
            order.append(value)
            stack.pop()
    return order[::-1]


@right
def backward_order(end):
    """Count the uses of each Value; its turn comes when all have been seen."""
    uses, seen, stack = {}, {end}, [end]
    while stack:
        for parent in stack.pop().parents:
            uses[parent] = uses.get(parent, 0) + 1
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    order, ready = [], [end]
    while ready:
        value = ready.pop()
        order.append(value)
        for parent in value.parents:
            uses[parent] -= 1
            if not uses[parent]:
                ready.append(parent)
    return order


@wrong("begins with end, so reverse the list")
def backward_order(end):
    return backward_order_given(end)[::-1]


@wrong("calls itself")
def backward_order(end):
    order, seen = [], set()

    def visit(value):
        if value not in seen:
            seen.add(value)
            for parent in value.parents:
                visit(parent)
            order.append(value)

    visit(end)
    return order[::-1]


@wrong("gradient is not complete then")
def backward_order(end):
    order, queue = [end], deque([end])
    while queue:
        for parent in queue.popleft().parents:
            if parent not in order:
                order.append(parent)
                queue.append(parent)
    return order


@wrong("backward_order(end) holds x 3 times")
def backward_order(end):
    order, waiting = [], [end]
    while waiting:
        value = waiting.pop()
        order.append(value)
        waiting.extend(value.parents)
    return order


@wrong("the Values without parents")
def backward_order(end):
    return [value for value in backward_order_given(end) if value.parents]


@wrong("leaves out end itself")
def backward_order(end):
    return backward_order_given(end)[1:]


@wrong("visit the parents of parents too")
def backward_order(end):
    return [end, *end.parents[:1]]


@wrong("looks for the parents of one Value 1,024 times")
def backward_order(end):
    found, waiting = {end}, [end]
    while waiting:
        for parent in waiting.pop().parents:
            found.add(parent)
            waiting.append(parent)
    return sorted(found, key=lambda value: value.number, reverse=True)


@wrong("sort with key=lambda value: value.number")
def backward_order(end):
    return sorted(backward_order_given(end), reverse=True)


@wrong("which was computed from it")
def backward_order(end):
    """Depth first, written down on the way in."""
    order, stack = [], [end]
    while stack:
        value = stack.pop()
        if value not in order:
            order.append(value)
            stack.extend(value.parents)
    return order


@wrong("begins with")
def backward_order(end):
    return [*backward_order_given(end)[1:3], end, *backward_order_given(end)[3:]]


@wrong("return a list of Values")
def backward_order(end):
    return set(backward_order_given(end))


@right
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for i in range(len(value.parents)):
            value.parents[i].grad += value.slopes[i] * value.grad


@right
def backward_values(end):
    """Collected in a dictionary, and written down at the end."""
    grads = {end: 1.0}
    for value in backward_order_given(end):
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            grads[parent] = grads.get(parent, 0.0) + factor * grads[value]
    for value, grad in grads.items():
        value.grad = grad
    return grads


@wrong("add with +=")
def backward_values(end):
    end.grad = 1.0
    for value in backward_order_given(end):
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad = value.grad * factor


@wrong("set end.grad to 1 first")
def backward_values(end):
    for value in backward_order_given(end):
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor


@wrong("set all gradients to 0 first")
def backward_values(end):
    end.grad = 1.0
    for value in backward_order_given(end):
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor


@wrong("before it is complete")
def backward_values(end):
    met = [end]
    for value in met:
        met += [parent for parent in value.parents if parent not in met]
    for value in met:
        value.grad = 0.0
    end.grad = 1.0
    for value in met:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor


@wrong("multiply each slope by value.grad")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += factor


@wrong("by the parents' data")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for parent in value.parents:
            parent.grad += value.grad * parent.data


@wrong("only end has a gradient")
def backward_values(end):
    for value in backward_order_given(end):
        value.grad = 0.0
    end.grad = 1.0


@wrong("end.grad begins with 1, but is set to 0 later")
def backward_values(end):
    end.grad = 1.0
    for value in backward_order_given(end):
        value.grad = 0.0
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor


@wrong("u.grad is set to 0 after contributions arrived")
def backward_values(end):
    end.grad = 1.0
    for value in backward_order_given(end):
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad = 0.0
            parent.grad += value.grad * factor


@wrong("v.grad is set to 0 after contributions arrived")
def backward_values(end):
    for value in backward_order_given(end):
        value.grad = 1.0 if value is end else 0.0
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor


@wrong("take backward_order(end) as it is")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in reversed(order):
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor


@wrong("only the parents of end get a gradient")
def backward_values(end):
    end.grad = 1.0
    for parent, factor in zip(end.parents, end.slopes, strict=True):
        parent.grad += factor


@wrong("gradients are passed on without the slopes")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for parent in value.parents:
            parent.grad += value.grad


@wrong("end.grad begins with end.data")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = end.data
    for value in order:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor


@wrong("only end.grad begins with 1")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor
        value.grad = 1.0


@wrong("every parent gets the first slope")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for parent in value.parents:
            parent.grad += value.grad * value.slopes[0]


# -- eighth_power ---------------------------------------------------------------------------------------


@right
def eighth_power(x):
    for _ in range(3):
        x = x * x
    return x


@right
def eighth_power(x):
    return (fourth := (square := x * x) * square) * fourth


@wrong("takes 7 multiplications")
def eighth_power(x):
    return x * x * x * x * x * x * x * x


@wrong("takes 4 multiplications")
def eighth_power(x):
    square = x * x
    return square * square * square * square


@wrong("a Value has no **")
def eighth_power(x):
    return x**8


@wrong("this is x⁶")
def eighth_power(x):
    square = x * x
    fourth = square * square
    return fourth * square


@wrong("this is x⁴")
def eighth_power(x):
    square = x * x
    return square * square


@wrong("this is x¹⁶")
def eighth_power(x):
    for _ in range(4):
        x = x * x
    return x


@wrong("this is 8 x")
def eighth_power(x):
    return x * 8


@wrong("not with x.data, to get a Value")
def eighth_power(x):
    return x.data**8


@wrong("does not reach x")
def eighth_power(x):
    return Value(x.data**8, "x⁸")


# -- derivative_forward ---------------------------------------------------------------------------------


@right
def derivative_forward(end, start):
    tangent = {}
    for value in backward_order_given(end)[::-1]:
        tangent[value] = float(value is start)
        if value is not start:
            for parent, factor in zip(value.parents, value.slopes, strict=True):
                tangent[value] += factor * tangent[parent]
    return tangent[end]


@right
def derivative_forward(end, start):
    tangent = {start: 1.0}
    for value in sorted(backward_order_given(end), key=lambda value: value.number):
        if value not in tangent:
            pairs = zip(value.parents, value.slopes, strict=True)
            tangent[value] = sum((tangent[parent] * factor for parent, factor in pairs), 0.0)
    return tangent[end]


@wrong("calls itself")
def derivative_forward(end, start):
    known = {}

    def of(value):
        if value is start:
            return 1.0
        if value not in known:
            known[value] = sum(f * of(p) for p, f in zip(value.parents, value.slopes, strict=True))
        return known[value]

    return float(of(end))


@wrong("only start does")
def derivative_forward(end, start):
    tangent = {}
    for value in reversed(backward_order_given(end)):
        pairs = list(zip(value.parents, value.slopes, strict=True))
        tangent[value] = sum(f * tangent[p] for p, f in pairs) if pairs else 1.0
    return tangent[end]


@wrong("the last one overwrites the others here")
def derivative_forward(end, start):
    tangent = {}
    for value in reversed(backward_order_given(end)):
        tangent[value] = 1.0 if value is start else 0.0
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            tangent[value] = factor * tangent[parent]
    return tangent[end]


@wrong("a Value without parents that is not start has no entry")
def derivative_forward(end, start):
    tangent = {start: 1.0}
    for value in reversed(backward_order_given(end)):
        if value.parents and value is not start:
            tangent[value] = sum(f * tangent[p] for p, f in zip(value.parents, value.slopes, strict=True))
    return tangent[end]


@wrong("go through reversed(backward_order(end)), oldest first")
def derivative_forward(end, start):
    tangent = {}
    for value in backward_order_given(end):
        pairs = zip(value.parents, value.slopes, strict=True)
        tangent[value] = 1.0 if value is start else sum(f * tangent[p] for p, f in pairs)
    return tangent[end]


@wrong("changes .grad")
def derivative_forward(end, start):
    for value in reversed(backward_order_given(end)):
        pairs = zip(value.parents, value.slopes, strict=True)
        value.grad = 1.0 if value is start else sum(f * p.grad for p, f in pairs)
    return float(end.grad)


@wrong("which is not computed here")
def derivative_forward(end, start):
    return start.grad


@wrong("start itself has the derivative 1")
def derivative_forward(end, start):
    tangent = {}
    for value in reversed(backward_order_given(end)):
        tangent[value] = sum((f * tangent[p] for p, f in zip(value.parents, value.slopes, strict=True)), 0.0)
    return tangent[end]


@wrong("the contributions of a Value's parents are multiplied: add them up")
def derivative_forward(end, start):
    d = {}
    for v in reversed(backward_order_given(end)):
        if v is start:
            d[v] = 1.0
        else:
            r = 1.0
            for p, f in zip(v.parents, v.slopes, strict=False):
                r *= d[p] * f
            d[v] = r
    return d[end]


@wrong("this is the derivative of start itself: return that of end")
def derivative_forward(end, start):
    d = {}
    for v in reversed(backward_order_given(end)):
        d[v] = sum(d[p] * f for p, f in zip(v.parents, v.slopes, strict=False)) if v.parents else 1.0
    return d[start]


# -- more mistakes ------------------------------------------------------------------------------------------


@wrong("the two points are half a step away")
def slope(f, x, step=1e-5):
    return (f(x + step / 2) - f(x - step / 2)) / step


@wrong("both points are to the right")
def slope(f, x, step=1e-5):
    return (f(x + 2 * step) - f(x)) / (2 * step)


@wrong("step is added to f(x), outside its brackets")
def slope(f, x, step=1e-5):
    return (f(x) + step - (f(x) - step)) / (2 * step)


@wrong("f is called once, with a difference")
def slope(f, x, step=1e-5):
    return f((x + step) - (x - step)) / (2 * step)


@wrong("divides by almost 0")
def slope(f, x, step=1e-5):
    return (f(x + step) - f(x - step)) / (x + step - x - step)


@wrong("a derivative may be negative: leave out abs")
def slope(f, x, step=1e-5):
    return abs(f(x - step) - f(x + step)) / (2 * step)


@wrong("the points are half a step away, so one step apart: take x + step and x - step")
def slope(f, x, step=1e-5):
    return (f(x + step / 2) - f(x - step / 2)) / (2 * step)


@wrong("it should be 6.84; // rounds down: is / needed?")
def slope(f, x, step=1e-5):
    return (f(x + step) - f(x - step)) // (2 * step)


@wrong("it is divided by f(x) too, as for a logarithm: leave that out")
def slope(f, x, step=1e-5):
    return (f(x + step) - f(x - step)) / (2 * step) / f(x)


@wrong("it is divided by x: divide by 2 * step")
def slope(f, x, step=1e-5):
    return (f(x + step) - f(x - step)) / (2 * x)


@wrong("do not belong to a product")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(1 / b.data, 1 / a.data))


@wrong("slopes is one tuple")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", (a, b), b.data, a.data)


@wrong("changes the data of its inputs")
def multiply_values(a, b):
    slopes = (b.data, a.data)
    a.data *= b.data
    return Value(a.data, "×", (a, b), slopes)


@wrong("a derivative may be negative: leave out abs")
def multiply_values(a, b):
    return Value(a.data * b.data, "×", (a, b), (abs(b.data), abs(a.data)))


@wrong("these are the derivatives of a / b")
def multiply_values(a, b):
    slopes = (1 / b.data, -a.data / b.data**2)
    return Value(a.data * b.data, "×", parents=(a, b), slopes=slopes)


@wrong("squares the whole difference")
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", (a,), ((1 - t) ** 2,))


@wrong("the arc tangent")
def tanh_value(a):
    t = math.atan(a.data)
    return Value(t, "tanh", (a,), (1 - t * t,))


@wrong("this is the sigmoid")
def tanh_value(a):
    t = 1 / (1 + math.exp(-a.data))
    return Value(t, "tanh", (a,), (t * (1 - t),))


@wrong("this is tanh of 1 - x²: the derivative is 1 - tanh(x)²")
def tanh_value(a):
    return Value(math.tanh(a.data), "tanh", (a,), (math.tanh(1 - a.data**2),))


@wrong("tanh(x) is multiplied by x: the derivative is 1 - tanh(x)²")
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", (a,), (1 - t * a.data,))


@wrong("the factor tanh(x) is too many: the derivative is 1 - tanh(x)²")
def tanh_value(a):
    t = math.tanh(a.data)
    return Value(t, "tanh", (a,), ((1 - t * t) * t,))


@wrong("holds x² 2 times")
def backward_order(end):
    found = [end]
    for value in found:
        found += [parent for parent in value.parents if parent not in found]
    return sorted(found, key=lambda value: value.number, reverse=True)


@wrong("visit all its parents")
def backward_order(end):
    order = [end]
    v = end
    while v.parents:
        v = v.parents[0]
        order.append(v)
    return order


@wrong("add value.grad * slope to each parent's gradient")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad *= value.grad * factor


@wrong("value.grad and the slope are added")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad + factor


@wrong("visit each once")
def backward_values(end):
    end.grad = 1.0

    def visit(value):
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor
            visit(parent)

    visit(end)


@wrong("all gradients begin with 1")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 1.0
    for value in order:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor


@wrong("zip(value.parents, value.slopes)")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for parent in value.parents:
            parent.grad += value.grad * value.slopes


@wrong("value.grad is divided by the slope: multiply them")
def backward_values(end):
    for v in backward_order_given(end):
        v.grad = 0.0
    end.grad = 1.0
    for v in backward_order_given(end):
        for p, f in zip(v.parents, v.slopes, strict=False):
            p.grad += v.grad / f


@wrong("the points are two steps away on each side: take x + step and x")
def slope(f, x, step=1e-5):
    return (f(x + 2 * step) - f(x - 2 * step)) / (2 * step)


@wrong("only end's own parents count: go through")
def derivative_forward(end, start):
    return sum(s for p, s in zip(end.parents, end.slopes, strict=False) if p is start)


@wrong("None has no value to add to: begin with 0.0")
def backward_values(end):
    order = backward_order_given(end)
    for value in order:
        value.grad = None
    end.grad = 1.0
    for value in order:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor


@wrong("f takes one number, not an array: call it once for each of the two points")
def slope(f, x, step=1e-5):
    left, right = f(np.array([x - step, x + step]))
    return (right - left) / (2 * step)


@right
def tanh_value(a):
    return Value(math.tanh(a.data), "tanh", (a,), ((1 / math.cosh(a.data)) ** 2,))


@wrong("compute from math.tanh(a.data)")
def tanh_value(a):
    return Value(math.tanh(a.data), "tanh", (a,), (1 / math.cosh(a.data) ** 2,))


@wrong("a list's sort() returns None too")
def backward_order(end):
    found = list(backward_order_given(end))
    return found.sort(key=lambda value: value.number, reverse=True)


@wrong("visit every Value of backward_order(end)")
def backward_values(end):
    for value in backward_order_given(end):
        value.grad = 0.0
    end.grad = 1.0
    for parent, factor in zip(end.parents, end.slopes, strict=True):
        parent.grad += end.grad * factor


@wrong("number for each parent: zip")
def backward_values(end):
    for value in backward_order_given(end):
        value.grad = 0.0
    end.grad = 1.0
    for value in backward_order_given(end):
        for parent, factor in value.parents, value.slopes:
            parent.grad += value.grad * factor


@wrong("slopes has a number for each parent")
def backward_values(end):
    for value in backward_order_given(end):
        value.grad = 0
    end.grad = 1
    for value in backward_order_given(end):
        for parent in value.parents:
            parent.grad += value.grad * value.slopes


@wrong("sort by `number`, the largest first")
def backward_order(end):
    found, waiting = [], [end]
    while waiting:
        value = waiting.pop()
        if value not in found:
            found.append(value)
            waiting.extend(value.parents)
    return found


@wrong("a function is called with brackets: f(x)")
def slope(f, x, step=1e-5):
    return (f * (x + step) - f * (x - step)) / (2 * step)
