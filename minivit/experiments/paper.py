"""The experiments of the paper that are repeated on a small scale, on CIFAR-10 from scratch, and their conclusions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .grid import Cell, Experiment, Summary

COMMON = {"dataset": "cifar10", "optimizer": "muon", "batch_size": 64, "microbatch": 16}

# One small network of each family. A step of the hybrid takes 1.1 times as many operations as a step of the ViT, a step
# of the ResNet 2 times as many. The learning rate of the ResNet was chosen on 5,000 held-out images: after 1,000 steps,
# 1e-3, 2e-3, 4e-3 and 8e-3 gave accuracies of 38.2, 48.3, 52.4 and 52.9 %.
FAMILIES = {
    "ViT": {"model": "ViT-XS_4-CIFAR", "lr": 5e-3},
    "hybrid": {"model": "R+ViT-XS_4-CIFAR", "lr": 5e-3},
    "ResNet": {"model": "BiT-R14-CIFAR", "lr": 8e-3},
}
SIZES = (500, 2_000, 8_000, 32_000)


def _percent(summary: Summary) -> str:
    return f"{summary.mean:.1%} (± {summary.half_width:.1%})"


def _of(summaries: list[Summary], series: str) -> list[Summary]:
    return [s for s in summaries if s.series == series]


def _apart(one: Summary, other: Summary) -> bool:
    """Return whether two confidence intervals do not touch."""
    return abs(one.mean - other.mean) > one.half_width + other.half_width


def _touch(one: Summary, other: Summary) -> str:
    return "do not touch" if _apart(one, other) else "touch"


def _data_size_sentence(summaries: list[Summary]) -> str:
    """Say whether the ViT, less accurate with few images, is more accurate than the ResNet with many."""
    vit, resnet = _of(summaries, "ViT"), _of(summaries, "ResNet")
    ends = [
        f"with {v.x:,} images the ViT has {_percent(v)} and the ResNet {_percent(r)}"
        for v, r in ((vit[0], resnet[0]), (vit[-1], resnet[-1]))
    ]
    crossed = [v.x for v, r in zip(vit, resnet, strict=True) if v.mean > r.mean]
    verdict = f"the ViT is ahead from {crossed[0]:,} images on" if crossed else "no crossover at this scale"
    return f"{ends[0]}, {ends[1]}: {verdict}."


def _compute_sentence(summaries: list[Summary]) -> str:
    """Compare the families at the largest compute that all of them have."""
    budget = min(max(s.flops for s in _of(summaries, series)) for series in FAMILIES)
    ranked = sorted((_at(_of(summaries, series), budget) for series in FAMILIES), key=lambda s: -s.mean)
    listed = ", ".join(f"{s.series} {_percent(s)}" for s in ranked)
    return (
        f"With {budget / 1e12:.1f} teraFLOPs of training: {listed}, interpolated between runs; the first two "
        f"intervals {_touch(*ranked[:2])}."
    )


def _at(line: list[Summary], flops: float) -> Summary:
    """Interpolate a series at this compute, on the figure's logarithmic axis."""
    line = sorted(line, key=lambda s: s.flops)
    places = np.log([s.flops for s in line])
    mean, half_width = (
        float(np.interp(math.log(flops), places, values))
        for values in ([s.mean for s in line], [s.half_width for s in line])
    )
    return replace(line[0], mean=mean, half_width=half_width, flops=flops)


def _positions_sentence(summaries: list[Summary]) -> str:
    """Say whether every position embedding is better than none, as in Table 8."""
    none = _of(summaries, "none")[0]
    others = [s for s in summaries if s.series != "none"]
    best, worst = max(others, key=lambda s: s.mean), min(others, key=lambda s: s.mean)
    return (
        f"Without positions {_percent(none)}; with them from {_percent(worst)} ({worst.series}, {worst.x}) to "
        f"{_percent(best)} ({best.series}, {best.x}): the intervals of the lowest and of none {_touch(worst, none)}."
    )


def _pooling_sentence(summaries: list[Summary]) -> str:
    """Compare both kinds of classifier, each at its best learning rate, as in appendix D.3."""
    best = {series: max(_of(summaries, series), key=lambda s: s.mean) for series in ("class token", "average pooling")}
    token, pooled = best["class token"], best["average pooling"]
    return (
        f"The class token is best at a learning rate of {token.x:g} with {_percent(token)}, average pooling at "
        f"{pooled.x:g} with {_percent(pooled)}: their intervals {_touch(token, pooled)}."
    )


def _self_supervision_sentence(summaries: list[Summary]) -> str:
    """Compare runs from scratch with runs after pre-training on masked patches, with few labels and with all."""
    scratch, after = _of(summaries, "from scratch"), _of(summaries, "pre-trained first")
    compared = []
    for s, a in zip(scratch, after, strict=True):
        compared.append(
            f"{s.x:,} labels: from scratch {_percent(s)}, pre-trained first {_percent(a)}; the intervals {_touch(s, a)}"
        )
    return f"With the same number of training steps, {'. '.join(compared)}."


