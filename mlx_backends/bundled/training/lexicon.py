"""Word lists and name makers of the text generator.

Owns words, invented names and typed values; knows nothing about sentences. Invented words are
split by a hash: about one in ten is kept for evaluation and never occurs in training.
"""

import random
import zlib
from collections.abc import Callable
from functools import cache

_ONSETS = "b br c ch d dr f fl g gr h j k kr l m n p pr qu r s sh sk st t th tr v w z bl cl gl pl sn".split()
_NUCLEI = "a e i o u ai ea ou ar or en an in el y io".split()
_CODAS = ["", "", "n", "r", "l", "s", "x", "k", "m", "t", "nd", "rk", "sh", "th", "v", "p"]
_HELD_OUT_SHARE = 26  # of 256

COMPONENTS = """scheduler|cache|tokenizer|loader|runner|engine|parser|compiler|server|client|worker|
queue|router|allocator|sampler|encoder|decoder|retriever|reranker|embedder|indexer|planner|monitor|
logger|adapter|backend|frontend|kernel|driver|pool|registry|resolver|validator|formatter|linker|
optimizer|profiler|dispatcher|collector|balancer|proxy|gateway|broker|watcher|converter|importer|
exporter|renderer|writer|reader|buffer|store|database|table|index|pipeline|thread|process|daemon|
service|plugin|extension|module|package|library|framework|interpreter|debugger|installer|updater|
crawler|scanner|filter|sorter|matcher|splitter|merger|mixer|controller|manager|supervisor|agent|
session|handler|listener|publisher|subscriber|stream|socket|channel|bridge|wrapper|template|
detokenizer|quantizer|chunker|ranker|grader|checker|fuzzer|tracer|sandbox|shell|terminal|editor|
viewer|dashboard|console|archive|repository|mirror|replica|snapshot tool|test suite|build system|
chat model|language model|vector store|block pool|thread pool|type checker|event loop|job runner|
garbage collector|rate limiter|load balancer|task queue|message bus|search index|key store|file system|
admission controller|speculative decoder|grammar compiler|prefix matcher""".replace("\n", "").split(
    "|"
)

THINGS = """block|token|weight|prompt|request|sequence|batch|page|key|value|vector|matrix|tensor|layer|
row|column|record|document|passage|chunk|sentence|word|file|folder|path|line|header|field|schema|
message|event|signal|packet|frame|job|task|step|result|answer|question|query|score|logit|gradient|
parameter|option|setting|flag|argument|variable|function|method|class|object|instance|pointer|address|
reference|index|counter|timer|clock|lock|mutex|handle|descriptor|buffer|segment|shard|replica|copy|
backup|snapshot|checkpoint|log|metric|report|chart|image|icon|font|color|window|button|menu|form|link|
user|account|password|certificate|permission|role|group|policy|rule|limit|quota|error|warning|
exception|traceback|test|fixture|example|template|model|dataset|label|feature|embedding|neighbor|
cluster|node|edge|graph|tree|leaf|branch|commit|tag|release|version|patch|package|dependency|license|
changelog|manifest|config|environment|container|volume|port|host|domain|cookie|payload|attachment|
invoice|order|ticket|comment|review|draft|cell|sheet|formula|cursor|selection|entry|item|element|
stop string|chat template|attention mask|block table|cache entry|prefix|suffix|header line|tool call|
byte|bit|character|code point|symbol|slot|bucket|partition|transaction|migration|callback|hook|
timeout|retry|deadline|budget|seed|temperature|threshold|quantile|group size|scale|bias|mask""".replace(
    "\n", ""
).split("|")

ADJECTIVES = """oldest|newest|largest|smallest|unused|shared|cached|empty|full|broken|pending|active|idle|
local|remote|temporary|permanent|hidden|public|private|internal|external|compressed|encrypted|signed|
sorted|duplicate|stale|fresh|invalid|valid|missing|partial|complete|final|initial|previous|current|
default|custom|optional|required|nested|flat|sparse|dense|quantized|frozen|mutable|immutable|virtual|
physical|binary|numeric|textual|random|static|dynamic|slow|fast|short|long|raw|parsed|expired|failed|
finished|queued|waiting|running|free|locked|dirty|clean|visible|trusted|untrusted|unknown|known|
selected|unread|recent|longest|shortest|first|last|second|main|secondary|outer|inner|global""".replace(
    "\n", ""
).split("|")

