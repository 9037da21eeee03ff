"""What happens beside the training loop: each callback in its file, all built by `trainer.build_callbacks`."""
