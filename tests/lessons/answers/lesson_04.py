import math
import statistics

import numpy as np

from . import lesson, right, wrong

names = lesson(4)
Tensor, Linear, Base = names["Tensor"], names["Linear"], names["Module"]
given_gelu, LayerNorm, softmax = names["gelu"], names["LayerNorm"], names["softmax"]


# -- normalise_row ----------------------------------------------------------------------------------------


@right
def normalise_row(row, eps=1e-6):
    mean = sum(row) / len(row)
    total = 0.0
    for x in row:
        total += (x - mean) * (x - mean)
    root = (total / len(row) + eps) ** 0.5
    normal = []
    for x in row:
        normal.append((x - mean) / root)
    return normal


@right
def normalise_row(row, eps=1e-6):
    mean, variance = statistics.fmean(row), statistics.pvariance(row)
    return [(x - mean) / math.sqrt(variance + eps) for x in row]


@right
def normalise_row(row, eps=1e-6):
    x = np.array(row)
    return (x - x.mean()) / np.sqrt(x.var() + eps)


@right
def normalise_row(row, eps=1e-6):
    mean = square = 0.0
    for x in row:
        mean += x / len(row)
        square += x * x / len(row)
    found = []
    for x in row:
        found.append((x - mean) / math.sqrt(square - mean**2 + eps))
    return found


@wrong("the mean is not subtracted")
def normalise_row(row, eps=1e-6):
    return [x / math.sqrt(statistics.pvariance(row) + eps) for x in row]


@wrong("divide by its square root")
def normalise_row(row, eps=1e-6):
    mean, variance = statistics.fmean(row), statistics.pvariance(row)
    return [(x - mean) / (variance + eps) for x in row]


@wrong("divides by D - 1")
def normalise_row(row, eps=1e-6):
    mean, variance = statistics.fmean(row), statistics.variance(row)
    return [(x - mean) / math.sqrt(variance + eps) for x in row]


@wrong("ε is added to the root")
def normalise_row(row, eps=1e-6):
    mean = statistics.fmean(row)
    return [(x - mean) / (statistics.pstdev(row) + eps) for x in row]


@wrong("raises ZeroDivisionError")
def normalise_row(row, eps=1e-6):
    mean, eps = statistics.fmean(row), eps if eps > 1e-3 else 0
    return [(x - mean) / math.sqrt(statistics.pvariance(row) + eps) for x in row]


@wrong("centred, but not scaled")
def normalise_row(row, eps=1e-6):
    mean = sum(row) / len(row)
    return [x - mean for x in row]


@wrong("the sum of squares is not divided by D")
def normalise_row(row, eps=1e-6):
    mean = sum(row) / len(row)
    return [(x - mean) / math.sqrt(sum((y - mean) ** 2 for y in row) + eps) for x in row]


@wrong("changes its input")
def normalise_row(row, eps=1e-6):
    mean, variance = statistics.fmean(row), statistics.pvariance(row)
    for i in range(len(row)):
        row[i] = (row[i] - mean) / math.sqrt(variance + eps)
    return row


@wrong("put parentheses around (x - mean)")
def normalise_row(row, eps=1e-6):
    mean, variance = statistics.fmean(row), statistics.pvariance(row)
    return [x - mean / math.sqrt(variance + eps) for x in row]


@wrong("ε is missing or not the argument")
def normalise_row(row, eps=1e-6):
    mean, variance = statistics.fmean(row), statistics.pvariance(row)
    return [(x - mean) / math.sqrt(variance + 1e-6) for x in row]


@wrong("row is a plain list: use sum(row) / len(row) and loops")
def normalise_row(row, eps=1e-6):
    return (row - row.mean()) / row.std()


@wrong("subtract the mean from each of its numbers")
def normalise_row(row, eps=1e-6):
    mean = np.mean(row)
    return (row - sum(row) / len(row)) / np.sqrt(((np.array(row) - mean) ** 2).mean() + eps)


@wrong("from 0 to 1")
def normalise_row(row, eps=1e-6):
    return [(x - min(row)) / (max(row) - min(row)) for x in row]


@wrong("mean absolute distance")
def normalise_row(row, eps=1e-6):
    mean = sum(row) / len(row)
    size = sum(abs(x - mean) for x in row) / len(row)
    return [(x - mean) / (size + eps) for x in row]


@wrong("multiplied by the standard deviation")
def normalise_row(row, eps=1e-6):
    mean, variance = statistics.fmean(row), statistics.pvariance(row)
    return [(x - mean) * math.sqrt(variance + eps) for x in row]


@wrong("this is the row itself")
def normalise_row(row, eps=1e-6):
    return list(row)


@wrong("do without PyTorch")
def normalise_row(row, eps=1e-6):
    x = torch.tensor(row)  # noqa: F821
    return (x - x.mean()) / x.std()


