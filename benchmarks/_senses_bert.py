"""The same tasks with hidden states of an encoder: which layers tell the senses of a word?

The vector of a target is the mean of the states of its tokens, layer by layer; layer 0 is the output of the embeddings.
"""

import numpy as np
import torch
from sklearn.cluster import AgglomerativeClustering

from benchmarks._fuzzy import fuzzy_b_cubed, fuzzy_nmi, hard_memberships, memberships
from benchmarks._senses_data import contexts_of_pairs, lemmas
from benchmarks._senses_tasks import averaged, correlated, permuted
from skbert.encoder import load_encoder, longest_input

_MAX_LENGTH = 128
_AT_ONCE = 32
# Characters of context that are kept on either side of the target, so that no target is beyond the longest input.
_AROUND = 200


def target_states(contexts, model="minilm"):
    """States of the targets of contexts (text, start, end); float32 array (n, n_layers + 1, width)."""
    loaded = load_encoder(model, None)
    shortened = [_shortened(*context) for context in contexts]
    order = np.argsort([len(text) for text, _, _ in shortened], kind="stable")
    states = None
    with torch.inference_mode():
        for first in range(0, len(order), _AT_ONCE):
            rows = order[first : first + _AT_ONCE]
            found = _states(loaded, [shortened[i] for i in rows])
            states = np.empty((len(contexts), *found.shape[1:]), dtype=np.float32) if states is None else states
            states[rows] = found
    return states


def _shortened(text, start, end):
    left = max(0, start - _AROUND)
    return text[left : end + _AROUND], start - left, end - left


def _states(loaded, contexts):
    """Mean over the tokens of the target, for a batch; (n, n_layers + 1, width)."""
    batch = loaded.tokenizer(
        [text for text, _, _ in contexts],
        padding=True,
        truncation=True,
        max_length=min(_MAX_LENGTH, longest_input(loaded.model, loaded.tokenizer)),
        return_tensors="pt",
        return_offsets_mapping=True,
    )
    offsets = batch.pop("offset_mapping")
    hidden = torch.stack(loaded.model(**batch, output_hidden_states=True).hidden_states, dim=1)
    start, end = (torch.tensor([context[k] for context in contexts])[:, None] for k in (1, 2))
    # Special tokens and padding have the offsets (0, 0).
    inside = (offsets[..., 0] < end) & (offsets[..., 1] > start) & (offsets[..., 1] > offsets[..., 0])
    if not inside.any(dim=1).all():
        raise ValueError("A target is beyond the longest input of the encoder; keep fewer characters around it.")
    weights = inside / inside.sum(dim=1, keepdim=True)
    return torch.einsum("nt,nltw->nlw", weights, hidden).numpy()


def similarity_in_context(folder, vocabulary):
    """SCWS: cosine of the states of the two targets, by layer, for pairs with both words in the vocabulary."""
    asked, first, second, labels = contexts_of_pairs(folder)
    known = [i for i, pair in enumerate(asked) if all(word in vocabulary for word in pair)]
    gold, note = np.array(labels)[known], f"{len(known)} of {len(labels)} pairs"
    sides = []
    for side in (first, second):
        joined = [(f"{left.strip()} {word} {right.strip()}", len(left.strip()) + 1, word) for left, word, right in side]
        sides.append(
            target_states([(text, start, start + len(word)) for text, start, word in (joined[i] for i in known)])
        )
    unit = [states / np.linalg.norm(states, axis=2, keepdims=True) for states in sides]
    for layer, cosines in enumerate((unit[0] * unit[1]).sum(axis=2).T):
        yield correlated("SCWS", f"MiniLM, layer {layer}", cosines, gold, note)


def induction(folder, vocabulary, n_clusters=(7, 3)):
    """SemEval-2013 task 13: Ward clusters of the unit states of the targets, by layer."""
    known = [lemma for lemma in lemmas(folder) if lemma.word in vocabulary]
    note = f"{len(known)} of {len(lemmas(folder))} lemmas"
    gold = [memberships(lemma.gold) for lemma in known]
    states = [target_states(lemma.contexts) for lemma in known]
    for many in n_clusters:
        for layer in range(states[0].shape[1]):
            name = f"MiniLM, layer {layer}, {many} clusters"
            clusterings = [_clusters(each[:, layer], many) for each in states]
            yield from _scores(name, clusterings, gold, note)
            yield from _scores(f"{name}, permuted", map(permuted, clusterings), gold, note)


def _scores(name, clusterings, gold, note):
    found = [hard_memberships(labels) for labels in clusterings]
    for measure, function in (("fuzzy NMI", fuzzy_nmi), ("fuzzy B-cubed", fuzzy_b_cubed)):
        values = [function(clusters, each) for clusters, each in zip(found, gold, strict=True)]
        yield averaged("SemEval-2013 task 13", measure, name, values, note)


def _clusters(states, n_clusters):
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    return AgglomerativeClustering(n_clusters).fit_predict(unit)
