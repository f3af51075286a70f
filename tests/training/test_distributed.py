"""Several processes under torchrun: they train what one does, speak with one voice, and can be stopped."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from training import pipeline
from training.checkpoints import load_checkpoint
from training.config import load_config
from training.distributed import PeerEndedError, World, current_world, several_processes
from training.loop import step_seed

DRIVER = Path(__file__).with_name("distributed_driver.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def load_driver():
    spec = importlib.util.spec_from_file_location("distributed_driver", DRIVER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


driver = load_driver()


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """The folder in which two processes have trained every scenario."""
    folder = tmp_path_factory.mktemp("two")
    result = subprocess.run([*TORCHRUN, str(DRIVER), str(folder)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


@pytest.mark.parametrize("scenario", driver.SCENARIOS)
def test_two_processes_train_what_one_does(scenario, by_two, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    driver.train(scenario, tmp_path)
    torch.set_num_threads(threads)
    (one, state), (two, state_of_two) = (
        load_checkpoint(folder / scenario / "checkpoints") for folder in (tmp_path, by_two)
    )
    assert state["step"] >= 20
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(
            two[name], tensor, rtol=1e-6, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )
    for name in ("step", "epoch", "best_epoch", "stale"):
        assert state_of_two[name] == state[name]
    for name in ("best", "loss_sum", "loss_count"):
        assert state_of_two[name] == pytest.approx(state[name], rel=1e-6), name


def test_sampled_scenario_has_a_sparse_table(by_two):
    tensors, _ = load_checkpoint(by_two / "sampled" / "checkpoints")
    assert any(name.startswith("sparse_optimizer.0.") for name in tensors)


def test_a_refusal_is_one_message_and_writes_nothing(trio_dataset, tmp_path):
    run = tmp_path / "run"
    command = [*TORCHRUN, "-m", "recsvc.cli", "train", str(trio_dataset), "--out", str(run)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if "recsvc: " in line]
    assert len(lines) == 1, result.stderr
    assert "trained by one process; give torchrun `--only behaviour,image`" in lines[0]
    assert not run.exists()


SETTINGS = (
    "sequence.model.dim=16",
    "sequence.model.max_length=12",
    "sequence.rows.tokens_per_batch=100",
    "sequence.loop.epochs=60",
    "sequence.loop.evaluate_every=60",
    "sequence.loop.checkpoint_seconds=0.2",
    "runtime.threads=1",
    "runtime.keep_memory=false",
)


def test_sigterm_leaves_a_state_to_go_on_from(cycle_dataset, tmp_path):
    run = tmp_path / "run"
    options = [option for setting in SETTINGS for option in ("--set", setting)]
    command = [*TORCHRUN, "-m", "recsvc.cli", "train", str(cycle_dataset), "--out", str(run), *options]
    with (tmp_path / "stderr").open("w+") as errors:
        process = subprocess.Popen(command, stderr=errors, stdout=subprocess.DEVNULL)
        checkpoints = run / "behaviour" / "checkpoints"
        while not list(checkpoints.glob("step-*")):
            assert process.poll() is None, (tmp_path / "stderr").read_text("utf-8")
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(120) != 0
    said = (tmp_path / "stderr").read_text("utf-8")
    assert said.count("training was interrupted by SIGTERM; go on with the same command and --resume") == 1, said
    found = load_checkpoint(checkpoints)
    assert found is not None and found[1]["epoch"] < 60

    # One process goes on where two were stopped.
    threads = torch.get_num_threads()
    ended = pipeline.train(cycle_dataset, run, config=load_config(None, SETTINGS), resume=True)
    torch.set_num_threads(threads)
    result = ended.read_json("behaviour.json")
    assert result is not None and result["epochs"] == 60 and result["steps"] > found[1]["step"]


def test_without_torchrun_there_is_one_process():
    with several_processes() as world:
        assert world == World() == current_world()
        assert world.from_first(lambda: 3) == 3
        assert world.total(1.5, 2) == [1.5, 2]
        world.wait()


def test_processes_draw_differently():
    assert step_seed(1, 2, 0) == step_seed(1, 2)
    assert len({step_seed(1, 2, rank) for rank in range(8)}) == 8


def test_the_message_says_what_to_do():
    assert "--resume" in str(PeerEndedError())
