"""``mlx-backends doctor``: what is installed, what it runs on, and what a model needs."""

import json
from typing import Annotated, Any

import typer

from mlx_backends.cli._console import reports_errors


@reports_errors
def doctor(
    model: Annotated[
        str | None, typer.Option(help="Language model to look at: folder or Hub id.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Language model whose memory to predict: folder or Hub id.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what is installed, what MLX runs on here, and what models need in memory."""
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends.cli import _diagnosis

    if memory is not None:
        from mlx_backends.cli import _memory

        sections = _memory.memory_of(memory)
        typer.echo(json.dumps(sections, indent=2) if as_json else _as_text(sections))
        return
    findings: dict[str, Any] = {
        "versions": _diagnosis.versions(),
        "platform": _diagnosis.platform_facts(),
        "bundled models": _diagnosis.bundled_models(),
    }
    if model is not None:
        findings["model"] = _diagnosis.language_model(model)
    typer.echo(json.dumps(findings, indent=2) if as_json else _as_text(findings))


def _as_text(findings: dict[str, Any]) -> str:
    sections = [
        "\n".join([title, *(f"  {name}: {_shown(value)}" for name, value in section.items())])
        for title, section in findings.items()
    ]
    return "\n\n".join(sections)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case dict():
            return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
        case _:
            return str(value)
