"""Options in groups: each group is whole without the others, and all together are TrainConfig's."""

import inspect
from contextlib import nullcontext
from dataclasses import fields, replace

import pytest

from minivit.data import Loader, shapes
from minivit.errors import ConfigError, Notice
from minivit.models import create_model
from minivit.preprocessing import Preprocessing
from minivit.training import TrainConfig, batches, options, trainer
from minivit.training.batches import set_augmentation
from minivit.training.distributed.ranks import ALONE
from minivit.training.objectives import Classes, MaskedPatches
from minivit.training.optim import SGD
from minivit.training.options import (
    AugmentOptions,
    ComputeOptions,
    DataOptions,
    ModelOptions,
    ObjectiveOptions,
    OptimOptions,
    RecordOptions,
)
from minivit.weights import save_weights

from .conftest import tiny_dataset, tiny_model

GROUPS = [AugmentOptions, ComputeOptions, DataOptions, ModelOptions, ObjectiveOptions, OptimOptions, RecordOptions]


def test_every_option_but_the_seed_is_in_one_group():
    names = [field.name for group in GROUPS for field in fields(group)]

    assert len(names) == len(set(names))
    assert {*names, "seed"} == {field.name for field in fields(TrainConfig)}
    assert all(issubclass(TrainConfig, group) for group in GROUPS)


def test_the_defaults_are_the_groups():
    config = TrainConfig()
    for group in GROUPS:
        for field in fields(group):
            assert getattr(config, field.name) == field.default


@pytest.mark.parametrize(
    ("group", "bad"),
    [
        (AugmentOptions, {"erasing": 2.0}),
        (AugmentOptions, {"repeated_augmentation": 0}),
        (ComputeOptions, {"precision": "half"}),
        (DataOptions, {"train_images": 0}),
        (ModelOptions, {"dropout": 2.0}),
        (ObjectiveOptions, {"objective": "masked-patch", "freeze": True}),
        (OptimOptions, {"lr": -1.0}),
        (OptimOptions, {"batch_size": 1.5}),
        (OptimOptions, {"lr": 1e-3, "min_lr": 2e-3}),
        (OptimOptions, {"betas": "0.9"}),
        (OptimOptions, {"betas": "0.9,1.0"}),
        (OptimOptions, {"betas": "0.9,0.95", "optimizer": "sgd"}),
        (RecordOptions, {"log_every": 0}),
    ],
)
def test_a_group_checks_its_options_alone_and_in_the_whole(group, bad):
    for whole in (group, TrainConfig):
        with pytest.raises(ConfigError):
            whole(**bad)


def test_repeats_that_a_batch_cannot_hold_are_refused():
    assert TrainConfig(batch_size=4, grad_accum_steps=2, repeated_augmentation=8).repeated_augmentation == 8
    with pytest.raises(ConfigError, match="repeated-augmentation must be at most the batch of 8, not 9"):
        TrainConfig(batch_size=4, grad_accum_steps=2, repeated_augmentation=9)


@pytest.mark.parametrize("changes", [{"augment": "standard"}, {"erasing": 0.5}, {"mixup": 0.2}])
def test_repeated_images_must_be_changed_by_something(changes):
    loader = Loader(shapes("train", 20), 4, seed=0)
    arguments = ("shapes", 20.0, (32, 32), Preprocessing())

    with pytest.raises(ConfigError, match=r"repeated-augmentation 3 would repeat images that nothing changes: give"):
        set_augmentation(loader, AugmentOptions(repeated_augmentation=3), *arguments)
    set_augmentation(loader, AugmentOptions(repeated_augmentation=3, **changes), *arguments)
    assert loader.repeats == 3