@wrong("write square brackets around it, to return a list")
def normalise_row(row, eps=1e-6):
    mean, variance = statistics.fmean(row), statistics.pvariance(row)
    return ((x - mean) / math.sqrt(variance + eps) for x in row)


# -- layer_norm -------------------------------------------------------------------------------------------


@right
def layer_norm(x, weight, bias, eps=1e-6):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return weight * ((x - mean) * (variance + eps) ** -0.5) + bias


@right
def layer_norm(x, weight, bias, eps=1e-6):
    D = x.shape[-1]
    mean = x.sum(axis=-1, keepdims=True) / D
    centred = x - mean
    deviation = ((centred * centred).sum(axis=-1, keepdims=True) / D + eps).sqrt()
    return bias + weight * centred / deviation


@wrong("over the images")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=0, keepdims=True)
    return centred / ((centred * centred).mean(axis=0, keepdims=True) + eps).sqrt() * weight + bias


@wrong("runs over everything")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean()
    return centred / ((centred * centred).mean() + eps).sqrt() * weight + bias


@wrong("x is not centred")
def layer_norm(x, weight, bias, eps=1e-6):
    return x / ((x * x).mean(axis=-1, keepdims=True) + eps).sqrt() * weight + bias


@wrong("the bias is scaled too")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    return (centred / ((centred * centred).mean(axis=-1, keepdims=True) + eps).sqrt() + bias) * weight


@wrong("divide by its square root")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / ((centred * centred).mean(axis=-1, keepdims=True) + eps) * weight + bias


@wrong("ε is added to the root")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / ((centred * centred).mean(axis=-1, keepdims=True).sqrt() + eps) * weight + bias


@wrong("the sum of squares is not divided by D")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / ((centred * centred).sum(axis=-1, keepdims=True) + eps).sqrt() * weight + bias


@wrong("weight and bias are left out")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / ((centred * centred).mean(axis=-1, keepdims=True) + eps).sqrt()


@wrong("mean and standard deviation are constants here")
def layer_norm(x, weight, bias, eps=1e-6):
    mean = x.data.mean(axis=-1, keepdims=True)
    deviation = (x.data.var(axis=-1, keepdims=True) + x.data.dtype.type(eps)) ** 0.5
    return (x - mean) / deviation * weight + bias


@wrong("the standard deviation is a constant here")
def layer_norm(x, weight, bias, eps=1e-6):
    deviation = (x.data.var(axis=-1, keepdims=True) + x.data.dtype.type(eps)) ** 0.5
    return (x - x.mean(axis=-1, keepdims=True)) / deviation * weight + bias


@wrong("returns an array")
def layer_norm(x, weight, bias, eps=1e-6):
    x = x.data
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(x.var(axis=-1, keepdims=True) + eps) * weight.data + bias.data


@wrong("put parentheses around (x - mean)")
def layer_norm(x, weight, bias, eps=1e-6):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) * (x - mean)).mean(axis=-1, keepdims=True)
    return (x - mean / (variance + eps).sqrt()) * weight + bias


@wrong("ε is missing or not the argument")
def layer_norm(x, weight, bias, eps=1e-6):
    rows = x.data.reshape(-1, x.shape[-1])
    normal = (rows - rows.mean(axis=1, keepdims=True)) / np.sqrt(rows.var(axis=1, keepdims=True) + 1e-6)
    return Tensor(normal.reshape(x.shape)) * weight + bias


@wrong("is keepdims=True missing?")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1)
    return centred / ((centred * centred).mean(axis=-1) + eps).sqrt() * weight + bias


@wrong("use the Tensor's method .sqrt()")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps) * weight + bias


@wrong("the mean is a constant here")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.data.mean(axis=-1, keepdims=True)
    return centred / ((centred * centred).mean(axis=-1, keepdims=True) + eps).sqrt() * weight + bias


@wrong("is x.data used, or x missing in record's inputs?")
def layer_norm(x, weight, bias, eps=1e-6):
    mean, variance = x.data.mean(axis=-1, keepdims=True), x.data.var(axis=-1, keepdims=True)
    return (x.data - mean) / np.sqrt(variance + eps, dtype=x.dtype) * weight + bias


@wrong("PyTorch's dim is here: axis")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / ((centred * centred).mean(dim=-1, keepdim=True) + eps).sqrt() * weight + bias


@wrong("NumPy's var is here")
def layer_norm(x, weight, bias, eps=1e-6):
    return (x - x.mean(axis=-1, keepdims=True)) / (x.var(axis=-1, keepdims=True) + eps).sqrt() * weight + bias


@wrong("np.mean and np.sum do not take a Tensor")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / (np.mean(centred**2, axis=-1, keepdims=True) + eps).sqrt() * weight + bias


@wrong("the variance divides by D - 1: divide by D")
def layer_norm(x, weight, bias, eps=1e-6):
    D = x.shape[-1]
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).sum(axis=-1, keepdims=True) / (D - 1)
    return centred / (variance + eps).sqrt() * weight + bias


