"""Word vectors to compare with: PPMI, its singular value decomposition, and skip-gram of gensim."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds
from sklearn.preprocessing import normalize

_SMOOTHING = 0.75  # of the shares of contexts (Levy, Goldberg and Dagan 2015)


@dataclass(frozen=True)
class Vectors:
    """Rows of unit length, dense or sparse, by word."""

    name: str
    vocabulary: dict
    rows: object

    def similarity(self, pairs):
        """Cosines of pairs of words that are all known."""
        first, second = (self.rows[[self.vocabulary[word] for word in words]] for words in zip(*pairs, strict=True))
        product = first.multiply(second) if sparse.issparse(first) else first * second
        return np.asarray(product.sum(axis=1)).ravel()


def ppmi(contexts):
    """Positive pointwise mutual information of words and contexts, a CSR matrix."""
    counts = contexts.counts.tocoo()
    words = np.asarray(contexts.counts.sum(axis=1)).ravel()
    smoothed = words**_SMOOTHING
    share = smoothed / smoothed.sum()
    values = np.log(counts.data / (words[counts.row] * share[counts.col]))
    kept = values > 0
    return sparse.csr_matrix((values[kept], (counts.row[kept], counts.col[kept])), shape=counts.shape)


def ppmi_vectors(contexts):
    """Rows of the PPMI matrix."""
    return Vectors("PPMI", contexts.vocabulary, normalize(ppmi(contexts)))


def svd_vectors(contexts, width=200, seed=0):
    """The PPMI matrix in fewer dimensions: left singular vectors times roots of singular values."""
    matrix = ppmi(contexts)
    width = min(width, matrix.shape[0] - 2)
    left, values, _ = svds(matrix, k=width, random_state=np.random.default_rng(seed))
    return Vectors(f"PPMI + SVD {width}", contexts.vocabulary, normalize(left * np.sqrt(values)))


def skip_gram(texts, tokenize, contexts, seed=0):
    """Skip-gram with negative sampling of gensim, 100 dimensions, 10 epochs; None if gensim is not installed."""
    try:
        from gensim.models import Word2Vec
    except ImportError:
        return None
    model = Word2Vec(
        [tokenize(text) for text in texts],
        vector_size=100,
        window=5,
        min_count=20,
        sample=1e-4,
        sg=1,
        epochs=10,
        seed=seed,
        workers=1,
    )
    rows = np.array([model.wv[word] for word in contexts.vocabulary])
    return Vectors("skip-gram", contexts.vocabulary, normalize(rows))
