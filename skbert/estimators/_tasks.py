"""A fit as a tree of tasks, for the callbacks of scikit-learn: one task for the fit, in it one per epoch.

scikit-learn has them since 1.9. With an older one `set_callbacks` does not exist, and a fit goes on without.
"""

from __future__ import annotations

from skorch.callbacks import Callback

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands where scikit-learn's own would: it has none before 1.9."""

    def with_callbacks(method):
        """The method as it is."""
        return method


class EpochTasks(Callback):
    """Tells the callbacks that were set by `set_callbacks` of the fit and of every epoch.

    Parameters
    ----------
    estimator : estimator
        In whose fit, which is decorated by `with_callbacks`, we are.
    max_epochs : int
    data : dict
        ``X``, ``y`` and ``metadata`` of the fit, as the hooks of scikit-learn take them.
    finished : callable
        From all weights, a dict of name to array, to the attributes of an estimator that can predict with them.
    """

    def __init__(self, estimator, max_epochs, data, finished):
        self.estimator = estimator
        self.data = data
        self.finished = finished
        self._fit = self._epoch = None
        if hasattr(estimator, "set_callbacks"):
            self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
            self._fit.call_on_fit_task_begin(estimator=estimator, **data)

    def on_epoch_begin(self, net, **kwargs):
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(self, net, **kwargs):
        # Given as a function, the weights are copied only for callbacks that ask for a fitted estimator.
        if self._fit is not None and self._epoch.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=lambda: self.finished(net.weights()), **self.data
        ):
            raise KeyboardInterrupt  # by which callbacks of skorch stop the training

    def end(self):
        """Say that the fit is over; `estimator` is fitted by now."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(estimator=self.estimator, reconstruction_attributes=lambda: {}, **self.data)
