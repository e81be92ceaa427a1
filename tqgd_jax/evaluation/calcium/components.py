"""Connected components of a few voxels in a large volume."""

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components


def components(
    at: Int[np.ndarray, "n 3"], touching: Bool[np.ndarray, "3 3 3"]
) -> Int[np.ndarray, "n"]:
    """Number of each voxel's component, from 0, in the order of first voxels.

    The work grows with the voxels given, not with the volume that they lie in:
    `scipy.ndimage.label` looks at every voxel of a scan, again for each convention.

    Args:
      at: (z, y, x) of each voxel, in the order of `np.nonzero`.
      touching: which of the 26 voxels around one are its neighbours, symmetric.
    """
    n = len(at)
    if not n:
        return np.zeros(0, np.int64)
    at = at - at.min(axis=0) + 1
    # One more than the largest coordinate, so that no neighbour wraps into the next row.
    _, height, width = at.max(axis=0) + 2
    key = (at[:, 0] * height + at[:, 1]) * width + at[:, 2]
    rows, columns = [], []
    for dz, dy, dx in (np.argwhere(touching) - 1).tolist():
        step = (dz * height + dy) * width + dx
        if step <= 0:  # the other half is this one seen from the neighbour
            continue
        place = np.minimum(np.searchsorted(key, key + step), n - 1)
        meets = np.flatnonzero(key[place] == key + step)
        rows.append(meets)
        columns.append(place[meets])
    i, j = np.concatenate(rows), np.concatenate(columns)
    graph = csr_array((np.ones(len(i), np.int8), (i, j)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)