def _resolution_sentence(summaries: list[Summary]) -> str:
    """Compare fine-tuning at a higher resolution with the parent, and with further training at the parent's size."""
    parent, same, higher = (_of(summaries, series)[0] for series in ("parent", "trained on", "fine-tuned"))
    return (
        f"The parent at 32 pixels has {_percent(parent)}, trained further at 32 pixels {_percent(same)}, fine-tuned at "
        f"48 pixels with interpolated positions {_percent(higher)}: the first and the last interval "
        f"{_touch(parent, higher)}."
    )


_PARENT = {"steps": 6_000, "lr": 5e-3}
_TRAINED_ON = {"steps": 1_000, "lr": 1e-3}

# ViT Table 8: a series for each kind of embedding, a position on the axis for the place where it is added
_POSITIONS = [Cell("none", "stem", {"positions": "none"})] + [
    Cell(kind, place, {"positions": kind, "positions_at": place})
    for kind in ("learned", "learned2d", "sincos2d")
    for place in ("stem", "every", "shared")
] + [Cell("relative", "stem", {"positions": "relative"})]  # fmt: skip

# Each experiment of the paper by the name that `minivit experiment` takes.
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="data-size",
            paper="Figs. 3 and 4",
            title="ViT, hybrid and ResNet from scratch on subsets of CIFAR-10, the same number of steps",
            x_label="training images",
            options={**COMMON, "steps": 1_000, "augment": "standard"},
            cells=tuple(
                Cell(family, size, {**options, "train_images": size})
                for family, options in FAMILIES.items()
                for size in SIZES
            ),
            sentence=_data_size_sentence,
        ),
        Experiment(
            name="compute",
            paper="Fig. 5",
            title="Accuracy and compute of training, CIFAR-10",
            x_label="compute of training (FLOP)",
            options={**COMMON, "augment": "none"},
            cells=tuple(
                Cell(family, steps, {**options, "steps": steps})
                for family, options in FAMILIES.items()
                for steps in (125, 250, 500, 1_000)
            ),
            sentence=_compute_sentence,
            by_compute=True,
        ),
        Experiment(
            name="positions",
            paper="Table 8",
            title="Position embeddings of ViT-XS, 1,000 steps on CIFAR-10",
            x_label="place where the embeddings are added",
            options={**COMMON, "model": "ViT-XS_4-CIFAR", "lr": 5e-3, "steps": 1_000, "augment": "none"},
            cells=tuple(_POSITIONS),
            sentence=_positions_sentence,
        ),
        Experiment(
            name="pooling",
            paper="appendix D.3",
            title="Class token and average pooling, ViT-XS, 1,000 steps on CIFAR-10",
            x_label="highest learning rate",
            options={**COMMON, "model": "ViT-XS_4-CIFAR", "optimizer": "adamw", "steps": 1_000, "augment": "none"},
            cells=tuple(
                Cell(series, lr, {"pool": pool, "lr": lr})
                for series, pool in (("class token", "token"), ("average pooling", "avg"))
                for lr in (5e-4, 1e-3, 2e-3, 4e-3)
            ),
            sentence=_pooling_sentence,
        ),
        Experiment(
            name="resolution",
            paper="section 3.2",
            title="Fine-tuning at a higher resolution, ViT-XS on CIFAR-10",
            x_label="image size",
            options={**COMMON, "model": "ViT-XS_4-CIFAR", "pool": "avg", "augment": "standard"},
            cells=(
                Cell("parent", "32 px", _PARENT),
                Cell("trained on", "32 px", _TRAINED_ON, before=_PARENT),
                Cell("fine-tuned", "48 px", {**_TRAINED_ON, "image_size": 48}, before=_PARENT),
            ),
            sentence=_resolution_sentence,
        ),
        Experiment(
            name="self-supervision",
            paper="section 4.6, appendix B.1.2",
            title="Masked patch prediction before training, the same number of steps in all, ViT-XS on CIFAR-10",
            x_label="labelled images",
            options={
                **COMMON,
                "model": "ViT-XS_4-CIFAR",
                "pool": "avg",
                "augment": "standard",
                "lr": 5e-3,
            },
            cells=tuple(
                cell
                for labels in (1_000, 5_000, 50_000)
                for cell in (
                    Cell("from scratch", labels, {"steps": 3_600, "train_images": labels}),
                    Cell(
                        "pre-trained first",
                        labels,
                        {"steps": 900, "train_images": labels},
                        before={"objective": "masked-patch", "steps": 2_700},
                    ),
                )
            ),
            sentence=_self_supervision_sentence,
        ),
    )
}
