import numpy as np

from . import lesson, right, right_value, wrong, wrong_value

names = lesson(5)
Tensor, linear, patchify_given = names["Tensor"], names["linear"], names["patchify"]

right_value("patches_at_384", (576, 768))
right_value("patches_at_384", [24 * 24, 16 * 16 * 3])
wrong_value("patches_at_384", (577, 768), "counts the class token")
wrong_value("patches_at_384", (24, 768), "multiply by the number of rows")
wrong_value("patches_at_384", (576, 256), "three channels")
wrong_value("patches_at_384", (196, 768), "at 224 pixels")
wrong_value("patches_at_384", 576, "(number of patches, numbers in each)")


@right
def cut_patch(image, P, row, column):
    top, left = row * P, column * P
    return image[top : top + P, left : left + P].flatten()


@right
def cut_patch(image, P, row, column):
    numbers = []
    for i in range(P):
        for j in range(P):
            numbers.extend(image[row * P + i, column * P + j])
    return np.array(numbers)


@wrong("the patch begins at (row, column), not at (row * P, column * P)")
def cut_patch(image, P, row, column):
    return image[row : row + P, column : column + P].reshape(-1)


@wrong("row and column are swapped")
def cut_patch(image, P, row, column):
    return image[column * P : (column + 1) * P, row * P : (row + 1) * P].reshape(-1)


@wrong("the slices end at P")
def cut_patch(image, P, row, column):
    return image[row * P : P, column * P : P].reshape(-1)


@wrong("this is a square of pixels")
def cut_patch(image, P, row, column):
    return image[row * P : (row + 1) * P, column * P : (column + 1) * P]


@wrong("the channels come one after the other")
def cut_patch(image, P, row, column):
    patch = image[row * P : (row + 1) * P, column * P : (column + 1) * P]
    return np.concatenate([patch[:, :, c].reshape(-1) for c in range(image.shape[2])])


@right
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P, C).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(B, (H // P) * (W // P), P * P * C)


@right
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P * C)
    return x.transpose(0, 1, 3, 2, 4).reshape(B, H * W // P**2, P * P * C)


@wrong("the transpose is missing")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, (H // P) * (W // P), P * P * C)


@wrong("the channels come one after the other")
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P, C).transpose(0, 1, 3, 5, 2, 4)
    return x.reshape(B, -1, P * P * C)


@wrong("the patches are in column order")
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P, C).transpose(0, 3, 1, 2, 4, 5)
    return x.reshape(B, -1, P * P * C)


@wrong("returns an array")
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.data.reshape(B, H // P, P, W // P, P, C).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(B, -1, P * P * C)


@wrong("leaves no gradient on images")
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.data.reshape(B, H // P, P, W // P, P, C).transpose(0, 1, 3, 2, 4, 5)
    return Tensor(x.reshape(B, -1, P * P * C), requires_grad=True)


@right
def unpatchify(patches, P, H, W):
    B, N, length = patches.shape
    C = length // P**2
    return patches.reshape(B, H // P, W // P, P, P, C).transpose(0, 1, 3, 2, 4, 5).reshape(B, H, W, C)


@right
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    rows = patches.reshape(B, H // P, W // P, P, -1)
    return rows.transpose(0, 1, 3, 2, 4).reshape(B, H, W, -1)


@wrong("the transpose is missing")
def unpatchify(patches, P, H, W):
    return patches.reshape(patches.shape[0], H, W, -1)


@wrong("this splits patches like images")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    x = patches.reshape(B, H // P, P, W // P, P, -1).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(B, H, W, -1)


@wrong("unpatchify returns an array")
def unpatchify(patches, P, H, W):
    x = patches.data.reshape(len(patches.data), H // P, W // P, P, P, -1).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(len(x), H, W, -1)


@wrong("columns and rows")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, W // P, H // P, P, P, -1).transpose(0, 2, 3, 1, 4, 5).reshape(B, H, W, -1)


@wrong("rows and columns inside the patches are swapped")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, P, P, -1).transpose(0, 1, 4, 2, 3, 5).reshape(B, H, W, -1)


@right
def embed_patches(images, E, bias, P):
    return patchify_given(images, P) @ E + bias


@right
def embed_patches(images, E, bias, P):
    x = patchify_given(images, P)
    return linear(x, E, bias)


@wrong("the bias is missing")
def embed_patches(images, E, bias, P):
    return linear(patchify_given(images, P), E)


@wrong("not cut into patches")
def embed_patches(images, E, bias, P):
    return linear(images.reshape(images.shape[0], -1, E.shape[0]), E, bias)


@wrong("multiply them by E")
def embed_patches(images, E, bias, P):
    return patchify_given(images, P)
