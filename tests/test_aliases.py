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
    ("minivit.training.logs", "learning_curve", "minivit.training.callbacks.curve.learning_curve"),
    ("minivit.training.loop", "evaluate_dataset", "minivit.training.evaluation.evaluate_dataset"),
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
