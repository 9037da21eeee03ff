"""The files of an inspection: a page of HTML, its figures, and the numbers as JSON.

The page contains its images and loads nothing from the network. It has a light and a dark scheme.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

import numpy as np

from ..utils.figures import DARK, LIGHT, LONGEST_CLASS, Canvas, Scheme, figure_bytes, figure_style, new_figure
from ..utils.files import atomic_file, write_text
from ..utils.text import printable
from .figures import (
    attention_name,
    draw_distances,
    draw_filters,
    draw_images,
    draw_positions,
    map_png,
    prediction_title,
)
from .inspection import Inspection

OVERVIEW_TITLES = {
    "filters": "principal components of the patch embedding's filters",
    "positions": "cosine similarity of position embeddings",
    "attention-distance": "mean attention distance of each head",
}
FILE_DPI, OVERVIEW_DPI, PAGE_DPI = 110, 80, 144  # dots per inch; the page may be zoomed
SHEET_IMAGES = 10  # the first images, which the figure `images` shows; the page shows all


@dataclass(frozen=True)
class Plate:
    """A figure that can be drawn in either colour scheme.

    Attributes:
        width, height: in inches.
        draw: the function that fills the figure: `draw(canvas, scheme=...)`.
    """

    width: float
    height: float
    draw: Callable[..., None]

    @figure_style()
    def as_bytes(self, format: str = "png", scheme: Scheme = LIGHT, dpi: int = FILE_DPI) -> bytes:
        """Return the figure as the bytes of a PNG, SVG or PDF file."""
        figure = new_figure(self.width, self.height, scheme)
        self.draw(figure, scheme=scheme)
        return figure_bytes(figure, format, dpi)


def write_inspection(
    found: Inspection, folder: str | Path, title: str, formats: Sequence[str] = ("png",)
) -> list[Path]:
    """Write `inspect.html`, `inspect.json` and the files of each figure into a folder, and return their paths.

    Args:
        found: what was found.
        folder: where to write; it is made if it is missing.
        title: above the page.
        formats: of the figures' files: "png", "svg", "pdf" or several.

    Raises:
        SaveError: if a file cannot be written.
    """
    folder = Path(folder)
    numbers, page = folder / "inspect.json", folder / "inspect.html"
    write_text(numbers, json.dumps(found.numbers(), ensure_ascii=False) + "\n")
    write_text(page, inspect_page(found, title))
    written = [page, numbers]
    for name, plate in {**plates(found), "overview": _overview(found)}.items():
        for format in formats:
            path = folder / f"{name}.{format}"
            with atomic_file(path) as file:
                file.write(plate.as_bytes(format, dpi=OVERVIEW_DPI if name == "overview" else FILE_DPI))
            written.append(path)
    return written


def plates(found: Inspection) -> dict[str, Plate]:
    """Return the figures of an inspection by name: `filters`, `positions`, `attention-distance`, `images`."""
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
    titles = [_title(found, i) for i in range(shown)]
    pixels, patch = found.images.pixels[:shown], found.config.patch_pixels
    draw = partial(draw_images, pixels=pixels, maps=maps, titles=titles, patch=patch)
    made["images"] = Plate(max(4.0, 1.25 * shown), 0.8 + 1.3 * (1 + len(maps)), draw)
    return made


def _title(found: Inspection, i: int) -> str:
    """Return what is written above an image: the model's answer, or the image's name if the model has no head."""
    top = found.top_classes(i, 1)
    if not top:
        return printable(found.images.names[i], LONGEST_CLASS)
    return prediction_title(*top[0], found.truth(i) if found.is_wrong(i) else None)


def _overview(found: Inspection) -> Plate:
    """Return all figures in one: filters, positions and distances side by side, the images below."""
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
    """Return the maps of the images by name."""
    maps = {attention_name(found.config): found.attention, "rollout": found.rollout}
    return {name: values for name, values in maps.items() if values is not None}


# -- the page ------------------------------------------------------------------------------------


def inspect_page(found: Inspection, title: str) -> str:
    """Return a self-contained page of HTML: filters, positions, attention distances, and each image with its maps.

    Every figure is part of the page and has a text alternative.
    """
    made = plates(found)
    made.pop("images")
    config = found.config
    height, width, _ = config.image_shape
    head = f"{config.num_classes} classes" if config.num_classes else "no head"
    facts = (
        f"{width} × {height} pixels, {config.num_patches} patches of {config.patch_size} × {config.patch_size}, "
        f"{config.depth} layers with {config.heads} heads, D = {config.dim}, {head}"
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
        f"{len(explained)} small colour images, the principal components of the patch embedding's filters; the first "
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
        f"heads range from {found.distances.min():.1f} to {found.distances.max():.1f}."
    )
    rows = "".join(
        f"<tr><td>{layer}</td><td>{row.min():.1f}</td><td>{row.mean():.1f}</td><td>{row.max():.1f}</td></tr>"
        for layer, row in enumerate(found.distances, 1)
    )
    images = "1 image" if found.distance_images == 1 else f"{found.distance_images} images"
    return (
        f"<p>Measured on {images}. Uniform attention to all patches would give {found.uniform_distance:.1f} pixels.</p>"
        f"{_figure(plate, alt)}<details><summary>The numbers (pixels)</summary><table>"
        f"<tr><th>layer</th><th>nearest head</th><th>mean</th><th>farthest head</th></tr>{rows}</table></details>"
    )


def _images_section(found: Inspection) -> str:
    missing = "" if _maps(found) else _missing(found, "maps")
    missing += _missing(found, "probabilities") if "probabilities" in found.missing else ""
    return missing + "".join(_card(found, i) for i in range(len(found.images)))


def _card(found: Inspection, i: int) -> str:
    image, name = found.images.pixels[i], found.images.names[i]
    top, truth = found.top_classes(i), found.truth(i)
    tiles = [_tile(map_png(image), f"The image: {name}.", "image")]
    for title, values in _maps(found).items():
        row, column = np.unravel_index(values[i].argmax(), values[i].shape)
        times = values[i].max() / max(values[i].mean(), np.finfo(values.dtype).tiny)
        alt = f"{title.capitalize()} over {name}: largest in patch row {row + 1}, column {column + 1}."
        tile = map_png(image, values[i], patch=found.config.patch_pixels)
        tiles.append(_tile(tile, alt, f"{title},<br>largest value {times:.1f} × the mean"))
    rows = "".join(
        f'<tr><td>{_words(label)}</td><td class="number">{share:.1%}</td>'
        f'<td class="bar"><span style="width:{100 * share:.1f}%"></span></td></tr>'
        for label, share in top
    )
    table = f'<table class="top">{rows}</table>' if top else ""
    verdict = ""
    if top and truth is not None:
        verdict = f"wrong, right class: {truth}" if found.is_wrong(i) else "right"
        verdict = f'<span class="verdict">{_words(verdict)}</span>'
    return f'<article><h3>{_words(name)} {verdict}</h3><div class="tiles">{"".join(tiles)}{table}</div></article>'


def _missing(found: Inspection, part: str) -> str:
    reason = found.missing.get(part, "there is nothing to show")
    return f'<p class="missing">Not shown: {escape(reason)}.</p>'


def _tile(picture: bytes, alt: str, caption: str) -> str:
    return (
        f'<figure class="tile"><img src="{_data_url(picture)}" alt="{_words(alt)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _figure(plate: Plate, alt: str) -> str:
    light, dark = (_data_url(plate.as_bytes("png", scheme, PAGE_DPI)) for scheme in (LIGHT, DARK))
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img class="plate" src="{light}" alt="{escape(alt)}" width="{96 * plate.width:.0f}" '
        f'height="{96 * plate.height:.0f}"></picture>'
    )


def _words(text: str) -> str:
    """Return foreign text as HTML, with tags and invisible characters escaped."""
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
.tile img {{ width: 100%; border-radius: 4px; image-rendering: pixelated; }}
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
<title>{title}: inspection</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="faint">{facts}</p>
<p>This page shows what the Vision Transformer has learned, as in section 4.5 of
<a href="https://arxiv.org/abs/2010.11929">its paper</a>.</p>

<section>
<h2>Patch embedding: principal components of its filters</h2>
<p>The patch embedding applies D filters to each patch. These are the principal components of the filters: each filter
is the mean filter plus a weighted sum of components. Grey is zero. The number below a component is its share of the
filters' variance. The sign of a component is arbitrary; its largest value is shown as positive. After training on many
images, the components look like waves and colour contrasts.</p>
<p class="source">§4.5, Fig. 7 left</p>
{filters}
</section>

<section>
<h2>Position embeddings: cosine similarity</h2>
<p>Each small map belongs to the patch at the same place in the grid. It shows the similarity of this patch's position
embedding to the embeddings of all patches. The model is not told that patches form rows and columns: any such
structure in the maps is learned.</p>
<p class="source">§4.5, Fig. 7 centre; D.4</p>
{positions}
</section>

<section>
<h2>Mean attention distance of each head</h2>
<p>The distance in pixels between a patch and the patches that it attends to, averaged with the attention weights. It
corresponds to the receptive field of a convolution. Attention to and from the class token is left out.</p>
<p class="source">§4.5, Fig. 7 right; D.7</p>
{distances}
</section>

<section>
<h2>Predictions and attention maps</h2>
<p>The first map is the attention of the last layer, averaged over the heads. Rollout combines the attention of all
layers, residual connections included, into the share of each patch in the output. Each map is a spotlight on the
image: a patch keeps its colours at the largest value of the map, is faded to grey at zero, and is between the two in
proportion.</p>
<p class="source">§4.5, Fig. 6; D.8; <a href="https://arxiv.org/abs/2005.00928">arXiv 2005.00928</a></p>
{images}
</section>
</main>
</body>
</html>
"""
