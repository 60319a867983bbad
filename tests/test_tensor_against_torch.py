"""Day 3's reference Tensor against PyTorch: the roadmap asks that ``tensor.grad`` be equal."""

import numpy as np
import pytest
import torch
from ladder.solutions.stage1_foundation.day03_tensor_autograd import GRAMMAR, Tensor, random_graph


def gradients(f, *arrays):
    """The gradients of ``f(*leaves)``, weighted entry by entry, by Tensor and by torch."""
    mine = [Tensor(array) for array in arrays]
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    out, expected = f(*mine), f(*theirs)
    np.testing.assert_allclose(out.data, expected.detach(), rtol=1e-12, atol=1e-12)
    weights = np.cos(np.arange(out.size)).reshape(out.shape)
    out.backward(weights)
    expected.backward(torch.from_numpy(weights))
    return [t.grad for t in mine], [
        torch.zeros_like(t) if t.grad is None else t.grad for t in theirs]


def assert_equal(f, *arrays):
    for mine, theirs in zip(*gradients(f, *arrays), strict=True):
        assert torch.allclose(torch.from_numpy(mine), theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [*GRAMMAR, "all"])
def test_random_graphs(kind):
    kinds = tuple(GRAMMAR) if kind == "all" else ("arithmetic", kind)
    rng = np.random.default_rng(0)
    for _ in range(60):
        f, arrays = random_graph(rng, kinds, lines=12)
        assert_equal(f, *arrays)


@pytest.mark.parametrize("shapes", [
    ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((3, 4), (4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 5)),
    ((6, 1, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
])
def test_matrix_products(shapes):
    rng = np.random.default_rng(0)
    assert_equal(lambda a, b: a @ b, *(rng.normal(size=shape) for shape in shapes))


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 1), (-1, 0)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_equal_maxima_share_as_in_amax(axis, keepdims):
    x = np.random.default_rng(0).integers(0, 3, size=(4, 5, 6)).astype(float)
    assert_equal(lambda a: (a.max if isinstance(a, Tensor) else a.amax)(axis, keepdims), x)


@pytest.mark.parametrize("index", [
    2, (-1, 2), slice(1, 4), (..., 0), (slice(None), None, 3), [1, 1, 4, 1], ([0, 2, 0], [1, 3, 1]),
    np.array([[0, 1], [1, 0]]),
])
def test_indexing(index):
    assert_equal(lambda a: a[index], np.random.default_rng(0).normal(size=(5, 4)))


def test_transposes():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    assert_equal(lambda a: (a.transpose if isinstance(a, Tensor) else a.permute)(3, 0, -2, 1), x)


def test_a_second_backward_adds_to_leaves_only():
    x = Tensor([0.5, -2.0, 3.0])
    h = x * x
    loss = (h * h).sum()
    loss.backward()
    loss.backward()
    leaf = torch.tensor(x.data, requires_grad=True)
    expected = ((leaf * leaf) ** 2).sum()
    expected.backward(retain_graph=True)
    expected.backward()
    np.testing.assert_allclose(x.grad, leaf.grad)
    np.testing.assert_allclose(h.grad, 2 * h.data)


def test_a_graph_is_freed_with_its_loss():
    import gc
    import weakref

    gc.disable()
    try:
        x = Tensor(np.ones((3, 3)))
        loss = (x @ x).exp().sum()
        middle = weakref.ref(loss._prev[0])
        loss.backward()
        del loss
        assert middle() is None
    finally:
        gc.enable()
