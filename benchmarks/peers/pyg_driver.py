"""PyG's MetaPath2Vec on one thread, run by ``benchmarks/graph_speed.py`` in an environment that has torch-geometric.

    python pyg_driver.py EDGES.npz AUTHORS.npy '{"dim": 128, "window": 7, "negatives": 5, "length": 100, "tokens": 1}'

Walks author-paper-venue-paper-author until so many tokens are trained on, writes the vectors of the authors and prints
tokens, CPU seconds and loss as JSON. PyG's windows reach forward only, so k contexts a token where the others have 2k.
"""

import json
import sys
import time

import numpy as np
import torch
from torch_geometric.nn import MetaPath2Vec

given, taken, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
torch.set_num_threads(1)
torch.manual_seed(0)
data = np.load(given)
written, published = torch.from_numpy(data["written"]), torch.from_numpy(data["published"])
authors, papers, venues = (int(size) for size in data["sizes"])
model = MetaPath2Vec(
    {
        ("paper", "written_by", "author"): written,
        ("author", "wrote", "paper"): written.flip(0),
        ("paper", "published_in", "venue"): published,
        ("venue", "published", "paper"): published.flip(0),
    },
    embedding_dim=settings["dim"],
    metapath=[
        ("author", "wrote", "paper"),
        ("paper", "published_in", "venue"),
        ("venue", "published", "paper"),
        ("paper", "written_by", "author"),
    ],
    walk_length=settings["length"] - 1,
    context_size=settings["window"] + 1,
    walks_per_node=1,
    num_negative_samples=settings["negatives"],
    num_nodes_dict={"author": authors, "paper": papers, "venue": venues},
    sparse=True,
)
optimiser = torch.optim.SparseAdam(list(model.parameters()), lr=0.01)  # as in PyG's example
tokens, loss = 0, torch.zeros(())
begun = time.process_time()
while tokens < settings["tokens"]:
    for positive, negative in model.loader(batch_size=128, shuffle=True):
        optimiser.zero_grad()
        loss = model.loss(positive, negative)
        loss.backward()
        optimiser.step()
        tokens += 128 * settings["length"]
        if tokens >= settings["tokens"]:
            break
seconds = time.process_time() - begun
np.save(taken, model("author").detach().numpy())
print(json.dumps({"tokens": tokens, "cpu_seconds": seconds, "loss": float(loss)}))
