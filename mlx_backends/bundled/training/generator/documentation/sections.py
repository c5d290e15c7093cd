"""The kinds of sections, with how often they occur."""

from collections.abc import Callable

from mlx_backends.bundled.training.generator.documentation import (
    actions,
    contrasts,
    counts,
    errors,
    headed,
    install,
    notes,
    settings,
    siblings,
)
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer

SECTIONS: tuple[tuple[float, Callable[[Writer], Section]], ...] = (
    (3.0, actions.actions_table), (3.0, actions.actions_list), (1.8, actions.code), (1.2, actions.interface),
    (3.0, settings.settings), (1.2, settings.values), (4.8, notes.statements), (1.0, notes.limits),
    (2.2, errors.errors), (2.6, errors.conditions), (1.5, errors.reasons), (1.6, install.install),
    (7.0, contrasts.contrasts), (1.5, contrasts.roles), (2.2, siblings.families), (1.2, siblings.cases),
    (2.2, counts.counts), (1.4, counts.choices), (0.8, headed.properties), (3.0, headed.console), (2.4, headed.example),
)  # fmt: skip
