"""The published models once more, straight from the arrays in their files, with PyTorch's own functions.

Nothing here uses minivit. Each function takes a file's arrays by name and images (B, H, W, C), and returns logits as
the source's code computes them: flax's formulas for Google's names, PyTorch's modules' for timm's and Hugging Face's.
"""

import math

import torch
from torch.nn import functional as F


def tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


# -- flax: google-research/vision_transformer and big_vision --------------------------------------


def google_logits(arrays, images, eps=1e-6):
    """A ViT or hybrid in the published files' layout; kernels are inputs first, convolutions (h, w, in, out)."""
    w = tensors(arrays)
    x = torch.from_numpy(images)
    if "conv_root/kernel" in w:
        x = google_backbone(w, x)
    kernel = w["embedding/kernel"]
    x = convolve(x, kernel, kernel.shape[0], same=False) + w["embedding/bias"]
    x = x.flatten(1, 2)
    if "cls" in w:
        x = torch.cat([w["cls"].expand(len(x), -1, -1), x], dim=1)
    x = x + w["Transformer/posembed_input/pos_embedding"]
    depth = 1 + max(int(name.split("encoderblock_")[1].split("/")[0]) for name in w if "encoderblock_" in name)
    for i in range(depth):
        b = f"Transformer/encoderblock_{i}"
        y = google_norm(w, f"{b}/LayerNorm_0", x, eps)
        x = x + google_attention(w, f"{b}/MultiHeadDotProductAttention_1", y, y)
        x = x + google_mlp(w, f"{b}/MlpBlock_3", google_norm(w, f"{b}/LayerNorm_2", x, eps))
    x = google_norm(w, "Transformer/encoder_norm", x, eps)
    if "MAPHead_0/probe" in w:
        probe = w["MAPHead_0/probe"].expand(len(x), -1, -1)
        x = google_attention(w, "MAPHead_0/MultiHeadDotProductAttention_0", probe, x)
        x = x + google_mlp(w, "MAPHead_0/MlpBlock_0", google_norm(w, "MAPHead_0/LayerNorm_0", x, eps))
        x = x[:, 0]
    else:
        x = x[:, 0] if "cls" in w else x.mean(dim=1)
    if "pre_logits/kernel" in w:
        x = torch.tanh(x @ w["pre_logits/kernel"] + w["pre_logits/bias"])
    return (x @ w["head/kernel"] + w["head/bias"]).numpy()


def google_norm(w, name, x, eps):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}/scale"], w[f"{name}/bias"], eps)


def google_attention(w, name, queries, others):
    q = torch.einsum("btd,dhk->bhtk", queries, w[f"{name}/query/kernel"]) + w[f"{name}/query/bias"][:, None]
    k = torch.einsum("btd,dhk->bhtk", others, w[f"{name}/key/kernel"]) + w[f"{name}/key/bias"][:, None]
    v = torch.einsum("btd,dhk->bhtk", others, w[f"{name}/value/kernel"]) + w[f"{name}/value/bias"][:, None]
    heads = F.scaled_dot_product_attention(q, k, v)
    return torch.einsum("bhtk,hkd->btd", heads, w[f"{name}/out/kernel"]) + w[f"{name}/out/bias"]


def google_mlp(w, name, x):
    hidden = F.gelu(x @ w[f"{name}/Dense_0/kernel"] + w[f"{name}/Dense_0/bias"], approximate="tanh")
    return hidden @ w[f"{name}/Dense_1/kernel"] + w[f"{name}/Dense_1/bias"]


def google_backbone(w, x):
    x = standard_conv(x, w["conv_root/kernel"], 2)
    x = F.relu(google_group_norm(w, "gn_root", x))
    x = F.max_pool2d(same_padding(x, 3, 2, -math.inf).permute(0, 3, 1, 2), 3, 2).permute(0, 2, 3, 1)
    for b in range(1, 10):
        for u in range(1, 100):
            unit, stride = f"block{b}/unit{u}", 2 if b > 1 and u == 1 else 1
            if f"{unit}/conv1/kernel" not in w:
                break
            shortcut = x
            if f"{unit}/conv_proj/kernel" in w:
                shortcut = google_group_norm(
                    w, f"{unit}/gn_proj", standard_conv(x, w[f"{unit}/conv_proj/kernel"], stride)
                )
            y = F.relu(google_group_norm(w, f"{unit}/gn1", standard_conv(x, w[f"{unit}/conv1/kernel"], 1)))
            y = F.relu(google_group_norm(w, f"{unit}/gn2", standard_conv(y, w[f"{unit}/conv2/kernel"], stride)))
            y = google_group_norm(w, f"{unit}/gn3", standard_conv(y, w[f"{unit}/conv3/kernel"], 1))
            x = F.relu(y + shortcut)
    return x


def google_group_norm(w, name, x):
    scale, bias = w[f"{name}/scale"].flatten(), w[f"{name}/bias"].flatten()
    return F.group_norm(x.permute(0, 3, 1, 2), 32, scale, bias, 1e-6).permute(0, 2, 3, 1)


def standard_conv(x, kernel, stride):
    kernel = (kernel - kernel.mean((0, 1, 2))) / (kernel.std((0, 1, 2), correction=0) + 1e-5)
    return convolve(x, kernel, stride, same=True)


def convolve(x, kernel, stride, same):
    x = same_padding(x, kernel.shape[0], stride, 0.0) if same else x
    return F.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), stride=stride).permute(0, 2, 3, 1)


def same_padding(x, size, stride, value):
    """(B, H, W, C) padded so that ⌈H / stride⌉ windows fit; the odd pixel goes below and to the right."""
    total = [max((math.ceil(n / stride) - 1) * stride + size - n, 0) for n in x.shape[1:3]]
    above, left = total[0] // 2, total[1] // 2
    return F.pad(x, (0, 0, left, total[1] - left, above, total[0] - above), value=value)


