"""The training loop: data, distillation, optimizer, callbacks, checkpoints, stages."""
