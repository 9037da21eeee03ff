"""The glossary's promises: the objects that it names exist, and each word is explained once."""

import pkgutil
import re
from pathlib import Path

import pytest

GLOSSARY = (Path(__file__).parents[1] / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split("|") for line in GLOSSARY.splitlines() if line.startswith("| **")]
WORDS = [word for row in ROWS for word in re.findall(r"\*\*([^*]+)\*\*", row[0])]

# Words without which the source cannot be read.
NEEDED = {
    "batch", "checkpoint", "class token", "computational graph", "cotangent", "embedding", "learning rate", "logits",
    "micro-batch", "notice", "patch", "position embedding", "rank", "residual stream", "run", "shard", "tape",
    "teacher logits", "throughput", "token", "vector-Jacobian product",
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_a_word_has_a_meaning_and_objects_that_exist(row):
    _, meaning, _, source = row

    assert meaning.strip()
    names = re.findall(r"`([^`]+)`", source)
    assert names
    for name in names:
        assert name.startswith("minivit.")
        pkgutil.resolve_name(name)  # raises an error if there is no such object


def test_every_word_is_explained_once():
    assert len(set(WORDS)) == len(WORDS)


def test_the_words_of_the_source_are_explained():
    assert set(WORDS) >= NEEDED
