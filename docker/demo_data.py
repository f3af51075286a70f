"""Writes the data set of the demo's image: MovieLens-100K with the films' directors, writers and cast."""

import sys
from pathlib import Path

from training.movielens import movielens_100k
from training.progress import Reporter

movielens_100k(Path(sys.argv[1]), Reporter())
