"""Two hundred kernels and launches with a mistake in each, and what has to be said of it."""

from dataclasses import dataclass, field

import mlx.core as mx

from mlx_backends.errors import ShaderArgumentError, ShaderFaultError, ShaderSyntaxError
from mlx_backends.kernels import compile_shader, launch

X = "device const float* x [[buffer(0)]]"
OUT = "device float* out [[buffer(1)]]"
ID = "uint id [[thread_position_in_grid]]"
T = "uint t [[thread_index_in_threadgroup]]"


@dataclass(frozen=True)
class Mistake:
    """A kernel over eight floats unless it says otherwise.

    Attributes:
        name: Of the mistake.
        source: Metal text.
        error: Type that has to be raised.
        says: Pattern of its message.
        call: Arguments of ``launch`` that differ from the usual.
    """

    name: str
    source: object
    error: type
    says: str
    call: dict = field(default_factory=dict)

    def run(self) -> None:
        call = {
            "grid": 8,
            "inputs": [mx.arange(8).astype(mx.float32)],
            "output_shapes": [(8,)],
            "time_limit_s": 0.5,
        } | self.call
        launch(compile_shader(self.source), **call)  # type: ignore[arg-type]


def kernel(body: str, *, parameters: str = f"{X}, {OUT}, {ID}, {T}", before: str = "") -> str:
    return (
        "#include <metal_stdlib>\nusing namespace metal;\n"
        f"{before}kernel void f({parameters}) {{\n{body}\n}}\n"
    )


COPY = "out[id] = x[id];"
SYNTAX, ARGUMENT, FAULT = ShaderSyntaxError, ShaderArgumentError, ShaderFaultError


def _signatures() -> list[Mistake]:
    """Refused while the text is read."""
    parameters = {
        "no parameters": ("", "writes nothing"),
        "only inputs": (f"{X}, {ID}", "writes nothing"),
        "two buffers of one index": (f"{X}, device float* out [[buffer(0)]], {ID}", "both say buf"),
        "two of one name": (
            f"{X}, device float* x [[buffer(1)]], {ID}",
            "two parameters are named",
        ),
        "buffer without index": (f"device const float* x [[buffer()]], {OUT}", "the index is 0 to"),
        "negative index": (f"device const float* x [[buffer(-1)]], {OUT}", "the index is 0 to"),
        "index too high": (f"device const float* x [[buffer(31)]], {OUT}", "the index is 0 to 30"),
        "index of letters": (f"device const float* x [[buffer(a)]], {OUT}", "the index is 0 to"),
        "huge index": (f"device const float* x [[buffer({'9' * 40})]], {OUT}", "the index is 0"),
        "texture": (f"texture2d<float> x [[texture(0)]], {OUT}", "unexpected '<'"),
        "sampler": (f"sampler s [[sampler(0)]], {OUT}", r"attribute \[\[sampler\]\]"),
        "threadgroup argument": (f"threadgroup float* s [[threadgroup(0)]], {OUT}", "attribute"),
        "unknown attribute": (f"{X}, {OUT}, uint id [[thread_in_grid]]", "known are buffer"),
        "stage_in": (f"Vertex v [[stage_in]], {OUT}", r"\[\[stage_in\]\]"),
        "no attribute": (f"{X}, {OUT}, uint id", "has no attribute"),
        "no type": (f"{X}, {OUT}, id [[thread_position_in_grid]]", "needs a type and a name"),
        "no name": (f"device const float* [[buffer(0)]], {OUT}", "needs a type and a name"),
        "position is float": (f"{OUT}, float id [[thread_position_in_grid]]", "uint2 or uint3"),
        "position is int": (f"{OUT}, int id [[thread_position_in_grid]]", "not int"),
        "position is uint4": (f"{OUT}, uint4 id [[thread_position_in_grid]]", "not uint4"),
        "position is a pointer": (f"{OUT}, uint* id [[thread_position_in_grid]]", r"not uint\*"),
        "index is uint3": (f"{OUT}, uint3 t [[thread_index_in_threadgroup]]", "is a uint "),
        "pointer to nowhere": (f"const float* x [[buffer(0)]], {OUT}", "it is 'device const T"),
        "value as a buffer": (f"device float x [[buffer(0)]], {OUT}", "it is 'device const T"),
        "threadgroup buffer": (f"threadgroup float* x [[buffer(0)]], {OUT}", "it is 'device const"),
        "thread buffer": (f"thread float* x [[buffer(0)]], {OUT}", "it is 'device const T"),
        "pointer to a pointer": (
            f"device const float** x [[buffer(0)]], {OUT}",
            "it is 'device co",
        ),
        "device reference": (f"device float& x [[buffer(0)]], {OUT}", "a reference is 'constant"),
        "double": (f"device const double* x [[buffer(0)]], {OUT}", "of type 'double'"),
        "void": (f"device const void* x [[buffer(0)]], {OUT}", "of type 'void'"),
        "struct": (f"constant Params& p [[buffer(0)]], {OUT}", "of type 'Params'"),
        "float3": (f"device const float3* x [[buffer(0)]], {OUT}", "of type 'float3'"),
        "matrix": (f"device const float4x4* x [[buffer(0)]], {OUT}", "of type 'float4x4'"),
        "atomic": (f"device atomic_uint* x [[buffer(0)]], {OUT}", "atomic"),
        "default value": (f"{X}, {OUT}, uint id = 3", "unexpected '='"),
        "array parameter": (f"device const float x[4] [[buffer(0)]], {OUT}", r"unexpected '\['"),
        "comma too many": (f"{X}, , {OUT}", "a comma with no parameter"),
        "comma at the end": (f"{X}, {OUT},", "a comma with no parameter"),
        "text after the attribute": (f"{X} y, {OUT}", "unexpected 'y'"),
        "attribute not closed": ("device float* out [[buffer(0)", "never closed|closes nothing"),
        "attribute of a number": ("device float* out [[0]]", "has a name"),
        "number as a parameter": (f"{X}, {OUT}, 5", "unexpected '5'"),
    }
    return [
        Mistake(name, kernel("", parameters=text), SYNTAX, says)
        for name, (text, says) in parameters.items()
    ]


