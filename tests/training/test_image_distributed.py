"""Image methods under torchrun: two processes, whose pictures differ, train what one does."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.checkpoints import load_checkpoint

DRIVER = Path(__file__).with_name("image_distributed_driver.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def load_driver():
    spec = importlib.util.spec_from_file_location("image_distributed_driver", DRIVER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


driver = load_driver()


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """The folder in which two processes have trained every method."""
    folder = tmp_path_factory.mktemp("two")
    result = subprocess.run([*TORCHRUN, str(DRIVER), str(folder)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


@pytest.mark.parametrize("method", driver.METHODS)
def test_two_processes_train_what_one_does(method, by_two, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    driver.train(method, tmp_path, 40)
    torch.set_num_threads(threads)
    (one, state), (two, state_of_two) = (
        load_checkpoint(folder / method / "checkpoints") for folder in (tmp_path, by_two / "even")
    )
    assert state["step"] == state_of_two["step"] == 10
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        # MoCo's batches are normalised in parts: each process has statistics of its own.
        if method != "moco" or "running_" not in name:
            torch.testing.assert_close(
                two[name], tensor, rtol=1e-6, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
            )
    if method == "moco":
        assert two["model.queue.pointer"] == 80 % 26


def test_a_picture_that_does_not_divide_is_left_out(by_two):
    tensors, state = load_checkpoint(by_two / "odd" / "moco" / "checkpoints")
    assert state["step"] == 10 and tensors["model.queue.pointer"] == 80 % 26