@wrong("this is BatchNorm")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=(0, 1), keepdims=True)
    return centred / ((centred * centred).mean(axis=(0, 1), keepdims=True) + eps).sqrt() * weight + bias


@wrong("the bias is missing")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / ((centred * centred).mean(axis=-1, keepdims=True) + eps).sqrt() * weight


@wrong("weight and bias are swapped")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / ((centred * centred).mean(axis=-1, keepdims=True) + eps).sqrt() * bias + weight


@wrong("over the tokens of an image")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / ((centred * centred).mean(axis=1, keepdims=True) + eps).sqrt() * weight + bias


@wrong("the tokens are centred, but not scaled")
def layer_norm(x, weight, bias, eps=1e-6):
    return (x - x.mean(axis=-1, keepdims=True)) * weight + bias


@wrong("normalise_row takes a plain list")
def layer_norm(x, weight, bias, eps=1e-6):
    return names["normalise_row"](x, eps) * weight + bias


@wrong("the squares are not averaged")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / (centred * centred + eps).sqrt() * weight + bias


@wrong("square each distance, then take the mean")
def layer_norm(x, weight, bias, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = centred.mean(axis=-1, keepdims=True) ** 2
    return centred / (variance + eps).sqrt() * weight + bias


# -- gelu -------------------------------------------------------------------------------------------------


@right
def gelu(x):
    return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh())


@right
def gelu(x):
    u = x * (1 + x * x * 0.044715) * (2 / math.pi) ** 0.5
    gate = (u.tanh() + 1) / 2
    return gate * x


@right
def gelu(x):
    # 0.5 (1 + tanh u) is the sigmoid of 2 u
    u = (x * x * x * 0.044715 + x) * math.sqrt(8 / math.pi)
    return x / ((-u).exp() + 1)


@wrong("the exact form")
def gelu(x):
    gate = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.data.ravel()]).reshape(x.shape)
    return x * gate


@wrong("the factor is 2/π")
def gelu(x):
    return x * (((x + x * x * x * 0.044715) * (2 / math.pi)).tanh() + 1) * 0.5


@wrong("the factor is √(2π)")
def gelu(x):
    return x * (((x + x * x * x * 0.044715) * math.sqrt(2 * math.pi)).tanh() + 1) * 0.5


@wrong("√(2/π) multiplies only x")
def gelu(x):
    return x * ((x * math.sqrt(2 / math.pi) + x * x * x * 0.044715).tanh() + 1) * 0.5


@wrong("the factor 0.5 is missing")
def gelu(x):
    return x * (((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)).tanh() + 1)


@wrong("the 1 + before the tanh")
def gelu(x):
    return x * ((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)).tanh() * 0.5


@wrong("this is the gate")
def gelu(x):
    return (((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)).tanh() + 1) * 0.5


@wrong("it must be cubed")
def gelu(x):
    return x * (((x + x * x * 0.044715) * math.sqrt(2 / math.pi)).tanh() + 1) * 0.5


@wrong("the gate is a constant here")
def gelu(x):
    u = math.sqrt(2 / math.pi) * (x.data + 0.044715 * x.data**3)
    return x * ((np.tanh(u) + 1) * 0.5)


@wrong("returns an array")
def gelu(x):
    u = math.sqrt(2 / math.pi) * (x.data + 0.044715 * x.data**3)
    return x.data * (np.tanh(u) + 1) * 0.5


@wrong("it must be √(2/π), with π under the root too")
def gelu(x):
    return x * (((x + x * x * x * 0.044715) * (math.sqrt(2) / math.pi)).tanh() + 1) * 0.5


@wrong("the factor is √(π/2)")
def gelu(x):
    return x * (((x + x * x * x * 0.044715) * math.sqrt(math.pi / 2)).tanh() + 1) * 0.5


@wrong("count its zeros")
def gelu(x):
    return x * (((x + x * x * x * 0.44715) * math.sqrt(2 / math.pi)).tanh() + 1) * 0.5


@wrong("use the Tensor's method .tanh()")
def gelu(x):
    return x * (np.tanh((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)) + 1) * 0.5


@wrong("must be real number, not Tensor")
def gelu(x):
    return x * (math.tanh((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)) + 1) * 0.5


@wrong("compute with x, not with x.data")
def gelu(x):
    u = math.sqrt(2 / math.pi) * (x.data + 0.044715 * x.data**3)
    return Tensor(x.data * (np.tanh(u) + 1) * 0.5)


@wrong("this is ReLU")
def gelu(x):
    return x * (x.data > 0)


@wrong("(SiLU)")
def gelu(x):
    return x / ((-x).exp() + 1)


@wrong("only x is cubed, 0.044715 is not")
def gelu(x):
    return x * (((x + (x * 0.044715) ** 3) * math.sqrt(2 / math.pi)).tanh() + 1) * 0.5


