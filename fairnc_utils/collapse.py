"""Neural collapse of classes: streaming statistics and the metrics NC1 to NC4, all as tensors.

Notation of the book: K classes, D dimensions, classifier rows W (K, D), class means M (K, D), their
unweighted mean m_G (D,), counts n (K,), mean squared distances to the class mean v (K,). Standard
deviations have ddof 1; pairs are the strict upper triangle.

The metrics follow Papyan et al. (2020) for NC1–NC4, Galanti et al. (2021) for the class-distance
normalized variance, Liu et al. (2023) for hyperspherical uniformity (GNC2) and Xu et al. (2025) for
uniform duality (UNC3). With ``variant="as_released"`` they are computed as the public code of the
last does it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from math import log

import torch
from torch import Tensor

from fairnc_utils import processes, stats
from fairnc_utils._pairwise import Groups, by_rows
from fairnc_utils.catalog import VARIANTS
from fairnc_utils.errors import FairNCError


class ClassStatistics:
    """Streaming counts, sums and sums of squared norms of features by class.

    Exact: any batching, order or merging of the same samples gives the same statistics up to
    rounding. On a GPU no update waits for the device: labels that lie there and name no class are
    counted in ``strays``, and ``seen`` tells of them.
    """

    def __init__(
        self, num_classes: int, dim: int, *, device: torch.device | str = "cpu", dtype=torch.float64
    ):
        self.strays = torch.zeros((), dtype=torch.int64, device=device)
        self.counts = torch.zeros(num_classes, dtype=torch.int64, device=device)
        self.sums = torch.zeros(num_classes, dim, dtype=dtype, device=device)
        self.square_sums = torch.zeros(num_classes, dtype=dtype, device=device)

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> "ClassStatistics":
        """Add samples: ``features`` (N, D), ``labels`` (N,) in [0, num_classes). Returns itself."""
        if features.ndim != 2 or features.shape != (len(labels), self.sums.shape[1]):
            raise FairNCError(
                f"features {tuple(features.shape)} do not fit {len(labels)} labels and dimension {self.sums.shape[1]}"
            )
        labels = self._labels(labels, at_once=labels.device.type == "cpu").to(self.counts.device)
        features = features.to(self.sums)
        # bincount would wait for a GPU, and take all classes
        self.counts.index_add_(0, labels, torch.ones_like(labels))
        self.sums.index_add_(0, labels, features)
        self.square_sums.index_add_(0, labels, torch.linalg.vector_norm(features, dim=1).square_())
        return self

    def _labels(self, labels: Tensor, *, at_once: bool) -> Tensor:
        """Labels that name a class: others are an error at once, or else counted as strays under
        the nearest class.
        """
        inside = labels.to(torch.int64).clamp(0, len(self.counts) - 1)
        strays = (inside != labels).sum()
        if not at_once:
            self.strays += strays
        elif strays:
            raise FairNCError(
                f"labels run from {labels.min()} to {labels.max()}; there are {len(self.counts)} classes"
            )
        return inside

    def merge(self, other: "ClassStatistics") -> "ClassStatistics":
        """Add the samples of ``other`` (same classes and dimension). Returns itself."""
        if other.sums.shape != self.sums.shape:
            raise FairNCError(
                f"cannot merge statistics of shape {tuple(other.sums.shape)} into {tuple(self.sums.shape)}"
            )
        self.counts += other.counts.to(self.counts.device)
        self.sums += other.sums.to(self.sums)
        self.square_sums += other.square_sums.to(self.square_sums)
        self.strays += other.strays.to(self.strays)
        return self

    def forget(self, classes: Sequence[int]) -> "ClassStatistics":
        """Take out all samples of some classes. Returns itself."""
        on = torch.tensor(classes, dtype=torch.int64, device=self.counts.device)
        for tensor in (self.counts, self.sums, self.square_sums):
            tensor.index_fill_(0, on, 0)
        return self

    def means(self, classes: Tensor) -> Tensor:
        """Class means M (K, D) of the given classes, each of which must have been seen."""
        return self.sums[classes].div_(self.counts[classes, None])

    def variances(self, classes: Tensor) -> Tensor:
        """Mean squared distance to the class mean, v (K,)."""
        square_of_mean = by_rows(lambda some: self.means(some).square_().sum(1), classes)
        spread = self.square_sums[classes] / self.counts[classes] - square_of_mean
        return spread.clamp_min(0)

    def seen(self, classes: Sequence[int] | Tensor | None = None, *, min_count: int = 10) -> Tensor:
        """The given class ids (default: all) that have at least ``min_count`` samples, in their
        order, on the CPU.
        """
        if self.strays:
            raise FairNCError(
                f"{int(self.strays)} labels name no class: they must be in 0 to {len(self.counts) - 1}"
            )
        every = self._listed(classes)
        return every[self.counts[every.to(self.counts.device)].cpu() >= min_count]

    def _listed(self, classes: Sequence[int] | Tensor | None) -> Tensor:
        return (
            torch.arange(len(self.counts))
            if classes is None
            else torch.as_tensor(classes, dtype=torch.int64).cpu()
        )


@dataclass(frozen=True)
class Collapse:
    """Collapse of a set of classes. Every metric is a 0-d tensor; *ideal* is its value at collapse.

    ========================  =====================================================================  ==========
    field                     meaning                                                                ideal
    ========================  =====================================================================  ==========
    nc1                       class-distance normalized variance of the means                        0 (low)
    nc1w                      the same with distances between classifier rows                        0 (low)
    nc2_equinorm              sd / mean of ‖M_c − m_G‖                                               0 (low)
    nc2_equiangular           sd over pairs of cos(M_c − m_G, M_c′ − m_G)                            0, K ≤ D+1
    nc2_simplex               mean over pairs of \\|cos + 1/(K−1)\\|                                   0, K ≤ D+1
    gnc2_mean, gnc2_sd        mean and sd over pairs of ln(1/‖u_c − u_c′‖), u = normalized M − m_G   ETF, 0
    nc2w\\_…, gnc2w\\_…         the same on W (centred by its mean)                                    as above
    nc3                       mean over c of cos(M_c − m_G, W_c)                                     high
    nc3_ceiling               nc3 of perfectly self-dual rows, M = W: what nc3 can reach             –
    nc3c                      nc3 with W_c − mean W                                                  1 (high)
    unc3                      sd over c of the nc3 cosine                                            0 (low)
    duality_sum               as_released only: mean coordinate sum of the unit duality error        0
    ========================  =====================================================================  ==========

    ``classes`` (K,) ids that were measured; ``unseen`` ids that had fewer than ``min_count`` samples; ``cosines`` (K,) the
    nc3 cosine by class; ``counts`` (K,); ``estimates`` name → value with its jackknife interval over classes.
    """

    nc1: Tensor
    nc1w: Tensor
    nc2_equinorm: Tensor
    nc2_equiangular: Tensor
    nc2_simplex: Tensor
    gnc2_mean: Tensor
    gnc2_sd: Tensor
    nc2w_equinorm: Tensor
    nc2w_equiangular: Tensor
    nc2w_simplex: Tensor
    gnc2w_mean: Tensor
    gnc2w_sd: Tensor
    nc3: Tensor
    nc3_ceiling: Tensor
    nc3c: Tensor
    unc3: Tensor
    duality_sum: Tensor
    classes: Tensor
    unseen: Tensor
    counts: Tensor
    cosines: Tensor
    estimates: dict[str, stats.Estimate]
    variant: str
    min_count: int

    def metrics(self) -> dict[str, Tensor]:
        """The scalar metrics by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if isinstance(value, Tensor) and value.ndim == 0
        }


