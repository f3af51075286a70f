"""A run as a run of an MLflow tracking server or store; needs the extra ``mlflow``.

Settings become parameters, the data set's fingerprint and the environment tags, test figures, costs and the curves of
training metrics; the small files of the run come along. A run is exported once: again, it is found by its tag.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from recsvc.errors import ConfigError
from training.flat import flattened
from training.run import Run
from training.tracking import costs_of, curves_of, figures_of, settings_of
from training.usage import USAGE_NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT: Final = "recsvc"
_KEY: Final = "recsvc.run"
_FILES: Final = ("config.yaml", "run.json", "evaluation.json", USAGE_NAME)
_AT_ONCE: Final = 500
"""Metrics of one request; a server takes 1,000 values at most, 100 of them parameters."""
_MOST_PARAMETERS: Final = 100
_LONGEST: Final = 500
"""Characters of a parameter that every kind of store keeps."""


def export_run(run: Run, uri: str, experiment: str = EXPERIMENT) -> str:
    """Write a run to a tracking server, or to a local store such as ``sqlite:///mlflow.db``; returns MLflow's run id.

    Raises:
        ConfigError: MLflow is not installed, or the server cannot be used.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise ConfigError("`recsvc runs export` needs MLflow: install recsvc[mlflow].") from None
    try:
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        number = client.create_experiment(experiment) if found is None else found.experiment_id
        key = f"{run.fingerprint[:16]} {run.facts['created']} {run.folder.resolve().name}"
        for known in client.search_runs([number], f"tags.`{_KEY}` = '{key}'"):
            if known.info.status == "FINISHED":
                return str(known.info.run_id)
            client.delete_run(known.info.run_id)  # an export that did not come to its end
        return _write(client, run, number, key)
    except MlflowException as error:
        raise ConfigError(f"--mlflow {uri}: cannot be used ({' '.join(str(error).split())[:300]})") from None


def _write(client: "MlflowClient", run: Run, experiment: str, key: str) -> str:
    from mlflow.entities import Metric, Param

    evaluation = run.read_json("evaluation.json") or {}
    spaces = evaluation or {entry.name: {} for entry in sorted(run.data("").iterdir())}
    tags = {_KEY: key, "recsvc.fingerprint": run.fingerprint, "recsvc.dataset": Path(run.facts["dataset"]).name}
    tags |= {f"recsvc.environment.{name}": str(value) for name, value in flattened(run.facts["environment"]).items()}
    made = client.create_run(experiment, run_name=run.folder.resolve().name, tags=tags)
    run_id = str(made.info.run_id)
    parameters = [Param(name, str(value)[:_LONGEST]) for name, value in settings_of(run, spaces).items()]
    for start in range(0, len(parameters), _MOST_PARAMETERS):
        client.log_batch(run_id, params=parameters[start : start + _MOST_PARAMETERS])
    last = made.info.start_time
    final = figures_of(evaluation) | costs_of(run.read_json(USAGE_NAME) or {})
    metrics = [Metric(_name(name), value, last, 0) for name, value in final.items()]
    for space in spaces:
        for point in curves_of(run, space):
            instant = int(point.time * 1000)
            metrics += [
                Metric(_name(f"{space}/{name}"), value, instant, point.step) for name, value in point.values.items()
            ]
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + _AT_ONCE])
    for name in _FILES:
        if (run.folder / name).is_file():
            client.log_artifact(run_id, str(run.folder / name))
    client.set_terminated(run_id)
    return run_id


def _name(name: str) -> str:
    """A name as MLflow takes it: it knows no ``@``."""
    return "".join(letter if letter.isalnum() or letter in "_-. /:" else "_" for letter in name)
