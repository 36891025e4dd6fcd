"""Runs an encoder under many sets of skipped layers at once; each layer runs once on each state that needs it.

A skipped layer is the identity: the state above it is the state below it (Kiyuna,
Oka and Komachi 2022). The state of a text therefore depends only on its *path*: the
layers that have run so far. Many skip sets share paths. For example, all contiguous
spans that end at layer e or below start from one of only e + 1 states. The paths form
a trie, which is processed layer by layer. All states that a layer must run on are
placed side by side in one packed batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from skbert.text import Layout, TokenBatch


class SkipPlan:
    """Which states are needed for a list of skip sets, and which layers compute them.

    Parameters
    ----------
    skips : sequence of collections of int
        The layers, 0-based, that each variant leaves out; an empty collection is the full model.
    wanted : sequence of int
        Hidden states that will be read, in 0..n_layers. They keep the indices of the
        full model: if a variant skips layer d - 1, its hidden state d equals its hidden
        state d - 1.
    n_layers : int
        L, the number of layers.
    path : sequence of int, default=None
        The layer of the encoder at each of the L positions; None means all layers in order.

    Attributes
    ----------
    inputs : list of lists of tuples
        For each layer, the paths on whose states it runs. Layers above the deepest wanted state do not run.
    reads : list of tuples of tuples
        For each variant, the path of each wanted state.
    """

    def __init__(self, skips, wanted, n_layers, path=None):
        self.wanted, self.n_layers = tuple(wanted), n_layers
        self.path = range(n_layers) if path is None else path
        skips = [frozenset(skip) for skip in skips]
        self.reads = [tuple(_path(skip, depth) for depth in self.wanted) for skip in skips]
        self.inputs = [
            list(dict.fromkeys(_path(skip, layer) for skip in skips if layer not in skip))
            for layer in range(max(self.wanted))
        ]
        self._last_input = {path: layer for layer, paths in enumerate(self.inputs) for path in paths}
        self._read = {path for paths in self.reads for path in paths}

    def __len__(self):
        return len(self.reads)

    def is_input(self, path):
        """Whether any layer runs on the state of `path`."""
        return path in self._last_input

    def is_read(self, path):
        """Whether the state of `path` is returned."""
        return path in self._read

    def last_input(self, path):
        """The last layer that runs on the state of `path`; -1 if none does."""
        return self._last_input.get(path, -1)

    def most_states(self, cls_only):
        """Maximum number of states of all tokens that are in memory at once.

        Parameters
        ----------
        cls_only : bool
            Whether only the first token of the wanted states is kept.
        """
        alive, most = {()}, 1
        for layer, paths in enumerate(self.inputs):
            made = {(*path, layer) for path in paths}
            alive |= {path for path in made if not cls_only or self.is_input(path)}
            most = max(most, len(alive))
            alive = {path for path in alive if self.last_input(path) > layer or (not cls_only and self.is_read(path))}
        return most


def _path(skip, depth):
    """The layers below `depth` that run."""
    return tuple(layer for layer in range(depth) if layer not in skip)


def skip_hidden_states(runner, batch, plan, *, cls_only=False, max_tokens=2048):
    """Hidden states of a batch under every variant of a plan.

    Parameters
    ----------
    runner : LayerRunner
        The runner of the encoder.
    batch : TokenBatch
        The texts, on the encoder's device.
    plan : SkipPlan
        The variants.
    cls_only : bool, default=False
        Whether to return only the first token of each text.
    max_tokens : int, default=2048
        A layer runs on at most this many tokens at once. If one state of the batch is longer, it runs on that state.

    Yields
    ------
    variants : range
        The indices of the variants of this step.
    states : list of tensors, in the order of ``plan.wanted``
        As from `LayerRunner.hidden_states` for a larger batch, in which each text is repeated
        once per variant, side by side: in the order of the request, row
        ``i * len(variants) + j`` is text i under variant ``variants[j]``.
    layout : Layout
        The layout of that larger batch.

    Raises
    ------
    NotImplementedError
        skbert does not run this family layer by layer.
    """
    if not runner.owns_forward:
        raise NotImplementedError(
            f"Layers can be skipped only in families that skbert runs layer by layer, which "
            f"{runner.model.config.model_type!r} is not."
        )
    side_by_side = _SideBySide(runner, batch)
    at_once = max(1, max_tokens // len(batch.input_ids))
    read = _run_trie(runner, plan, side_by_side, cls_only, at_once)
    for first in range(0, len(plan), at_once):
        variants = range(first, min(first + at_once, len(plan)))
        copies = side_by_side(len(variants))
        states = []
        for place, depth in enumerate(plan.wanted):
            parts = [read[plan.reads[variant][place]] for variant in variants]
            state = copies.lay_rows(parts) if cls_only else copies.lay(parts)
            state = runner.finish(state, last=depth == plan.n_layers)
            states.append(copies.layout.restore(state) if cls_only else state)
        yield variants, states, copies.layout


def _run_trie(runner, plan, side_by_side, cls_only, at_once):
    """The packed states that are read, by path; with `cls_only` one row per text, in packed order."""
    cls_index = side_by_side(1).layout.cls_index
    alive, read = {(): side_by_side.embedded}, {}
    if plan.is_read(()):
        read[()] = side_by_side.embedded[cls_index] if cls_only else side_by_side.embedded
    for layer, inputs in enumerate(plan.inputs):
        # If no layer runs on a state, its other tokens are not read, so the layer does not compute them.
        ends = [path for path in inputs if cls_only and not plan.is_input((*path, layer))]
        others = [path for path in inputs if not cls_only or plan.is_input((*path, layer))]
        for paths, rows_only in ((ends, True), (others, False)):
            for first in range(0, len(paths), at_once):
                chunk = paths[first : first + at_once]
                copies = side_by_side(len(chunk))
                made, is_rows = _run_layer(runner, plan.path[layer], copies, [alive[path] for path in chunk], rows_only)
                for path, state in zip(chunk, made, strict=True):
                    new = (*path, layer)
                    if plan.is_read(new):
                        read[new] = state[cls_index] if cls_only and not is_rows else state
                    if plan.is_input(new):
                        alive[new] = state
        alive = {path: state for path, state in alive.items() if plan.last_input(path) > layer}
    return read


def _run_layer(runner, index, copies, states, rows_only):
    """Run one layer on several states; return the new states, and whether they hold first tokens only."""
    state = runner.unpack(copies.lay(states), copies.layout)
    if rows_only:
        rows = runner.layer(index, state, copies.context, cls_only=True)
        if rows is not None:
            return copies.split_rows(rows), True
    packed = runner.pack(runner.layer(index, state, copies.context), copies.context)
    return copies.split(packed), False


class _SideBySide:
    """Makes the batch in which every text is repeated k times side by side, once for each k."""

    def __init__(self, runner, batch):
        self._runner, self._batch = runner, batch
        layout = Layout(batch.lengths, batch.order)
        state = runner.embed(batch, layout)
        context = runner.context(batch, layout, state)
        self.embedded = runner.pack(state, context)
        self._layout = layout
        self._made = {1: _Copies(batch, layout, context, None, 1)}

    def __call__(self, k):
        if k not in self._made:
            index = _interleaved(self._layout, k)
            batch = _repeated(self._batch, index, k)
            layout = Layout(batch.lengths, batch.order)
            embedded = self._runner.unpack(self.embedded[index % len(self.embedded)], layout)
            self._made[k] = _Copies(batch, layout, self._runner.context(batch, layout, embedded), index, k)
        return self._made[k]


@dataclass(frozen=True)
class _Copies:
    """A batch of k copies of each text, and the conversion between k states and one state of that batch."""

    batch: TokenBatch
    layout: Layout
    context: object
    index: torch.Tensor | None
    k: int

    def lay(self, states):
        """K packed states (n_tokens, width) → one (k * n_tokens, width)."""
        return states[0] if self.k == 1 else torch.cat(states)[self.index]

    def split(self, packed):
        """The inverse of `lay`."""
        if self.k == 1:
            return [packed]
        return torch.empty_like(packed).index_copy_(0, self.index, packed).chunk(self.k)

    def lay_rows(self, rows):
        """K times one row per text (n_texts, width) → (k * n_texts, width)."""
        return torch.stack(rows, dim=1).flatten(0, 1)

    def split_rows(self, rows):
        """The inverse of `lay_rows`."""
        return rows.unflatten(0, (-1, self.k)).unbind(1)


def _interleaved(layout, k):
    """For k copies of each text: the index of each token in k packed states, one after the other; (k * n_tokens,)."""
    n_tokens = sum(layout.lengths)
    copies = torch.arange(k, device=layout.device)[None, :, None] * n_tokens
    parts = []
    for _, token, n, length in layout.groups:
        tokens = torch.arange(token, token + n * length, device=layout.device).view(n, 1, length)
        parts.append((tokens + copies).flatten())
    return torch.cat(parts)


def _repeated(batch, index, k):
    """The batch in which each text is repeated k times side by side, also in the order of the request."""
    source = index % len(batch.input_ids)
    copies = torch.arange(k, device=batch.order.device)
    return replace(
        batch,
        input_ids=batch.input_ids[source],
        position_ids=batch.position_ids[source],
        token_type_ids=None if batch.token_type_ids is None else batch.token_type_ids[source],
        lengths=tuple(length for length in batch.lengths for _ in range(k)),
        order=(batch.order[:, None] * k + copies).flatten(),
    )
