"""The offline pipeline: configuration, one shared loop, fit, evaluate and export per space."""