def _texts() -> list[Mistake]:
    """Sources that hold no kernel function, or more than Metal."""
    head = f"kernel void f({OUT}, {ID})"
    texts: dict[str, tuple[object, str]] = {
        "empty": ("", "holds no function"),
        "blank": (" \n\t\n", "holds no function"),
        "a comment": ("// kernel void f() {}\n", "holds no function"),
        "a string": ('constant char* s = "kernel void f() {}";', "holds no function"),
        "prose": ("Add two arrays, please.", "holds no function"),
        "not text": (b"kernel void f() {}", "source is text"),
        "nothing": (None, "source is text"),
        "a number": (3, "source is text"),
        "not ASCII": (kernel("out[id] = x[id]; // \u00e9"), "ASCII"),
        "a lone surrogate": (kernel("// \ud800"), "ASCII"),
        "a NUL": (kernel("\0"), "NUL"),
        "two megabytes": (kernel("// " + "x" * 2**21), "at most 1,048,576"),
        "a function without kernel": (f"void f({OUT}) {{}}", "holds no function"),
        "kernel that returns": ("kernel int f(device float* o) {}", "returns void"),
        "kernel without a name": ("kernel void (device float* o) {}", "has no name"),
        "kernel without parentheses": ("kernel void f {}", "no parameters in parentheses"),
        "kernel without a body": (f"{head};", "has no body"),
        "kernel at the end": ("kernel", "returns void"),
        "kernel void at the end": ("kernel void", "has no name"),
        "vertex function": ("vertex float4 f(uint i [[vertex_id]]) { return 0; }", "no function"),
        "template": (f"template <typename T> {head} {{}}", "is a template"),
        "two kernels": (f"{head} {{ }} kernel void g({OUT}) {{ }}", "say which by name"),
        "brace not closed": (f"{head} {{ if (id) {{ }}", "never closed"),
        "brace too many": (f"{head} {{ }} }}", "closes nothing"),
        "brackets crossed": (f"{head} {{ out[(id] = 0); }}", "closes nothing"),
        "parenthesis not closed": (f"{head} {{ out[id] = (1; }}", "closes nothing"),
        "comment not closed": (f"{head} {{ }} /* the end", "never ends"),
        "include of a file": (f'#include "secret.h"\n{head} {{ }}', "only Metal's own headers"),
        "include of a path": (f"#include </etc/passwd>\n{head} {{ }}", "only Metal's own headers"),
        "include of the C library": (f"#include <cstdlib>\n{head} {{ }}", "only Metal's own"),
        "line directive": (f'#line 100 "other"\n{head} {{ }}', "hide the line"),
        "digraph": (f"%:include <cstdlib>\n{head} {{ }}", "digraph"),
        "assembly": (kernel('asm("nop");'), "not Metal"),
        "texture inside": (kernel("texture2d<float> t;"), "textures are not supported"),
        "atomics inside": (kernel("device atomic_uint* a;"), "atomics are not supported"),
        "simdgroup matrix": (kernel("simdgroup_float8x8 m;"), "run on Metal only"),
        "threadgroup array with a value": (kernel("threadgroup float s[2] = {0, 1};"), "no first"),
        "threadgroup array without a size": (kernel("threadgroup float s[];"), "of a fixed size"),
        "threadgroup array of 3": (kernel("threadgroup float s[2][2][2];"), "one or two dimens"),
    }
    return [Mistake(name, text, SYNTAX, says) for name, (text, says) in texts.items()]


