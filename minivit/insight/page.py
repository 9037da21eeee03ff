"""What was found in a model as files: one page of HTML, its figures as PNG, and the numbers as JSON.

The page holds its pictures within itself and asks the network for nothing; it follows the reader's light or dark
scheme.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

import numpy as np

from ..utils.files import atomic_file, write_text
from ..utils.text import printable
from .figures import (
    DARK,
    LIGHT,
    Canvas,
    Scheme,
    draw_distances,
    draw_filters,
    draw_images,
    draw_positions,
    map_png,
    new_figure,
    picture_title,
    png,
)
from .inspection import Inspection

OVERVIEW_TITLES = {
    "filters": "components of the patch embedding's filters",
    "positions": "how alike the positions' embeddings are",
    "attention-distance": "how far each head looks",
}
FILE_DPI, OVERVIEW_DPI, PAGE_DPI = 110, 80, 144  # dots an inch; the page may be zoomed
SHEET_IMAGES = 10  # the first so many are on the sheet; the page shows all


@dataclass(frozen=True)
class Plate:
    """A figure to be drawn in either scheme: its size in inches, and the function that fills it."""

    width: float
    height: float
    draw: Callable[..., None]  # (canvas, scheme=...)

    def png(self, scheme: Scheme = LIGHT, dpi: int = FILE_DPI) -> bytes:
        """The bytes of a PNG file."""
        figure = new_figure(self.width, self.height, scheme)
        self.draw(figure, scheme=scheme)
        return png(figure, dpi)


def write_inspection(found: Inspection, folder: str | Path, title: str) -> list[Path]:
    """Write `inspect.html`, `inspect.json` and a PNG for each figure into a folder; returns their paths.

    Raises:
        SaveError: if a file cannot be written.
    """
    folder = Path(folder)
    numbers, page = folder / "inspect.json", folder / "inspect.html"
    write_text(numbers, json.dumps(found.numbers(), ensure_ascii=False) + "\n")
    write_text(page, inspect_page(found, title))
    written = [page, numbers]
    for name, plate in {**plates(found), "overview": _overview(found)}.items():
        path = folder / f"{name}.png"
        with atomic_file(path) as file:
            file.write(plate.png(dpi=OVERVIEW_DPI if name == "overview" else FILE_DPI))
        written.append(path)
    return written


def plates(found: Inspection) -> dict[str, Plate]:
    """The figures that there are, by name: `filters`, `positions`, `attention-distance`, `images`."""
    made: dict[str, Plate] = {}
    if found.filters is not None:
        rows = -(-len(found.filters.components) // 7)
        made["filters"] = Plate(6.6, 0.2 + 1.05 * rows, partial(draw_filters, found=found.filters))
    if found.similarity is not None:
        rows, columns = found.similarity.shape[:2]
        height = min(8.0, max(2.5, 5.2 * rows / columns))
        made["positions"] = Plate(6.6, height, partial(draw_positions, similarity=found.similarity))
    if found.distances is not None:
        draw = partial(draw_distances, distances=found.distances, uniform=found.uniform_distance)
        made["attention-distance"] = Plate(6.6, 4.2, draw)

    shown = min(SHEET_IMAGES, len(found.images))
    maps = {name: values[:shown] for name, values in _maps(found).items()}
    titles = [picture_title(*found.top_classes(i)[0], found.truth(i)) for i in range(shown)]
    draw = partial(draw_images, pixels=found.images.pixels[:shown], maps=maps, titles=titles)
    made["images"] = Plate(max(4.0, 1.25 * shown), 0.8 + 1.3 * (1 + len(maps)), draw)
    return made


def _overview(found: Inspection) -> Plate:
    """All figures as one: those of the weights and the distances side by side, the images below."""
    made = plates(found)
    images = made.pop("images")

    def draw(canvas: Canvas, scheme: Scheme) -> None:
        if not made:
            images.draw(canvas, scheme=scheme)
            return
        top, bottom = canvas.subfigures(2, 1, height_ratios=(4.2, images.height))
        for part, (name, plate) in zip(np.ravel(top.subfigures(1, len(made))), made.items(), strict=True):
            part.set_facecolor(scheme.paper)
            part.suptitle(OVERVIEW_TITLES[name], fontsize=11, color=scheme.ink)
            plate.draw(part, scheme=scheme)
        bottom.set_facecolor(scheme.paper)
        images.draw(bottom, scheme=scheme)

    return Plate(max(images.width, 4.6 * len(made)), images.height + 4.2 * bool(made), draw)


def _maps(found: Inspection) -> dict[str, np.ndarray]:
    """The maps of the images under their names; a model without a class token gathers by all its patches."""
    reads_class_token = getattr(found.config, "classifier", "token") == "token"
    attention = "class token's attention" if reads_class_token else "patches' attention"
    maps = {attention: found.attention, "rollout": found.rollout}
    return {name: values for name, values in maps.items() if values is not None}


# -- the page ------------------------------------------------------------------------------------


def inspect_page(found: Inspection, title: str) -> str:
    """One self-contained page of HTML: filters, positions, attention distances, and each image with its maps.

    Every picture is inside the page and has a description for those who do not see it.
    """
    made = plates(found)
    made.pop("images")
    config = found.config
    height, width, _ = config.image_shape
    facts = (
        f"{width} × {height} pixels, {config.num_patches} patches of {config.patch_size} × {config.patch_size}, "
        f"{config.depth} layers with {config.heads} heads, D = {config.dim}, {config.num_classes} classes"
    )
    return PAGE.format(
        title=_words(title),
        facts=escape(facts),
        style=STYLE,
        filters=_filters_section(found, made.get("filters")),
        positions=_positions_section(found, made.get("positions")),
        distances=_distances_section(found, made.get("attention-distance")),
        images=_images_section(found),
    )


def _filters_section(found: Inspection, plate: Plate | None) -> str:
    if found.filters is None or plate is None:
        return _missing(found, "filters")
    explained = found.filters.explained
    alt = (
        f"{len(explained)} small colour pictures, the principal components of the patch embedding's filters; the first "
        f"explains {explained[0]:.1%} of their variance, all together {explained.sum():.1%}."
    )
    return _figure(plate, alt)


def _positions_section(found: Inspection, plate: Plate | None) -> str:
    if found.similarity is None or plate is None:
        return _missing(found, "positions")
    rows, columns = found.similarity.shape[:2]
    alt = (
        f"A grid of {rows} by {columns} small maps, one for each patch: cosine similarities from "
        f"{found.similarity.min():.2f} to 1 between its position embedding and all others."
    )
    return _figure(plate, alt)


def _distances_section(found: Inspection, plate: Plate | None) -> str:
    if found.distances is None or plate is None:
        return _missing(found, "distances")
    means = found.distances.mean(axis=1)
    alt = (
        f"Mean attention distance by layer: {means[0]:.1f} pixels in the first, {means[-1]:.1f} in the last; single "
        f"heads from {found.distances.min():.1f} to {found.distances.max():.1f}."
    )
    rows = "".join(
        f"<tr><td>{layer}</td><td>{row.min():.1f}</td><td>{row.mean():.1f}</td><td>{row.max():.1f}</td></tr>"
        for layer, row in enumerate(found.distances, 1)
    )
    images = "1 image" if found.distance_images == 1 else f"{found.distance_images} images"
    return (
        f"<p>Measured on {images}. If a patch attended to all alike, its distance would be "
        f"{found.uniform_distance:.1f} pixels.</p>{_figure(plate, alt)}<details><summary>The numbers</summary><table>"
        f"<tr><th>layer</th><th>nearest head</th><th>mean</th><th>farthest head</th></tr>{rows}</table></details>"
    )


def _images_section(found: Inspection) -> str:
    missing = "" if _maps(found) else _missing(found, "maps")
    return missing + "".join(_card(found, i) for i in range(len(found.images)))


def _card(found: Inspection, i: int) -> str:
    picture, name = found.images.pixels[i], found.images.names[i]
    top, truth = found.top_classes(i), found.truth(i)
    tiles = [_tile(map_png(picture), f"The image: {name}.", "the image")]
    for title, values in _maps(found).items():
        row, column = np.unravel_index(values[i].argmax(), values[i].shape)
        times = values[i].max() / max(values[i].mean(), np.finfo(values.dtype).tiny)
        alt = f"{title.capitalize()} over {name}: brightest in patch row {row + 1}, column {column + 1}."
        tiles.append(_tile(map_png(picture, values[i]), alt, f"{title},<br>at most {times:.1f} × the mean"))
    rows = "".join(
        f'<tr><td>{_words(label)}</td><td class="number">{share:.1%}</td>'
        f'<td class="bar"><span style="width:{100 * share:.1f}%"></span></td></tr>'
        for label, share in top
    )
    verdict = ""
    if truth is not None:
        verdict = "right" if truth == top[0][0] else f"wrong, it is: {truth}"
        verdict = f'<span class="verdict">{_words(verdict)}</span>'
    return (
        f'<article><h3>{_words(name)} {verdict}</h3><div class="tiles">{"".join(tiles)}'
        f'<table class="top">{rows}</table></div></article>'
    )


def _missing(found: Inspection, part: str) -> str:
    reason = found.missing.get(part, "there is nothing to show")
    return f'<p class="missing">Not shown: {escape(reason)}.</p>'


def _tile(picture: bytes, alt: str, caption: str) -> str:
    return (
        f'<figure class="tile"><img src="{_data_url(picture)}" alt="{_words(alt)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _figure(plate: Plate, alt: str) -> str:
    light, dark = (_data_url(plate.png(scheme, PAGE_DPI)) for scheme in (LIGHT, DARK))
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img class="plate" src="{light}" alt="{escape(alt)}" width="{96 * plate.width:.0f}" '
        f'height="{96 * plate.height:.0f}"></picture>'
    )


def _words(text: str) -> str:
    """Foreign words as HTML: what a page would obey is escaped, and what a reader would not see."""
    return escape(printable(text))


def _data_url(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"


STYLE = f"""
:root {{ color-scheme: light dark; --ink: {LIGHT.ink}; --faint: #5c5c5c; --ground: #f3f3f1; --card: {LIGHT.paper};
  --line: #d9d9d6; --bar: #0072b2; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: {DARK.ink}; --faint: #a8a8a8; --ground: #121314;
  --card: {DARK.paper}; --line: #34373a; --bar: #56b4e9; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; padding: 2rem 1rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }}
main {{ max-width: 62rem; margin: 0 auto; }}
h1 {{ margin: 0; font-size: 1.7rem; line-height: 1.25; overflow-wrap: anywhere; }}
h2 {{ margin: 0 0 .3rem; font-size: 1.2rem; }}
h3 {{ margin: 0 0 .6rem; font-size: 1rem; overflow-wrap: anywhere; }}
p {{ max-width: 46rem; margin: 0 0 .8rem; }}
.faint, .source, figcaption, .verdict {{ color: var(--faint); }}
.source, figcaption {{ font-size: .85rem; }}
.verdict {{ font-weight: normal; margin-left: .5rem; }}
section {{ margin-top: 1.5rem; padding: 1.2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }}
article {{ padding-top: 1.2rem; margin-top: 1.2rem; border-top: 1px solid var(--line); }}
img {{ display: block; max-width: 100%; height: auto; }}
.plate {{ margin-top: .8rem; }}
.tiles {{ display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }}
.tile {{ margin: 0; flex: 1 1 8.5rem; max-width: 11.5rem; }}
.tile img {{ width: 100%; border-radius: 4px; }}
figcaption {{ margin-top: .3rem; line-height: 1.35; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .15rem .8rem .15rem 0; text-align: left; font-weight: normal; }}
th {{ color: var(--faint); }}
.top {{ flex: 1 1 14rem; max-width: 22rem; }}
.number {{ text-align: right; }}
.bar {{ width: 50%; }}
.bar span {{ display: block; height: .7rem; min-width: 1px; border-radius: 2px; background: var(--bar); }}
details {{ margin-top: .8rem; }}
summary {{ cursor: pointer; }}
.missing {{ padding: .6rem .9rem; border-left: 3px solid var(--line); }}
a {{ color: var(--bar); }}
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}: looking inside</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="faint">{facts}</p>
<p>What this Vision Transformer has learned, looked at as in section 4.5 of
<a href="https://arxiv.org/abs/2010.11929">its paper</a>.</p>

<section>
<h2>What a patch is searched for</h2>
<p>A patch becomes a token by D filters. These are their principal components: the few patterns that the filters are
mixed from. Grey is zero; below each stands its share of the filters' variance. Components have no sign of their own:
the largest value is made positive. Trained on many images they look like plain waves and colour contrasts.</p>
<p class="source">§4.5, Fig. 7 left</p>
{filters}
</section>

<section>
<h2>What the positions know of each other</h2>
<p>Each small map belongs to the patch at its place in the grid, and shows how similar the embedding of its position is
to every other patch's. Nothing tells the model that patches lie in rows and columns: what is seen of them here, it
has learned.</p>
<p class="source">§4.5, Fig. 7 centre; D.4</p>
{positions}
</section>

<section>
<h2>How far each head looks</h2>
<p>The distance in pixels between a patch and the patches that it attends to, averaged with the attention as weights:
what a receptive field is to a convolution. Attention to and from the class token is left out.</p>
<p class="source">§4.5, Fig. 7 right; D.7</p>
{distances}
</section>

<section>
<h2>What the answer is drawn from</h2>
<p>Attention in the last layer shows what is gathered last, averaged over the heads. Rollout follows it back through all
layers, residual connections included, to the patches themselves. Dark is none, bright the most in its image.</p>
<p class="source">§4.5, Fig. 6; D.8; <a href="https://arxiv.org/abs/2005.00928">arXiv 2005.00928</a></p>
{images}
</section>
</main>
</body>
</html>
"""
