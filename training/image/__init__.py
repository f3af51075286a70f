"""The `image` space: decode, fit, evaluate and export image encoders."""
