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


@wrong("run to (row + 1) * P, not to P")
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


# -- more mistakes ----------------------------------------------------------------------------------------


wrong_value("patches_at_384", (768, 576), "the two are swapped")
wrong_value("patches_at_384", (384 * 384, 768), "the number of pixels")
wrong_value("patches_at_384", (576, 48), "one row of a patch")
wrong_value("patches_at_384", (1728, 256), "each channel as a patch")


@wrong("its rows are axis 0")
def cut_patch(image, P, row, column):
    return image[:, row * P : (row + 1) * P, column * P : (column + 1) * P].reshape(-1)


@wrong("one pixel too early")
def cut_patch(image, P, row, column):
    return image[row * P : (row + 1) * P - 1, column * P : (column + 1) * P - 1].reshape(-1)


@wrong("whole rows of pixels")
def cut_patch(image, P, row, column):
    return image[row * P : (row + 1) * P].reshape(-1)


@wrong("a single pixel")
def cut_patch(image, P, row, column):
    return image[row, column]


@wrong("read column by column")
def cut_patch(image, P, row, column):
    return image[row * P : (row + 1) * P, column * P : (column + 1) * P].transpose(1, 0, 2).reshape(-1)


@wrong("a strip of the image")
def cut_patch(image, P, row, column):
    columns = image.shape[1] // P
    return image.reshape(-1, P * P * image.shape[2])[row * columns + column]


@wrong("PyTorch's view is here")
def cut_patch(image, P, row, column):
    return Tensor(image[row * P : (row + 1) * P, column * P : (column + 1) * P]).view(-1)


@wrong("PyTorch's permute is here")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, H // P, P, W // P, P, C).permute(0, 1, 3, 2, 4, 5).reshape(B, -1, P * P * C)


@wrong("transpose takes all axes in their new order")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, H // P, P, W // P, P, C).transpose(2, 3).reshape(B, -1, P * P * C)


@wrong("use H // P")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, H / P, P, W / P, P, C).transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, P * P * C)


@wrong("H and W are not split separately")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, H // P, W // P, P, P, C).transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, P * P * C)


@wrong("not into (P, H/P)")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, P, H // P, P, W // P, C).transpose(0, 2, 4, 1, 3, 5).reshape(B, -1, P * P * C)


@wrong("the batch axis is lost")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, H // P, P, W // P, P, C).transpose(0, 1, 3, 2, 4, 5).reshape(-1, P * P * C)


@wrong("they are not always 4 and 3")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, H // P, P, W // P, P, 3).transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, P * P * 3)


@wrong("returns a list of pieces")
def patchify(images, P):
    return [
        [
            image[r : r + P, c : c + P].reshape(-1)
            for r in range(0, images.shape[1], P)
            for c in range(0, images.shape[2], P)
        ]
        for image in (images[i] for i in range(images.shape[0]))
    ]


@wrong("both patches and pixels are in column order")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, H // P, P, W // P, P, C).transpose(0, 3, 1, 4, 2, 5).reshape(B, -1, P * P * C)


@wrong("the channels come first in a patch")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, -1, P, P).transpose(0, 1, 4, 2, 5, 3).reshape(B, H, W, -1)


@wrong("not always 3")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, P, P, 3).transpose(0, 1, 3, 2, 4, 5).reshape(B, H, W, 3)


@wrong("the channels first: keep them last")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, P, P, -1).transpose(0, 5, 1, 3, 2, 4).reshape(B, -1, H, W)


@wrong("(0, 3, 1, 2, 4, 5) is not the inverse")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, P, P, -1).transpose(0, 3, 1, 2, 4, 5).reshape(B, H, W, -1)


@wrong("are not joined")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, P, P, -1).transpose(0, 1, 3, 2, 4, 5)


@wrong("transpose takes all axes in their new order")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, P, P, -1).transpose(2, 3).reshape(B, H, W, -1)


@wrong("the product is patches @ E, without .T")
def embed_patches(images, E, bias, P):
    return patchify_given(images, P) @ E.T + bias


@wrong("use the matrix product")
def embed_patches(images, E, bias, P):
    return patchify_given(images, P) * E + bias


@wrong("the bias acts twice")
def embed_patches(images, E, bias, P):
    return linear(patchify_given(images, P), E, bias) + bias


@wrong("embed_patches returns an array")
def embed_patches(images, E, bias, P):
    return patchify_given(images, P).data @ E.data + bias.data


@wrong("leaves no gradient on bias")
def embed_patches(images, E, bias, P):
    return patchify_given(images, P) @ E + bias.data


@wrong("the mean over the patches")
def embed_patches(images, E, bias, P):
    return linear(patchify_given(images, P), E, bias).mean(axis=1)


# -- puzzles ----------------------------------------------------------------------------------------------


