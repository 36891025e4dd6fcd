"""What scikit-learn is told of estimators that read texts."""

from __future__ import annotations


def reads_texts(tags):
    """Say in the `tags` of an estimator that its input is a list of texts; returns them."""
    tags.input_tags.string = True
    tags.input_tags.one_d_array = True
    tags.input_tags.two_d_array = False
    if tags.transformer_tags is not None:
        tags.transformer_tags.preserves_dtype = []
    return tags