def _compiled() -> list[Mistake]:
    """Refused by the compiler; the kernel's first line of body is line 4."""
    bodies = {
        "no semicolon": ("out[id] = x[id]", "line [45]: .*expected ';'"),
        "no semicolon, third line": ("float a = 1;\nfloat b = 2\nout[id] = a;", "line [56]: "),
        "unknown name": ("out[id] = y[id];", "line 4: .*'y' was not declared"),
        "unknown name, second line": ("float a = 1;\nout[id] = a + b;", "line 5: .*'b' was not"),
        "unknown function": ("out[id] = cube(x[id]);", "line 4: .*cube"),
        "unknown type": ("flaot a = x[id];", "line 4: .*flaot"),
        "wrong member": ("float4 v; out[id] = v.q;", "line 4: .*no member named 'q'"),
        "write to an input": ("x[id] = 1; out[id] = 1;", "line 4: "),
        "too few arguments": ("out[id] = clamp(x[id], 0.0f);", "line 4: .*clamp"),
        "too many arguments": ("out[id] = sqrt(x[id], 2.0f);", "line 4: .*sqrt"),
        "mixed types": ("out[id] = max(x[id], 1);", "line 4: .*one type"),
        "vector of two widths": ("float4 v = float4(1) + float2(1); out[id] = v.x;", "line 4: "),
        "assignment to a constant": (
            "const float a = 1; a = 2; out[id] = a;",
            "line 4: .*read-only",
        ),
        "declared twice": ("float a = 1; float a = 2; out[id] = a;", "line 4: .*redeclaration"),
        "break outside": ("break;", "line 4: .*break"),
        "case outside": ("case 3: out[id] = 1;", "line 4: .*case"),
        "else without if": ("else out[id] = 1;", "line 4: .*else"),
        "return of a value": ("return 3;", "line 4: .*return"),
        "missing operand": ("out[id] = x[id] + ;", "line 4: "),
        "unclosed string": ('out[id] = "a;\n', "line 4: "),
        "bad number": ("out[id] = 1.2.3;", "line 4: "),
        "goto nowhere": ("goto end;", "line 4: .*end"),
        "float as an index of bits": ("out[id] = x[id] << 2;", "line 4: "),
        "remainder of floats": ("out[id] = x[id] % 2.0f;", "line 4: "),
        "call of a number": ("out[id] = id(3);", "line 4: "),
        "negative array": ("float a[-1]; out[id] = 1;", "line 4: .*negative"),
        "static assertion": ('static_assert(sizeof(float) == 8, "wide");', "line 4: .*wide"),
        "as_type of two sizes": ("out[id] = as_type<float>(ushort(1));", "line 4: .*one size"),
        "keyword as a name": ("float while = 3;", "line 4: "),
        "error directive": ("#error stop here", "line 4: .*stop here"),
        "undefined condition": ("#if\nout[id] = 1;\n#endif", "line 4: "),
        "endif missing": ("#ifdef A\nout[id] = 1;", "line 4: "),
    }
    found = [Mistake(n, kernel(body), SYNTAX, says) for n, (body, says) in bodies.items()]
    endless = "template <int N> struct S { static constexpr int v = S<N + 1>::v + 1; };\n"
    helpers = {
        "mistake before the kernel": ("float a(float v) { return v + w; }\n", "line 3: .*'w'"),
        "template without an end": (endless, "template instantiation depth|line"),
        "function declared twice": ("int a() { return 1; }\nint a() { return 2; }\n", "line 4: "),
    }
    uses = {"template without an end": "out[id] = S<0>::v;"}
    found += [
        Mistake(name, kernel(uses.get(name, COPY), before=before), SYNTAX, says)
        for name, (before, says) in helpers.items()
    ]
    return found