@right
def patch_means(image, P):
    return image.reshape(image.shape[0] // P, P, -1, P).mean(axis=3).mean(axis=1)


@right
def patch_means(image, P):
    return image.reshape(len(image) // P, P, image.shape[1] // P, P).mean((1, 3))


@right
def patch_means(image, P):
    return image.reshape(-1, P, image.shape[-1]).mean(axis=1).reshape(image.shape[0] // P, -1, P).mean(axis=-1)


@wrong("average over axes 1 and 3, the pixels")
def patch_means(image, P):
    return image.reshape(-1, P, image.shape[1] // P, P).mean(axis=(0, 2))


@wrong("these are means of strips: the split is")
def patch_means(image, P):
    return image.reshape(image.shape[0] // P, image.shape[1] // P, P, P).mean(axis=(2, 3))


@wrong("means of strips, without the grid")
def patch_means(image, P):
    return image.reshape(-1, P * P).mean(axis=1)


@wrong("uses sum: this puzzle allows")
def patch_means(image, P):
    return image.reshape(-1, P, image.shape[1] // P, P).sum(axis=(1, 3)) / P**2


@wrong("these are sums")
def patch_means(image, P):
    return image.reshape(-1, P, image.shape[1] // P, P).sum(axis=(1, 3))


@wrong("must be a single line")
def patch_means(image, P):
    H, W = image.shape
    return image.reshape(H // P, P, W // P, P).mean(axis=(1, 3))


@right
def patchify_channels_first(image, P):
    return (
        image.reshape(image.shape[0], -1, P, image.shape[2] // P, P)
        .transpose(1, 3, 2, 4, 0)
        .reshape(-1, P * P * image.shape[0])
    )


@right
def patchify_channels_first(image, P):
    return (
        image.transpose(1, 2, 0)
        .reshape(-1, P, image.shape[2] // P, P * len(image))
        .transpose(0, 2, 1, 3)
        .reshape(-1, P * P * len(image))
    )


@wrong("the transpose is missing")
def patchify_channels_first(image, P):
    return image.reshape(-1, P * P * len(image))


@wrong("each row holds a strip of the image, with the channels last: after the split")
def patchify_channels_first(image, P):
    return image.transpose(1, 2, 0).reshape(-1, P * P * len(image))


@wrong("put the channel axis last")
def patchify_channels_first(image, P):
    return (
        image.reshape(len(image), -1, P, image.shape[2] // P, P)
        .transpose(1, 3, 0, 2, 4)
        .reshape(-1, P * P * len(image))
    )


@wrong("a reshape to (H, W, C)")
def patchify_channels_first(image, P):
    C, H, W = image.shape
    return image.reshape(H // P, P, W // P, P, C).transpose(0, 2, 1, 3, 4).reshape(-1, P * P * C)


@wrong("uses moveaxis")
def patchify_channels_first(image, P):
    return (
        np.moveaxis(image, 0, -1)
        .reshape(-1, P, image.shape[2] // P, P * len(image))
        .transpose(0, 2, 1, 3)
        .reshape(-1, P * P * len(image))
    )


@wrong("each channel is cut separately")
def patchify_channels_first(image, P):
    return image.reshape(len(image), -1, P, image.shape[2] // P, P).transpose(0, 1, 3, 2, 4).reshape(-1, P * P)


# -- mistakes by people who know PyTorch, NumPy alone, or guess -------------------------------------------


@wrong("the axes are not joined: end with reshape(B, -1, P * P * C)")
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P, C)
    return x.transpose(0, 1, 3, 2, 4, 5)


@wrong("the numbers are right, but the last reshape names the axes in another ")
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P, C)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(B, P * P * C, -1)


@wrong("the order of the axes in transpose is (0, 2, 4, 1, 3, 5)")
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P, C)
    return x.transpose(0, 2, 4, 1, 3, 5).reshape(B, -1, P * P * C)


@wrong("the images are transposed first")
def patchify(images, P):
    B, H, W, C = images.shape
    return images.transpose(0, 2, 1, 3).reshape(B, -1, P * P * C)


@wrong("the axes are (B, H, W, C)")
def patchify(images, P):
    B, C, H, W = images.shape
    x = images.reshape(B, C, H // P, P, W // P, P)
    return x.transpose(0, 2, 4, 3, 5, 1).reshape(B, -1, P * P * C)


@wrong("NumPy's functions take no Tensor")
def patchify(images, P):
    B, H, W, C = images.shape
    x = np.reshape(images, (B, H // P, P, W // P, P, C))
    return np.transpose(x, (0, 1, 3, 2, 4, 5)).reshape(B, -1, P * P * C)


@wrong("this Tensor was made from nothing that needs a gradient; compute patch")
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.data.reshape(B, H // P, P, W // P, P, C)
    return Tensor(x.transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, P * P * C))


@wrong("NumPy's swapaxes is here")
def patchify(images, P):
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P, C).swapaxes(2, 3)
    return x.reshape(B, -1, P * P * C)


@wrong("the result is (B, H, W, C), where -1 computes C, and the split is (B, ")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, P, P, -1).transpose(0, 1, 3, 2, 4, 5).reshape(B, H, W)


@wrong("height and width are swapped in the last reshape")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, P, P, -1).transpose(0, 1, 3, 2, 4, 5).reshape(B, W, H, -1)


@wrong("the order of the axes in transpose is (0, 2, 1, 3, 4, 5)")
def unpatchify(patches, P, H, W):
    B = patches.shape[0]
    return patches.reshape(B, H // P, W // P, P, P, -1).transpose(0, 2, 1, 3, 4, 5).reshape(B, H, W, -1)


@wrong("the batch axis is lost: B comes first")
def unpatchify(patches, P, H, W):
    return patches.reshape(H // P, W // P, P, P, -1).transpose(0, 2, 1, 3, 4).reshape(H, W, -1)


@wrong("the patches come first")
def embed_patches(images, E, bias, P):
    return E @ patchify_given(images, P) + bias


@wrong("cut the images first: patchify(images, P)")
def embed_patches(images, E, bias, P):
    return images @ E + bias


@wrong("each image was flattened as a whole")
def embed_patches(images, E, bias, P):
    return linear(images.reshape(images.shape[0], -1), E, bias)


@wrong("the bias is added to E: add it to the product")
def embed_patches(images, E, bias, P):
    return patchify_given(images, P) @ (E + bias)


@wrong("the patch size is the argument P: patchify(images, P)")
def embed_patches(images, E, bias, P):
    return linear(patchify_given(images, 4), E, bias)


@wrong("this Tensor was made from nothing that needs a gradient; compute embed")
def embed_patches(images, E, bias, P):
    return Tensor(patchify_given(images, P).data @ E.data + bias.data)


@wrong("this is the sum over the patches")
def embed_patches(images, E, bias, P):
    return linear(patchify_given(images, P), E, bias).sum(axis=1)


@wrong("the mean runs over pixel rows alone")
def patch_means(image, P):
    return image.reshape(image.shape[0] // P, P, image.shape[1] // P, P).mean(axis=1)


@wrong("this is the mean of the whole image")
def patch_means(image, P):
    return image.reshape(image.shape[0] // P, P, image.shape[1] // P, P).mean()


@wrong("this puzzle allows reshape, mean, //, -, [] and len")
def patch_means(image, P):
    return image.reshape(-1, P, image.shape[1] // P, P).transpose(0, 2, 1, 3).mean(axis=(2, 3))


@wrong("this is the first pixel of each patch: take the mean of all")
def patch_means(image, P):
    return image[::P, ::P]


@wrong("the sums are divided by P: a patch has P * P pixels, so take the mean")
def patch_means(image, P):
    return image.reshape(image.shape[0] // P, P, -1, P).sum(axis=(1, 3)) / P


@wrong("these are the largest pixels: take the mean")
def patch_means(image, P):
    return image.reshape(-1, P, image.shape[1] // P, P).max(axis=(1, 3))


@wrong("the column of the grid must come before the row in the patch")
def patchify_channels_first(image, P):
    return (
        image.reshape(len(image), -1, P, image.shape[2] // P, P)
        .transpose(1, 2, 3, 4, 0)
        .reshape(-1, P * P * len(image))
    )


@wrong("the pixels of each patch are in column order")
def patchify_channels_first(image, P):
    return (
        image.reshape(len(image), -1, P, image.shape[2] // P, P)
        .transpose(1, 3, 4, 2, 0)
        .reshape(-1, P * P * len(image))
    )


@wrong("N was split into W/P and H/P")
def unpatchify(patches, P, H, W):
    x = patches.reshape(patches.shape[0], W // P, H // P, P, P, -1)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(patches.shape[0], H, W, -1)


@wrong("add it after the product")
def embed_patches(images, E, bias, P):
    return (patchify_given(images, P) + bias) @ E


@wrong("only the pixels of one row are averaged: average over the P")
def patch_means(image, P):
    return image.reshape(-1, image.shape[1] // P, P).mean(axis=2)


@wrong("this is the mean of one row of each patch")
def patch_means(image, P):
    return image.reshape(len(image) // P, P, -1, P).mean(axis=3)[:, 0]


@wrong("the split is for (B, C, H, W): the channels are last here")
def patchify(images, P):
    B, H, W, C = images.shape
    grid = images.reshape(B, C, H // P, P, W // P, P)
    return grid.transpose(0, 2, 4, 3, 5, 1).reshape(B, -1, P * P * C)


@wrong("the split and the order are for (B, C, H, W): the channels are last here")
def patchify(images, P):
    B, H, W, C = images.shape
    grid = images.reshape(B, C, H // P, P, W // P, P)
    return grid.transpose(0, 2, 4, 1, 3, 5).reshape(B, -1, P * P * C)