MODIFIERS = """prefix|disk|memory|network|request|token|block|page|batch|vector|text|image|audio|model|
weight|layer|user|admin|system|kernel|thread|job|task|event|error|access|audit|health|retry|session|
search|query|storage|schema|config|plugin|build|release|test|draft|target|graph|matrix|attention|
embedding|document|chunk|citation|prompt|answer|tool|stream|metrics|backup|import|export|sync|async|
cluster|edge|mobile|web|desktop|payment|billing|shipping|inventory|customer|sensor|camera|motor|
battery|garden|kitchen|harbor|station|library|museum|school|hospital|weather|traffic""".replace(
    "\n", ""
).split("|")

ATTRIBUTES = """size|weight|version|owner|author|maintainer|license|color|height|width|depth|length|speed|
port|address|password|code|language|format|timeout|budget|price|capacity|location|temperature|
voltage|frequency|population|symbol|motto|currency|sponsor|editor|director|founder|capital|name|
batch size|cache size|block size|page size|group size|chunk size|chunk overlap|context length|
context window|error rate|data type|release date|opening year|storage path|model name|server name|
access code|main product|chief engineer|block count|retry count|thread count|worker count|layer count|
number of heads|number of layers|hidden size|vocabulary size|head dimension|learning rate|
log level|poll interval|refresh rate|memory limit|queue length|buffer size|buffer length|file name|
file format|default branch|base image|time zone|encoding|compression level|backup window|
cut-off score|minimum score|maximum length|token limit|upload limit|download speed|seed|precision|
sampling temperature|stop string|retry delay|grace period|lease time|cooldown|quota|priority|
support address|contact address|home directory|working directory|output folder|spool folder|
entry point|test runner|package manager|build tool|linter|formatter|issue tracker|documentation tool|
material|mascot|flag color|postal code|area|elevation|top speed|fuel|range|crew size|seat count|
opening time|closing time|ticket price|phone number|room number|floor|serial number|model number|
warranty|delivery time|minimum age|team size|head office|parent company|first release|latest release|
bit width|scale type|rounding mode|eviction order|hash function|page order|scheduling policy|
pooling method|similarity measure|distance metric|ranking function|fusion constant""".replace(
    "\n", ""
).split("|")

ATTRIBUTE_SYNONYMS = {
    "maintainer": ["caretaker", "keeper"],
    "author": ["writer"],
    "price": ["cost"],
    "location": ["place", "site"],
    "size": ["extent"],
    "license": ["licence"],
    "timeout": ["time limit"],
    "poll interval": ["polling interval"],
    "capacity": ["maximum load"],
    "number of layers": ["layer count"],
    "context window": ["context length"],
    "file format": ["format"],
    "top speed": ["maximum speed"],
    "head office": ["headquarters"],
    "latest release": ["newest release"],
    "token limit": ["maximum number of tokens"],
    "upload limit": ["largest upload"],
    "retry count": ["number of retries"],
    "worker count": ["number of workers"],
    "thread count": ["number of threads"],
    "seat count": ["number of seats"],
    "spool folder": ["spool directory"],
    "output folder": ["output directory"],
    "minimum age": ["lowest age"],
}

# What an attribute's name has in common with others, and with families that ask for it in other words.
TOPICS = {
    **{other: name for name, others in ATTRIBUTE_SYNONYMS.items() for other in (name, *others)},
    "price": "cost", "size": "size", "height": "height", "width": "width", "depth": "depth", "length": "length",
    "weight": "weight", "speed": "speed", "capacity": "capacity", "version": "version", "latest release": "version", "license": "license",
    "color": "colour", "language": "language", "author": "maker", "founder": "maker", "director": "boss", "head": "boss", "manager": "boss",
    "leader": "boss", "timeout": "time", "lease time": "keeps", "refresh rate": "every", "poll interval": "every", "population": "people",
    "crew size": "people", "team size": "people", "address": "contact", "contact address": "contact", "support address": "contact",
    "location": "place", "head office": "place", "release date": "began", "opening year": "began", "retry count": "retries",
}  # fmt: skip

