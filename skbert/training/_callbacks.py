"""Callbacks of skorch that every run has: the schedule and the progress bar."""

from __future__ import annotations

from skorch.callbacks import Callback

from skbert.training._optimizers import linear_schedule


class Schedule(Callback):
    """Warm-up and linear decay, step by step; records the `learning_rate` of the last step of each epoch."""

    def on_train_begin(self, net, **kwargs):
        self._factor = linear_schedule(net.n_steps, net.settings.warmup_ratio)
        self._step = 0
        net.stepper.scale_rates(self._factor(self._step))

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            # Not the rate of one group: with layer_decay, or with a separate rate for the head, the groups differ.
            self._used = net.settings.learning_rate * self._factor(self._step)
            self._step += 1
            net.stepper.scale_rates(self._factor(self._step))

    def on_epoch_end(self, net, **kwargs):
        net.history.record("learning_rate", self._used)


class Progress(Callback):
    """One progress bar for the whole fit."""

    def on_train_begin(self, net, **kwargs):
        from tqdm.auto import tqdm

        self._bar = tqdm(total=net.n_steps, desc="fine-tuning", unit="step", leave=False)

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self._bar.update()

    def on_epoch_end(self, net, **kwargs):
        shown = {"epoch": net.history[-1, "epoch"], "loss": f"{net.history[-1]['train_loss']:.3f}"}
        if "valid_loss" in net.history[-1]:
            shown["valid_loss"] = f"{net.history[-1]['valid_loss']:.3f}"
        self._bar.set_postfix(shown)

    def close(self):
        """Remove the bar, also after a failure."""
        if hasattr(self, "_bar"):
            self._bar.close()


class Watch(Callback):
    """Shows the weights after each epoch to a function; see `fine_tune`."""

    def __init__(self, watch):
        self.watch = watch

    def on_epoch_end(self, net, **kwargs):
        self.watch("epoch", net.weights())


def silent(text):
    """Discard a message."""
