"""Parameter groups, the learning-rate schedule, and the optimizer of the first BERT code."""

from __future__ import annotations

import math

import torch

from skbert.encoder import parameter_depths


def parameter_groups(module, learning_rate, head_learning_rate, weight_decay, layer_decay=1.0):
    """Parameters of a `PooledEncoder` in groups for an optimizer.

    Vectors (biases and LayerNorm weights) are not decayed. The head, in the sense
    of everything that is new (poolings and classifier), has its own learning rate.
    Going down the encoder, the rate falls by a factor from layer to layer (Zhang et
    al. 2021): the pooler has `learning_rate`, the layer that is i-th from the top
    ``learning_rate * layer_decay**i``, the embeddings below L layers
    ``learning_rate * layer_decay**(L + 1)``.

    Parameters
    ----------
    module : PooledEncoder
    learning_rate, head_learning_rate, weight_decay : float
    layer_decay : float, default=1.0
        Any but 1 needs a family whose layers skbert runs itself.

    Returns
    -------
    list of dict with keys ``params``, ``lr``, ``weight_decay`` and ``name``
    """
    depths, top = (parameter_depths(module.runner), module.runner.n_layers + 1) if layer_decay != 1.0 else ({}, 0)
    groups = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("encoder."):
            below = top - depths.get(id(parameter), top)
            part, rate = f"encoder, {below} from the top" if below else "encoder", learning_rate * layer_decay**below
        else:
            part, rate = "head", head_learning_rate
        decays = parameter.ndim > 1
        group = {
            "params": [],
            "lr": rate,
            "weight_decay": weight_decay if decays else 0.0,
            "name": f"{part}, {'decayed' if decays else 'not decayed'}",
        }
        groups.setdefault(group["name"], group)["params"].append(parameter)
    return list(groups.values())


def linear_schedule(n_steps, warmup_ratio):
    """Factor of the learning rate at each step: up from 0 over the warm-up, then linearly down to 0.

    The same as ``get_linear_schedule_with_warmup`` of transformers, with
    ``ceil(warmup_ratio * n_steps)`` steps of warm-up.

    Parameters
    ----------
    n_steps : int
    warmup_ratio : float in [0, 1]

    Returns
    -------
    callable
        Step (0-based) → factor.
    """
    n_warmup = math.ceil(warmup_ratio * n_steps)

    def factor(step):
        if step < n_warmup:
            return step / n_warmup
        return max(0.0, (n_steps - step) / max(1, n_steps - n_warmup))

    return factor


class BertAdam(torch.optim.Optimizer):
    """Adam with decoupled weight decay and without bias correction, as in the first BERT code.

    m ← β₁ m + (1−β₁) g,  v ← β₂ v + (1−β₂) g²,  w ← w − lr · (m / (√v + ε) + λ w)

    On few data the missing correction makes the first steps several times too
    large; Zhang et al. (2021) and Mosbach et al. (2021) name it as a cause of
    failed runs. It is here to reproduce them.

    Parameters
    ----------
    params : iterable of tensors or of dicts
    lr, betas, eps, weight_decay
        As in `torch.optim.AdamW`.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        """One step; see the class."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["m"] = torch.zeros_like(parameter)
                    state["v"] = torch.zeros_like(parameter)
                m, v = state["m"], state["v"]
                m.lerp_(parameter.grad, 1 - beta1)
                v.mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-group["lr"])
        return loss