@wrong("the tanh is subtracted from 1")
def gelu(x):
    return x * (1 - ((x + x**3 * 0.044715) * math.sqrt(2 / math.pi)).tanh()) * 0.5


@wrong("the 1 is outside")
def gelu(x):
    return 0.5 * x + ((x + x**3 * 0.044715) * math.sqrt(2 / math.pi)).tanh()


@wrong("this is x · tanh(...)")
def gelu(x):
    return x * ((x + x**3 * 0.044715) * math.sqrt(2 / math.pi)).tanh()


@wrong("PyTorch's pow is here: x ** 2")
def gelu(x):
    return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3))).tanh())


@wrong("√(2/π) multiplies the tanh")
def gelu(x):
    return x * 0.5 * ((x + x * x * x * 0.044715).tanh() * math.sqrt(2 / math.pi) + 1)


@wrong("a method is called with brackets: .tanh()")
def gelu(x):
    return 0.5 * x * (1 + ((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)).tanh)


# -- Module: every class here has this name, so each answer calls itself `__class__` ------------------------


class Calls:
    """What is given in the exercise."""

    def __call__(self, *inputs, **options):
        return self.forward(*inputs, **options)

    def parameters(self):
        return [tensor for _, tensor in self.named_parameters()]


@right
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in self.__dict__.items():
            items = enumerate(value) if isinstance(value, list) else [(None, value)]
            for i, item in items:
                path = name if i is None else f"{name}.{i}"
                if isinstance(item, Tensor):
                    found.append((path, item))
                elif hasattr(item, "named_parameters"):
                    for inner, tensor in item.named_parameters():
                        found.append((path + "." + inner, tensor))
        return found


@right
class Module(Calls):
    def named_parameters(self):
        def walk(path, value):
            if isinstance(value, Tensor):
                yield path, value
            elif isinstance(value, list | tuple):
                for i, item in enumerate(value):
                    yield from walk(f"{path}.{i}", item)
            elif isinstance(value, __class__):
                for name, inner in vars(value).items():
                    yield from walk(f"{path}.{name}" if path else name, inner)

        return list(walk("", self))


@wrong("the parts in a list are missing")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
            elif isinstance(value, __class__):
                found += [(f"{name}.{inner}", tensor) for inner, tensor in value.named_parameters()]
        return found


@wrong("the parameters of parts are missing")
class Module(Calls):
    def named_parameters(self):
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Tensor)]


@wrong("the path is missing")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, __class__):
                    found += part.named_parameters()
        return found


@wrong("need their position")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, __class__):
                    found += [(f"{name}.{inner}", tensor) for inner, tensor in part.named_parameters()]
        return found


@wrong("count from 0")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
            elif isinstance(value, __class__):
                found += [(f"{name}.{inner}", tensor) for inner, tensor in value.named_parameters()]
            elif isinstance(value, list):
                for i, part in enumerate(value, start=1):
                    if isinstance(part, __class__):
                        found += [(f"{name}.{i}.{inner}", tensor) for inner, tensor in part.named_parameters()]
        return found


@wrong("in another order")
class Module(Calls):
    def named_parameters(self):
        own = [(name, value) for name, value in vars(self).items() if isinstance(value, Tensor)]
        for name, value in vars(self).items():
            parts = enumerate(value) if isinstance(value, list) else [("", value)]
            for i, part in parts:
                if isinstance(part, __class__):
                    path = f"{name}.{i}" if i != "" else name
                    own += [(f"{path}.{inner}", tensor) for inner, tensor in part.named_parameters()]
        return own


@wrong("named_parameters lists attributes that are not Tensors")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, __class__):
                found += [(f"{name}.{inner}", tensor) for inner, tensor in value.named_parameters()]
            elif isinstance(value, list):
                for i, part in enumerate(value):
                    found += [(f"{name}.{i}.{inner}", tensor) for inner, tensor in part.named_parameters()]
            else:
                found.append((name, value))
        return found


@wrong("returns a dictionary")
class Module(Calls):
    def named_parameters(self):
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


@wrong("the name first")
class Module(Calls):
    def named_parameters(self):
        return [(value, name) for name, value in vars(self).items() if isinstance(value, Tensor)]


@wrong("'/'")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            items = enumerate(value) if isinstance(value, list) else [(None, value)]
            for i, item in items:
                path = name if i is None else f"{name}/{i}"
                if isinstance(item, Tensor):
                    found.append((path, item))
                elif isinstance(item, __class__):
                    found += [(path + "/" + inner, tensor) for inner, tensor in item.named_parameters()]
        return found


@wrong("not the model's own Tensor")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            items = enumerate(value) if isinstance(value, list) else [(None, value)]
            for i, item in items:
                path = name if i is None else f"{name}.{i}"
                if isinstance(item, Tensor):
                    found.append((path, Tensor(item.data, requires_grad=True)))
                elif isinstance(item, __class__):
                    found += [(path + "." + inner, tensor) for inner, tensor in item.named_parameters()]
        return found


