"""i-Mix on tables: linear classifiers on frozen features, with and without mixing, with and without masked views.

    python benchmarks/tabular_imix.py [--data digits breast-cancer wine iris] [--seeds 0 1 2 3 4] [--steps N]

The data sets come with scikit-learn. A seed draws a split (70 % to train, by label), weights, batches and mixtures.
Columns are standardised by the training rows, which the encoder (5 layers) sees without labels: SGD 0.9 with rate
0.125 x batch / 256, warm-up over a tenth of the steps, cosine, weight decay 1e-4; batches of 128 or half of the rows;
temperature 0.1, alpha 1, momentum 0.99, MoCo's queue as long as a batch since the tables are short. A view hides each
feature with probability 0.2 ("masked") or is the row itself ("plain"). Without i-Mix the losses are those that it
builds on, through the same heads. Accuracy on the test rows of a logistic regression (C = 1) on standardised features
of the frozen encoder in evaluation mode, against the columns themselves and an untrained encoder.

Prints Markdown: mean accuracy in percent, and what i-Mix adds with its 95 % interval by t over the seeds.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from recsvc.models.image.config import BYOLConfig, IMixConfig, MoCoConfig
from recsvc.models.image.imix import build_imix
from recsvc.models.image.method import Method
from recsvc.models.progress import Progress
from recsvc.models.tabular.masking import mask_features
from recsvc.models.tabular.mlp import MLP
from training.schedule import cosine_share

_SETS: dict[str, Callable[..., Any]] = {
    "digits": datasets.load_digits,
    "breast-cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "iris": datasets.load_iris,
}
# Steps where none are given: the whole table in six minutes of one core.
_STEPS = {"digits": 500, "breast-cancer": 250, "wine": 150, "iris": 100}
_BASES = ("n-pair", "moco", "byol")
_MASKED = 0.2
_WIDTH = 64


class Table(NamedTuple):
    """One split, columns standardised by the training rows."""

    train: Tensor
    test: Tensor
    train_labels: NDArray[np.int64]
    test_labels: NDArray[np.int64]


def main() -> None:
    """Train, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=_SETS, default=list(_SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, help="of every data set, in place of its own number")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    start = time.process_time()
    print("| data | loss | views | base | i-Mix | i-Mix adds | columns | untrained |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    steps = {name: arguments.steps or _STEPS[name] for name in arguments.data}
    for name in arguments.data:
        tables = [split(name, seed) for seed in arguments.seeds]
        columns = [accuracy(table, table.train, table.test) for table in tables]
        untrained = [judge(make("n-pair", 0.0, table, seed), table) for table, seed in seeded(tables, arguments.seeds)]
        for base in _BASES:
            for share in (_MASKED, 0.0):
                found = [
                    [
                        judge(fit(make(base, alpha, table, seed), table, share, seed, steps[name]), table)
                        for table, seed in seeded(tables, arguments.seeds)
                    ]
                    for alpha in (0.0, 1.0)
                ]
                added = np.subtract(found[1], found[0])
                means = [*(np.mean(each) for each in found), interval(added), np.mean(columns), np.mean(untrained)]
                views = "masked" if share else "plain"
                cells = [each if isinstance(each, str) else f"{each:.1f}" for each in means]
                print(f"| {name} | {base} | {views} | " + " | ".join(cells) + " |", flush=True)
    counts = ", ".join(f"{name} {count}" for name, count in steps.items())
    print(
        f"\nSeeds {', '.join(map(str, arguments.seeds))}; steps {counts}; width {_WIDTH}; "
        f"{time.process_time() - start:.0f} CPU seconds; torch {version('torch')}, scikit-learn "
        f"{version('scikit-learn')}, Python {platform.python_version()}, one thread of {os.cpu_count()} cores"
    )


def seeded(tables: list[Table], seeds: list[int]) -> list[tuple[Table, int]]:
    """Each table with the seed that drew its split."""
    return list(zip(tables, seeds, strict=True))


def split(name: str, seed: int) -> Table:
    """One data set, 70 % of each label to train."""
    rows, labels = _SETS[name](return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        rows, labels, train_size=0.7, stratify=labels, random_state=seed
    )
    scaler = StandardScaler().fit(train)
    standard = [torch.from_numpy(scaler.transform(each)).float() for each in (train, test)]
    return Table(standard[0], standard[1], train_labels, test_labels)


def batch_size(table: Table) -> int:
    """Half of the rows, at most 128."""
    return min(128, len(table.train) // 2)


def make(base: str, alpha: float, table: Table, seed: int) -> Method:
    """A fresh method on the columns of a table."""
    torch.manual_seed(seed)
    return build_imix(
        MLP(table.train.shape[1], _WIDTH),
        _WIDTH,
        IMixConfig.model_validate({"base": base, "alpha": alpha, "temperature": 0.1}),
        MoCoConfig(queue=batch_size(table), temperature=0.1, norm_groups=1),
        BYOLConfig(momentum=0.99, anneal=False, hidden=_WIDTH, projection=128),
    )


def fit(method: Method, table: Table, share: float, seed: int, steps: int) -> Method:
    """Train on the rows without labels; ``share`` of the features is hidden in each view."""
    count = batch_size(table)
    peak = 0.125 * count / 256
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=peak, momentum=0.9, weight_decay=1e-4)
    torch.manual_seed(seed)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(order) < count:
            order = torch.randperm(len(table.train))
        rows, order = table.train[order[:count]], order[count:]
        progress = Progress(step, steps, step * count / len(table.train))
        optimiser.param_groups[0]["lr"] = peak * cosine_share(step, steps, steps // 10, 0.0)
        optimiser.zero_grad()
        method([mask_features(rows, share), mask_features(rows, share)]).backward()
        method.before_update(progress)
        optimiser.step()
        method.after_update(progress)
    return method


def judge(method: Method, table: Table) -> float:
    """Accuracy of the linear classifier on frozen features h."""
    method.eval()
    with torch.no_grad():
        return accuracy(table, *(method.backbone(rows) for rows in (table.train, table.test)))


def accuracy(table: Table, train: Tensor, test: Tensor) -> float:
    """In percent, of a logistic regression on these features, standardised."""
    scaler = StandardScaler().fit(train.numpy())
    classifier = LogisticRegression(C=1.0, max_iter=300).fit(scaler.transform(train.numpy()), table.train_labels)
    return 100 * float(classifier.score(scaler.transform(test.numpy()), table.test_labels))


def interval(values: NDArray[np.float64]) -> str:
    """Mean of paired differences and half the width of its 95 % interval."""
    mean = float(values.mean())
    if len(values) < 2:
        return f"{mean:+.1f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{mean:+.1f} ± {half:.1f}"


if __name__ == "__main__":
    main()
