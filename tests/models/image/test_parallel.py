"""Two processes give the loss, the gradient and the statistics of one, on rows that differ between them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from recsvc.models.image.parallel import from_first, gather, gather_detached, own_rows, world

DRIVER = Path(__file__).with_name("parallel_driver.py")


def load_driver():
    spec = importlib.util.spec_from_file_location("parallel_driver", DRIVER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


driver = load_driver()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    processes = [
        subprocess.Popen([sys.executable, str(DRIVER), str(folder), str(rank)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said[-3000:]
    return [load_file(folder / f"{rank}.safetensors") for rank in range(2)]


@pytest.fixture(scope="module")
def one():
    """What one process found."""
    threads = torch.get_num_threads()
    found = driver.run_all()
    torch.set_num_threads(threads)
    return found


def of(found, scenario):
    return {key.removeprefix(f"{scenario}/"): value for key, value in found.items() if key.startswith(f"{scenario}/")}


def close(found, wanted, name):
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-10, msg=lambda text: f"{name}: {text}")


def test_rows_come_in_the_order_of_ranks(two):
    for rank, found in enumerate(of(each, "gathers") for each in two):
        wanted = torch.cat([torch.arange(4.0).view(2, 2), torch.arange(4.0).view(2, 2) + 10])
        assert torch.equal(found["rows"], wanted) and torch.equal(found["detached"], wanted)
        assert torch.equal(found["pictures"], torch.cat([driver.rows(2, 3, 4, 5, seed=seed) for seed in (0, 1)]))
        assert (found["own"], found["size"]) == (2 * rank, 2)
        assert torch.equal(found["first"], wanted[:2])


def test_one_process_has_its_own_rows():
    x = torch.ones(2, 1, requires_grad=True)
    assert world() == (0, 1) and own_rows(5) == 0
    assert gather(x) is x and from_first(x) is x
    assert torch.equal(gather_detached(x), x) and not gather_detached(x).requires_grad


def test_nt_xent_has_the_loss_and_the_gradient_of_one_process(one, two):
    wanted = of(one, "nt-xent")
    for found in (of(each, "nt-xent") for each in two):
        close(found["loss"], wanted["loss"], "loss")
        for view in ("first", "second"):
            close(found[view] / 2, wanted[view], view)  # DDP takes the mean over the processes


@pytest.mark.parametrize("wrong", ["nt-xent-unsummed", "nt-xent-slot"])
def test_a_wrong_gather_has_the_right_loss_and_is_told_by_its_gradient(one, two, wrong):
    wanted, found = of(one, "nt-xent"), of(two[0], wrong)
    close(found["loss"], wanted["loss"], "loss")
    assert all((found[view] / 2 - wanted[view]).norm() > 0.05 * wanted[view].norm() for view in ("first", "second"))


@pytest.mark.parametrize("name", driver.METHODS)
def test_methods_do_in_two_processes_what_they_do_in_one(one, two, name):
    wanted = of(one, name)
    assert any("gradient1" in key for key in wanted) and any("state/backbone" in key for key in wanted)
    for found in (of(each, name) for each in two):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            close(found[key], value, key)


def test_moco_remembers_the_keys_of_all_processes(one):
    """Else the comparison of queues above says nothing."""
    torch.manual_seed(0)
    before, after = driver.METHODS["moco"]().queue, of(one, "moco")
    assert after["whole/state/queue.pointer"] == driver.STEPS * driver.PICTURES % 17
    assert not torch.isclose(before.keys, after["whole/state/queue.keys"]).any()


def test_orders_of_keys_are_drawn_once_for_all(one, two):
    orders = [of(each, "orders")["order"] for each in two]
    assert torch.equal(*orders)
    assert sorted(orders[0].tolist()) == list(range(driver.PICTURES))


@pytest.mark.parametrize("name", ["norm-1d", "norm-2d"])
def test_norms_over_unequal_parts_are_those_of_the_whole(one, two, name):
    wanted, parts = of(one, name), [of(each, name) for each in two]
    for key, value in wanted.items():
        if key.startswith("whole/"):
            for found in parts:
                close(found[key], value, key)
        else:
            assert tuple(len(found[key]) for found in parts) == driver.UNEQUAL
            close(torch.cat([found[key] for found in parts]), value, key)
