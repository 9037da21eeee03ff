"""Names of arrays that only other networks have: they say what a file is, so that it is not misread.

Files of many relatives of the ViT look almost like a ViT's, with rotary positions, attention in windows or norms at
other places. Without that part, every prediction would be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# A pattern in an array's name, and what a file with such an array is. The first match counts.
FAMILIES: tuple[tuple[str, str], ...] = (
    (r"(^|\.)detection_tokens$", "a YOLOS: its detection tokens have no place in a ViT"),
    (r"(^|\.)(beit|data2vec_vision)\.", "a BEiT or Data2Vec"),
    (r"(^|\.)audio_spectrogram_transformer\.", "a model of sounds (AST)"),
    (r"(^|\.)(videomae|vivit|timesformer)\.", "a model of videos (VideoMAE, ViViT, TimeSformer)"),
    (r"(^|\.)(dpt|neck|vitdet)\.|(^|\.)embeddings\.projection\.weight$", "a ViT for dense predictions (DPT, ViTDet)"),
    (r"(^|\.)(efficientformer|mobilevit|cvt|poolformer|focalnet|pvt_v2)\.",
     "a network of several stages (EfficientFormer, MobileViT, PoolFormer)"),
    (r"^(\w+\.)?layer\.\d+\.attention\.[qkvo]_proj\.", "a ViT with rotary positions (DINOv3)"),
    (r"(^|\.)encoder\.(stages\.\d+\.layers|block\.\d+\.\d+)\.",
     "a network of several stages (PVT, LeViT, Hiera, ConvNeXt)"),
    (r"(^|\.)vision_encoder\.(patch_embed|layers)\.", "a Segment Anything (SAM)"),
    (r"(^|\.)vision_tower\.|(^|\.)patch_conv\.|multi_modal_projector",
     "a model of images and language (Pixtral, LLaVA)"),
    (r"(^|\.)storage_tokens$", "a ViT with rotary positions (DINOv3)"),
    (r"rope|rotary", "a ViT with rotary positions (DINOv3, EVA)"),
    (r"\.lambda_[12]$", "a ViT with LayerScale and other parts (BEiT, Data2Vec)"),
    (r"relative_position_bias|rel_pos|relative_position_index", "a network with relative position biases (BEiT, Swin)"),
    (r"(^|\.)blocks_token_only\.", "a CaiT: its last blocks compute the class token alone"),
    (r"\.attn\.gating_param$", "a ConViT: its attention has a gate for positions"),
    (r"\.lambda_[qk][12]$", "a ViT with differential attention"),
    (r"\.blocks\.\d+\.(attns|ffns)\.\d|^blocks\.\d+\.(attns|ffns)\.\d|\.(in_proj|attn_out_proj|mlp_out_proj)\.weight$",
     "a ViT with attention and MLP in parallel"),
    (r"\.attn\.[qkv]_proj\.", "a ViT with rotary positions (EVA-02, Sapiens)"),
    (r"\.(inner_attn_ln|ffn_layernorm)\.", "a BEiT-3 in its authors' layout"),
    (r"(^|\.)patch_embed\.backbone\.", "a hybrid of timm: convolutions are before its patches"),
    (r"(^|\.)embeds\.(proj|pos_embed|patch_embed)", "a NaFlexViT of timm: it takes patches of any image size"),
    (r"layers\.\d+\.blocks\.|swin", "a Swin Transformer"),
    (r"(^|\.)visual\.(layer1|attnpool)\.", "a CLIP whose image network is a ResNet"),
    (r"(^|\.)attn_pool\.(query|ln_q)\b", "a CoCa of OpenCLIP: its pooling attends with many queries"),
    (r"\.(q_bias|v_bias)$", "a ViT with separate biases for queries and values (BEiT, EVA)"),
    (r"\.mlp\.(w1|fc1_g|fc1_x)\.", "a ViT with gated MLPs in three arrays (EVA-02)"),
    (r"(^|\.)layers\.\d+\.(self_attn\.in_proj_weight|linear[12]\.weight)$",
     "PyTorch's nn.TransformerEncoder, whose arrays do not say where it normalises (norm_first) and its activation"),
    (r"(^|\.)(bn1|layer1)\.", "a convolutional network (ResNet)"),
    (r"(^|\.)(downsample_layers|stages\.\d+\.(blocks|\d+)|levels\.\d+)\.",
     "a network of several stages (ConvNeXt, PVT, LeViT, NesT)"),
    (r"(^|\.)(patch_embeds\.\d+|serial_blocks\d+|transformers\.\d+|cls_attn_blocks|blocks\.\d+\.blocks)\.",
     "a relative of the ViT with stages or branches (Twins, CoaT, PiT, XCiT, CrossViT)"),
    (r"(^|\.)blocks\.\d+\.(norm_in|mlp_tokens|linear_tokens)\.", "a TNT, or an MLP-Mixer, which has no attention"),
    (r"(^|\.)network\.\d+\.\d+\.attn\.", "a VOLO: its first blocks attend to neighbours"),
    (r"(^|\.)features\.\d+\.", "a convolutional network (VGG, ConvNeXt of torchvision)"),
    (r"(^|\.)(transformer\.h|wte|model\.layers|embed_tokens|word_embeddings)\b", "a language model"),
    (r"\.running_mean$", "a network with BatchNorm, as convolutional ones have"),
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
