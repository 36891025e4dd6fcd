"""``python -m skbert.cli``, for where the command is not on the path."""

from skbert.cli._commands import main

main()
