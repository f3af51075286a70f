"""Makes views with lightly's `SimCLRTransform` for a benchmark; needs the packages of requirements-lightly.txt.

    python lightly_views.py SIDE COUNT

Prints the versions, then, for each line on stdin, the CPU seconds in which its data loader made one batch: two views
each of COUNT pictures of SIDE pixels, without worker processes.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import torch
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch.utils.data import DataLoader


class Pictures(torch.utils.data.Dataset):
    """Decoded pictures and their views."""

    def __init__(self, pictures, transform):
        self.pictures, self.transform = [Image.fromarray(each) for each in pictures], transform

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, row):
        return self.transform(self.pictures[row])


def main():
    """Obey."""
    side, count = map(int, sys.argv[1:])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pictures = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    transform = SimCLRTransform(input_size=side, cj_strength=0.5, gaussian_blur=0.0)
    loader = DataLoader(Pictures(pictures, transform), batch_size=count, num_workers=0)
    print(json.dumps({name: version(name) for name in ("lightly", "torch", "torchvision", "pillow")}), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        first, second = next(iter(loader))
        seconds = time.process_time() - start
        assert first.shape == second.shape == (count, 3, side, side)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
