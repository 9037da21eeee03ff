"""Old names of functions, classes and arguments: scripts that use them still run, and are told the new ones."""

import importlib

import numpy as np
import pytest

import minivit
from minivit.insight import ShownImages, inspect_model
from minivit.utils.aliases import old_arguments

OLD_NAMES = [
    ("minivit.backend.arrays", "matmul", "minivit.backend.products.matmul"),
    ("minivit.backend.arrays", "vecdot", "minivit.backend.products.vecdot"),
    ("minivit.backend.arrays", "wide", "minivit.backend.precision.wide"),
    ("minivit.data", "PictureFiles", "ImageFiles"),
    ("minivit.data", "glimpse", "indices_to_show"),
    ("minivit.data", "picture_folder", "image_folder"),
    ("minivit.data.dataset", "PictureFiles", "ImageFiles"),
    ("minivit.data.dataset", "glimpse", "indices_to_show"),
    ("minivit.data.folder", "picture_folder", "image_folder"),
    ("minivit.images.decoding", "Pictures", "Images"),
    ("minivit.images.decoding", "check_picture", "check_image"),
    ("minivit.images.decoding", "decode_picture", "decode_image"),
    ("minivit.images.decoding", "read_picture", "read_image"),
    ("minivit.images.decoding", "resize_picture", "resize_image"),
    ("minivit.data.manifest", "Roll", "Manifest"),
    ("minivit.data.manifest", "check_pictures", "check_images"),
    ("minivit.data.manifest", "roll_of", "manifest_of"),
    ("minivit.data.manifest", "write_roll", "write_manifest"),
    ("minivit.engine.ops", "shapes_wanted", "shapes_needing_grad"),
    ("minivit.engine.tensor", "wants_grad", "needs_grad"),
    ("minivit.insight", "Pictures", "ShownImages"),
    ("minivit.insight.figures", "picture_title", "prediction_title"),
    ("minivit.insight.inspection", "Pictures", "ShownImages"),
    ("minivit.models.configs", "MODEL_NAMES", "minivit.models.names.MODEL_NAMES"),
    ("minivit.models.configs", "RESNETS", "minivit.models.names.RESNETS"),
    ("minivit.models.configs", "SIZES", "minivit.models.names.SIZES"),
    ("minivit.models.configs", "build", "minivit.models.names.build"),
    ("minivit.models.configs", "create_model", "minivit.models.names.create_model"),
    ("minivit.models.configs", "model_config", "minivit.models.names.model_config"),
    ("minivit.models.positions", "PLACES", "minivit.models.configs.PLACES"),
    ("minivit.models.positions", "POSITIONS", "minivit.models.configs.POSITIONS"),
    ("minivit.training.distributed.parallel", "shared_pieces", "micro_batches_of_rank"),
    ("minivit.training.distributed.ranks", "Cards", "JoinedGPUs"),
    ("minivit.training.distributed.ranks", "check_number", "checksum"),
    ("minivit.training.distributed.ranks", "fingerprint", "checksum"),
    ("minivit.training.logs", "learning_curve", "minivit.training.callbacks.curve.learning_curve"),
    ("minivit.training.logs", "require_tensorboard", "minivit.training.callbacks.tensorboard.require_tensorboard"),
    ("minivit.training.loop", "Window", "minivit.training.run.Window"),
    ("minivit.training.loop", "balanced_sample", "minivit.training.batches.balanced_sample"),
    ("minivit.training.loop", "evaluate_dataset", "minivit.training.evaluation.evaluate_dataset"),
    ("minivit.training.loop", "measure_dataset", "minivit.training.evaluation.evaluate_objective"),
    ("minivit.training.loop", "train", "minivit.training.trainer.train"),
    ("minivit.weights", "Channels", "minivit.weights.scaling.Channels"),
    ("minivit.weights", "FORMAT", "minivit.weights.sources.minivit.FORMAT"),
    ("minivit.weights", "Size", "minivit.weights.adapt.Size"),
    ("minivit.weights", "weights_file", "minivit.weights.find.weights_file"),
    ("minivit.weights.sources.google", "LAYOUTS", "minivit.weights.sources.registry.SOURCES"),
    ("minivit.weights.sources.sidecar", "Beside", "Sidecar"),
    ("minivit.weights.sources.sidecar", "read_beside", "minivit.weights.sources.registry.read_sidecar"),
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


def test_an_argument_is_taken_under_its_old_name_and_the_new_one_is_said(tmp_path):
    model = minivit.create_model("ViT-XS_4-CIFAR", num_classes=3, seed=None)
    minivit.save_weights(model, tmp_path / "model.npz")

    with pytest.warns(DeprecationWarning, match="the argument path of load_model is now weights"):
        loaded = minivit.load_model(path=tmp_path / "model.npz")

    assert loaded.config == model.config


def test_an_argument_under_both_names_is_refused():
    @old_arguments(old="new")
    def function(new):
        return new

    with pytest.raises(TypeError, match="old"):
        function(old=1, new=2)


def test_the_images_of_an_inspection_are_found_under_their_old_name():
    model = minivit.create_model("ViT-XS_4-CIFAR", num_classes=3, depth=1)
    images = ShownImages(np.zeros((1, 32, 32, 3), np.uint8), ["a"], ("x", "y", "z"))

    with pytest.warns(DeprecationWarning, match="the argument pictures of inspect_model is now images"):
        found = inspect_model(model, pictures=images, measured_on=images.pixels)

    with pytest.warns(DeprecationWarning, match=r"Inspection\.pictures is now images"):
        assert found.pictures is images


@pytest.mark.slow
def test_a_run_takes_its_own_steps_as_it_did(tmp_path):
    """The cell of a lesson's notebook that was begun before steps had a function of their own."""
    from minivit.backend.workers import Workers
    from minivit.training import TrainConfig

    with pytest.warns(DeprecationWarning, match="Run is now"):
        from minivit.training.loop import Run
    run = Run(TrainConfig(batch_size=4, steps=10, microbatch=4), tmp_path / "run", resume=False, show=False)
    batch = next(run.loader.batches(0, run.total_steps))
    weight = run.model.blocks[0].mlp.fc1.weight
    before = weight.data.copy()

    with Workers(1) as workers:
        run.train_step(batch, workers)
    run.close()

    assert run.step == 1
    assert np.abs(weight.data - before).max() > 0
