import math
from collections import deque

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


@wrong("the slope is 1 - x² with the input x")
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


@wrong("the slope is tanh(x)")
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


@wrong("the walk goes backward, so reverse the list")
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