def test_the_shape_of_the_named_model_can_be_changed():
    options = ModelOptions(patch_size=8, dim=96, depth=2, heads=3)
    model = trainer.build_model(options, shapes("train", 20), seed=0)

    assert model.config.grid == (4, 4)
    assert len(model.blocks) == 2
    assert model.blocks[0].mlp.fc1.weight.shape == (96, 192)  # as in the named model, twice as wide as a token
    assert ModelOptions(mlp_ratio=4.0).model_changes == {"mlp_dim": 256}


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"dim": 100, "heads": 3}, "heads must divide dim = 100"),
        ({"dim": 10, "heads": 1, "positions": "sincos2d"}, "multiple of 4"),
        ({"depth": 0}, "depth must be an integer, 1 or more"),
        ({"mlp_ratio": 0.0}, "mlp-ratio must be above 0"),
        ({"patch_size": 5, "image_size": 32}, "patches of 4 or 8"),
        ({"model": "BiT-R14-CIFAR", "mlp_ratio": 2.0}, "mlp_dim is for Vision Transformers"),
        ({"weights": "some.npz", "dim": 96}, "dim must be left out"),
        ({"model": "ViT-XS_4-CIFR", "dim": 96}, "unknown model"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_before_anything_is_read(bad, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ModelOptions(**bad)


def test_a_patch_size_is_compared_with_the_image_size_of_the_data():
    ModelOptions(model="ViT-Ti_16", patch_size=5)  # 224 pixels are not divided by 5; those of the data may be
    ModelOptions(model="R+ViT-XS_4-CIFAR", patch_size=2)
    with pytest.raises(ConfigError, match="patches of 4 or 8"):
        trainer.build_model(ModelOptions(patch_size=5), shapes("train", 20), seed=0)


def test_no_part_of_a_run_takes_all_options():
    """Only what builds the whole run does."""
    names = {*(group.__name__ for group in GROUPS)}
    takes_all = set()
    for module in (trainer, batches):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                kinds = {str(parameter.annotation) for parameter in inspect.signature(function).parameters.values()}
                takes_all |= {name} if "TrainConfig" in kinds else set()
                assert len(kinds & names) <= 1, name
    assert takes_all == {"train", "opened_run", "build_run"}


def test_each_part_is_built_from_its_group():
    images = shapes("train", 20)
    model = trainer.build_model(ModelOptions(image_size=16), images, seed=0)
    assert model.config.image_size == 16

    optimizer = trainer.build_optimizer(OptimOptions(optimizer="sgd", lr=0.5, layer_decay=0.5), model, depth=4)
    assert isinstance(optimizer, SGD) and optimizer.lr == 0.5
    assert optimizer.scales["head.weight"] == 1.0 and optimizer.scales["blocks.3.mlp.fc1.weight"] == 0.5

    schedule = trainer.build_schedule(OptimOptions(lr=0.5, warmup_steps=2), total_steps=10)
    assert [schedule(step) for step in (0, 1)] == [0.25, 0.5]

    objective = trainer.build_objective(ObjectiveOptions(label_smoothing=0.3), model, "title", seed=0, device="cpu")
    assert isinstance(objective, Classes) and objective.smoothing == 0.3
    masked = trainer.build_objective(ObjectiveOptions(objective="masked-patch"), model, "title", 0, "cpu")
    assert isinstance(masked, MaskedPatches)

    assert trainer.build_workers(ComputeOptions(num_threads=3), "cpu", ALONE).count == 3
    every = trainer.build_patch_dropout(ModelOptions(), model, total_steps=10)
    assert trainer.microbatch_rule(ComputeOptions(microbatch=5), model, every, 64, 0, ALONE)(64, 0) == 5
    assert trainer.microbatch_rule(ComputeOptions(), model, every, 64, 32, ALONE)(64, 0) == 32


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "ViT-XS_4-CIFAR"),
        ({"dim": 96, "heads": 3}, "ViT-XS_4-CIFAR with dim 96, heads 3"),
        ({"patch_size": 8, "depth": 2, "mlp_ratio": 2.0}, "ViT-XS_4-CIFAR with patch-size 8, depth 2, mlp-ratio 2"),
        ({"pool": "avg", "positions": "sincos2d"}, "ViT-XS_4-CIFAR"),
        ({"weights": "runs/photos/best.npz", "heads": 3}, "photos"),
    ],
)
def test_a_run_is_called_by_its_model_and_what_changes_its_size(changes, title):
    assert TrainConfig(**changes).title == title


