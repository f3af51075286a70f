"""Distillation against its formula, and classifiers cut out of a method."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.classifier import Classifier, fine_tuned
from recsvc.models.image.config import EncoderConfig, SimCLRConfig
from recsvc.models.image.distillation import distillation_loss, distillation_with_labels
from recsvc.models.image.simclr import SimCLR


def logits(count, classes, seed):
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))


def oracle(student, teacher, temperature):
    total = 0.0
    for own, told in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        target = [math.exp(value / temperature) for value in told]
        given = [math.exp(value / temperature) for value in own]
        for t, g in zip(target, given, strict=True):
            total -= t / sum(target) * math.log(g / sum(given))
    return total / len(student)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_soft_targets_are_the_teachers_distribution(temperature):
    student, teacher = logits(5, 4, 0), logits(5, 4, 1)
    found = distillation_loss(student, teacher, temperature)
    assert found.item() == pytest.approx(oracle(student, teacher, temperature), rel=1e-5)


def test_hard_targets_are_its_first_choice():
    student, teacher = logits(6, 3, 2), logits(6, 3, 3)
    first = teacher.argmax(1)
    expected = -student.log_softmax(1)[torch.arange(6), first].mean()
    torch.testing.assert_close(distillation_loss(student, teacher, 1.0, hard=True), expected)


def test_the_teacher_gets_no_gradient():
    student, teacher = logits(4, 3, 0).requires_grad_(), logits(4, 3, 1).requires_grad_()
    distillation_loss(student, teacher, 2.0).backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0


def test_the_weight_runs_from_labels_alone_to_no_labels():
    student, teacher, labels = logits(4, 3, 0), logits(4, 3, 1), torch.tensor([2, -1, 0, -1])
    told = distillation_loss(student, teacher, 1.0)
    known = -(student.log_softmax(1)[0, 2] + student.log_softmax(1)[2, 0]) / 2
    for weight in (0.0, 0.3, 1.0):
        found = distillation_with_labels(student, teacher, labels, weight=weight, temperature=1.0)
        torch.testing.assert_close(found, weight * told + (1 - weight) * known)
    none = torch.full((4,), -1)
    found = distillation_with_labels(student, teacher, none, weight=0.3, temperature=1.0)
    torch.testing.assert_close(found, 0.3 * told)


@pytest.fixture
def method():
    torch.manual_seed(0)
    return SimCLR(*build_backbone(EncoderConfig(width=4), 16), SimCLRConfig(layers=3, hidden=20, projection=6)).eval()


def test_a_classifier_starts_at_zero_and_from_the_methods_weights(method):
    pictures = torch.randn(3, 3, 16, 16)
    for layer, width in ((0, 32), (1, 20), (2, 20), (-1, 6)):
        classifier = fine_tuned(method, 5, layer).eval()
        assert classifier.output.in_features == width and not classifier(pictures).any()
        kept = classifier.trunk(classifier.backbone(pictures))
        h = method.backbone(pictures)
        expected = method.projector(h) if layer == -1 else nn.Sequential(*method.projector.blocks[:layer])(h)
        torch.testing.assert_close(kept, expected)
        torch.testing.assert_close(classifier.features(pictures), method.features(pictures))


def test_fine_tuning_leaves_the_method_as_it_is(method):
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    classifier = fine_tuned(method, 5, 1).train()
    optimiser = torch.optim.SGD(classifier.parameters(), lr=0.1)
    for _ in range(2):
        nn.functional.cross_entropy(classifier(torch.randn(4, 3, 16, 16)), torch.arange(4)).backward()
        optimiser.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.state_dict().items())
    assert not torch.equal(classifier.backbone.stem[0].weight, method.backbone.stem[0].weight)


def test_a_layer_that_is_not_there_is_named(method):
    with pytest.raises(ValueError, match="the projector has 2 hidden layers; keep 0 to 2"):
        fine_tuned(method, 5, 3)


def test_a_student_learns_what_its_teacher_says():
    torch.manual_seed(1)
    pictures = torch.randn(16, 3, 16, 16)
    teacher, student = (Classifier(*build_backbone(EncoderConfig(width=width), 16), 3) for width in (8, 4))
    nn.init.normal_(teacher.output.weight)
    told = teacher.eval()(pictures).detach()
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    for _ in range(40):
        loss = distillation_loss(student(pictures), told, 1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    entropy = -(told.softmax(1) * told.log_softmax(1)).sum(1).mean()
    assert np.mean((student(pictures).argmax(1) == told.argmax(1)).numpy()) > 0.9
    assert loss.item() - entropy.item() < 0.1
