"""What pre-training and every kind of fine-tuning share: optimizers, the step loop, checkpoints, progress."""
