"""Maps of high-dimensional points for the eye, each with a number that says how far to trust it;
and a toy of collapse.
"""

import warnings

import numpy as np
import torch
from torch import Tensor

from fairnc_utils._extras import needs
from fairnc_utils.collapse import ClassStatistics, Collapse, measure


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
    maps, metrics = planes(
        torch.stack([means.float(), rows.float()]), neighbors=neighbors, seed=seed
    )
    means, rows = (_directions(x) for x in (means, rows))
    nearest = (means @ rows.T).argmax(1) == np.arange(len(means))
    metrics.append(
        {
            "metric": "own_embedding_nearest",
            "variant": "full space",
            "value": float(nearest.mean()),
            "n": len(nearest),
        }
    )
    return {method: (flat[0], flat[1]) for method, flat in maps.items()}, metrics


def planes(
    sets: Tensor, *, neighbors: int = 15, seed: int = 0
) -> tuple[dict[str, np.ndarray], list[dict]]:
    """S sets of K points (S, K, D), each centred and scaled to the unit sphere, in one plane by PCA
    and one by UMAP.

    UMAP takes ``neighbors`` of each set: more sets of the same classes do not make the
    neighbourhoods smaller. Returns method → coordinates (S, K, 2), and metric rows: the
    trustworthiness of each map, PCA's explained variance. Raises ``MissingExtra`` where
    scikit-learn or UMAP is not installed.
    """
    with needs("maps"):
        from sklearn.decomposition import PCA
        from sklearn.manifold import trustworthiness

    points = np.concatenate([_directions(x) for x in sets])
    near = min(neighbors * len(sets) // 2, len(points) // 2 - 1)
    pca = PCA(2, random_state=seed).fit(points)
    maps = {"pca": pca.transform(points), "umap": _umap(points, near, seed)}
    metrics = [
        {
            "metric": "trustworthiness",
            "variant": method,
            "value": trustworthiness(points, flat, n_neighbors=near),
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
    return {method: flat.reshape(*sets.shape[:2], 2) for method, flat in maps.items()}, metrics


def _directions(x: Tensor) -> np.ndarray:
    x = x.detach().float().cpu()
    return torch.nn.functional.normalize(x - x.mean(0), dim=1).numpy()


def _umap(points: np.ndarray, neighbors: int, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba and umap warn about their own internals
        import umap  # slow to import, and only maps need it

        return umap.UMAP(
            n_neighbors=neighbors, metric="euclidean", random_state=seed, n_jobs=1
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