def _faults() -> list[Mistake]:
    """Compiles, and does what a GPU does not allow."""
    barrier = "threadgroup_barrier(mem_flags::mem_threadgroup);"
    shared = "threadgroup float s[8]; s[t] = x[id];"
    bodies = {
        "read past the end": ("out[id] = x[id + 1];", r"out-of-bounds read of x\[8\], which has 8"),
        "read far past the end": ("out[id] = x[id + 1000000];", r"out-of-bounds read of x\[10"),
        "read before the start": ("out[id] = x[int(id) - 1];", r"out-of-bounds read of x\[-1\]"),
        "read at a huge index": ("out[id] = x[1L << 60];", "out-of-bounds read of x"),
        "write past the end": ("out[id + 1] = x[id];", r"out-of-bounds write of out\[8\]"),
        "write before the start": ("out[int(id) - 1] = x[id];", r"out-of-bounds write of out\[-1"),
        "pointer walked away": ("device const float* p = x; p += 9; out[id] = *p;", r"x\[9\]"),
        "pointer never set": ("device float* p; out[id] = p[0];", "points nowhere"),
        "vector half outside": (
            "out[id] = ((device const float4*)(x + 4))[id].x;",
            "out-of-bounds",
        ),
        "vector misaligned": ("out[id] = ((device const float4*)(x + 1))[0].x;", "misaligned"),
        "two writers": ("out[0] = x[id];", r"race on out\[0\]"),
        "two writers of a pair": ("out[id / 2] = x[id];", r"race on out\[0\]"),
        "reads another's output": (
            "out[id] = 1; out[id] += out[(id + 1) % 8];",
            "no thread has|race",
        ),
        "reads its unwritten output": ("out[id] += 1;", r"read of out\[0\], which no thread"),
        "half unwritten": (
            "if (id < 4) out[id] = 1;",
            r"unwritten output out\[4\], and 3 more of 8",
        ),
        "all unwritten": ("float a = x[id];", r"unwritten output out\[0\], and 7 more of 8"),
        "every second unwritten": ("if (id % 2) out[id] = 1;", r"unwritten output out\[0\], and 3"),
        "missing barrier": (f"{shared} out[id] = s[7 - t];", r"no thread has written|race on s\["),
        "missing barrier of a sum": (
            f"{shared} {barrier} for (uint n = 4; n; n /= 2) if (t < n) s[t] += s[t + n];\n"
            "out[id] = s[t];",
            r"race on s\[",
        ),
        "barrier in a branch": (f"{shared} if (t < 4) {barrier} out[id] = s[t];", "divergent barr"),
        "barrier after a return": (
            f"if (t > 4) return; {barrier} out[id] = 1;",
            "divergent barrier",
        ),
        "two barriers": (
            f"if (t < 4) {{\n{barrier}\n}} else {{\n{barrier}\n}}",
            "divergent barrier",
        ),
        "barrier in a loop of its own": (f"for (uint i = 0; i < t; i++) {barrier}", "divergent"),
        "unwritten threadgroup memory": (
            f"threadgroup float s[8]; {barrier} out[id] = s[t];",
            r"read of s\[\d\], which no thread has written",
        ),
        "threadgroup memory overrun": (
            "threadgroup float s[4]; s[t] = 1;",
            r"of s\[4\], which has 4",
        ),
        "threadgroup memory before": ("threadgroup float s[4]; s[int(t) - 1] = 1;", r"of s\[-1\]"),
        "row of a matrix overrun": (
            "threadgroup float s[4][4]; s[0][t] = 1;",
            r"s\[0\]\[4\], which has 4 x 4",
        ),
        "too much threadgroup memory": ("threadgroup float s[9000]; s[t] = 1;", "32 KiB"),
        "threadgroup memory written twice": (
            "threadgroup float s[8]; s[0] = t;",
            r"race on s\[0\]",
        ),
        "shuffle from nowhere": ("out[id] = simd_shuffle(x[id], 20);", "lane 20, which does not"),
        "shuffle from below": ("out[id] = simd_shuffle(x[id], -1);", "lane -1, which does not"),
        "shuffle in a branch": (
            "float a = x[id];\nif (t < 4) a = simd_shuffle_xor(a, 1);\nout[id] = a;",
            "divergent",
        ),
        "sum in a branch": (
            "float a = 0;\nif (t > 2)\na = simd_sum(x[id]);\nout[id] = a;",
            "divergent",
        ),
        "endless loop": ("while (true) {}", "still running when the time was up"),
        "endless loop that reads": (
            "float a = 0; while (a < 1) a += x[0]; out[id] = a;",
            "still run",
        ),
        "endless loop that writes": ("while (true) out[id] = x[id];", "still running"),
        "endless barriers": (f"while (true) {barrier}", "still running"),
        "endless shuffles": ("float a = 0; while (true) a = simd_sum(a);", "still running"),
        "loop that never comes": ("volatile uint i = 1; while (i != 0) i += 2;", "still running"),
        "waits for another thread": (
            "threadgroup float s[1]; if (t == 7) s[0] = 1; while (s[0] == 0) {} out[id] = 1;",
            "no thread has written|race|still running",
        ),
        "local array overrun": (
            "int a[4]; int sum = 0;\n"
            "for (int i = 0; i <= int(id); i++) { a[i] = i; sum += a[i]; }\n"
            "out[id] = sum;",
            r"index 4 lies outside of a local array, at f\.metal:5",
        ),
        "local array before": ("int a[4] = {}; out[id] = a[int(id) - 1];", "index -1 lies outside"),
        "division by zero": ("out[id] = 8 / (int(id) - 3);", "division of an integer by zero"),
        "remainder by zero": (
            "volatile int z = 0; out[id] = 8 % z;",
            "division of an integer by zero",
        ),
        "smallest by minus one": (
            "volatile int a = -2147483647 - 1, b = -1; out[id] = a / b;",
            "division of an integer by zero, or its overflow",
        ),
        "recursion": (
            "struct R { static int go(int n) {\n"
            "volatile int a[99]; a[0] = n; return go(n + 1) + a[0]; } };"
            "\nout[id] = R::go(int(id));",
            "ran out of its stack",
        ),
        "local array too large": (
            "volatile float a[1000000]; a[id] = 1; out[id] = a[id];",
            "ran out of its stack|memory that is nobody's",
        ),
        "wild pointer": (
            "thread int* p = (thread int*)8; out[id] = *p;",
            "memory that is nobody's",
        ),
        "null pointer": ("thread int* p = nullptr; *p = 3;", "memory that is nobody's|crashed"),
        "abort": ("abort();", "crashed with signal 6"),
        "exit": ("_Exit(7);", "ended its process with status 7"),
    }
    return [Mistake(name, kernel(body), FAULT, says) for name, (body, says) in bodies.items()]


