"""How publishers prepare images for their weights, where no file beside the weights says it."""

from __future__ import annotations

from dataclasses import replace

from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, Preprocessing

CROP_OF_IMAGENET = 224 / 256  # a crop of 224 pixels after a resize to 256

# Google's vision_transformer, big_vision and big_transfer: pixels in [-1, 1], and the whole image.
GOOGLE = Preprocessing()

# facebookresearch's DeiT (arXiv 2012.12877), DINO (2104.14294), MAE (2111.06377) and DINOv2 (2304.07193)
FACEBOOK = Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "shortest", CROP_OF_IMAGENET, "bicubic")

# timm's ViTs without another setting; its DeiTs have ImageNet's mean and standard deviation.
TIMM = Preprocessing(resize="cover", crop_share=0.9, interpolation="bicubic")

CLIP = Preprocessing(CLIP_MEAN, CLIP_STD, "shortest", interpolation="bicubic")  # arXiv 2103.00020
SIGLIP = Preprocessing()  # arXiv 2303.15343, in big_vision

# transformers, by `model_type`: as the checkpoints that their authors published are prepared.
HUGGING_FACE = {
    "vit": Preprocessing(crop_rounding="down"),
    "deit": Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "exact", CROP_OF_IMAGENET, "bicubic", "down"),
    "vit_mae": Preprocessing(IMAGENET_MEAN, IMAGENET_STD, crop_rounding="down"),
    "vit_msn": Preprocessing(IMAGENET_MEAN, IMAGENET_STD, crop_rounding="down"),
    "ijepa": Preprocessing(IMAGENET_MEAN, IMAGENET_STD, crop_rounding="down"),
    "dinov2": replace(FACEBOOK, crop_rounding="down"),
    "dinov2_with_registers": replace(FACEBOOK, crop_rounding="down"),
    "clip": replace(CLIP, crop_rounding="down"),
    "clip_vision_model": replace(CLIP, crop_rounding="down"),
    "siglip": Preprocessing(interpolation="bicubic", crop_rounding="down"),
    "siglip_vision_model": Preprocessing(interpolation="bicubic", crop_rounding="down"),
}

# What to try for files of PyTorch whose owner does not say how pixels were scaled.
OTHER_SCALING = "DeiT, MAE and DINO need mean=0.485,0.456,0.406 std=0.229,0.224,0.225"


def torchvision_convention(config: AnyConfig) -> Preprocessing:
    """Return the transforms of torchvision's published `vit_*` weights of this size.

    Those trained on ImageNet alone (224 pixels) are resized bilinearly to 256, or 242 for ViT-L/16, and cropped; those
    pre-trained by SWAG (arXiv 2201.08371) are resized bicubically to their size. These are all weights of more than 224
    pixels, and ViT-H/14's; ViT-B/16 and ViT-L/16 have both kinds at 224 pixels: see `swag_at_224`.

    Args:
        config: the model's configuration.
    """
    if min(config.image_shape[:2]) > 224 or _published_size(config) == "H/14":
        return Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "shortest", interpolation="bicubic")
    share = 224 / 242 if _published_size(config) == "L/16" else CROP_OF_IMAGENET
    return Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "shortest", share)


def swag_at_224(config: AnyConfig) -> str:
    """Return what other weights of torchvision with the same arrays need, "" if there are none.

    Args:
        config: the model's configuration.
    """
    has_both = _published_size(config) in ("B/16", "L/16") and config.image_shape[:2] == (224, 224)
    return '; IMAGENET1K_SWAG_LINEAR_V1 needs resize=224 resampling="bicubic"' if has_both else ""


def _published_size(config: AnyConfig) -> str:
    """Return which of the ViTs with weights of SWAG in torchvision a model is, "" for another one."""
    sizes = {(768, 12, 16): "B/16", (1024, 24, 16): "L/16", (1280, 32, 14): "H/14"}
    return sizes.get((config.dim, config.depth, config.patch_size), "") if isinstance(config, ViTConfig) else ""
