"""Parameter groups, the learning-rate schedule, and the optimizer of the original BERT code."""

from __future__ import annotations

import math

import torch

from skbert.encoder import parameter_depths


def parameter_groups(module, learning_rate, head_learning_rate, weight_decay, layer_decay=1.0):
    """Parameters of a `PooledEncoder` in groups for an optimizer.

    Vectors (biases and LayerNorm weights) are not decayed. The head has its own learning
    rate; here it means all new parameters (poolings and classifier). From the top of the
    encoder to the bottom, the rate is multiplied by `layer_decay` at each layer (Zhang et
    al. 2021): the pooler has `learning_rate`, the i-th layer from the top has
    ``learning_rate * layer_decay**i``, and the embeddings below L layers have
    ``learning_rate * layer_decay**(L + 1)``.

    Parameters
    ----------
    module : PooledEncoder
        The module to train.
    learning_rate : float
        Learning rate of the encoder.
    head_learning_rate : float
        Learning rate of the head.
    weight_decay : float
        Weight decay of all parameters except vectors.
    layer_decay : float, default=1.0
        Factor from layer to layer. Any value other than 1 needs a family whose layers skbert runs itself.

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
    """Factor of the learning rate at each step: a linear rise from 0 during warm-up, then a linear fall to 0.

    The same as ``get_linear_schedule_with_warmup`` of transformers, with
    ``ceil(warmup_ratio * n_steps)`` warm-up steps.

    Parameters
    ----------
    n_steps : int
        Number of steps of the whole training.
    warmup_ratio : float in [0, 1]
        Share of the steps that are warm-up.

    Returns
    -------
    callable
        Takes a step (0-based) and returns the factor.
    """
    n_warmup = math.ceil(warmup_ratio * n_steps)

    def factor(step):
        if step < n_warmup:
            return step / n_warmup
        return max(0.0, (n_steps - step) / max(1, n_steps - n_warmup))

    return factor


class BertAdam(torch.optim.Optimizer):
    """Adam with decoupled weight decay and without bias correction, as in the original BERT code.

    m ← β₁ m + (1−β₁) g,  v ← β₂ v + (1−β₂) g²,  w ← w − lr · (m / (√v + ε) + λ w)

    With few data, the missing correction makes the first steps several times too
    large. Zhang et al. (2021) and Mosbach et al. (2021) name it as a cause of
    failed runs. It is included to reproduce these runs.

    Parameters
    ----------
    params : iterable of tensors or of dicts
        Parameters or parameter groups.
    lr, betas, eps, weight_decay
        As in `torch.optim.AdamW`.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        """Do one step; see the class."""
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
