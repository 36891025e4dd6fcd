"""Small labelled text sets that come with the package and need no network."""

from skbert.datasets._helpdesk import load_helpdesk

__all__ = ["load_helpdesk"]