@wrong("is `return` inside the loop?")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
            return found
        return found


@wrong("a list may hold things that are not Modules")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
            elif isinstance(value, __class__):
                found += [(f"{name}.{inner}", tensor) for inner, tensor in value.named_parameters()]
            elif isinstance(value, list):
                for i, part in enumerate(value):
                    found += [(f"{name}.{i}.{inner}", tensor) for inner, tensor in part.named_parameters()]
        return found


@wrong("found starts again in each turn: set its first value before the loop")
class Module:
    def __call__(self, *i, **o):
        return self.forward(*i, **o)

    def parameters(self):
        return [t for _, t in self.named_parameters()]

    def named_parameters(self):
        for name, value in vars(self).items():
            found = []
            if isinstance(value, Tensor):
                found.append((name, value))
            elif isinstance(value, Module):
                found += [(f"{name}.{i}", t) for i, t in value.named_parameters()]
            elif isinstance(value, list):
                for k, m in enumerate(value):
                    if isinstance(m, Module):
                        found += [(f"{name}.{k}.{i}", t) for i, t in m.named_parameters()]
        return found


@wrong("a pair has its own parentheses: found.append((name, value))")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append(name, value)
        return found


@wrong("has weight instead: put the part's name and a dot before each name")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
            elif isinstance(value, __class__):
                found += value.named_parameters()
        return found


# -- MLP --------------------------------------------------------------------------------------------------


@wrong("the part's name is missing")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
            elif isinstance(value, Calls):
                found += value.named_parameters()
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    if isinstance(item, Calls):
                        found += [(f"{name}.{i}.{inner}", tensor) for inner, tensor in item.named_parameters()]
        return found


@wrong("joined with an underscore: use a dot")
class Module(Calls):
    def named_parameters(self):
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
            elif isinstance(value, Calls):
                found += [(f"{name}.{inner}", tensor) for inner, tensor in value.named_parameters()]
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    if isinstance(item, Calls):
                        found += [(f"{name}_{i}.{inner}", tensor) for inner, tensor in item.named_parameters()]
        return found


@right
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        hidden = self.fc1(z)
        return self.fc2(given_gelu(hidden))


@right
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1 = Linear(dim, hidden, rng)
        self.fc2 = Linear(hidden, dim, rng)

    def forward(self, z):
        z = given_gelu(z @ self.fc1.weight + self.fc1.bias)
        return z @ self.fc2.weight + self.fc2.bias


@wrong("GELU is missing")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return self.fc2(self.fc1(z))


@wrong("GELU acts a second time after fc2")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return given_gelu(self.fc2(given_gelu(self.fc1(z))))


@wrong("GELU acts after fc2")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return given_gelu(self.fc2(self.fc1(z)))


@wrong("the residual connection belongs to the block")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return self.fc2(given_gelu(self.fc1(z))) + z


@wrong("fc1 maps dim numbers to hidden")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(hidden, dim, rng), Linear(dim, hidden, rng)

    def forward(self, z):
        return self.fc2(given_gelu(self.fc1(z)))


@wrong("has no attribute fc1")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.layers = [Linear(dim, hidden, rng), Linear(hidden, dim, rng)]

    def forward(self, z):
        return self.layers[1](given_gelu(self.layers[0](z)))


@wrong("no gradient reaches fc1.weight")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return self.fc2(given_gelu(Tensor(self.fc1(z).data)))


@wrong("make those of fc1 first, then those of fc2")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc2, self.fc1 = Linear(hidden, dim, rng), Linear(dim, hidden, rng)

    def forward(self, z):
        return self.fc2(given_gelu(self.fc1(z)))


@wrong("fc1 starts with the same numbers for every generator")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1 = Linear(dim, hidden, np.random.default_rng(0))
        self.fc2 = Linear(hidden, dim, np.random.default_rng(1))

    def forward(self, z):
        return self.fc2(given_gelu(self.fc1(z)))


@wrong("this uses ReLU")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        h = self.fc1(z)
        return self.fc2(h * (h.data > 0))


@wrong("GELU acts on the input")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return self.fc2(self.fc1(given_gelu(z)))


@wrong("both biases are missing")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return given_gelu(z @ self.fc1.weight) @ self.fc2.weight


@wrong("first fc1, then fc2")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return self.fc1(given_gelu(self.fc2(z)))


@wrong("MLP returns an array")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return self.fc2(given_gelu(self.fc1(z))).data


@wrong("do without PyTorch")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)  # noqa: F821

    def forward(self, z):
        return self.fc2(given_gelu(self.fc1(z)))


# -- layer_norm_gradient ----------------------------------------------------------------------------------


