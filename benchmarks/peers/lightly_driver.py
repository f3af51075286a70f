"""Trains lightly's methods on our backbone, for a benchmark; needs the packages of requirements-lightly.txt.

    PYTHONPATH=CLONE python lightly_driver.py JOB.json

The job names the method, the decoded pictures (uint8 [N, S, S, 3], .npy) and the rows to train on, the shapes, the
schedule and the file for the encoder's weights (.npz). Heads, losses and views are lightly's, the loop is plain
PyTorch as in its examples: one thread, no worker processes, float32. Prints JSON: CPU seconds of training, versions.
"""

import copy
import json
import math
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss, SwaVLoss
from lightly.models import modules
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import SimCLRTransform
from lightly.utils.scheduler import cosine_schedule
from lightly_views import Pictures
from torch import nn
from torch.utils.data import DataLoader

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig


class SimCLR(nn.Module):
    """lightly's SimCLR example."""

    def __init__(self, backbone, dim, job):
        super().__init__()
        self.backbone = backbone
        self.head = modules.SimCLRProjectionHead(dim, dim, job["projection"])
        self.criterion = NTXentLoss(temperature=job["temperature"])

    def loss(self, first, second, done):
        """NT-Xent."""
        return self.criterion(*(self.head(self.backbone(view)) for view in (first, second)))


class MoCo(nn.Module):
    """lightly's MoCo example."""

    def __init__(self, backbone, dim, job):
        super().__init__()
        self.backbone = backbone
        self.head = modules.MoCoProjectionHead(dim, dim, job["projection"])
        self.other = copy.deepcopy(nn.Sequential(self.backbone, self.head))
        deactivate_requires_grad(self.other)
        self.momentum = job["momentum"]
        self.criterion = NTXentLoss(temperature=job["temperature"], memory_bank_size=(job["queue"], job["projection"]))

    def loss(self, first, second, done):
        """InfoNCE with the memory bank."""
        update_momentum(nn.Sequential(self.backbone, self.head), self.other, self.momentum)
        with torch.no_grad():
            keys = self.other(second)
        return self.criterion(self.head(self.backbone(first)), keys)


class BYOL(nn.Module):
    """lightly's BYOL example."""

    def __init__(self, backbone, dim, job):
        super().__init__()
        self.backbone = backbone
        self.head = modules.BYOLProjectionHead(dim, job["hidden"], job["projection"])
        self.predictor = modules.BYOLPredictionHead(job["projection"], job["hidden"], job["projection"])
        self.other = copy.deepcopy(nn.Sequential(self.backbone, self.head))
        deactivate_requires_grad(self.other)
        self.momentum = job["momentum"]
        self.criterion = NegativeCosineSimilarity()

    def loss(self, first, second, done):
        """Both directions."""
        momentum = cosine_schedule(round(done * 10_000), 10_000, self.momentum, 1)
        update_momentum(nn.Sequential(self.backbone, self.head), self.other, momentum)
        told = [self.predictor(self.head(self.backbone(view))) for view in (first, second)]
        with torch.no_grad():
            targets = [self.other(view) for view in (first, second)]
        return 0.5 * (self.criterion(told[0], targets[1]) + self.criterion(told[1], targets[0]))


class SwAV(nn.Module):
    """lightly's SwAV example with two full crops."""

    def __init__(self, backbone, dim, job):
        super().__init__()
        self.backbone = backbone
        self.head = modules.SwaVProjectionHead(dim, job["hidden"], job["projection"])
        self.prototypes = modules.SwaVPrototypes(job["projection"], job["prototypes"], job["frozen_steps"])
        self.criterion = SwaVLoss(temperature=job["temperature"])
        self.step = 0

    def loss(self, first, second, done):
        """Swapped predictions."""
        self.prototypes.normalize()
        projected = (nn.functional.normalize(self.head(self.backbone(view)), dim=1) for view in (first, second))
        scores = [self.prototypes(each, self.step) for each in projected]
        self.step += 1
        return self.criterion(scores, [])


METHODS = {"simclr": SimCLR, "moco": MoCo, "byol": BYOL, "swav": SwAV}


def main():
    """Train and save."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    torch.set_num_threads(1)
    torch.manual_seed(job["seed"])
    pixels = np.load(job["pixels"], mmap_mode="r")[np.load(job["rows"])]
    size = pixels.shape[1]
    transform = SimCLRTransform(
        input_size=size, min_scale=job["crop_area"], cj_strength=job["strength"], gaussian_blur=0.0
    )
    loader = DataLoader(Pictures(pixels, transform), batch_size=job["batch_size"], shuffle=True, drop_last=True)
    model = METHODS[job["method"]](*build_backbone(EncoderConfig(**job["encoder"]), size), job)
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": job["weight_decay"]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=job["learning_rate"], fused=True)
    steps, step = job["epochs"] * len(loader), 0
    start = time.process_time()
    for _ in range(job["epochs"]):
        for first, second in loader:
            for group in optimiser.param_groups:
                group["lr"] = job["learning_rate"] * share(step, steps, job["warmup_steps"], job["final_share"])
            optimiser.zero_grad(set_to_none=True)
            model.loss(first, second, step / steps).backward()
            nn.utils.clip_grad_norm_(trained, job["clip_norm"])
            optimiser.step()
            step += 1
    seconds = time.process_time() - start
    np.savez(job["weights"], **{name: tensor.numpy() for name, tensor in model.backbone.state_dict().items()})
    versions = {name: version(name) for name in ("lightly", "torch", "torchvision")}
    print(json.dumps({"cpu_seconds": seconds, "steps": steps, "versions": versions}))


def share(step, steps, warmup, final):
    """The schedule of ours: linear warm-up, then a cosine down to a share."""
    if step < warmup:
        return (step + 1) / warmup
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


if __name__ == "__main__":
    main()