def test_micro_batches_are_larger_while_patches_are_left_out():
    model = create_model("ViT-Ti_4-CIFAR", num_classes=10)
    shares = (0.0, 0.1, 0.5, 0.9)  # by step
    rule = trainer.microbatch_rule(ComputeOptions(), model, shares.__getitem__, 128, 0, ALONE)
    assert [rule(128, step) for step in range(4)] == [16, 16, 32, 32]
    assert (
        trainer.microbatch_rule(ComputeOptions(microbatch=16), model, shares.__getitem__, 128, 0, ALONE)(128, 2) == 16
    )


def test_checkpointed_blocks_are_for_vision_transformers():
    model = create_model("ViT-XS_4-CIFAR", num_classes=10)
    trainer.set_grad_checkpointing(model, ModelOptions(grad_checkpointing=True))
    assert model.checkpoint_blocks
    with pytest.raises(ConfigError, match="for Vision Transformers, not a title"):
        trainer.set_grad_checkpointing(None, options.ModelOptions(weights="a title", grad_checkpointing=True))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"patch_dropout": 1.0}, "patch-dropout must be at least 0 and below 1"),
        ({"patch_dropout_until": 1.5}, "patch-dropout-until must be a share from 0 to 1"),
        ({"mix_until": -0.1}, "mix-until must be a share from 0 to 1"),
        (
            {"patch_dropout": 0.5, "objective": "masked-patch"},
            "patch_dropout must be left out where patches are masked",
        ),
    ],
    ids=str,
)
def test_a_share_that_means_nothing_is_refused(changes, told):
    with pytest.raises(ConfigError, match=told.replace("_", "-")):
        TrainConfig(**changes)


@pytest.mark.parametrize("changes", [{"positions": "relative"}, {"positions_at": "every"}, {"positions_at": "shared"}])
def test_a_model_whose_blocks_add_positions_needs_all_patches(changes):
    model = tiny_model(**changes)
    with pytest.raises(ConfigError, match="needs position embeddings that are added once"):
        trainer.check_patch_dropout(model, TrainConfig(patch_dropout=0.5))
    trainer.check_patch_dropout(model, TrainConfig())


@pytest.mark.parametrize(("size", "share", "told"), [(8, 0.9, True), (16, 0.1, True), (16, 0.2, False)])
def test_a_share_that_leaves_out_nothing_is_said(size, share, told):
    model = tiny_model(image_size=size, patch_size=8)
    line = f"patch-dropout {share} leaves out no patch: the model has {size // 8} x {size // 8}"
    with pytest.warns(Notice, match=line) if told else nullcontext():
        trainer.check_patch_dropout(model, TrainConfig(patch_dropout=share))


def test_a_residual_network_has_no_patches_to_leave_out():
    config = TrainConfig(model="BiT-R14-CIFAR", patch_dropout=0.5)
    with pytest.raises(ConfigError, match="patch-dropout is for Vision Transformers, not BiT-R14-CIFAR"):
        trainer.check_patch_dropout(create_model("BiT-R14-CIFAR"), config)


@pytest.mark.parametrize(("norm", "expected"), [(None, False), ("none", False), ("layer", True)])
def test_queries_and_keys_are_normalised_if_asked_to(norm, expected):
    model = trainer.build_model(ModelOptions(qk_norm=norm), shapes("train", 10), seed=0)
    plain = trainer.build_model(ModelOptions(), shapes("train", 10), seed=0)
    assert model.config == replace(plain.config, qk_norm=expected)


def test_a_norm_of_queries_and_keys_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="qk-norm must be one of none, layer, not 'rms'"):
        TrainConfig(qk_norm="rms")
    with pytest.raises(ConfigError, match="qk-norm must be left out, not 'layer': the starting weights settle"):
        TrainConfig(weights="a.npz", qk_norm="layer")


@pytest.mark.parametrize(("given", "steps"), [({"epochs": 2.0}, 20), ({"epochs": 0.01}, 1), ({"steps": 7}, 7)])
def test_the_length_of_a_run(given, steps):
    assert OptimOptions(**given).total_steps(steps_per_epoch=10) == steps


@pytest.mark.parametrize(("given", "steps"), [({}, 5), ({"warmup": 0.0}, 0), ({"warmup_steps": 500}, 100)])
def test_the_length_of_the_warm_up(given, steps):
    assert OptimOptions(**given).steps_of_warmup(total_steps=100) == steps


