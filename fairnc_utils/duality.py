"""What duality leaves free: classifiers with the same NC3 and UNC3, from one that favours women to
one that favours men.

NC3, UNC3 and the regularizer R are functions of the angles between a word's row of the classifier
W_c and its centred class mean u_c. A slot's log-odds are ℓ = (W_she − W_he) · h + δ, so the
occupation slope is β = (W_she − W_he) · κ, with κ the slope of the slot's features h on the share
of women. Each row may turn around its u_c without any of the angles changing, and turns β with it.
``turned`` makes such rows, ``slope_range`` gives the least and the greatest slope of all of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Slots:
    """N occupations: ``names``, mean ``features`` (N, D) of their slots, ``share`` (N,) of women in
    each, minus one half.
    """

    names: tuple[str, ...]
    features: Tensor
    share: Tensor

    @property
    def kappa(self) -> Tensor:
        """Least-squares slope of the features on the share (D,)."""
        share = self.share - self.share.mean()
        return share @ self.features / share.square().sum()

    @property
    def parity(self) -> Tensor:
        """The features where women and men work in equal numbers, by the same line (D,)."""
        return self.features.mean(0) - self.share.mean() * self.kappa


def turned(rows: Tensor, centred: Tensor, kappa: Tensor, angle: float) -> Tensor:
    """Rows (2, D) of *she* and *he*, each turned around its centred class mean (2, D); norms and
    cosines with it stay.

    ``angle`` in radians: at 0 the slope is greatest, at π least, between them it is a cosine. Each
    row turns within the plane of κ's and its own part orthogonal to the class mean, so that at some
    angle it is itself again.
    """
    means = normalize(centred, dim=-1)
    along = (rows * means).sum(-1, keepdim=True) * means
    free = rows - along
    signs = torch.tensor([[1.0], [-1.0]], dtype=rows.dtype, device=rows.device)
    towards = normalize(signs * _orthogonal(kappa, means), dim=-1)
    aside = normalize(free - (free * towards).sum(-1, keepdim=True) * towards, dim=-1)
    angle = torch.as_tensor(angle, dtype=rows.dtype, device=rows.device)
    return along + free.norm(dim=-1, keepdim=True) * (angle.cos() * towards + angle.sin() * aside)


def slope_range(
    centred: Tensor, kappa: Tensor, cosines: Tensor, norms: Tensor
) -> tuple[float, float]:
    """Least and greatest slope of rows with these ``cosines`` (2,) to the centred class means (2,
    D) and these ``norms`` (2,).

    wρ(u_she − u_he) · κ ∓ w√(1 − ρ²)(‖P_she κ‖ + ‖P_he κ‖) where norms and cosines are equal, P_c
    the projection orthogonal to u_c. Both ends are attained. At ρ = 1 they meet in the slope of the
    class means, which need not be 0.
    """
    means = normalize(centred, dim=-1)
    signed = norms * cosines * (means @ kappa)
    middle = signed[0] - signed[1]
    free = norms * (1 - cosines.square()).clamp_min(0).sqrt()
    reach = (free * _orthogonal(kappa, means).norm(dim=-1)).sum()
    return float(middle - reach), float(middle + reach)


def _orthogonal(vector: Tensor, units: Tensor) -> Tensor:
    """Part of a vector (D,) orthogonal to each of the unit vectors (N, D): (N, D)."""
    return vector - (units @ vector)[:, None] * units
