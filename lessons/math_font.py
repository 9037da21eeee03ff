"""Make the book's font for formulas: the needed part of STIX Two Math, as a web font.

    python lessons/math_font.py STIXTwoMath-Regular.ttf

The font comes from https://github.com/stipub/stixfonts (also in the package `ziamath` of PyPI), under the SIL Open Font
License 1.1, which stays beside it (book/static/minivit-math.OFL.txt). Needs fonttools and brotli. The result has
another name:
it is not the original.
"""

import sys
from pathlib import Path
from typing import Any

from fontTools import subset
from fontTools.ttLib import TTFont

OUT = Path(__file__).resolve().parent / "book" / "static" / "minivit-math.woff2"
NAME = "minivit Math"
FEATURES = ["ssty", "dtls", "flac", "ccmp", "mark", "mkmk"]  # what browsers use in formulas
RANGES = [
    (0x20, 0x7E),  # ASCII
    (0x1D400, 0x1D467),  # bold and italic letters
    (0x1D6E2, 0x1D71B),  # italic Greek
    (0x391, 0x3C9),  # Greek
]
SIGNS = "\u00a0±×÷·ˆˉ˙˜ϑϕϵ‖…′″⁡ℎℓℒℝℕ←→↔↦⇒∀∂∃∅∇∈∉∏∑−∓√∝∞∥∩∪∫∶∼≈≠≡≤≥≪≫⊂⊆⊙⊗⊕⊤⊥⋅⋮⋯⋱⌈⌉⌊⌋⟨⟩\u0302\u0303\u0304\u20d7"


def main(source: str) -> None:
    """Write the font."""
    options = subset.Options(layout_features=FEATURES, hinting=False, flavor="woff2", name_IDs=[0, 1, 2, 4, 6, 13, 14])
    options.drop_tables += ["DSIG"]
    font = TTFont(source, recalcTimestamp=False)  # the same bytes each time
    maker = subset.Subsetter(options)
    maker.populate(unicodes=[*(code for a, b in RANGES for code in range(a, b + 1)), *map(ord, SIGNS)])
    maker.subset(font)
    table: Any = font["name"]
    for record in [record for record in table.names if record.nameID in (1, 4, 6)]:
        name = NAME.replace(" ", "") if record.nameID == 6 else NAME
        table.setName(name, record.nameID, record.platformID, record.platEncID, record.langID)
    subset.save_font(font, OUT, options)
    print(f"{OUT}: {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
