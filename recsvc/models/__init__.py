"""Modules, losses and kernels: one idea a file, no training loop, no files, no HTTP."""
