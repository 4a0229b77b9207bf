"""Muon against PyTorch's own."""

from __future__ import annotations

import pytest
import torch

from components.optimization.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(16, 16), (24, 8), (8, 24)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    singular = torch.linalg.svdvals(orthogonalise(torch.randn(3, *shape)))
    assert singular.min() > 0.4
    assert singular.max() < 1.4


def test_it_steps_as_torch_does_up_to_bfloat16() -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(12, 8)) for _ in range(2)]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    mine, reference = Muon(ours, lr=0.02, weight_decay=0.1), torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1)
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)


def test_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="updates matrices"):
        Muon([torch.nn.Parameter(torch.zeros(3))], lr=0.1)