UNITS = """tokens|seconds|minutes|hours|days|milliseconds|bytes|KB|MB|GB|GiB|MiB|km|meters|tons|watts|
volts|degrees|users|pages|layers|lines|files|requests|blocks|bits|threads|workers|passages|documents|
rows|steps|retries|characters|words|cores|items|percent|pixels|points|kg|liters""".replace(
    "\n", ""
).split("|")
TIME_UNITS = ["seconds", "minutes", "hours", "days", "milliseconds", "steps", "requests", "weeks"]
COLORS = (
    "red blue green amber violet silver black white golden grey crimson teal orange pink".split()
)
MONTHS = (
    "January February March April May June July August September October November December".split()
)
EXTENSIONS = (
    "py toml json yaml md txt cfg ini log db csv safetensors bin lock html sql sh xml".split()
)
LANGUAGES = (
    "Python C++ Rust Go Swift Java Kotlin Ruby Scala Zig Haskell Lua Julia TypeScript".split()
)
PLATFORMS = (
    "Linux|macOS|Windows|Apple Silicon|Metal|CUDA|Android|iOS|FreeBSD|a CPU|a GPU|a single GPU|"
    "the CPU|the GPU|Docker|Kubernetes|WebAssembly"
).split("|")
FORMATS = (
    "JSON|YAML|TOML|CSV|Markdown|HTML|XML|safetensors|GGUF|Parquet|plain text|SQLite|Protobuf|UTF-8|"
    "bfloat16|float16|float32|int8|little-endian|base64|gzip|zstd|ISO 8601|PNG|SVG|PDF"
).split("|")
LICENSES = "MIT|Apache-2.0|BSD-3-Clause|MPL-2.0|GPL-3.0|ISC|the PSF licence|CC BY 4.0".split("|")
WORDS = (
    "fast slow strict lazy eager greedy exact fuzzy linear cosine uniform static dynamic symmetric "
    "affine row-major first-come-first-served round-robin least-recently-used asymmetric max mean "
    "cls last-token sum nearest bilinear verbose quiet debug warning info none auto"
).split()
IDENTIFIER_PARTS = (
    "get set load save read write open close run start stop make build find check parse format "
    "render merge split sort filter count add remove update create delete send receive encode "
    "decode embed rank score token block cache batch model config file path user page key value "
    "prompt chat text query node graph tensor shape dtype kernel stream queue task event log error "
    "limit size max min num total default base core fast lazy safe raw input output source target "
    "engine memory device thread pool index search store table row column chunk vector layer seed "
    "context window retry timeout budget policy schema field option plugin request response session"
).split()
CLASS_SUFFIXES = (
    "Error Engine Config Pool Loader Runner Parser Cache Index Store Client Server Manager Model "
    "Request Result Handler Policy Report Spec Builder Factory Adapter Embedder Retriever Splitter "
    "Params Options Stream Session Table Block Node Queue Task Event Message Registry"
).split()
TOOLS = "python -m|git|pip|make|docker|npm|cargo|uv|brew|kubectl|pytest|ruff|apt|conda".split("|")


def is_held_out(word: str) -> bool:
    """Tell whether an invented word is kept for evaluation."""
    return zlib.crc32(word.lower().encode()) % 256 < _HELD_OUT_SHARE


def _invent(rng: random.Random) -> str:
    count = rng.choice((2, 2, 2, 3))
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS) for _ in range(count)
    )


@cache
def invented_words(count: int, *, held_out: bool, seed: int = 0) -> tuple[str, ...]:
    """Make a pool of distinct invented words, all of one side of the split."""
    rng = random.Random(seed)
    words: dict[str, None] = {}
    while len(words) < count:
        word = _invent(rng)
        if is_held_out(word) == held_out:
            words[word] = None
    return tuple(words)


