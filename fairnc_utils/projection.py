"""Maps of high-dimensional points for the eye, each with a number that says how far to trust it;
and a toy of collapse.
"""

import warnings

import numpy as np
import torch
from torch import Tensor

from fairnc_utils._extras import needs
from fairnc_utils.collapse import ClassStatistics, Collapse, measure
from fairnc_utils.errors import FairNCError


def shared_maps(
    means: Tensor, rows: Tensor, *, neighbors: int = 15, seed: int = 0
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[dict]]:
    """Class means (K, D) and classifier rows (K, D) in one plane, by PCA and by UMAP.

    Both sets are centred and scaled to the unit sphere first, as NC3 compares directions: at
    self-duality each mean falls on its row. Returns method → (coordinates of the means, of the
    rows), each (K, 2), and metric rows: share of means whose nearest row, by cosine in the full
    space, is their own (ideal 1); PCA's explained variance; and ``trustworthiness`` (Venna & Kaski
    2001: share of map neighbours that are true ones, by rank; ideal 1).
    """
    both = torch.stack([means.float(), rows.float()])[None]
    maps, metrics = planes(both, neighbors=neighbors, seed=seed)
    means, rows = (directions(x).numpy() for x in (means, rows))
    nearest = (means @ rows.T).argmax(1) == np.arange(len(means))
    metrics.append(
        {
            "metric": "own_embedding_nearest",
            "variant": "full space",
            "value": float(nearest.mean()),
            "n": len(nearest),
        }
    )
    return {method: (flat[0, 0], flat[0, 1]) for method, flat in maps.items()}, metrics


#: Points that a map of several models may have: their distances are held all at once.
MOST_POINTS = 20_000


def planes(
    sets: Tensor, *, neighbors: int = 15, seed: int = 0
) -> tuple[dict[str, np.ndarray], list[dict]]:
    """Sets of K points in M models, each set centred and scaled to the unit sphere, in one plane by
    PCA and one by UMAP. ``sets``: (M, kinds, K, D), a kind being class means, say, or embeddings.

    Neighbours, UMAP's and those of trustworthiness, are *other* points where there are several
    models: a point's places in the other models would be its nearest, and every map of little
    training would look as if nothing had moved. UMAP takes ``neighbors`` of each model: more models
    of the same classes do not make the neighbourhoods smaller. Returns method → coordinates (M,
    kinds, K, 2), and metric rows: the trustworthiness of each map, PCA's explained variance. Raises
    ``MissingExtra`` where scikit-learn or UMAP is not installed, ``FairNCError`` for more than
    ``MOST_POINTS`` points of several models.
    """
    with needs("maps"):
        from sklearn.decomposition import PCA
        from sklearn.manifold import trustworthiness

    M, kinds, K, D = sets.shape
    points = torch.stack([directions(x) for x in sets.reshape(-1, K, D)]).reshape(-1, D).numpy()
    near = min(neighbors * M, len(points) // 2 - 1)
    pca = PCA(2, random_state=seed).fit(points)
    flat = pca.transform(points)
    if M == 1:
        space, options = points, {"metric": "euclidean"}
    else:
        space, options = _between_others(points, M), {"metric": "precomputed"}
    start = {"init": (10 * flat / np.abs(flat).max()).astype(np.float32)} if M > 1 else {}
    maps = {"pca": flat, "umap": flat_by_umap(space, neighbors=near, seed=seed, **options, **start)}
    metrics = [
        {
            "metric": "trustworthiness",
            "variant": method,
            "value": trustworthiness(space, flat, n_neighbors=near, **options),
        }
        for method, flat in maps.items()
    ]
    metrics.append(
        {
            "metric": "explained_variance",
            "variant": "pca",
            "value": float(pca.explained_variance_ratio_.sum()),
        }
    )
    return {method: flat.reshape(M, kinds, K, 2) for method, flat in maps.items()}, metrics


def _between_others(points: np.ndarray, models: int) -> np.ndarray:
    """Distances between points (M · P, D) of M models, (M · P, M · P), those of a point to itself
    in another model the largest there is.
    """
    if len(points) > MOST_POINTS:
        raise FairNCError(
            f"a map of {len(points):,} points ({models} models or snapshots) holds too many distances: ask for fewer "
            f"snapshots or words, so that there are at most {MOST_POINTS:,}"
        )
    own = np.tile(np.arange(len(points) // models), models)
    distance = torch.cdist(torch.from_numpy(points), torch.from_numpy(points)).numpy()
    np.fill_diagonal(distance, 0.0)
    distance[(own[:, None] == own) & ~np.eye(len(points), dtype=bool)] = distance.max()
    return distance


def directions(x: Tensor) -> Tensor:
    """Points (K, D) without their mean, each scaled to length 1, as float32 on the CPU: what NC3
    compares.
    """
    x = x.detach().float().cpu()
    return torch.nn.functional.normalize(x - x.mean(0), dim=1)


def flat_by_umap(points: np.ndarray, *, neighbors: int, seed: int, **options) -> np.ndarray:
    """Points (N, D) in one plane by UMAP, (N, 2); ``options``: those of ``umap.UMAP``, by default
    the Euclidean metric.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba and umap warn about their own internals
        import umap  # slow to import, and only maps need it

        options = {"metric": "euclidean"} | options
        return umap.UMAP(
            n_neighbors=neighbors, random_state=seed, n_jobs=1, **options
        ).fit_transform(points)


def toy_collapse(
    distance: float, *, samples: int = 40, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Collapse]:
    """Three classes in the plane at a ``distance`` (0 to 1) from full collapse → samples (3, n, 2),
    means, rows, metrics.

    At 0 the samples sit on their mean, the means form a simplex ETF (three directions 120° apart),
    and each classifier row points along its mean; with the distance noise, uneven lengths and
    turned rows grow.
    """
    generator = torch.Generator().manual_seed(seed)
    angle = torch.deg2rad(
        torch.tensor([90.0, 210.0, 330.0]) + distance * torch.tensor([0.0, 35.0, -50.0])
    )
    length = 1 + distance * torch.tensor([0.0, 0.45, -0.35])
    centres = length[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    turned = angle + distance * torch.deg2rad(torch.tensor([40.0, -15.0, 60.0]))
    rows = torch.stack([turned.cos(), turned.sin()], 1)
    drawn = centres[:, None] + 0.35 * distance * torch.randn(3, samples, 2, generator=generator)
    statistics = ClassStatistics(3, 2).update(
        drawn.flatten(0, 1), torch.arange(3).repeat_interleave(samples)
    )
    return (
        drawn.numpy(),
        statistics.means(torch.arange(3)).numpy(),
        rows.numpy(),
        measure(statistics, rows, groups=1),
    )
