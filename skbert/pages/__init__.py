"""Reports as single HTML pages: the common frame, and how numbers and figures are put in."""

from skbert.pages._page import figure_uri, number, pvalue, render_page, share

__all__ = ["figure_uri", "number", "pvalue", "render_page", "share"]