def test_the_rate_ends_at_the_least_one_and_the_optimiser_gets_the_betas():
    network = create_model("ViT-XS_4-CIFAR", num_classes=2)
    group = OptimOptions(lr=1e-3, min_lr=1e-4, warmup=0.0, betas="0.8,0.95")

    schedule = trainer.build_schedule(group, 10)
    assert (schedule(0), schedule(10)) == (1e-3, 1e-4)
    assert trainer.build_optimizer(group, network, 6).betas == (0.8, 0.95)
    assert trainer.build_optimizer(OptimOptions(), network, 6).betas == (0.9, 0.999)


@pytest.mark.parametrize(
    ("name", "value"),
    [("gelu", "erf"), ("eps", 1e-5), ("grid", "2,2"), ("mean", "0.5"), ("std", "0.5"), ("resize", "48"),
     ("crop", "0.9"), ("interpolation", "bicubic")],
)  # fmt: skip
def test_an_option_about_reading_weights_is_refused_without_them(name, value):
    TrainConfig(weights="w.npz", **{name: value}).check_effect()
    config = TrainConfig(**{name: value})
    for model in (None, tiny_model()):
        with pytest.raises(ConfigError, match=f"{name} must be left out, not .*: it says how starting weights are rea"):
            trainer.Trainer(model, tiny_dataset(9, 0), config=config, show=False).fit()


@pytest.mark.parametrize(("name", "value"), [("positions", "sincos2d"), ("positions_at", "every")])
def test_positions_are_refused_with_weights_which_have_theirs(name, value, tmp_path):
    TrainConfig(**{name: value}).check_effect()
    with pytest.raises(ConfigError, match=r"must be left out, not .*: the starting weights have theirs"):
        trainer.train(TrainConfig(weights="w.npz", **{name: value}), tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


def test_without_right_and_wrong_answers_the_best_is_that_of_the_least_loss():
    assert TrainConfig(objective="masked-patch", target="pixels").monitor == "loss"
    assert TrainConfig(objective="masked-patch", target="4x4").monitor == "accuracy"
    assert TrainConfig(target="pixels").monitor == "accuracy"


def test_rates_that_starting_weights_keep_are_said(tmp_path):
    save_weights(tiny_model(dropout=0.5, stochastic_depth=0.25), tmp_path / "w.npz")
    options = ModelOptions(weights=str(tmp_path / "w.npz"), dropout=0.1)
    with pytest.warns(Notice) as said:
        model = trainer.build_model(options, tiny_dataset(6, 0), seed=0)
    assert "w.npz has stochastic depth 0.25 and keeps it" in [str(one.message) for one in said]
    assert not any("has dropout" in str(one.message) for one in said)
    assert (model.config.dropout, model.config.stochastic_depth) == (0.1, 0.25)


def test_a_teacher_has_the_classes_of_the_data_in_their_order(tmp_path):
    teacher = tiny_model()
    teacher.head.weight.data = teacher.head.weight.data + 1
    for name, classes in (("same", "abc"), ("other", "acb"), ("aliases", "axc"), ("numbers", "012")):
        teacher.header = {"classes": list(classes)}
        save_weights(teacher, tmp_path / f"{name}.npz")
    for name in ("same", "numbers"):
        assert trainer.load_teacher(str(tmp_path / f"{name}.npz"), ("a", "b", "c")).config == teacher.config
    with pytest.raises(ConfigError, match="the teacher's class 1 is 'c', and that of the data 'b'"):
        trainer.load_teacher(str(tmp_path / "other.npz"), ("a", "b", "c"))
    with pytest.warns(Notice, match="the teacher's class 'x' is taken to be 'b' of the data, by its number"):
        trainer.load_teacher(str(tmp_path / "aliases.npz"), ("a", "b", "c"))
    save_weights(tiny_model(), tmp_path / "new.npz")
    with pytest.raises(ConfigError, match=r"new\.npz knows no class: its head is all zeros"):
        trainer.load_teacher(str(tmp_path / "new.npz"), ("a", "b", "c"))
