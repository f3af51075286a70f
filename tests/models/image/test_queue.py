"""The queue of keys against a plain list, for sizes that divide each other and sizes that do not."""

from collections import deque

import pytest
import torch

from recsvc.models.image.queue import KeyQueue


@pytest.mark.parametrize("size", [1, 4, 7, 12])
@pytest.mark.parametrize("batch", [1, 3, 4, 12, 17])
def test_the_newest_stay_in_their_order(size, batch):
    queue = KeyQueue(size, 2)
    wanted = deque(queue.keys.tolist(), maxlen=size)
    for step in range(9):
        keys = torch.arange(step * batch, (step + 1) * batch).float()[:, None].repeat(1, 2)
        wanted.extend(keys.tolist())
        queue.enqueue(keys)
        assert queue.keys.roll(-int(queue.pointer), 0).tolist() == list(wanted)


def test_batches_of_changing_size_lose_no_key():
    queue, wanted = KeyQueue(10, 1), deque(maxlen=10)
    first = 0
    for count in (3, 4, 5, 1, 10, 7, 23, 2):
        wanted.extend(range(first, first + count))
        queue.enqueue(torch.arange(first, first + count).float()[:, None])
        first += count
    assert sorted(queue.keys.flatten().tolist()) == list(wanted)


def test_first_entries_are_random_and_of_length_1():
    keys = KeyQueue(50, 8).keys
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(50))
    assert not torch.equal(keys, KeyQueue(50, 8).keys)


def test_it_is_saved_with_its_pointer_and_goes_on_where_it_was():
    queue, other = KeyQueue(5, 2), KeyQueue(5, 2)
    queue.enqueue(torch.ones(3, 2))
    assert queue.state_dict().keys() == {"keys", "pointer"}
    other.load_state_dict(queue.state_dict())
    for each in (queue, other):
        each.enqueue(torch.full((4, 2), 2.0))
    assert torch.equal(queue.keys, other.keys) and queue.pointer == other.pointer == 2


def test_keys_are_detached_and_kept_in_its_precision():
    queue = KeyQueue(4, 2)
    queue.enqueue(torch.ones(2, 2, dtype=torch.float64, requires_grad=True))
    assert queue.keys.dtype == torch.float32 and not queue.keys.requires_grad