# -- BiT: google-research/big_transfer -----------------------------------------------------------


def bit_logits(arrays, images):
    w = {name.removeprefix("resnet/"): tensor for name, tensor in tensors(arrays).items()}

    def conv(name, x, stride=1, padding=0):
        kernel = w[f"{name}/standardized_conv2d/kernel"]
        variance, mean = torch.var_mean(kernel, dim=(0, 1, 2), correction=0)
        kernel = (kernel - mean) / torch.sqrt(variance + 1e-10)
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), stride=stride, padding=padding)

    def norm_relu(name, x):
        return F.relu(F.group_norm(x, 32, w[f"{name}/gamma"], w[f"{name}/beta"], 1e-5))

    x = conv("root_block", torch.from_numpy(images).permute(0, 3, 1, 2), 2, 3)
    x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)
    for b in range(1, 5):
        for u in range(1, 100):
            unit, stride = f"block{b}/unit{u:02}", 2 if b > 1 and u == 1 else 1
            if f"{unit}/a/standardized_conv2d/kernel" not in w:
                break
            y = norm_relu(f"{unit}/a/group_norm", x)
            has_projection = f"{unit}/a/proj/standardized_conv2d/kernel" in w
            shortcut = conv(f"{unit}/a/proj", y, stride) if has_projection else x
            y = norm_relu(f"{unit}/b/group_norm", conv(f"{unit}/a", y))
            y = norm_relu(f"{unit}/c/group_norm", conv(f"{unit}/b", y, stride, 1))
            x = conv(f"{unit}/c", y) + shortcut
    x = norm_relu("group_norm", x).mean((2, 3))
    return (x @ w["head/conv2d/kernel"][0, 0] + w["head/conv2d/bias"]).numpy()


# -- PyTorch's names: timm and Hugging Face ------------------------------------------------------


def timm_logits(arrays, images, heads):
    """Class token, or the mean of the patches through `fc_norm`; GELU with erf, eps 1e-6."""
    w = tensors(arrays)
    names = {
        "norm1": "norm1", "norm2": "norm2", "out": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2",
    }  # fmt: skip
    x = torch_embedding(w, images, "patch_embed.proj", "cls_token", "pos_embed")
    for i in range(count(w, "blocks.")):
        qkv = [
            (weight, bias)
            for weight, bias in zip(
                w[f"blocks.{i}.attn.qkv.weight"].chunk(3), w[f"blocks.{i}.attn.qkv.bias"].chunk(3), strict=True
            )
        ]
        x = torch_block(w, f"blocks.{i}", x, names, qkv, heads, 1e-6)
    if "fc_norm.weight" in w:
        x = F.layer_norm(x[:, 1:].mean(1), x.shape[-1:], w["fc_norm.weight"], w["fc_norm.bias"], 1e-6)
    else:
        x = F.layer_norm(x, x.shape[-1:], w["norm.weight"], w["norm.bias"], 1e-6)[:, 0]
    return F.linear(x, w["head.weight"], w["head.bias"]).numpy()


OLD_HF = {
    "layer": "vit.encoder.layer", "norm1": "layernorm_before", "norm2": "layernorm_after",
    "q": "attention.attention.query", "k": "attention.attention.key", "v": "attention.attention.value",
    "out": "attention.output.dense", "fc1": "intermediate.dense", "fc2": "output.dense",
}  # fmt: skip
NEW_HF = {
    "layer": "vit.layers", "norm1": "layernorm_before", "norm2": "layernorm_after",
    "q": "attention.q_proj", "k": "attention.k_proj", "v": "attention.v_proj",
    "out": "attention.o_proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2",
}  # fmt: skip


def hf_logits(arrays, images, heads, names):
    """ViTForImageClassification: GELU with erf, eps 1e-12."""
    w = tensors(arrays)
    e = "vit.embeddings"
    x = torch_embedding(w, images, f"{e}.patch_embeddings.projection", f"{e}.cls_token", f"{e}.position_embeddings")
    for i in range(count(w, names["layer"] + ".")):
        layer = f"{names['layer']}.{i}"
        qkv = [(w[f"{layer}.{names[n]}.weight"], w[f"{layer}.{names[n]}.bias"]) for n in "qkv"]
        x = torch_block(w, layer, x, names, qkv, heads, 1e-12)
    x = F.layer_norm(x, x.shape[-1:], w["vit.layernorm.weight"], w["vit.layernorm.bias"], 1e-12)[:, 0]
    return F.linear(x, w["classifier.weight"], w["classifier.bias"]).numpy()


def count(w, prefix):
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in w if name.startswith(prefix))


def torch_embedding(w, images, conv, cls, positions):
    kernel = w[f"{conv}.weight"]
    x = F.conv2d(torch.from_numpy(images).permute(0, 3, 1, 2), kernel, w[f"{conv}.bias"], stride=kernel.shape[2])
    x = x.flatten(2).transpose(1, 2)
    return torch.cat([w[cls].expand(len(x), -1, -1), x], dim=1) + w[positions]


def torch_block(w, layer, x, names, qkv, heads, eps):
    def dense(name, x):
        return F.linear(x, w[f"{layer}.{names[name]}.weight"], w[f"{layer}.{names[name]}.bias"])

    def norm(name, x):
        name = f"{layer}.{names[name]}"
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)

    y = norm("norm1", x)
    q, k, v = (F.linear(y, *one).unflatten(-1, (heads, -1)).transpose(1, 2) for one in qkv)
    x = x + dense("out", F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    return x + dense("fc2", F.gelu(dense("fc1", norm("norm2", x))))
