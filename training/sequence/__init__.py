"""The `behaviour` space: fit, evaluate and export sequence models."""