def _arguments() -> list[Mistake]:
    """A good kernel, and a launch that does not fit it."""
    good = kernel(COPY)
    scalar = kernel(
        "out[id] = x[id] + n;",
        parameters=f"{X}, {OUT}, constant int& n [[buffer(2)]], {ID}",
    )
    four = kernel(
        "out[id] = v[id].x;", parameters=f"device const float4* v [[buffer(0)]], {OUT}, {ID}"
    )
    x = mx.arange(8).astype(mx.float32)
    calls = {
        "no inputs": (good, {"inputs": []}, "reads 1 buffers: 'x', buffer 0; got 0"),
        "too many inputs": (good, {"inputs": [x, x]}, "got 2 inputs"),
        "an array as the list": (good, {"inputs": x}, "is a list"),
        "text as an input": (good, {"inputs": ["x"]}, "got str"),
        "a list as an input": (good, {"inputs": [[1.0, 2.0]]}, "got list"),
        "None as an input": (good, {"inputs": [None]}, "got NoneType"),
        "half for float": (good, {"inputs": [x.astype(mx.float16)]}, "is float32 .*got float16"),
        "int for float": (good, {"inputs": [mx.arange(8)]}, "got int32"),
        "bool for float": (good, {"inputs": [x > 1]}, "got bool"),
        "complex for float": (good, {"inputs": [x.astype(mx.complex64)]}, "got complex64"),
        "a number for an array": (good, {"inputs": [1.0]}, "is an array of float; got the number"),
        "an empty input": (good, {"inputs": [mx.zeros((0,))]}, "has no elements"),
        "an empty output": (good, {"output_shapes": [(0,)]}, "has no elements"),
        "no outputs": (good, {"output_shapes": []}, "writes 1 buffers: 'out', buffer 1; output_sh"),
        "two outputs": (good, {"output_shapes": [(8,), (8,)]}, "output_shapes has 2"),
        "a shape as the list": (good, {"output_shapes": (8,)}, "got 8 in it"),
        "a number as the list": (good, {"output_shapes": 8}, "got int"),
        "negative size": (good, {"output_shapes": [(-8,)]}, "in it"),
        "size of a float": (good, {"output_shapes": [(8.0,)]}, "in it"),
        "shape of text": (good, {"output_shapes": ["8"]}, "in it"),
        "a huge output": (good, {"output_shapes": [(2**20, 2**20)]}, "at most"),
        "wrong output type": (good, {"output_dtypes": [mx.float16]}, "output_dtypes says float16"),
        "output type of text": (good, {"output_dtypes": ["float32"]}, "says 'float32'"),
        "two output types": (good, {"output_dtypes": [mx.float32] * 2}, "output_dtypes has 2"),
        "grid of zero": (good, {"grid": 0}, "sizes from 1"),
        "grid of zeros": (good, {"grid": (0, 1)}, "sizes from 1"),
        "negative grid": (good, {"grid": (-8,)}, "sizes from 1"),
        "empty grid": (good, {"grid": ()}, "one to three integers"),
        "grid of four": (good, {"grid": (1, 1, 1, 8)}, "one to three integers"),
        "grid of floats": (good, {"grid": (8.0,)}, "sizes from 1"),
        "grid of text": (good, {"grid": "8"}, "one to three integers"),
        "grid of None": (good, {"grid": None}, "one to three integers"),
        "grid of bool": (good, {"grid": True}, "one to three integers"),
        "huge grid": (good, {"grid": (2**40,)}, "sizes from 1"),
        "huge product": (good, {"grid": (2**16, 2**16)}, "at most"),
        "threadgroup of zero": (good, {"threadgroup": 0}, "threadgroup of f has sizes from 1"),
        "threadgroup too large": (good, {"threadgroup": 2_048}, "at most 1,024"),
        "threadgroup of 33 x 32": (good, {"threadgroup": (33, 32)}, "1,056 threads"),
        "threadgroup of text": (good, {"threadgroup": "8"}, "one to three integers"),
        "no time": (good, {"time_limit_s": 0}, "time_limit_s"),
        "time of text": (good, {"time_limit_s": "5"}, "time_limit_s"),
        "init_value of text": (good, {"init_value": "0"}, "init_value is a number"),
        "float for an int": (scalar, {"inputs": [x, 1.5]}, "is int; got 1.5"),
        "bool for an int": (scalar, {"inputs": [x, True]}, "is int; got True"),
        "int out of range": (scalar, {"inputs": [x, 2**31]}, "from -2,147,483,648 to"),
        "an array for one value": (scalar, {"inputs": [x, mx.arange(2)]}, "is one int"),
        "a missing scalar": (scalar, {"inputs": [x]}, "got 1 inputs"),
        "half a vector": (four, {"inputs": [mx.zeros((6,))]}, "a multiple of 4"),
    }
    return [
        Mistake(name, source, ARGUMENT, says, call) for name, (source, call, says) in calls.items()
    ]


READ = [*_signatures(), *_texts(), *_arguments()]  # milliseconds each
COMPILED = _compiled()  # a quarter of a second each
RUN = _faults()  # half a second each, and its time limit
