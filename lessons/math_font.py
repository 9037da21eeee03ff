"""Make the fonts for formulas: the needed parts of STIX Two Math, as web fonts, for the book and for the explorer.

    python lessons/math_font.py STIXTwoMath-Regular.ttf

The font comes from https://github.com/stipub/stixfonts (also in the package `ziamath` of PyPI), under the SIL Open Font
License 1.1, which stays beside each (minivit-math.OFL.txt). Needs fonttools and brotli. The results have another name:
they are not the original.
"""

import html
import re
import sys
from pathlib import Path
from typing import Any

from fontTools import subset
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parents[1]
BOOK, EXPLORER = ROOT / "lessons" / "book" / "static", ROOT / "minivit" / "explore"
FILE = "minivit-math.woff2"
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
    """Write the fonts."""
    write_font(source, [*(code for a, b in RANGES for code in range(a, b + 1)), *map(ord, SIGNS)], BOOK / FILE)
    write_font(source, letters_of(EXPLORER / "page.html"), EXPLORER / FILE)


def letters_of(page: Path) -> list[int]:
    """Return the letters in the formulas of a page, and the italic ones that browsers put in their place."""
    formulas = " ".join(re.findall(r"<math.*?</math>", page.read_text(encoding="utf-8")))
    letters = {ord(letter) for letter in html.unescape(re.sub(r"<[^>]+>", " ", formulas))}
    capitals, small = range(ord("A"), ord("Z") + 1), range(ord("a"), ord("z") + 1)
    italic = {0x1D434 + code - capitals[0] for code in letters if code in capitals}
    italic |= {0x1D44E + code - small[0] if code != ord("h") else ord("ℎ") for code in letters if code in small}
    root = {ord("√")} if "<msqrt>" in formulas else set()
    return sorted(letters | italic | root)


def write_font(source: str, codes: list[int], out: Path) -> None:
    """Write a part of a font.

    Args:
        source: the file of the font.
        codes: the characters that the part has.
        out: the file of the part.
    """
    options = subset.Options(layout_features=FEATURES, hinting=False, flavor="woff2", name_IDs=[0, 1, 2, 4, 6, 13, 14])
    options.drop_tables += ["DSIG"]
    font = TTFont(source, recalcTimestamp=False)  # the same bytes each time
    maker = subset.Subsetter(options)
    maker.populate(unicodes=codes)
    maker.subset(font)
    table: Any = font["name"]
    for record in [record for record in table.names if record.nameID in (1, 4, 6)]:
        name = NAME.replace(" ", "") if record.nameID == 6 else NAME
        table.setName(name, record.nameID, record.platformID, record.platEncID, record.langID)
    subset.save_font(font, out, options)
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
