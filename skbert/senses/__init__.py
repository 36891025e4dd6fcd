"""What words mean: sparse word vectors whose dimensions are senses, and the senses of words in their contexts."""

from skbert.senses._divergences import js_divergence
from skbert.senses._intrusion import IntrusionItem, intrusion_items
from skbert.senses._vectorizer import SenseVectorizer
from skbert.senses._word2sense import Word2Sense

__all__ = ["IntrusionItem", "SenseVectorizer", "Word2Sense", "intrusion_items", "js_divergence"]
