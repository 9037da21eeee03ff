"""Names of arrays that only other networks have: they say what a file is, so that it is not misread.

Files of many relatives of the ViT look almost like a ViT's, with one more token, a scale after each branch, or rotary
positions. Without that part, every prediction would be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# A pattern in an array's name, and what a file with such an array is. The first match counts.
FAMILIES: tuple[tuple[str, str], ...] = (
    (r"(^|\.)(dist_token|head_dist|distillation_token|distillation_classifier)\b",
     "a distilled DeiT: its second class token (dist_token) and second head (head_dist) have no place in a ViT"),
    (r"(^|\.)(reg_token|register_tokens|storage_tokens)$", "a ViT with register tokens (DINOv2, DINOv3)"),
    (r"rope|rotary", "a ViT with rotary positions (DINOv3, EVA)"),
    (r"\.(ls[12]\.gamma|layer_scale[12]?\.lambda1|gamma_[12]|lambda_[12])$|layer_scale",
     "a ViT with LayerScale (DINOv2, DeiT III, BEiT, CaiT)"),
    (r"relative_position_bias|rel_pos|relative_position_index", "a network with relative position biases (BEiT, Swin)"),
    (r"layers\.\d+\.blocks\.|swin", "a Swin Transformer"),
    (r"(^|\.)(norm_pre|pre_layrnorm|ln_pre)\.", "a CLIP: it normalises before the first block (norm_pre)"),
    (r"(^|\.)attn_pool\.|vision_model\.head\.probe", "a SigLIP: its head attends to the tokens (attn_pool)"),
    (r"(^|\.)(vision_model|text_model)\.|logit_scale", "a CLIP or SigLIP in Hugging Face's layout"),
    (r"(^|\.)visual\.(transformer|conv1|class_embedding|trunk)", "a CLIP in OpenAI's layout"),
    (r"(^|/)txt/|(^|/)img/.*txt", "a model of images and texts (SigLIP, LiT) of big_vision"),
    (r"(^|\.)decoder(_embed|_blocks|_pos_embed|_pred|_norm)?\.", "an MAE with its decoder: keep the encoder's arrays"),
    (r"(^|\.)mask_token$", "a network pre-trained with masks (MAE, BEiT): drop mask_token if it is a plain ViT"),
    (r"\.(q_norm|k_norm|q_bias|v_bias)\b", "a ViT with other queries and keys (q_norm, k_norm, q_bias)"),
    (r"\.mlp\.(w12|w1|w3|fc1_g|fc1_x|gate_proj|weights_in)\.", "a ViT with gated MLPs (SwiGLU)"),
    (r"Transformer/encoderblock/", "a ViT of big_vision with its blocks stacked (scan=True)"),
    (r"(^|\.)(conv1|bn1|layer1)\.", "a convolutional network (ResNet)"),
    (r"(^|\.)(downsample_layers|stages\.\d+\.blocks|stages\.\d+\.\d+)\.", "a convolutional network (ConvNeXt)"),
    (r"(^|\.)(transformer\.h|wte|model\.layers|embed_tokens|word_embeddings)\b", "a language model"),
    (r"\.(weight_scale|scales?|qweight|qzeros|absmax|SCB|quant_map)$", "a quantised model: codes need their scales"),
)  # fmt: skip


def family_of(names: Iterable[str]) -> str | None:
    """Return what a file with arrays of these names is, if it is a known network other than a ViT; else None."""
    every = list(names)
    for pattern, what in FAMILIES:
        sought = re.compile(pattern)
        if any(sought.search(name) for name in every):
            return what
    return None
