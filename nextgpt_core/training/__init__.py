"""Training: about one per cent of the whole, in three stages, through the model's own forward pass."""
