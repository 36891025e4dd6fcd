"""What words mean: sparse word vectors whose dimensions are senses, and the senses of words in their contexts."""

from skbert.senses._counts import count_contexts, count_words, encode, pair_counts
from skbert.senses._divergences import js_divergence
from skbert.senses._intrusion import IntrusionItem, intrusion_items
from skbert.senses._tokenizers import lowercase_words, resolve_tokenizer
from skbert.senses._topics import fit_sklearn, pair_log_likelihood
from skbert.senses._vectorizer import SenseVectorizer
from skbert.senses._word2sense import Word2Sense

__all__ = [
    "IntrusionItem",
    "SenseVectorizer",
    "Word2Sense",
    "count_contexts",
    "count_words",
    "encode",
    "fit_sklearn",
    "intrusion_items",
    "js_divergence",
    "lowercase_words",
    "pair_counts",
    "pair_log_likelihood",
    "resolve_tokenizer",
]