# --------------------------------------------------------------- pieces that the regularizer shares


def duality_cosines(
    means: Tensor, weight: Tensor, global_mean: Tensor, *, eps: float = 0.0
) -> Tensor:
    """cos(M_c − m_G, W_c) by class: (K, D), (K, D), (D,) → (K,). ``eps`` keeps a loss
    differentiable at zero norm.
    """
    return _cosine(means - global_mean, weight, eps=eps)


def _cosine(a: Tensor, b: Tensor, *, eps: float = 0.0) -> Tensor:
    return (a * b).sum(-1) / (a.square().sum(-1) * b.square().sum(-1) + eps).sqrt()


# ---------------------------------------------------------------- measurement


@torch.no_grad()
def measure(
    statistics: ClassStatistics,
    weight: Tensor,
    *,
    classes: Sequence[int] | Tensor | None = None,
    min_count: int = 10,
    variant: str = "corrected",
    groups: int = 50,
) -> Collapse:
    """Every collapse metric of a set of classes (NC4 apart: see ``nearest_class_agreement``).

    ``statistics``: of C classes; ``weight`` (C, D): classifier rows; ``classes``: ids to measure
    (default: all), of which those with ``min_count`` samples are used; ``groups``: jackknife groups
    for the intervals over classes (delete-one where there are no more classes than groups; 1: no
    intervals; m_G stays fixed). Raises ``FairNCError`` if fewer than two classes are left.
    """
    if variant not in VARIANTS:
        raise FairNCError(f"unknown variant {variant!r}: choose {' or '.join(VARIANTS)}")
    asked = statistics._listed(classes)
    used = statistics.seen(asked, min_count=min_count)
    if len(used) < 2:
        raise FairNCError(
            f"only {len(used)} of {len(asked)} classes have {min_count} samples; collapse needs two: "
            "lower min_count or give more text"
        )
    if len(weight) != len(statistics.counts):
        raise FairNCError(
            f"weight has {len(weight)} rows for {len(statistics.counts)} classes; it needs one a class"
        )
    over = Groups(len(used), groups, statistics.sums)
    on = used.to(statistics.counts.device)[over.order]
    values, cosines = _measure(
        statistics.means(on),
        weight.detach()[on.to(weight.device)].to(statistics.sums),
        statistics.variances(on),
        variant == "as_released",
        over,
    )
    # together: each transfer would wait for a GPU
    table = torch.stack(list(values.values())).cpu().numpy()
    estimates = {
        name: stats.jackknife(float(x[0]), x[1:], len(used))
        for name, x in zip(values, table, strict=True)
    }
    return Collapse(
        **{name: x[0] for name, x in values.items()},
        classes=used,
        unseen=asked[~torch.isin(asked, used)],
        counts=statistics.counts[used.to(on.device)],
        cosines=cosines[over.order.argsort()],
        estimates=estimates,
        variant=variant,
        min_count=min_count,
    )


