"""Word sense induction: which occurrences of a word have the same sense."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from skbert.senses._divergences import pairwise_js


def cluster_senses(vectors, sense_distributions, n_clusters=None):
    """The main sense of each occurrence, or of its cluster.

    Parameters
    ----------
    vectors : CSR matrix (n, n_senses)
        Senses of each occurrence.
    sense_distributions : float array (n_senses, n_words)
        Distribution over words of each sense.
    n_clusters : int, default=None
        Into how many clusters the senses that are the main sense of an occurrence are joined, by complete linkage of
        their Jensen-Shannon divergence. None, or at least as many as there are such senses: each is a cluster.

    Returns
    -------
    int array (n,)
        A sense: the one that is most often the main sense in the cluster.
    """
    main = np.asarray(vectors.argmax(axis=1)).ravel()
    used, places, counts = np.unique(main, return_inverse=True, return_counts=True)
    if n_clusters is None or n_clusters >= len(used):
        return main
    if n_clusters == 1:
        clusters = np.zeros(len(used), dtype=int)
    else:
        clustering = AgglomerativeClustering(n_clusters, metric="precomputed", linkage="complete")
        clusters = clustering.fit_predict(pairwise_js(sense_distributions[used]))
    names = np.empty(len(used), dtype=int)
    for cluster in np.unique(clusters):
        inside = np.flatnonzero(clusters == cluster)
        names[inside] = used[inside[np.argmax(counts[inside])]]
    return names[places]
