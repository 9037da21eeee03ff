"""Names that timm, Hugging Face, fastai, Keras, Lightning and torchvision use, and minivit's for the same thing.

`text.did_you_mean` looks here before it compares spellings, so that every unknown option, keyword or value gets the
same answer: on the command line, in `TrainConfig` and in recipes.
"""

from __future__ import annotations

# the name elsewhere, without hyphens and underscores -> minivit's names; those count that are known where it is used
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    elsewhere: tuple(ours.split())
    for ours, others in {
        "lr": "learning_rate base_lr max_lr lr_max lr0",
        "min_lr": "eta_min end_lr lr_min",
        "weight_decay": "wd decay_rate l2_reg",
        "batch_size": "b bs train_batch_size per_device_train_batch_size per_gpu_batch_size",
        "epochs": "n_epoch n_epochs nb_epochs num_epochs max_epochs num_train_epochs",
        "steps": "max_steps num_steps iterations max_iters",
        "grad_accum_steps": "gradient_accumulation_steps accumulate_grad_batches accum_iter",
        "clip_grad": "gradient_clip_val max_grad_norm clip_norm clipnorm grad_clip",
        "grad_checkpointing": "gradient_checkpointing use_checkpoint",
        "optimizer": "opt optim",
        "lr_schedule": "sched scheduler lr_scheduler lr_scheduler_type",
        "warmup": "warmup_ratio warmup_epochs pct_start",
        "betas": "opt_betas adam_beta1 adam_beta2 beta1 beta2",
        "layer_decay": "llrd layerwise_lr_decay",
        "ema_decay": "model_ema model_ema_decay use_ema",
        "label_smoothing": "smoothing_factor label_smoothing_factor",
        "dropout": "drop drop_rate p_dropout hidden_dropout_prob",
        "stochastic_depth": "drop_path drop_path_rate",
        "mixup": "mixup_alpha",
        "cutmix": "cutmix_alpha",
        "mix_until": "mixup_off_epoch",
        "erasing": "reprob random_erasing",
        "auto_augment": "aa trivialaugment",
        "repeated_augmentation": "aug_repeats repeated_aug",
        "color_jitter": "jitter",
        "flip": "tta test_time_augmentation",
        "image_size": "img_size input_size imgsz",
        "patch_size": "patch",
        "dim": "embed_dim hidden_size hidden_dim",
        "depth": "layers num_layers num_hidden_layers n_layers",
        "heads": "num_heads num_attention_heads n_heads",
        "pool": "global_pool pooling",
        "model weights": "arch model",
        "weights": "pretrained checkpoint ckpt model_path resume_from",
        "dataset": "data data_path dataset_name train_dir data_root",
        "split": "val_split validation_split valid_pct test_size",
        "patience": "early_stopping early_stopping_patience early_stop",
        "monitor": "metric_for_best_model eval_metric",
        "eval_every": "eval_steps evaluation_strategy eval_strategy val_interval",
        "log_every": "logging_steps log_interval log_every_n_steps",
        "save_every": "save_steps checkpoint_interval",
        "out": "output output_dir save_dir log_dir logdir default_root_dir",
        "num_threads": "num_workers dataloader_num_workers threads j jobs",
        "precision": "amp mixed_precision dtype",
        "precision float16": "fp16 half float16_mixed",
        "precision bfloat16": "bf16",
        "float32": "fp32 single full 32",
        "seed": "random_state random_seed",
        "freeze": "freeze_backbone linear_probe head_only",
        "top": "topk top_k",
        "version": "v",
        "train_data": "train_dataset train_ds train_loader train_dataloader",
        "test_data": "eval_dataset eval_data val_data valid_data validation_data val_loader val_dataloader test_loader",
        "config": "args training_args cfg",
    }.items()
    for elsewhere in others.replace("_", "").split()
}

# options that there are elsewhere and not here, and why
SETTLED = {
    "numclasses": "the data and the weights say how many classes there are",
    "momentum": "SGD has a momentum of 0.9",
    "shuffle": "training images are shuffled by the seed",
    **dict.fromkeys(
        ("out", "output", "outputdir", "savedir", "logdir", "defaultrootdir"),
        "the folder of a run is --out, or Trainer(..., out=...)",
    ),
}


def plain_name(name: str) -> str:
    """Return a name in lower case without hyphens, underscores, slashes and spaces: batchsize for --batch-size."""
    return "".join(letter for letter in name.casefold() if letter not in "-_/ ")