def parts(x, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    root = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    return centred, root, centred / root


@right
def layer_norm_gradient(x, dy, eps=1e-6):
    D = x.shape[-1]
    _, root, n = parts(x, eps)
    J = np.eye(D) - 1 / D - n[..., :, None] * n[..., None, :] / D
    return (dy[..., None, :] @ J)[..., 0, :] / root


@right
def layer_norm_gradient(x, dy, eps=1e-6):
    tensor = Tensor(x, requires_grad=True)
    ones, zeros = Tensor(np.ones(x.shape[-1])), Tensor(np.zeros(x.shape[-1]))
    names["layer_norm"](tensor, ones, zeros, eps).backward(dy)
    return tensor.grad


@wrong("mean and standard deviation count as constants")
def layer_norm_gradient(x, dy, eps=1e-6):
    return dy / parts(x, eps)[1]


@wrong("the term of the standard deviation is missing or 0")
def layer_norm_gradient(x, dy, eps=1e-6):
    return (dy - dy.mean(axis=-1, keepdims=True)) / parts(x, eps)[1]


@wrong("the division by √(σ² + ε) is missing")
def layer_norm_gradient(x, dy, eps=1e-6):
    _, _, n = parts(x, eps)
    return dy - dy.mean(axis=-1, keepdims=True) - n * (dy * n).mean(axis=-1, keepdims=True)


@wrong("these are sums")
def layer_norm_gradient(x, dy, eps=1e-6):
    _, root, n = parts(x, eps)
    return (dy - dy.sum(axis=-1, keepdims=True) - n * (dy * n).sum(axis=-1, keepdims=True)) / root


@wrong("which is not yet divided")
def layer_norm_gradient(x, dy, eps=1e-6):
    c, root, _ = parts(x, eps)
    return (dy - dy.mean(axis=-1, keepdims=True) - c * (dy * c).mean(axis=-1, keepdims=True)) / root


@wrong("its sign is minus")
def layer_norm_gradient(x, dy, eps=1e-6):
    _, root, n = parts(x, eps)
    return (dy - dy.mean(axis=-1, keepdims=True) + n * (dy * n).mean(axis=-1, keepdims=True)) / root


@wrong("ε is missing")
def layer_norm_gradient(x, dy, eps=1e-6):
    _, root, n = parts(x, 0.0)
    return (dy - dy.mean(axis=-1, keepdims=True) - n * (dy * n).mean(axis=-1, keepdims=True)) / root


@wrong("the last term is n² · dy: it is n times the mean of dy · n")
def layer_norm_gradient(x, dy, eps=1e-6):
    root = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    n = (x - x.mean(axis=-1, keepdims=True)) / root
    return (dy - dy.mean(axis=-1, keepdims=True) - n * n * dy) / root


# -- mistakes by people who know PyTorch, NumPy alone, or guess -------------------------------------------


@wrong("ε is added to the result")
def normalise_row(row, eps=1e-6):
    m = sum(row) / len(row)
    v = sum((x - m) ** 2 for x in row) / len(row)
    return [(x - m) / math.sqrt(v) + eps for x in row]


@wrong("the sum is squared")
def normalise_row(row, eps=1e-6):
    m = sum(row) / len(row)
    v = sum(x - m for x in row) ** 2 / len(row)
    return [(x - m) / math.sqrt(v + eps) for x in row]


@wrong("the mean is rounded down: use / instead of //")
def normalise_row(row, eps=1e-6):
    m = sum(row) // len(row)
    v = sum((x - m) ** 2 for x in row) / len(row)
    return [(x - m) / math.sqrt(v + eps) for x in row]


@wrong("the mean is not squared")
def normalise_row(row, eps=1e-6):
    m = sum(row) / len(row)
    v = sum(x * x for x in row) / len(row) - m
    return [(x - m) / math.sqrt(v + eps) for x in row]


@wrong("is `return` inside the loop? It ends the loop")
def normalise_row(row, eps=1e-6):
    m = sum(row) / len(row)
    v = sum((x - m) ** 2 for x in row) / len(row)
    for x in row:
        return (x - m) / math.sqrt(v + eps)
    return None


@wrong("return the list of the n_i, one for each x")
def normalise_row(row, eps=1e-6):
    m = sum(row) / len(row)
    return m, sum((x - m) ** 2 for x in row) / len(row)


@wrong("this divides by the length of the row")
def normalise_row(row, eps=1e-6):
    row = np.array(row)
    return row / np.linalg.norm(row)


@wrong("this divides by the largest number")
def normalise_row(row, eps=1e-6):
    row = np.array(row)
    return (row - row.mean()) / row.max()


@wrong("weight multiplies element by element: use *, not @")
def layer_norm(x, weight, bias, eps=1e-6):
    mean = x.mean(axis=-1, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / (var + eps).sqrt() @ weight + bias


@wrong("the mean is not squared")
def layer_norm(x, weight, bias, eps=1e-6):
    mean = x.mean(axis=-1, keepdims=True)
    var = (x**2).mean(axis=-1, keepdims=True) - mean
    return weight * (x - mean) / (var + eps).sqrt() + bias


@wrong("weight and bias are added to each other")
def layer_norm(x, weight, bias, eps=1e-6):
    mean = x.mean(axis=-1, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / (var + eps).sqrt() * (weight + bias)


@wrong("these are sums: mean and variance are means over D")
def layer_norm(x, weight, bias, eps=1e-6):
    mean = x.sum(axis=-1, keepdims=True)
    var = ((x - mean) ** 2).sum(axis=-1, keepdims=True)
    return (x - mean) / (var + eps).sqrt() * weight + bias


@wrong("the tokens are multiplied by the standard deviation")
def layer_norm(x, weight, bias, eps=1e-6):
    mean = x.mean(axis=-1, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) * (var + eps).sqrt() * weight + bias


@wrong("ε is added to the distance from the mean: add it to the variance, under the root")
def layer_norm(x, weight, bias, eps=1e-6):
    c = x - x.mean(axis=-1, keepdims=True)
    v = (c * c).mean(axis=-1, keepdims=True)
    return (c + eps) / v.sqrt() * weight + bias


@wrong("the weight acts before the variance: normalise first, then multiply by the weight")
def layer_norm(x, weight, bias, eps=1e-6):
    c = (x - x.mean(axis=-1, keepdims=True)) * weight
    v = (c * c).mean(axis=-1, keepdims=True)
    return c / (v + eps).sqrt() + bias


@wrong("the squares are of x itself: square its distance from the mean")
def layer_norm(x, weight, bias, eps=1e-6):
    m = x.mean(axis=-1, keepdims=True)
    v = (x * x).mean(axis=-1, keepdims=True)
    return (x - m) / (v + eps).sqrt() * weight + bias


@wrong("the bias is divided too")
def layer_norm(x, weight, bias, eps=1e-6):
    mean = x.mean(axis=-1, keepdims=True)
    scaled = (x - mean) * weight + bias
    variance = ((x - mean) * (x - mean)).mean(axis=-1, keepdims=True)
    return scaled / (variance + eps).sqrt()


@wrong("the weight is under the root")
def layer_norm(x, weight, bias, eps=1e-6):
    d = x - x.mean(axis=-1, keepdims=True)
    variance = (d * d).mean(axis=-1, keepdims=True)
    return d / ((variance + eps) * weight).sqrt() + bias


@wrong("write x ** 3: ^ means exclusive or in Python")
def gelu(x):
    return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x ^ 3)).tanh())