class Names:
    """Makes names, identifiers and typed values.

    Args:
        rng: Source of all choices.
        held_out: Use only invented words of the evaluation side.
        pool: How many invented words to prepare.
    """

    def __init__(self, rng: random.Random, *, held_out: bool = False, pool: int = 40_000) -> None:
        self.rng = rng
        self._nouns: list[str] = []
        self._modifiers = MODIFIERS
        self._words = invented_words(pool, held_out=held_out, seed=1 if held_out else 0)
        self._value_makers: list[tuple[float, Callable[[], str]]] = [
            (0.13, self.quantity),
            (0.10, self.number),
            (0.08, self.version),
            (0.07, self.date),
            (0.06, self.code),
            (0.10, self.person),
            (0.05, lambda: rng.choice(COLORS)),
            (0.06, lambda: rng.choice(WORDS)),
            (0.04, lambda: rng.choice(LANGUAGES)),
            (0.04, lambda: rng.choice(FORMATS)),
            (0.03, lambda: rng.choice(LICENSES)),
            (0.06, self.word_capital),
            (0.05, lambda: f"`{self.file_path()}`"),
            (0.04, lambda: f"`{self.identifier()}`"),
            (0.03, lambda: f"`{self.quoted_literal()}`"),
            (0.03, lambda: f"`{self.kebab()}`"),
            (0.02, self.kebab),
            (0.06, self.phrase),
        ]
        self._weights = [weight for weight, _ in self._value_makers]
        self._makers = [maker for _, maker in self._value_makers]

    def learn(self, nouns: list[str], modifiers: list[str]) -> None:
        """Add nouns and modifiers of real text to the written lists."""
        self._nouns = nouns
        self._modifiers = [*MODIFIERS, *modifiers]

    def thing(self) -> str:
        """Pick a noun: mostly listed or real, sometimes invented or an acronym."""
        rng, draw = self.rng, self.rng.random()
        if draw < 0.04:
            return self.word()
        if draw < 0.08:
            return "".join(rng.choice("ABCDEFGHIKLMNOPRSTUV") for _ in range(rng.randint(2, 4)))
        if draw < 0.5 and self._nouns:
            return rng.choice(self._nouns)
        return rng.choice(THINGS)

    def modifier(self) -> str:
        return self.rng.choice(self._modifiers)

    def word(self) -> str:
        return self.rng.choice(self._words)

    def word_capital(self) -> str:
        return self.word().capitalize()

    def name(self) -> str:
        """Name a product, place or organisation."""
        word, draw = self.word_capital(), self.rng.random()
        if draw < 0.12:
            return f"{word} {self.word_capital()}"
        if draw < 0.20:
            return f"{word}-{self.rng.randint(2, 99)}"
        if draw < 0.30:
            return f"{word} {self.rng.choice(_NAME_TAILS)}"
        if draw < 0.36:
            return f"{word}{self.rng.choice(('DB', 'ML', 'Net', 'OS', 'Kit', 'Hub', 'Flow'))}"
        return word

    def person(self) -> str:
        if self.rng.random() < 0.3:
            return f"{self.rng.choice(_FIRST_NAMES)} {self.word_capital()}"
        return f"{self.word_capital()} {self.word_capital()}"

    def number(self) -> str:
        rng, draw = self.rng, self.rng.random()
        if draw < 0.35:
            return str(rng.choice((1, 2, 3, 4, 8, 10, 12, 16, 32, 64, 100, 128, 256, 512, 1024)))
        if draw < 0.55:
            return str(rng.randint(2, 9999))
        if draw < 0.70:
            return f"{rng.randint(1, 99)},{rng.randint(0, 999):03d}"
        if draw < 0.90:
            return f"{rng.randint(0, 20)}.{rng.randint(1, 99)}"
        return rng.choice(NUMBER_WORDS)

    def quantity(self) -> str:
        if self.rng.random() < 0.1:
            return f"{self.rng.randint(1, 100)}%"
        return f"{self.number()} {self.rng.choice(UNITS)}"

    def version(self) -> str:
        rng = self.rng
        text = f"{rng.randint(0, 20)}.{rng.randint(0, 30)}"
        if rng.random() < 0.5:
            text += f".{rng.randint(0, 20)}"
        return f"v{text}" if rng.random() < 0.1 else text

    def date(self) -> str:
        rng, draw = self.rng, self.rng.random()
        if draw < 0.4:
            return f"{rng.choice(MONTHS)} {rng.randint(1, 28)}, {rng.randint(1800, 2035)}"
        if draw < 0.6:
            return f"{rng.randint(1900, 2035)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        if draw < 0.75:
            return f"{rng.choice(MONTHS)} {rng.randint(1900, 2035)}"
        return str(rng.randint(1700, 2035))

    def code(self) -> str:
        rng = self.rng
        letters = "".join(rng.choice("ABCDEFGHKLMNPRSTVXZ") for _ in range(rng.randint(1, 3)))
        return f"{letters}{rng.choice(('-', '-', ''))}{rng.randint(10, 9999)}"

    def identifier(self) -> str:
        """Name a snake_case variable, setting or function."""
        rng = self.rng
        parts = [self.part() for _ in range(rng.choice((1, 2, 2, 2, 3)))]
        return "_".join(parts)

    def kebab(self) -> str:
        """Name a package or an option value: ``vector-store-core``."""
        return "-".join(self.part() for _ in range(self.rng.choice((1, 2, 2, 3))))

    def function(self) -> str:
        text = self.identifier()
        if self.rng.random() < 0.3:
            text = f"{self.part()}.{text}"
        return f"{text}()" if self.rng.random() < 0.4 else text

    def class_name(self, suffix: str | None = None) -> str:
        rng = self.rng
        head = "".join(self.part().capitalize() for _ in range(rng.choice((1, 1, 2))))
        return head + (rng.choice(CLASS_SUFFIXES) if suffix is None else suffix)

    def environment_variable(self) -> str:
        head = self.word().upper() if self.rng.random() < 0.5 else self.part().upper()
        return f"{head}_{self.identifier().upper()}"

    def flag(self) -> str:
        return "--" + self.identifier().replace("_", "-")

    def command(self) -> str:
        """Name a command with its subcommand: ``vector-store check --fast``."""
        rng, draw = self.rng, self.rng.random()
        if draw < 0.35:
            tool = self.word()
        elif draw < 0.65:
            tool = f"{self.part()}-{self.part()}"
        else:
            tool = rng.choice(TOOLS)
        text = f"{tool} {self.part()}"
        if rng.random() < 0.3:
            text += f" {self.flag()}"
        return text

    def file_path(self) -> str:
        rng = self.rng
        stem = self.part() if rng.random() < 0.6 else self.identifier()
        text = f"{stem}.{rng.choice(EXTENSIONS)}"
        if rng.random() < 0.4:
            text = f"{self.part()}/{text}"
        draw = rng.random()
        if draw < 0.06:
            return f"~/.{self.part()}/{self.identifier()}"
        if draw < 0.1:
            return f"{self.part()}/{self.part()}"
        return f"~/.{text}" if draw < 0.16 else text

    def quoted_literal(self) -> str:
        rng = self.rng
        makers = (
            self.word,
            self.number,
            self.identifier,
            lambda: rng.choice(("True", "False", "None")),
        )
        text = rng.choice(makers)()
        return f'"{text}"' if rng.random() < 0.3 else text

    def phrase(self) -> str:
        """Make a short value of two to four words."""
        rng = self.rng
        tail = self.thing() if rng.random() < 0.6 else self.word()
        head = rng.choice(ADJECTIVES) if rng.random() < 0.6 else rng.choice(COLORS)
        return f"{head} {tail}" if rng.random() < 0.6 else f"the {head} {tail}"

    def value(self) -> str:
        """Make a value of any type."""
        return self.rng.choices(self._makers, self._weights)[0]()

    def part(self) -> str:
        return self.word() if self.rng.random() < 0.25 else self.rng.choice(IDENTIFIER_PARTS)


NUMBER_WORDS = "two three four five six seven eight nine ten twelve twenty".split()
_NAME_TAILS = (
    "Labs River Engine Valley Server Cache Station Institute Bridge Index Studio Cloud Bay Tower "
    "Museum School Press Works Harbor Desk Suite Search Runtime Toolkit"
).split()
_FIRST_NAMES = (
    "Anna Ben Clara David Elena Farid Grace Hugo Ines Jonas Kira Liam Mei Nora Omar Priya".split()
)
