"""A fit as a tree of tasks for the callbacks of scikit-learn: one task for the fit, and in it one per epoch.

scikit-learn has callbacks since 1.9. In older versions `set_callbacks` does not exist, and a fit runs without them.
"""

from __future__ import annotations

from skorch.callbacks import Callback

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replaces the class of scikit-learn, which does not exist before 1.9."""

    def with_callbacks(method):
        """Return the method unchanged."""
        return method


class EpochTasks(Callback):
    """Calls the callbacks that were set by `set_callbacks`, for the fit and for every epoch.

    Parameters
    ----------
    estimator : estimator
        The estimator that is being fitted; its `fit` is decorated by `with_callbacks`.
    max_epochs : int
        Number of epochs.
    data : dict
        ``X``, ``y`` and ``metadata`` of the fit, in the form that scikit-learn's hooks need.
    finished : callable
        Takes all weights, a dict of name to array, and returns the attributes of an estimator that can predict with
        them.
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
        # A function, so that the weights are copied only for callbacks that need a fitted estimator.
        if self._fit is not None and self._epoch.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=lambda: self.finished(net.weights()), **self.data
        ):
            raise KeyboardInterrupt  # this is how callbacks of skorch stop the training

    def end(self):
        """Report the end of the fit; `estimator` is already fitted."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(estimator=self.estimator, reconstruction_attributes=lambda: {}, **self.data)