def _measure(
    means: Tensor, rows: Tensor, spread: Tensor, released: bool, groups: Groups
) -> tuple[dict[str, Tensor], Tensor]:
    """Metric name → (1 + G,): its value, then its jackknife replicates; and the NC3 cosines (K,).

    Classes are in the order of ``groups``. A matrix (K, D) may be the larger part of a device, so
    ``means`` and ``rows`` are overwritten, what is of a class is computed some rows at a time, and
    the pairs of means are done before those of rows begin.
    """
    middle, middle_of_rows = means.mean(0), rows.mean(0)

    def by_class(means: Tensor, rows: Tensor) -> Tensor:
        centred, rows_centred = means - middle, rows - middle_of_rows
        return torch.stack(
            [
                _cosine(centred, rows),
                _cosine(rows_centred, rows),
                _cosine(centred, rows_centred),
                _unit(_unit(rows) - _unit(centred)).sum(1),
            ],
            1,
        )

    values = {}
    cosines, ceilings, centred_cosines, sums = by_rows(by_class, means, rows).T.contiguous()
    values["nc3"], values["unc3"] = groups.over_classes(cosines)
    values["nc3_ceiling"], _ = groups.over_classes(ceilings)
    values["nc3c"], _ = groups.over_classes(centred_cosines)
    values["duality_sum"], _ = groups.over_classes(sums)
    for mark, points, centre in (("", means, middle), ("w", rows, middle_of_rows)):
        of_points = _of_one_kind(points, centre, spread, released, groups)
        values |= {name.format(mark): value for name, value in of_points.items()}
    return values, cosines


def _of_one_kind(
    points: Tensor, centre: Tensor, spread: Tensor, released: bool, groups: Groups
) -> dict[str, Tensor]:
    """The metrics of class means alone, or of rows alone (``{}`` in their names); ``points`` (K, D)
    are overwritten.
    """
    # the released code takes its kernels on the sphere of what is not centred
    on_sphere = _unit(points) if released else None
    norms = points.sub_(centre).norm(dim=1)
    mean, sd = groups.over_classes(norms.square() if released else norms)
    pairs = groups.over_pairs(_PairKernels(_to_unit(points), norms, on_sphere, spread))
    return {
        "nc2{}_equinorm": sd / mean,
        "nc1{}": pairs["cdnv"][0],
        "nc2{}_equiangular": pairs["cosine"][1],
        "nc2{}_simplex": pairs["simplex"][0],
        "gnc2{}_mean": pairs["log_kernel"][0],
        "gnc2{}_sd": pairs["log_kernel"][1],
    }


