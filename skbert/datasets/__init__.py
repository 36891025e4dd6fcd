"""Small labelled text datasets that are part of the package and need no network."""

from skbert.datasets._helpdesk import load_helpdesk

__all__ = ["load_helpdesk"]
