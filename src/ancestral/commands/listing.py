"""The command that lists the families, and what their models can compute."""

from __future__ import annotations

from typing import Annotated

import tyro

from ancestral.commands.console import console, listed, print_json

WIDTH = 160  # columns of the terminal that the table needs; a narrower one gets a list


def families(
    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[FAMILY ...]")] = (),
    json: bool = False,
) -> None:
    """List what the models of each family can compute, exactly or approximately.

    Each row is a model class, each column a query: log p(x), the probability of some pixels (marginal), of pixels given
    others (conditional), the most probable completion, samples given any mask, the class, latents, and the entropy.

    Args:
        names: families, such as circuit or vae (default: all, with installed ones)
        json: print only JSON on stdout
    """
    from ancestral.families.abilities import abilities_of, classes, table_of
    from ancestral.families.catalogue import names as known

    wanted = names or tuple(known())
    if json:
        print_json([{"model": cls.__name__, **abilities_of(cls)} for cls in classes(wanted)])
    elif console().width < WIDTH:
        print("\n\n".join(f"{cls.__name__}\n{listed(list(abilities_of(cls).items()))}" for cls in classes(wanted)))
    else:
        _print_table(*table_of(wanted))


def _print_table(header: list[str], rows: list[list[str]], notes: list[str]) -> None:
    from rich.table import Table

    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*row)
    console().print(table, markup=False)
    print("\n" + "\n".join(notes))
