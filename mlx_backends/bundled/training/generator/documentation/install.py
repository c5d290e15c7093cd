"""Sections about installing a package with its extras."""

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.generator.documentation import wordings
from mlx_backends.bundled.training.generator.documentation.markdown import fenced
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns


def install(writer: Writer) -> Section:
    """Write how to install the package, with its extras."""
    rng, section, project = writer.rng, Section(), writer.project
    features = rng.sample(_FEATURES, rng.randint(2, 7))
    tool = rng.choice(
        (
            "pip install",
            "pip install",
            "uv add",
            "python -m pip install",
            "conda install",
            "npm install",
            "cargo install",
        )
    )
    style = rng.choice(("table", "code", "code", "list", "text"))
    rows = [
        rng.choice(
            (
                "| extra | brings |\n| --- | --- |",
                "| extra | for |\n| --- | --- |",
                "| Extra | What it adds |\n| --- | --- |",
            )
        )
    ]
    for feature in features:
        stated, asked = wordings.pair(rng, tuple(feature.split("|")), other=0.6)
        extra = project.code("extra")
        code, command = f"`{extra}`", f"{tool} {rng.choice((chr(34), chr(34), chr(39), ''))}"
        quote = command[-1].strip()
        command = f"{command}{project.package}[{extra}]{quote}"
        if style == "code":
            line = rng.choice((f"{command}  # {stated}", f"# {stated}\n{command}"))
            section.asks.append(
                writer.ask(
                    rng.choice(("install", "extra")),
                    command,
                    " ".join(line.split()),
                    n=asked,
                    k=rng.choice(("command", "extra")),
                )
            )
        else:
            line = (
                f"| {code} | {stated} |"
                if style == "table"
                else rng.choice(_EXTRA_LINES)(
                    rng, {"c": code, "n": stated, "N": capitalize(stated)}
                )
            )
            line = f"- {line}" if style == "list" else line
            section.asks.append(writer.ask("extra", code, line, n=asked, k=writer.kind("extra")))
            if rng.random() < 0.3:
                section.asks.append(
                    writer.ask(
                        "meaning",
                        stated if stated in line else capitalize(stated),
                        line,
                        c=code,
                        k="extra",
                    )
                )
        rows.append(line)
    body = {
        "table": "\n".join(rows),
        "list": "\n".join(rows[1:]),
        "text": " ".join(rows[1:]),
        "code": fenced(rng, rows[1:], "bash"),
    }[style]
    version = f"{rng.randint(1, 20)}.{rng.randint(0, 30)}"
    needed = rng.choice((*lexicon.LANGUAGES, "Node", "CMake", "glibc", "SQLite"))
    line = rng.choice(_NEEDS)(rng, {"n": needed, "v": version, "p": project.name})
    section.asks.append(writer.ask("needs", f"{needed} {version}", line, n=needed))
    section.blocks = [line, body] if rng.random() < 0.6 else [body, line]
    return section


_EXTRA_LINES = compile_patterns(
    [
        "{c} is for {n}.",
        "{c} brings {n}.",
        "For {n}, install {c}.",
        "{N}: {c}.",
        "{c}: {n}.",
        "{c} adds {n}.",
    ]
)
_NEEDS = compile_patterns(
    [
        "{n} {v} or newer is (needed|required).",
        "{p} (needs|requires) {n} {v} or (newer|later).",
        "(Requires|Needs) {n} {v}+.",
        "You need at least {n} {v}.",
        "{p} runs on {n} {v} and later.",
    ]
)
_FEATURES = (
    "NVIDIA GPUs|CUDA graphics cards|cards by NVIDIA", "AMD GPUs|ROCm|cards by AMD", "Macs with Apple silicon|Apple chips|M-series Macs", "machines without a GPU|the CPU only|plain processors",
    "charts|plots|drawing figures", "reading PDF files|PDF support|PDFs", "the web server|serving over HTTP|the HTTP service", "the command line|the terminal program|the CLI", "development|contributors|working on the code",
    "the documentation|building the manual|rendering the docs", "PostgreSQL|a Postgres database|storing data in Postgres", "Memcached|a Memcached server|caching in Memcached", "S3|object storage|cloud buckets", "metrics|Prometheus|monitoring",
    "running the tests|the test suite|tests", "speech|audio|sound files", "images|pictures|photos", "spreadsheets|Excel files|tables from Excel", "notebooks|Jupyter|interactive notebooks", "progress bars|a progress display|showing progress",
    "YAML files|YAML|configuration in YAML", "faster JSON|a quicker JSON parser|speeding JSON up", "encryption|encrypted files|cryptography", "mail|sending e-mail|SMTP", "maps|geographic data|GIS files", "time zones|zone data|local times",
    "type checking|static types|annotations", "benchmarks|measuring speed|performance tests", "tracing|OpenTelemetry|distributed traces", "Windows|Windows machines|Microsoft systems", "everything|all features|the whole lot",
    "vector search|a vector index|nearest neighbours", "stemming|word stems|linguistic analysis", "fast regular expressions|a quicker regex engine|patterns at full speed", "compression|zstd files|packed archives",
)  # fmt: skip