@wrong("the x before the cubic term is missing: x + 0.044715 x³")
def gelu(x):
    return x / 2 * (1 + (math.sqrt(2 / math.pi) * (1 + 0.044715 * x**3)).tanh())


@wrong("this uses exp: the formula has tanh")
def gelu(x):
    return x / 2 * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).exp())


@wrong("x is added to the gate: multiply by it")
def gelu(x):
    return x / 2 + (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh())


@wrong("this is x · tanh(x): the gate is 0.5 (1 + tanh(...))")
def gelu(x):
    return x.tanh() * x


@wrong("π is rounded: use math.pi")
def gelu(x):
    return x * (1 + (math.sqrt(2 / 3.14) * (x + 0.044715 * x**3)).tanh()) / 2


@wrong("the factor of x³ is 0.0455, the Taylor series'")
def gelu(x):
    return x / 2 * (1 + (math.sqrt(2 / math.pi) * (x + 0.0455 * x**3)).tanh())


@wrong("a layer is made with Linear(fan_in, fan_out, rng)")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden), Linear(hidden, dim)

    def forward(self, z):
        return self.fc2(given_gelu(self.fc1(z)))


@wrong("call the layer with its input, self.fc1(z)")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return self.fc2(given_gelu(self.fc1))


@wrong("it has only the two layers fc1 and fc2")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)
        self.norm = LayerNorm(dim)

    def forward(self, z):
        return self.fc2(given_gelu(self.fc1(self.norm(z))))


@wrong("softmax acts on the result: return fc2's output")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return softmax(self.fc2(given_gelu(self.fc1(z))))


@wrong("GELU acts on the weight of fc1")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return z @ given_gelu(self.fc1.weight) @ self.fc2.weight


@wrong("fc2 is missing: it maps back to dim")
class MLP(Base):
    def __init__(self, dim, hidden, rng):
        self.fc1, self.fc2 = Linear(dim, hidden, rng), Linear(hidden, dim, rng)

    def forward(self, z):
        return given_gelu(self.fc1(z))


@wrong("the mean counts as a constant: it depends on x too")
def layer_norm_gradient(x, dy, eps=1e-6):
    c = x - x.mean(-1, keepdims=True)
    v = (c * c).mean(-1, keepdims=True) + eps
    return dy / np.sqrt(v) - c * (dy * c).sum(-1, keepdims=True) / v**1.5 / x.shape[-1]


