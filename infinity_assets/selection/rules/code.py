"""Code in answers: its amount and language, whether its Python parses, and whether it uses the network or files.

Code is the text between fences or, without fences, lines that look like code. Python is parsed with `ast`. Other
languages, and Python that does not parse, are searched for names. A word of code in a text without code does not count.
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator

import polars as pl

from infinity_assets.selection.rules.rule import Bound

_FENCE = r"(?s)```[ \t]*([A-Za-z+#_.-]*)[^\n]*\n(.*?)(?:```|$)"
_LINE = (
    r"(?m)^[ \t]*(?:>>> |\$ )?(?:"
    r"(?:def|class|async def) \w+.*:|import [\w.*]+.*|from [\w.]+ import .*|(?:if|elif|for|while|with|except|try"
    r"|else)\b[^.?!\n]*:[ \t]*(?:#.*)?|return\b.*"
    r"|(?:print|input|len|range|printf|echo|puts|cout|console\.log|System\.out\.\w+)\b *[(<\"' $].*"
    r"|#include.*|#!.*|(?:public|private|protected|static|const|let|var|func|fn|function|package|namespace|using|struct|interface|type|void|int|float|double"
    r"|string|bool|char)\b[^\n.?!]*[({;=<>].*|(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE (?:TABLE|DATABASE|INDEX"
    r"|VIEW)|ALTER TABLE|DROP TABLE|select)\b .*"
    r"|</?[A-Za-z][^>\n]*>.*|[.#]?[\w-]+[ \t]*\{.*|[{}()\[\]]+[;,]?|.*[;{][ \t]*|[\w.\[\]\"']+[ \t]*(?:[-+*/%|&]"
    r"|//)?=[ \t]*[^=\n ].*|@\w+.*|[\w.]+\([^\n]*\)"
    r"|(?:git|npm|pip|docker|sudo|cd|ls|grep|find|awk|sed|curl|wget|chmod|mkdir|apt-get|brew|kubectl|python|bash|java|gcc) [-\w./~].*"
    r"|\[[^\n]*\]|\{[^\n]*\}|\\?begin\{.*|/[^\n/]+/[gimsu]*|\^[^\n ]+\$?"
    r")[ \t]*$"
)
"""A line that is code: a statement, a tag, a command, a literal."""
_INLINE = r"`[^`\n]+`|\b[A-Za-z_][\w.]*\([^\n()]*\)"
_TERMS = (
    r"(?i)\b(?:python|java|javascript|typescript|c\+\+|c#|golang|kotlin|php|sql|html|css|json|regex|regular expression|source code|programming"
    r"|software|algorithm|compiler|interpreter|debug\w*|database|data structure|linked list|hash table|recursion|thread pool|multithread\w*"
    r"|garbage collect\w*|api|http|tcp|linux|unix|git|docker|kubernetes|command line|operating system|object-oriented|unit test\w*)\b"
    r"|编程|程序|代码|算法|数据库|编译器|源码|正则表达式|数据结构|操作系统|线程|递归|接口"
)
"""Words that almost every question about programming uses. Other questions may use one by chance."""
_TAGS = {
    "py": "python", "python3": "python", "ipython": "python", "js": "javascript", "jsx": "javascript", "node": "javascript", "ts": "typescript",
    "c++": "cpp", "cc": "cpp", "h": "c", "c#": "csharp", "cs": "csharp", "sh": "shell", "bash": "shell", "zsh": "shell", "console": "shell",
    "golang": "go", "rb": "ruby", "rs": "rust", "htm": "html", "mysql": "sql", "postgresql": "sql", "yml": "yaml",
}  # fmt: skip
_NO_TAG = ("", "text", "txt", "plaintext", "output", "code", "plain")
_SIGNS = {
    "php": r"<\?php",
    "html": r"(?i)<(?:!doctype|html|head|body|div|p|span|table|form|ul|ol|h[1-6]|a|img|input|button|script|style|svg)\b[^>\n]*>",
    "cpp": r"#include *<(?:iostream|string|vector|map|algorithm|bits/[^>]*|fstream|memory|set|queue|cmath)>|\bstd::|\bcout *<<",
    "c": r"#include *[<\"][\w/]+\.h[>\"]|\bint main *\((?:void|int argc[^)]*)?\)|\bprintf\(\"",
    "csharp": r"(?m)^\s*using System[\w.]*;|\bConsole\.Write",
    "java": r"\bpublic (?:static |final |abstract )*(?:class|interface|void|int|String|boolean)\b|\bSystem\.out\.|(?m:^import java[\w.]*;)",
    "go": r"(?m)^package \w+|^func (?:\(\w+ \*?\w+\) )?\w+\(",
    "rust": r"\bfn \w+\(|\blet mut\b|\bprintln!\(",
    "scala": r"(?m)^\s*(?:val \w+ *[:=]|def \w+\([^)]*: ?[A-Z]\w*\)|object \w+ .*\{)",
    "swift": r"(?m)^import (?:UIKit|SwiftUI|Foundation)\b|^\s*func \w+\([^)]*\) *->|^\s*let \w+ *:",
    "r": r"<- ?(?:function\(|c\()",
    "haskell": r"(?m)^\w+ +:: |^import (?:qualified )?Data\.|\bputStrLn\b",
    "python": r"(?m)^[ \t]*(?:(?:async )?def \w+\(.*\).*:|class \w+[^{;]*:[ \t]*$|from [\w.]+ import [^;\n]+$|import [\w., ]+(?: as \w+)?[ \t]*$"
    r"|(?:if|elif|for|while|with|except) [^{;\n]+:[ \t]*(?:#.*)?$|(?:else|try):[ \t]*$|print\([^;\n]*\)[ \t]*(?:#.*)?$)",
    "javascript": r"\bfunction *\w*\([^)]*\) *\{|\b(?:const|let|var) \w+ *=|=> *[{(\w]|\bconsole\.log\(|\bdocument\.\w+",
    "shell": r"(?m)^#! ?/(?:usr/)?bin/|^(?:\$ )?(?:sudo|apt-get|cd|ls|grep|chmod|mkdir|echo|docker|git|pip|npm) [^\n.]*$",
    "sql": r"(?im)^\s*(?:select\b.+\bfrom\b|insert into\b|update \S+ set\b|delete from\b|create (?:table|database|index"
    "|view)\b|alter table\b)|^SELECT\b",
    "css": r"(?m)^\s*[.#]?[\w-]+(?:[ ,:>.#][\w\s,:>.#-]*)?\{\s*$|\b(?:color|margin|padding|font-size|background) *: *[^;\n]+;",
    "ruby": r"(?m)^\s*(?:puts |def \w+[^:\n]*$|end\s*$|require ')",
}
"""Characteristic syntax by language, in order of precedence."""

_NETWORK_MODULES = frozenset(
    [
        "requests",
        "urllib2",
        "urllib3",
        "httplib",
        "httplib2",
        "http",
        "httpx",
        "aiohttp",
        "socket",
        "socketserver",
        "ssl",
        "ftplib",
        "smtplib",
        "imaplib",
        "poplib",
        "telnetlib",
        "paramiko",
        "fabric",
        "selenium",
        "playwright",
        "scrapy",
        "websocket",
        "websockets",
        "tweepy",
        "twilio",
        "boto3",
        "botocore",
        "pycurl",
        "grpc",
        "xmlrpc",
        "wikipedia",
        "yfinance",
        "pytube",
        "googletrans",
        "pymongo",
        "psycopg2",
        "mysql",
        "pymysql",
        "redis",
        "kafka",
        "pika",
    ]
)
_NETWORK_PARTS = frozenset(("urllib.request", "urllib.error", "asyncio.open_connection", "flask.request"))
_FILE_MODULES = frozenset(["shutil", "tempfile", "zipfile", "tarfile", "glob", "fileinput", "gzip"])
_OS_FILES = frozenset(
    [
        "remove",
        "unlink",
        "rename",
        "replace",
        "mkdir",
        "makedirs",
        "rmdir",
        "removedirs",
        "listdir",
        "scandir",
        "walk",
        "stat",
        "chmod",
        "chown",
        "symlink",
        "link",
        "open",
        "truncate",
        "access",
    ]
)
_OS_PATH_FILES = frozenset(["exists", "isfile", "isdir", "getsize", "getmtime", "getctime", "islink"])
_FILE_METHODS = frozenset(
    [
        "read_text",
        "write_text",
        "read_bytes",
        "write_bytes",
        "read_csv",
        "to_csv",
        "read_excel",
        "to_excel",
        "read_json",
        "to_parquet",
        "read_parquet",
        "read_pickle",
        "to_pickle",
        "savefig",
        "imread",
        "imwrite",
        "loadtxt",
        "savetxt",
        "genfromtxt",
        "FileHandler",
        "iterdir",
        "rglob",
    ]
)
_NETWORK = (
    r"\bimport (?:requests|socket|urllib|httplib|aiohttp|smtplib|ftplib)|\brequests\.(?:get|post|put|delete)\("
    r"|\burlopen\(|\bfetch\(|\baxios\b|XMLHttpRequest"
    r"|\$\.(?:ajax|get|post|getJSON)\(|require\(['\"](?:https?|net|dgram|request|node-fetch|got|superagent|express|socket\.io)['\"]\)|\bjava\.net\.|HttpURLConnection"
    r"|\bHttpClient\b|\bServerSocket\b|\bWebClient\b|\bWebRequest\b|<sys/socket\.h>|\bcurl_(?:init|exec|easy)"
    r"|(?m:^\s*(?:\$ )?(?:sudo )?(?:curl|wget|ssh|scp|ping) )"
    r"|\bnet/http\b|\bhttp\.(?:Get|Post|ListenAndServe)\(|\bNet::HTTP\b|\bURLSession\b|\bmysqli?_connect\(|\bnew (?:PDO|mysqli|WebSocket|Socket)\("
)
_FILES = (
    r"(?:^|[^.\w])open\([^)\n]*['\"]|\bwith open\(|\bfs\.(?:read|write|append|unlink|mkdir|exists|create|open|stat"
    r"|rm)\w*\(|require\(['\"](?:node:)?fs['\"]\)"
    r"|\b(?:fopen|fwrite|fread|file_get_contents|file_put_contents|freopen|opendir|mkdir)\(|\b(?:std::)?(?:ifstream|ofstream|fstream)\b"
    r"|\bnew (?:File|FileReader|FileWriter|FileInputStream|FileOutputStream|PrintWriter|StreamReader|StreamWriter)\(|\bFiles\.\w+\("
    r"|\bFile\.(?:Open|Read|Write|Append|Exists|Delete|Create|Copy|Move|open|read|write|exist)\w*\(|\bos\.(?:Open|Create|ReadFile|WriteFile|Remove)\("
    r"|\bioutil\.\w+\(|\bfs::(?:read|write|File)|\bread_csv\(|\bto_csv\("
)

_NETWORK_NAMES = r"https?://|(?i:\bapi\b|\bsockets?\b|\bdownload)"
_FILE_NAMES = r"\b[\w-]+\.(?:txt|csv|json|xml|dat|xlsx?|html?|py)\b|(?i:\bfile(?:_?name|_?path)?s?\b)|文件"
"""Names of the network or of files without a use."""

_ATTEMPT = 200_000
"""Maximum characters of a text that is parsed."""
_SENTENCE = re.compile(
    r"^\s*(?:[-*•]|\d+\.)?\s*[A-Z][a-z']*,?(?: [^\s=]+){4,}[.:!?]?\s*$|^[A-Z][a-z]+(?: [\w+#]+)+:?\s*$"
    r"|[\u4e00-\u9fff].*[。，！？]\s*$|^[\u4e00-\u9fff]{4}.*[：:]\s*$"
)
"""A line of prose between lines of code."""

NOTHING = 0
NAMED = 1
USED = 2
_LEVELS = (
    "0: no code, or code without a mention; 1: an answer with code that mentions it, as an address or a file name; "
    "2: code that uses it"
)

BOUNDS = (
    Bound("no_code", pl.col("code_lines") + pl.col("prompt_code_lines") + pl.col("code_terms"), "below",
          "Lines and pieces of code in prompt and answer, and words of programming: a row of the code domain without "
          "any is about something else.",
          domains=("code",)),
    Bound("python_syntax", pl.col("python_parses").not_().cast(pl.Int8), "above",
          "1: the answer's Python does not parse. Null, which passes, if there is no Python or it is mixed with prose.",
          domains=("code",), evidence=pl.col("python_note")),
    Bound("touches_network", pl.col("network"), "above",
          f"{_LEVELS}: calls or imports modules for the network or a database server.", domains=("code",),
          evidence=pl.col("network_span")),
    Bound("touches_files", pl.col("files"), "above", f"{_LEVELS}: opens, lists, moves or writes files.",
          domains=("code",), evidence=pl.col("files_span")),
)  # fmt: skip

MEASURED = pl.Schema(
    {
        "code_language": pl.String,
        "code_lines": pl.UInt32,
        "prompt_code_lines": pl.UInt32,
        "code_terms": pl.UInt32,
        "python_parses": pl.Boolean,
        "python_note": pl.String,
        "network": pl.Int8,
        "network_span": pl.String,
        "files": pl.Int8,
        "files_span": pl.String,
    }
)


def measure(texts: pl.DataFrame) -> pl.DataFrame:
    """Measure the code in texts.

    Args:
        texts: prompt, answer (may be null), domain.

    Returns:
        Schema `MEASURED`, in the order of the texts.
    """
    answer = pl.col("answer").fill_null("")
    fenced = answer.str.contains("```", literal=True)
    lines = pl.when(fenced).then(_fenced_lines(answer)).otherwise(code_lines(answer))
    frame = texts.select(
        answer.alias("answer"),
        fenced.alias("fenced"),
        lines.alias("code_lines"),
        pl.when(pl.col("domain") == "code")
        .then(code_lines(pl.col("prompt").fill_null("")))
        .otherwise(0)
        .cast(pl.UInt32)
        .alias("prompt_code_lines"),
        pl.when(pl.col("domain") == "code")
        .then(pl.concat_str(pl.col("prompt").fill_null(""), answer, separator="\n").str.count_matches(_TERMS))
        .otherwise(0)
        .cast(pl.UInt32)
        .alias("code_terms"),
    ).with_columns(_language().alias("code_language"))
    has_code = pl.col("code_language").is_not_null()
    patterns = {"network": (_NETWORK, _NETWORK_NAMES), "files": (_FILES, _FILE_NAMES)}
    frame = frame.with_columns(
        match.alias(f"{subject}_{degree}")
        for subject, (use, name) in patterns.items()
        for degree, match in (
            ("used", pl.when(has_code).then(_first_match(use))),
            ("named", pl.when(has_code).then(_first_match(name))),
        )
    )
    python = frame.with_row_index("at").filter(pl.col("code_language") == "python")
    read = pl.DataFrame(
        list(_read(python)),
        {"at": pl.UInt32, "parses": pl.Boolean, "note": pl.String, "uses_network": pl.String, "uses_files": pl.String},
        orient="row",
    )
    frame = frame.with_row_index("at").join(read, on="at", how="left", maintain_order="left")
    parsed = pl.col("parses").fill_null(False)
    note = (
        pl.when(has_code & (pl.col("code_language") != "python"))
        .then(pl.lit("not_python"))
        .when(~has_code)
        .then(pl.lit("no_code"))
    )
    return (
        frame.with_columns(
            pl.col("parses").alias("python_parses"),
            pl.coalesce("note", note).alias("python_note"),
            *(_first_use(subject, parsed).alias(f"{subject}_used") for subject in patterns),
        )
        .with_columns(
            *(
                pl.when(pl.col(f"{subject}_used").is_not_null())
                .then(USED)
                .when(pl.col(f"{subject}_named").is_not_null())
                .then(NAMED)
                .otherwise(NOTHING)
                .alias(subject)
                for subject in patterns
            ),
            *(pl.coalesce(f"{subject}_used", f"{subject}_named").alias(f"{subject}_span") for subject in patterns),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in MEASURED.items())
    )


def code_lines(text: pl.Expr) -> pl.Expr:
    """Count the lines that look like code or, without any, pieces of lines: `name(...)` and text in backticks."""
    lines = text.str.count_matches(_LINE)
    return pl.when(lines > 0).then(lines).otherwise(text.str.count_matches(_INLINE))


def _fenced_lines(text: pl.Expr) -> pl.Expr:
    blocks = text.str.extract_all(r"(?s)```[^\n]*\n.*?(?:```|$)").list.join("\n")
    return (blocks.str.count_matches(r"(?m)^.*\S.*$") - blocks.str.count_matches(r"(?m)^[ \t]*```")).cast(pl.UInt32)


def _language() -> pl.Expr:
    """Return the language of the code in `answer`, by the tag of its first fence, else by its syntax.

    The result is `other` for code in an unknown language, and null without code.
    """
    tag = pl.col("answer").str.extract(_FENCE, 1).str.to_lowercase()
    tag = pl.when(pl.col("fenced") & ~tag.is_in(_NO_TAG)).then(tag.replace(_TAGS))
    by_sign = pl.coalesce(
        pl.when(pl.col("answer").str.contains(sign)).then(pl.lit(name)) for name, sign in _SIGNS.items()
    )
    return pl.when(pl.col("code_lines") > 0).then(pl.coalesce(tag, by_sign, pl.lit("other")))


def _first_use(subject: str, parsed: pl.Expr) -> pl.Expr:
    """Return the first use in the code, from its syntax tree if it parses, else from a pattern."""
    return pl.when(parsed).then(f"uses_{subject}").otherwise(f"{subject}_used")


def _first_match(pattern: str) -> pl.Expr:
    return pl.col("answer").str.extract(f"({pattern})", 1).str.strip_chars().str.slice(0, 80)


def _read(rows: pl.DataFrame) -> Iterator[tuple[int, bool | None, str | None, str | None, str | None]]:
    """Parse every Python answer: index, whether it parses, a note, its first use of the network and of files."""
    for at, text, fenced in rows.select("at", "answer", "fenced").iter_rows():
        blocks = _blocks(text) if fenced else [text]
        trees = []
        fault = None
        for block in blocks:
            tree = parse(block)
            if isinstance(tree, str):
                fault = fault or tree
            else:
                trees.append(tree)
        if fault and not fenced and any(map(_SENTENCE.match, text.split("\n"))):
            yield at, None, "mixed_with_prose", None, None
        elif fault:
            yield at, False, fault, None, None
        elif not trees:
            yield at, None, "no_code", None, None
        else:
            network, files = uses(trees)
            yield at, True, None, network, files


def _blocks(text: str) -> list[str]:
    """Return the fenced blocks tagged as Python or, without any, all untagged blocks."""
    blocks = [(_TAGS.get(tag.lower(), tag.lower()), code) for tag, code in re.findall(_FENCE, text)]
    tagged = [code for tag, code in blocks if tag == "python"]
    return tagged or [code for tag, code in blocks if tag in _NO_TAG]


def parse(code: str) -> ast.Module | str:
    """Parse Python code after removing prompts of a session and common indentation.

    Returns:
        The syntax tree, or a message about the error.
    """
    if len(code) > _ATTEMPT:
        return "too long to parse"
    if re.search(r"(?m)^\s*>>> ", code):
        code = "\n".join(line.lstrip()[4:] for line in code.split("\n") if line.lstrip().startswith((">>> ", "... ")))
    code = textwrap.dedent(code.expandtabs(8)).strip("\n") + "\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(code)
        except SyntaxError as error:
            return f"line {error.lineno}: {error.msg}"
        except (ValueError, RecursionError, MemoryError) as error:
            return f"{type(error).__name__}"


def uses(trees: list[ast.Module]) -> tuple[str | None, str | None]:
    """Return the first use of the network and of files in the code, or `None`."""
    network = None
    files = None
    own = set()
    nodes = [node for tree in trees for node in ast.walk(tree)]
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in _imported(node):
                root = name.partition(".")[0]
                if root in _NETWORK_MODULES or any(
                    name == part or name.startswith(part + ".") for part in _NETWORK_PARTS
                ):
                    network = network or f"import {name}"
                if root in _FILE_MODULES:
                    files = files or f"import {name}"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
            owner, _, last = called.rpartition(".")
            if (
                (called == "open" and "open" not in own)
                or (owner == "os" and last in _OS_FILES)
                or (owner == "os.path" and last in _OS_PATH_FILES)
                or (last in _FILE_METHODS and owner and last not in own)
                or called in ("io.open", "codecs.open", "Image.open")
            ):
                files = files or f"{called}(...)"
    return network, files


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names] if node.module and not node.level else []
