"""Output of commands on terminals that cannot show every character."""

from __future__ import annotations

import sys

import typer


def say(text, err=False):
    """Print a line, with escapes for characters that the terminal cannot show."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    typer.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)