@wrong("is keepdims=True missing?")
def layer_norm_gradient(x, dy, eps=1e-6):
    c = x - x.mean(-1, keepdims=True)
    v = (c * c).mean(-1, keepdims=True) + eps
    n = c / np.sqrt(v)
    return (dy - dy.mean(-1) - n * (dy * n).mean(-1)) / np.sqrt(v)


@wrong("the means run over everything")
def layer_norm_gradient(x, dy, eps=1e-6):
    c = x - x.mean(keepdims=True)
    v = (c * c).mean(keepdims=True) + eps
    n = c / np.sqrt(v)
    return (dy - dy.mean(keepdims=True) - n * (dy * n).mean(keepdims=True)) / np.sqrt(v)


@wrong("ε is squared")
def normalise_row(row, eps=1e-6):
    mean = sum(row) / len(row)
    variance = sum((x - mean) ** 2 for x in row) / len(row)
    return [(x - mean) / math.sqrt(variance + eps**2) for x in row]


@wrong("only the cubic term is in tanh")
def gelu(x):
    return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * 0.044715 * x * x * x).tanh())


@wrong("the 1 is added at the end")
def gelu(x):
    return 0.5 * x * (math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)).tanh() + 1


@wrong("the cubic term is outside of the tanh")
def gelu(x):
    k = math.sqrt(2.0 / math.pi)
    gate = (k * x).tanh() + 0.044715 * x * x * x
    return 0.5 * x * (1 + gate)


@wrong("√(2/π) is cubed too")
def gelu(x):
    u = math.sqrt(2 / math.pi) * x
    return 0.5 * x * (1 + (u + 0.044715 * u * u * u).tanh())


@wrong("the means run over axis 0")
def layer_norm_gradient(x, dy, eps=1e-6):
    root = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    n = (x - x.mean(axis=-1, keepdims=True)) / root
    return (dy - dy.mean(axis=0, keepdims=True) - n * (dy * n).mean(axis=0, keepdims=True)) / root


@wrong("the two means run over all tokens: take them over the last axis, with keepdims=True")
def layer_norm_gradient(x, dy, eps=1e-6):
    c = x - x.mean(-1, keepdims=True)
    r = np.sqrt((c * c).mean(-1, keepdims=True) + eps)
    n = c / r
    return (dy - dy.mean() - n * (dy * n).mean()) / r


@wrong("the last term has n²: it is n · mean(dy · n)")
def layer_norm_gradient(x, dy, eps=1e-6):
    c = x - x.mean(-1, keepdims=True)
    r = np.sqrt((c * c).mean(-1, keepdims=True) + eps)
    n = c / r
    return (dy - dy.mean(-1, keepdims=True) - n * n * (dy * n).mean(-1, keepdims=True)) / r


@wrong("the mean divides by D - 1")
def normalise_row(row, eps=1e-6):
    mean = sum(row) / (len(row) - 1)
    variance = sum((x - mean) ** 2 for x in row) / len(row)
    return [(x - mean) / math.sqrt(variance + eps) for x in row]


@wrong("the distances are not squared, abs(x - mean): square them")
def normalise_row(row, eps=1e-6):
    D = len(row)
    mean = sum(row) / D
    var = sum(abs(x - mean) for x in row) / D
    return [(x - mean) / math.sqrt(var + eps) for x in row]


@wrong("only the last number's distance counts: add all up, variance += (x - mean) ** 2 / D")
def normalise_row(row, eps=1e-6):
    D = len(row)
    mean = sum(row) / D
    var = 0
    for x in row:
        var = (x - mean) ** 2 / D
    return [(x - mean) / math.sqrt(var + eps) for x in row]


@wrong("the first number is missing in the variance")
def normalise_row(row, eps=1e-6):
    D = len(row)
    mean = sum(row) / D
    var = sum((x - mean) ** 2 for x in row[1:]) / D
    return [(x - mean) / math.sqrt(var + eps) for x in row]


@wrong("ε multiplies the root")
def normalise_row(row, eps=1e-6):
    mean = sum(row) / len(row)
    variance = sum((x - mean) ** 2 for x in row) / len(row)
    return [(x - mean) / (math.sqrt(variance) * (1 + eps)) for x in row] if variance else [0.0 for x in row]


@wrong("the last term has x for n, which is centred and scaled")
def layer_norm_gradient(x, dy, eps=1e-6):
    c = x - x.mean(axis=-1, keepdims=True)
    root = np.sqrt((c * c).mean(axis=-1, keepdims=True) + eps)
    return (dy - dy.mean(axis=-1, keepdims=True) - x * (dy * x).mean(axis=-1, keepdims=True)) / root


@wrong("this is dy times n: derive how each n depends on all of x")
def layer_norm_gradient(x, dy, eps=1e-6):
    c = x - x.mean(axis=-1, keepdims=True)
    return dy * c / np.sqrt((c * c).mean(axis=-1, keepdims=True) + eps)


@wrong("PyTorch's _parameters is here: vars(self)")
class Module(Calls):
    def named_parameters(self):
        return list(self._parameters.items())
