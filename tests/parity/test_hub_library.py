"""The real `huggingface_hub`, offline: a model in its cache loads, and any other is one sentence."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.numpy import save_file

from minivit.errors import DownloadError, MinivitError
from minivit.weights import hub
from tests.weights.files import timm_arrays

pytestmark = pytest.mark.parity
library = pytest.importorskip("huggingface_hub")
errors = pytest.importorskip("huggingface_hub.errors")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path):
    """The library's cache with one model, as it lays it out: blobs, snapshots by commit, and branches."""
    model = tmp_path / "models--timm--tiny"
    snapshot = model / "snapshots" / COMMIT
    for folder in (snapshot, model / "blobs", model / "refs"):
        folder.mkdir(parents=True)
    save_file(timm_arrays(), model / "blobs" / "abc")
    (snapshot / "model.safetensors").symlink_to("../../blobs/abc")
    (model / "refs" / "main").write_text(COMMIT)
    return tmp_path


def offline(cache, code):
    """What a process prints that works offline with this cache."""
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["hf-hub:timm/tiny", "hf-hub:timm/tiny@main", f"hf-hub:timm/tiny@{COMMIT}"])
def test_a_model_in_the_cache_loads_offline(cache, name):
    code = f"import minivit; print(minivit.load_model({name!r}, heads=2).config.dim)"
    assert offline(cache, code) == "8"


def test_a_model_that_is_not_in_the_cache_is_one_sentence(cache):
    code = (
        "import json, minivit\n"
        "try: minivit.load_model('hf-hub:timm/other')\n"
        "except minivit.MinivitError as error: print(json.dumps([type(error).__name__, str(error)]))"
    )
    kind, sentence = json.loads(offline(cache, code))
    assert kind == DownloadError.__name__
    assert sentence.startswith(
        "hf-hub:timm/other is not in the cache of huggingface_hub, and the Hub cannot be reached"
    )


@pytest.mark.parametrize("problem", ["GatedRepoError", "RepositoryNotFoundError", "RevisionNotFoundError"])
def test_the_libraries_errors_are_sentences(monkeypatch, problem):
    kind = getattr(errors, problem)

    def refuse(*names, **options):
        raise kind.__new__(kind)  # its constructor takes a server's answer

    monkeypatch.setattr(library, "snapshot_download", refuse)
    with pytest.raises(MinivitError, match="a/b"):
        hub.hub_folder("hf-hub:a/b")