class _PairKernels:
    """The pairwise quantities of a tile of classes, all from one Gram matrix of the centred points.

    The time goes into passes over tiles, so whatever can be done in place is.
    """

    def __init__(self, unit: Tensor, norm: Tensor, on_sphere: Tensor | None, spread: Tensor):
        self.unit, self.norm, self.half_spread = unit, norm, spread / 2
        self.on_sphere = on_sphere
        self.simplex = 1 / (len(unit) - 1)

    def __call__(self, a: slice, b: slice) -> dict[str, Tensor]:
        cosine = self.unit[a] @ self.unit[b].mT
        away = (1 - cosine).clamp_min_(0)
        long, wide = self.norm[a, None], self.norm[b]
        distance = (away * (2 * long)).mul_(wide).add_((long - wide).square_())
        if self.on_sphere is not None:
            distance.square_()  # the released code divides the variance by the fourth power
            torch.mm(self.on_sphere[a], self.on_sphere[b].mT, out=away)
            away.neg_().add_(1)
        return {
            "cdnv": (self.half_spread[a, None] + self.half_spread[b]).div_(distance),
            "cosine": cosine,
            "simplex": (cosine + self.simplex).abs_(),
            "log_kernel": away.mul_(2).clamp_min_(torch.finfo(away.dtype).tiny).log_().mul_(-0.5),
        }


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=1)


def _to_unit(x: Tensor) -> Tensor:
    """``_unit`` in place."""
    return torch.nn.functional.normalize(x, dim=1, out=x)


# ---------------------------------------------------------------- NC4 and references


@torch.no_grad()
def nearest_class_agreement(
    batches: Iterable[tuple[Tensor, Tensor]],
    statistics: ClassStatistics,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    classes: Sequence[int] | Tensor | None = None,
    min_count: int = 10,
) -> Tensor:
    """NC4: share of held-out samples where the classifier and the nearest class mean agree; 0-d
    tensor, ideal 1 (high).

    ``batches``: (features (N, D), labels (N,)) of held-out text; samples whose label is not among
    the measured classes are left out. ``bias`` (C,): the decoder's bias; without it only directions
    and norms decide. Inside ``processes.joined`` each process gives its share of the batches.
    """
    used = statistics.seen(classes, min_count=min_count).to(weight.device)
    # of a model in half precision too: what decides between near classes is the last bits
    exact = torch.promote_types(weight.dtype, torch.float32)
    means = statistics.means(used.to(statistics.counts.device)).to(weight.device, exact)
    rows, offset = weight[used].to(exact), 0 if bias is None else bias[used].to(exact)
    half_squares = means.square().sum(1) / 2
    # samples on which they agree, and all
    count = torch.zeros(2, dtype=torch.int64, device=weight.device)
    for features, labels in batches:
        held = features[torch.isin(labels, used)].to(means)
        by_classifier = (held @ rows.mT + offset).argmax(1)
        by_mean = (held @ means.mT - half_squares).argmax(1)  # argmin of the squared distance
        count[0] += (by_classifier == by_mean).sum()
        count[1] += len(held)
    agree, total = processes.total(count)
    if not total:
        raise FairNCError("NC4: the held-out text has no sample of the measured classes")
    return agree.double() / total


def simplex_reference(
    num_classes: int, dim: int, *, seed: int = 0, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """What NC2 and GNC2 can reach for K classes in D dimensions; ``device`` is where it is computed.

    Where K ≤ D + 1: the simplex ETF. Else: the Welch bound on the sd of cosines, and points drawn
    uniformly on the sphere (Liu et al. 2023), for which the ETF's values are out of reach.
    """
    if num_classes <= dim + 1:
        return {
            "equiangular": 0.0,
            "gnc2_mean": -0.5 * log(2 * num_classes / (num_classes - 1)),
            "gnc2_sd": 0.0,
        }
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(num_classes, dim, generator=generator, dtype=torch.float64).to(device)
    norms = points.norm(dim=1)
    drawn = Groups(num_classes, 1, points).over_pairs(
        _PairKernels(_to_unit(points), norms, None, torch.zeros_like(norms))
    )
    return {
        "welch_bound": ((num_classes - dim) / (dim * (num_classes - 1))) ** 0.5,
        "equiangular": float(drawn["cosine"][1][0]),
        "gnc2_mean": float(drawn["log_kernel"][0][0]),
        "gnc2_sd": float(drawn["log_kernel"][1][0]),
    }
