"""Functions and classes that have a new name: scripts that use the old one still run, and are told the new one."""

import importlib

import pytest

OLD_NAMES = [
    ("minivit.data", "PictureFiles", "ImageFiles"),
    ("minivit.data", "glimpse", "indices_to_show"),
    ("minivit.data", "picture_folder", "image_folder"),
    ("minivit.data.image_files", "Pictures", "Images"),
    ("minivit.data.image_files", "check_picture", "check_image"),
    ("minivit.data.image_files", "decode_picture", "decode_image"),
    ("minivit.data.image_files", "read_picture", "read_image"),
    ("minivit.data.image_files", "resize_picture", "resize_image"),
    ("minivit.data.manifest", "check_pictures", "check_images"),
    ("minivit.data.manifest", "roll_of", "manifest_of"),
    ("minivit.data.manifest", "write_roll", "write_manifest"),
    ("minivit.insight", "Pictures", "ShownImages"),
    ("minivit.models.configs", "MODEL_NAMES", "minivit.models.names.MODEL_NAMES"),
    ("minivit.models.configs", "SIZES", "minivit.models.names.SIZES"),
    ("minivit.models.configs", "build", "minivit.models.names.build"),
    ("minivit.models.configs", "create_model", "minivit.models.names.create_model"),
    ("minivit.models.configs", "model_config", "minivit.models.names.model_config"),
    ("minivit.models.positions", "PLACES", "minivit.models.configs.PLACES"),
    ("minivit.models.positions", "POSITIONS", "minivit.models.configs.POSITIONS"),
    ("minivit.training.logs", "learning_curve", "minivit.training.callbacks.curve.learning_curve"),
    ("minivit.training.loop", "evaluate_dataset", "minivit.training.evaluation.evaluate_dataset"),
    ("minivit.weights", "FORMAT", "minivit.weights.minivit.FORMAT"),
    ("minivit.weights", "weights_file", "minivit.weights.find.weights_file"),
    ("minivit.weights.google", "LAYOUTS", "minivit.weights.sources.SOURCES"),
    ("minivit.weights.sidecar", "Beside", "Sidecar"),
    ("minivit.weights.sidecar", "read_beside", "minivit.weights.sources.read_sidecar"),
]


@pytest.mark.parametrize(("module", "old", "new"), OLD_NAMES)
def test_an_old_name_is_the_same_object_and_says_the_new_one(module, old, new):
    found = importlib.import_module(module)
    place, _, name = new.rpartition(".")  # in another module, if it says which

    with pytest.warns(DeprecationWarning, match=f"{module}.{old} is now {new}: use that"):
        assert getattr(found, old) is getattr(importlib.import_module(place or module), name)


@pytest.mark.parametrize("module", sorted({module for module, _, _ in OLD_NAMES}))
def test_a_name_that_never_was_is_missing(module):
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = importlib.import_module(module).nothing
