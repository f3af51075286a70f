"""Linear evaluation: a multinomial logistic regression on frozen vectors, with all labels or a few of them.

The vectors are computed once and standardised by the training part, so that no augmentation and no moving statistics
enter; L-BFGS finds the optimum of ``mean cross-entropy + decay / 2 ||W||^2``, and the decay is chosen on a part of the
training pictures. (Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020,
appendix B.6 and B.8, choose the decay of such a classifier likewise.)
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

CLASSIFIER = "multinomial logistic regression (L-BFGS) on standardised frozen vectors, L2 chosen on a part of train"
"""The classifier's name, for the protocol that is printed beside the figures."""

_DECAYS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # strongest first: each starts from the optimum of the one before
_DEFAULT_DECAY = 1e-1  # where every class has but one picture, so that nothing can be held out
_FOLDS = 5
_ONE_FOLD = 2000  # with so many pictures, one fold held out says enough
_ITERATIONS = 100


class Probe(NamedTuple):
    """What the classifier said of the test vectors, int64 [q], and its decay."""

    predicted: Int64
    decay: float


def linear_probe(train: Float32, classes: Int64, test: Float32, *, seed: int = 0) -> Probe:
    """Train on frozen vectors and classify others.

    Args:
        train: [n, d].
        classes: class number of each, [n].
        test: [q, d].
        seed: of the parts by which the decay is chosen.

    Raises:
        ValueError: there are not two classes, labels are missing, or a vector is not finite.
    """
    if len(train) != len(classes) or len(np.unique(classes)) < 2:
        raise ValueError("a linear probe needs one label per vector, and two classes")
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise ValueError("vectors must be finite; found NaN or an infinity")
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.where(deviation > 1e-6 * max(1e-6, float(deviation.max())), deviation, 1.0)
    train, test = ((part - mean) / scale for part in (train, test))
    decay = _choose_decay(train, classes, seed)
    return Probe(_fit_path(train, classes, test, [each for each in _DECAYS if each >= decay])[-1], decay)


def balanced_rows(classes: Int64, share: float, *, seed: int = 0) -> Int64 | None:
    """A fixed list of labelled rows with as many of each class: of a small share, a part of that of a larger one.

    Args:
        classes: class number of each row, [n].
        share: of the n rows.
        seed: of the list.

    Returns:
        Rows, ascending; a class that is rarer than its part gives all that it has. None if a class's part is less than
        one row.
    """
    names = np.unique(classes)
    each = round(share * len(classes)) // len(names)
    if each < 1:
        return None
    return draw_of_each([np.flatnonzero(classes == name) for name in names], [each] * len(names), seed)


def draw_of_each(rows: Sequence[Int64], counts: Sequence[int], seed: int | tuple[int, ...]) -> Int64:
    """So many rows of each class, drawn; ascending. The draws of a seed are nested: fewer are a part of more."""
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.permutation(own)[:count] for own, count in zip(rows, counts, strict=True)]))


def _choose_decay(train: Float32, classes: Int64, seed: int) -> float:
    """The decay with the most held-out hits; of equals the strongest."""
    folds = _folds(classes, seed)
    hits = np.zeros(len(_DECAYS))
    for fold in range(_FOLDS if len(classes) < _ONE_FOLD else 1):
        held = folds == fold
        if held.any():
            path = _fit_path(train[~held], classes[~held], train[held], list(_DECAYS))
            hits += [int((predicted == classes[held]).sum()) for predicted in path]
    return _DECAYS[int(hits.argmax())] if hits.any() else _DEFAULT_DECAY


def _folds(classes: Int64, seed: int) -> Int64:
    """The fold that holds each row out, [n]; -1 for one row of every class, which always trains."""
    rng = np.random.default_rng(seed)
    folds = np.empty(len(classes), np.int64)
    for name in np.unique(classes):
        rows = rng.permutation(np.flatnonzero(classes == name))
        folds[rows] = (np.arange(len(rows)) - 1) % _FOLDS
        folds[rows[0]] = -1
    return folds


def _fit_path(train: Float32, classes: Int64, test: Float32, decays: list[float]) -> list[Int64]:
    """Predicted classes of ``test`` at each decay."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=_ITERATIONS, warm_start=True, random_state=0)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the weakest decays need no more digits for their arg-max
        # Few labels of many classes are what is asked about.
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)
        for decay in decays:
            model.set_params(C=1.0 / (decay * len(classes))).fit(train, classes)
            found.append(model.predict(test).astype(np.int64))
    return found
