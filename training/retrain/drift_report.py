"""`recsvc check DATASET --against STORE`: what a retraining would say about a data set, with nothing done."""

from datetime import UTC, datetime

from recsvc.data import Dataset
from recsvc.errors import ReleaseError
from recsvc.releases import Store
from training.config import Config
from training.retrain.candidate import champion_of
from training.retrain.drift import compare_profiles
from training.retrain.findings import Finding
from training.retrain.profile import profile_dataset, profile_in


def compare_with_active(dataset: Dataset, store: Store, config: Config) -> tuple[str, list[Finding]]:
    """Compare a data set with what the active release of a store has learnt from.

    Returns:
        What it is compared with, in words, and the findings.

    Raises:
        ReleaseError: nothing is active in the store, several releases are, or the active one is damaged.
    """
    champion = champion_of(store)
    if champion is None:
        raise ReleaseError(f"{store.path}: no release is active to compare with; publish one with --activate")
    old = profile_in(champion.manifest.data)
    found = compare_profiles(profile_dataset(dataset, config), old, config.retrain.data, now=datetime.now(UTC))
    known = "" if old is not None else ", which has no profile of its data: newest windows with earlier ones alone"
    return f"release {champion.release}{known}", found
