"""With pillow-heif or without it."""

import pytest

from minivit.data import folder
from minivit.images import decoding, kinds


@pytest.fixture
def without_heic(monkeypatch):
    """As if pillow-heif was not installed."""
    for module in (folder, decoding, kinds):
        monkeypatch.setattr(module, "heic_is_readable", lambda: False)
    decoding._installed_formats.cache_clear()
    yield
    decoding._installed_formats.cache_clear()
