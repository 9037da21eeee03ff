import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import lesson, right, wrong

names = lesson(14)
Tensor, concatenate, slices_of = names["Tensor"], names["concatenate"], names["slices_of"]


@right
def same_padding(H, h, s):
    windows = math.ceil(H / s)
    missing = max(0, (windows - 1) * s + h - H)
    return missing // 2, (missing + 1) // 2


@right
def same_padding(H, h, s):
    left_over = H % s or s  # pixels from the last window's beginning to the end
    missing = h - left_over if h > left_over else 0
    before = missing // 2
    return [before, missing - before]


@wrong("put the odd pixel at the end")
def same_padding(H, h, s):
    missing = max(0, (-(-H // s) - 1) * s + h - H)
    return missing - missing // 2, missing // 2


@wrong("with a stride above 1 the padding is less than h - 1")
def same_padding(H, h, s):
    return (h - 1) // 2, h - 1 - (h - 1) // 2


@wrong("at least 0")
def same_padding(H, h, s):
    missing = (-(-H // s) - 1) * s + h - H
    return missing // 2, missing - missing // 2


@wrong("round the number of windows up, ⌈H / s⌉")
def same_padding(H, h, s):
    missing = max(0, (H // s - 1) * s + h - H)
    return missing // 2, missing - missing // 2


@wrong("share the padding between the two sides")
def same_padding(H, h, s):
    missing = max(0, (-(-H // s) - 1) * s + h - H)
    return missing, missing


@wrong("but not as integers")
def same_padding(H, h, s):
    missing = max(0, (math.ceil(H / s) - 1) * s + h - H)
    return missing / 2 - missing % 2 / 2, missing / 2 + missing % 2 / 2


@right
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    window = padded[row * s : row * s + h, column * s : column * s + w]
    return window.reshape(-1) @ kernel.reshape(-1, D)


@right
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for d in range(D):
        for i in range(h):
            for j in range(w):
                out[d] += padded[row * s + i, column * s + j] @ kernel[i, j, :, d]
    return out


@wrong("the stride is missing")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    return np.tensordot(padded[row : row + h, column : column + w], kernel, 3)


@wrong("the kernel is flipped")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h):
        for j in range(w):
            for c in range(C):
                out += padded[row * s + i, column * s + j, c] * kernel[h - 1 - i, w - 1 - j, c]
    return out


@wrong("only channel 0")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h):
        for j in range(w):
            out += padded[row * s + i, column * s + j, 0] * kernel[i, j, 0]
    return out


@wrong("only the last product counts")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    for i in range(h):
        for j in range(w):
            for c in range(C):
                out = padded[row * s + i, column * s + j, c] * kernel[i, j, c]
    return out


@wrong("the filters are added up")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    return (padded[row * s : row * s + h, column * s : column * s + w, :, None] * kernel).sum()


@right
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    total = None
    for n, part in enumerate(slices_of(images, h, w, s)):
        product = part @ kernel[n // w, n % w]
        total = product if total is None else total + product
    return total


@right
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    windows = concatenate(slices_of(images, h, w, s), axis=-1)
    B, rows, columns, length = windows.shape
    return (windows.reshape(-1, length) @ kernel.reshape(length, D)).reshape(B, rows, columns, D)


@right
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    out = 0.0
    for n, piece in enumerate(slices_of(images, h, w, s)):
        out = piece @ kernel[n // w, n % w] + out
    return out


@wrong("order c, i, j")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    windows = concatenate(slices_of(images, h, w, s), axis=3)
    return windows @ kernel.transpose(2, 0, 1, 3).reshape(h * w * C, D)


@wrong("the kernel is reshaped to (D, h * w * C) and transposed")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    windows = concatenate(slices_of(images, h, w, s), axis=3)
    return windows @ kernel.reshape(D, h * w * C).transpose(1, 0)


@wrong("only the last slice")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    slices = slices_of(images, h, w, s)
    for n in range(h * w):
        out = slices[n] @ kernel[n // w, n % w]
    return out


@wrong("the kernel's rows and columns are swapped")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    windows = concatenate(slices_of(images, h, w, s), axis=3)
    return windows @ kernel.transpose(1, 0, 2, 3).reshape(h * w * C, D)


@wrong("returns an array")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    windows = np.concatenate([part.data for part in slices_of(images, h, w, s)], axis=3)
    return windows @ kernel.data.reshape(-1, D)


@wrong("leaves no gradient on kernel")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    windows = concatenate(slices_of(images, h, w, s), axis=3)
    return windows @ Tensor(kernel.data.reshape(-1, D))


@right
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = x.reshape(B, H, W, groups, C // groups)
    y = y - y.mean(axis=(1, 2, 4), keepdims=True)
    y = y / ((y**2).mean(axis=(1, 2, 4), keepdims=True) + eps) ** 0.5
    return y.reshape(B, H, W, C) * weight + bias


@right
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    size = C // groups
    parts = []
    for g in range(groups):
        part = x[:, :, :, g * size : (g + 1) * size]
        mean = part.mean(axis=(1, 2, 3), keepdims=True)
        variance = (part * part).mean(axis=(1, 2, 3), keepdims=True) - mean * mean
        parts.append((part - mean) / (variance + eps).sqrt())
    return concatenate(parts, axis=3) * weight + bias


def normalised(x, shape, axes, eps, power=0.5):
    y = x.reshape(*shape)
    y = y - y.mean(axis=axes, keepdims=True)
    return (y / ((y * y).mean(axis=axes, keepdims=True) + eps) ** power).reshape(*x.shape)


@wrong("weight and bias are missing")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W, groups, C // groups), (1, 3), eps)


@wrong("each position is normalised separately")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W, groups, C // groups), 3, eps) * weight + bias


@wrong("each channel is normalised separately")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W, groups, C // groups), 1, eps) * weight + bias


@wrong("all images are normalised together")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W, groups, C // groups), (0, 1, 3), eps) * weight + bias


@wrong("the groups are not adjacent channels")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W, C // groups, groups), (1, 2), eps) * weight + bias


@wrong("all channels are normalised together")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W * C), 1, eps) * weight + bias


@wrong("divides by the variance")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W, groups, C // groups), (1, 3), eps, power=1) * weight + bias


@wrong("the mean is not subtracted")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = x.reshape(B, H * W, groups, C // groups)
    centred = y - y.mean(axis=(1, 3), keepdims=True)
    variance = (centred * centred).mean(axis=(1, 3), keepdims=True)
    return (y / (variance + eps).sqrt()).reshape(B, H, W, C) * weight + bias


@wrong("eps is outside the root")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = x.reshape(B, H * W, groups, C // groups)
    centred = y - y.mean(axis=(1, 3), keepdims=True)
    deviation = (centred * centred).mean(axis=(1, 3), keepdims=True).sqrt() + eps
    return (centred / deviation).reshape(B, H, W, C) * weight + bias


# -- what people who know PyTorch, only NumPy, or who guess write -------------------------------------------


@wrong("nothing is ever missing")
def same_padding(H, h, s):
    missing = max(0, ((H - h) // s) * s + h - H)
    return missing // 2, missing - missing // 2


@wrong("not at windows * s")
def same_padding(H, h, s):
    missing = max(0, -(-H // s) * s + h - H)
    return missing // 2, missing - missing // 2


@wrong("if s divides H")
def same_padding(H, h, s):
    missing = max(0, h - H % s)
    return missing // 2, missing - missing // 2


@wrong("must be a pair of integers")
def same_padding(H, h, s):
    return max(0, (-(-H // s) - 1) * s + h - H)


@wrong("the two sides need not be equal")
def same_padding(H, h, s):
    missing = max(0, (-(-H // s) - 1) * s + h - H)
    return missing // 2, missing // 2


@wrong("(h - 1) // 2 on each side")
def same_padding(H, h, s):
    return (h - 1) // 2, (h - 1) // 2


@wrong("h // 2 on each side is")
def same_padding(H, h, s):
    return h // 2, h // 2


@wrong("all of it is on one side")
def same_padding(H, h, s):
    return 0, max(0, (-(-H // s) - 1) * s + h - H)


@wrong("use missing // 2 and the rest")
def same_padding(H, h, s):
    missing = max(0, (-(-H // s) - 1) * s + h - H)
    return missing / 2, missing / 2


@wrong("to the nearest: round up")
def same_padding(H, h, s):
    missing = max(0, (round(H / s) - 1) * s + h - H)
    return missing // 2, missing - missing // 2


@wrong("is `return` inside the loop? It ends the loop")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h):
        for j in range(w):
            for c in range(C):
                out += padded[row * s + i, column * s + j, c] * kernel[i, j, c]
                return out
    return out


@wrong("between two pixels of the window")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h):
        for j in range(w):
            out += padded[(row + i) * s, (column + j) * s] @ kernel[i, j]
    return out


@wrong("only the row is multiplied by s")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    return padded[row * s : row * s + h, column : column + w].ravel() @ kernel.reshape(-1, D)


@wrong("a whole window kernel[..., d]")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    return (padded[row * s : row * s + h, column * s : column * s + w] * kernel).sum(axis=(0, 1, 2))


@wrong("is the kernel indexed as kernel[i, j, c]")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h):
        for j in range(w):
            for c in range(C):
                out += padded[row * s + i, column * s + j, c] * kernel[j, i, c]
    return out


@wrong("this is the mean of the products")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    window = padded[row * s : row * s + h, column * s : column * s + w]
    return (window[..., None] * kernel).mean(axis=(0, 1, 2))


@wrong("nothing is added to `out`")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h):
        for j in range(w):
            out + padded[row * s + i, column * s + j] @ kernel[i, j]
    return out


@wrong("joins the slices along the wrong axis")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return concatenate(slices_of(images, h, w, s), axis=1) @ kernel.reshape(h * w * C, D)


@wrong("reshape it to a matrix")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return concatenate(slices_of(images, h, w, s), axis=3) @ kernel


@wrong("conv2d's matrix has D rows")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return concatenate(slices_of(images, h, w, s), axis=3) @ kernel.transpose(3, 0, 1, 2).reshape(D, h * w * C)


@wrong("D is the last axis")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    windows = concatenate(slices_of(images, h, w, s), axis=3)
    return (windows @ kernel.reshape(h * w * C, D)).transpose(0, 3, 1, 2)


@wrong("these are the windows")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return concatenate(slices_of(images, h, w, s), axis=3)


@wrong("return (B, H', W', D)")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    windows = concatenate(slices_of(images, h, w, s), axis=3)
    return windows.reshape(len(images.data), -1, h * w * C) @ kernel.reshape(h * w * C, D)


@wrong("this is the mean over the window")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return concatenate(slices_of(images, h, w, s), axis=3) @ kernel.reshape(h * w * C, D) * (1 / (h * w * C))


@wrong("as if its channels came first")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, groups, C // groups * H * W), 2, eps) * weight + bias


@wrong("leave them (C,)")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = normalised(x, (B, H * W, groups, C // groups), (1, 3), eps)
    return y * weight.reshape(C, 1, 1) + bias.reshape(C, 1, 1)


@wrong("take it with keepdims=True")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = x.reshape(B, H * W, groups, C // groups)
    y = y - y.mean(axis=(1, 3))
    return (y / ((y * y).mean(axis=(1, 3)) + eps).sqrt()).reshape(B, H, W, C) * weight + bias


@wrong("uses weight and bias too early")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = x.reshape(B, H * W, groups, C // groups)
    y = y - y.mean(axis=(1, 3), keepdims=True)
    y = y / ((y * y).mean(axis=(1, 3), keepdims=True) + eps).sqrt() * weight + bias
    return y.reshape(B, H, W, C)


@wrong("this is BatchNorm")
def group_norm(x, weight, bias, groups, eps=1e-6):
    return normalised(x, x.shape, (0, 1, 2), eps) * weight + bias


@wrong("this is LayerNorm")
def group_norm(x, weight, bias, groups, eps=1e-6):
    return normalised(x, x.shape, 3, eps) * weight + bias


@wrong("root mean square")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = x.reshape(B, H * W, groups, C // groups)
    centred = y - y.mean(axis=(1, 3), keepdims=True)
    return (centred / ((y * y).mean(axis=(1, 3), keepdims=True) + eps).sqrt()).reshape(B, H, W, C) * weight + bias


@wrong("the variance is their mean")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = x.reshape(B, H * W, groups, C // groups)
    y = y - y.mean(axis=(1, 3), keepdims=True)
    return (y / ((y * y).sum(axis=(1, 3), keepdims=True) + eps).sqrt()).reshape(B, H, W, C) * weight + bias


@wrong("centred but not scaled")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = x.reshape(B, H * W, groups, C // groups)
    return (y - y.mean(axis=(1, 3), keepdims=True)).reshape(B, H, W, C) * weight + bias


@wrong("weight and bias are swapped")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W, groups, C // groups), (1, 3), eps) * bias + weight


@wrong("groups of `groups` channels")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W, C // groups, groups), (1, 3), eps) * weight + bias


@right
def conv_in_one_line(image, kernel):
    return (
        sliding_window_view(image, kernel.shape[:2], axis=(0, 1))
        .transpose(0, 1, 3, 4, 2)
        .reshape(-1, kernel[..., 0].size)
    ) @ kernel.reshape(-1, kernel.shape[-1])


@right
def conv_in_one_line(image, kernel):
    """Turn the kernel instead of the windows."""
    return sliding_window_view(image, kernel.shape[:2], (0, 1)).reshape(-1, kernel[..., 0].size) @ kernel.transpose(
        2, 0, 1, 3
    ).reshape(-1, kernel.shape[3])


@wrong("is a transpose missing?")
def conv_in_one_line(image, kernel):
    return sliding_window_view(image, kernel.shape[:2], axis=(0, 1)).reshape(-1, kernel[..., 0].size) @ kernel.reshape(
        -1, kernel.shape[3]
    )


@wrong("in the order c, i, j and the windows in i, j, c")
def conv_in_one_line(image, kernel):
    return sliding_window_view(image, kernel.shape[:3]).reshape(-1, kernel[..., 0].size) @ kernel.transpose(
        2, 0, 1, 3
    ).reshape(-1, kernel.shape[3])


@wrong("reshaped to (D, h * w * C) and transposed")
def conv_in_one_line(image, kernel):
    return (
        sliding_window_view(image, kernel.shape[:3]).reshape(-1, kernel[..., 0].size)
        @ kernel.reshape(kernel.shape[3], -1).T
    )


@wrong("must be a single line")
def conv_in_one_line(image, kernel):
    h, w, C, D = kernel.shape
    windows = sliding_window_view(image, (h, w, C))
    return windows.reshape(-1, h * w * C) @ kernel.reshape(-1, D)


@wrong("uses tensordot")
def conv_in_one_line(image, kernel):
    return np.tensordot(sliding_window_view(image, kernel.shape[:3])[:, :, 0], kernel, 3).reshape(-1, kernel.shape[3])


@wrong("the windows are not in rows")
def conv_in_one_line(image, kernel):
    return np.tensordot(sliding_window_view(image, kernel.shape[:3])[:, :, 0], kernel, 3)


@wrong("needs h * w * C numbers")
def conv_in_one_line(image, kernel):
    return sliding_window_view(image, kernel.shape[:3]) @ kernel.reshape(-1, kernel.shape[3])


@wrong("joins the slices along the wrong axis: join")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return concatenate(slices_of(images, h, w, s), axis=2) @ kernel.reshape(C, h * w * D)


@wrong("the stride is ignored")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return concatenate(slices_of(images, h, w, 1), axis=3) @ kernel.reshape(h * w * C, D)


@wrong("conv2d returns a list")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return [part @ kernel[n // w, n % w] for n, part in enumerate(slices_of(images, h, w, s))]


@wrong("the slices are of windows w x h: slices_of takes h first, then w")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return concatenate(slices_of(images, w, h, s), axis=3) @ kernel.reshape(h * w * C, D)


@wrong("the first slice is counted twice: begin the sum with 0, or at the second")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    sl = slices_of(images, h, w, s)
    out = sl[0] @ kernel[0, 0]
    for i in range(h):
        for j in range(w):
            out = out + sl[i * w + j] @ kernel[i, j]
    return out


def normalised_channels_first(x, groups, eps):
    y = x.transpose(0, 3, 1, 2)  # (B, C, H, W), as PyTorch has it
    B, C, H, W = y.shape
    return normalised(y, (B, groups, C // groups * H * W), 2, eps)


@wrong("the channels are still axis 1")
def group_norm(x, weight, bias, groups, eps=1e-6):
    C = x.shape[3]
    return normalised_channels_first(x, groups, eps) * weight.reshape(1, C, 1, 1) + bias.reshape(1, C, 1, 1)


@wrong("moved to axis 1 and not back")
def group_norm(x, weight, bias, groups, eps=1e-6):
    return normalised_channels_first(x, groups, eps).reshape(*x.shape) * weight + bias


@right
def group_norm(x, weight, bias, groups, eps=1e-6):
    return normalised_channels_first(x, groups, eps).transpose(0, 2, 3, 1) * weight + bias


@wrong("use the Tensor's own method")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    y = x.reshape(B, H * W, groups, C // groups)
    y = y - y.mean(axis=(1, 3), keepdims=True)
    return (y / np.sqrt((y * y).mean(axis=(1, 3), keepdims=True) + eps)).reshape(B, H, W, C) * weight + bias


@wrong("eps is missing or not the argument")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    return normalised(x, (B, H * W, groups, C // groups), (1, 3), 1e-6) * weight + bias


@wrong("the variance is that of all groups of an image: take each group's own")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    g = x.reshape(B, H * W, groups, C // groups)
    c = g - g.mean(axis=(1, 3), keepdims=True)
    v = (c * c).mean(axis=(1, 2, 3), keepdims=True)
    return (c / (v + eps).sqrt()).reshape(B, H, W, C) * weight + bias


@wrong("weight and bias are added before the product: multiply by the weight, then add the bias")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    g = x.reshape(B, H * W, groups, C // groups)
    c = g - g.mean(axis=(1, 3), keepdims=True)
    v = (c * c).mean(axis=(1, 3), keepdims=True)
    return (c / (v + eps).sqrt()).reshape(B, H, W, C) * (weight + bias)


@wrong("axis=1 must be axis=(1, 3)")
def group_norm(x, weight, bias, groups, eps=1e-6):
    B, H, W, C = x.shape
    parts = x.reshape(B, H * W, groups, C // groups)
    d = parts - parts.mean(axis=(1, 3), keepdims=True)
    variance = (d * d).mean(axis=1, keepdims=True)
    return (d / (variance + eps).sqrt()).reshape(B, H, W, C) * weight + bias


@wrong("it multiplies row and column")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h):
        for j in range(w):
            out += padded[row + i * s, column + j * s] @ kernel[i, j]
    return out


@wrong("pixel and weight are added")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h):
        for j in range(w):
            for c in range(C):
                out += padded[row * s + i, column * s + j, c] + kernel[i, j, c]
    return out


@wrong("this is the window")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    return padded[row * s : row * s + h, column * s : column * s + w]


@wrong("row and column of the pixel both use i: the column is column · s + j")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h):
        for j in range(w):
            for c in range(C):
                out += padded[row * s + i, column * s + i, c] * kernel[i, j, c]
    return out


@wrong("the last row and column of the window are left out: i < h and j < w")
def convolve_at(padded, kernel, row, column, s):
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    for i in range(h - 1):
        for j in range(w - 1):
            for c in range(C):
                out += padded[row * s + i, column * s + j, c] * kernel[i, j, c]
    return out


@wrong("this is h pixels in all")
def same_padding(H, h, s):
    return h // 2, h - h // 2


@wrong("not H: the stride is missing")
def same_padding(H, h, s):
    missing = (H - 1) * s + h - H
    return missing // 2, missing - missing // 2


@wrong("this is one pixel too few in all")
def same_padding(H, h, s):
    windows = -(-H // s)
    missing = max((windows - 1) * s - H + h - 1, 0)
    return missing // 2, missing - missing // 2


@wrong("this is one pixel too many in all")
def same_padding(H, h, s):
    last = (-(-H // s) - 1) * s
    missing = max(last + h - (H - 1), 0)
    return missing // 2, missing - missing // 2


@wrong("slices and kernel are added up before the product")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    slices = slices_of(images, h, w, s)  # h · w Tensors (B, H', W', C)
    total_ = slices[0]
    for s_ in slices[1:]:
        total_ = total_ + s_
    return total_ @ kernel.sum(axis=(0, 1))


@wrong("h must be w in divmod(place, h)")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    out = 0.0
    for place, piece in enumerate(slices_of(images, h, w, s)):
        i, j = divmod(place, h)
        out = piece @ kernel[i % h, j % w] + out
    return out


@wrong("only the slice of the window's centre is used")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    slices = slices_of(images, h, w, s)
    return slices[len(slices) // 2] @ kernel[h // 2, w // 2]


@wrong("the windows are reshaped to columns and transposed: reshape")
def conv_in_one_line(image, kernel):
    return sliding_window_view(image, kernel.shape[:3]).reshape(kernel[..., 0].size, -1).T @ kernel.reshape(
        -1, kernel.shape[3]
    )


@wrong("rows and columns of the kernel are swapped: keep the order i,")
def conv_in_one_line(image, kernel):
    return sliding_window_view(image, kernel.shape[:3]).reshape(-1, kernel[..., 0].size) @ kernel.transpose(
        1, 0, 2, 3
    ).reshape(-1, kernel.shape[3])


@wrong("the sides differ only if the number is odd")
def same_padding(H, h, s):
    missing = max(0, (-(-H // s) - 1) * s + h - H)
    return missing // 2, missing // 2 + 1


@wrong("there are H / s windows and not one more")
def same_padding(H, h, s):
    missing = max(0, H // s * s + h - H)
    return missing // 2, missing - missing // 2


@wrong("join the slices with concatenate first")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    return slices_of(images, h, w, s) @ kernel.reshape(h * w * C, D)


@wrong("use the matrix product, @")
def conv2d(images, kernel, s=1):
    h, w, C, D = kernel.shape
    windows = concatenate(slices_of(images, h, w, s), axis=3)
    return (windows * kernel.reshape(h * w * C, D)).sum(axis=-1)


@wrong("reshape both to matrices first")
def conv_in_one_line(image, kernel):
    return sliding_window_view(image, kernel.shape[:3]) @ kernel
