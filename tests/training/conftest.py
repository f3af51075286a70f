"""Trainings of image methods that can be killed at any step."""

import pytest


class Killed(BaseException):
    """Stands for `kill -9`."""


@pytest.fixture
def killed():
    """What a training raises that is killed."""
    return Killed


@pytest.fixture
def fit():
    """A function that trains on a cache of pictures: ``fit(folder, config, cache, die_at=-1, resume=False)``.

    It is killed in step ``die_at``, and returns the task and how the training ended.
    """
    from training.image.task import ImageTask
    from training.loop import Trainer

    class MortalTask(ImageTask):
        die_at = -1

        def loss(self, model, batch):
            if self.die_at == 0:
                raise Killed
            self.die_at -= 1
            return super().loss(model, batch)

    def run(folder, config, cache, *, die_at=-1, resume=False):
        task = MortalTask(cache, config)
        task.die_at = die_at
        return task, Trainer(task, config.loop, folder, accelerator="cpu", resume=resume).run()

    return run
