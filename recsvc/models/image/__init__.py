"""Image encoders and their self-supervised training: the `image` space."""
