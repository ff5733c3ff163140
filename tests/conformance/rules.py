"""The rules of tus as this server keeps them, and the page that lists the test of each.

    python -m tests.conformance.rules        writes docs/protocol-support.md

A test names its rules at the beginning of its docstring ("G1: …", "H6, P7: …", "CR6 to CR8: …").
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

RULES = {
    "G1": "Every answer bears `Tus-Resumable: 1.0.0`, errors too.",
    "G2": "Another version, or none, is 412 with `Tus-Version`; a download needs none.",
    "G4": "OPTIONS ignores the version.",
    "G5": "OPTIONS says versions, extensions, algorithms and the maximum, with no body.",
    "G8": "`X-HTTP-Method-Override` on POST replaces the method.",
    "G9": "Offsets and lengths are decimal integers from 0 to 2^63 - 1.",
    "G10": "A body that brings nothing for `TUSFM_READ_TIMEOUT` is ended; what came is kept.",
    "G11": "All that arrived of a broken PATCH is kept.",
    "G12": "405 with the true `Allow`; ids of another shape are 404; the path is decoded once.",
    "G13": "Errors are one sentence of plain text and give nothing away.",
    "G14": "`Location` is absolute, by what clients see; no redirects.",
    "G15": "201, 204, 200 exactly; headers that mean nothing are ignored.",
    "G16": "A refusal comes before the body, with `Connection: close`.",
    "G17": "The first broken rule is told; header lines of 32 KiB are read.",
    "H1": "HEAD says the offset, also 0, also when finished; it may not be cached.",
    "H2": "A deferred length is said, never beside a length.",
    "H3": "Metadata comes back to the byte.",
    "H5": "What is gone is 404, and never bears an offset.",
    "H6": "During a running PATCH HEAD counts what has arrived, within a second; the expiry is shown.",
    "H7": "HEAD is never 5xx: what is away is 423.",
    "P2": "Another Content-Type is 415.",
    "P3": "A wrong offset is 409 with the true one.",
    "P4": "204 with the new offset; chunked bodies too.",
    "P6": "No offset is 400; a body over the length is 413, and never finishes the upload.",
    "P7": "The newer of two PATCHes takes over at once.",
    "P8": "A finished upload is content with an empty body, and with no other.",
    "P9": "A refused request never hears 100; a 2xx always comes after it.",
    "P10": "A failing backend is 503 with `Retry-After`, and the offset stays true.",
    "CR2": "Creation is 201 with `Location`, offset and expiry.",
    "CR3": "A length or a deferral, and nothing over the maximum.",
    "CR5": "A length of 0 is complete at once.",
    "CR6": "Metadata that is malformed is 400, and nothing is created.",
    "CR7": "Values may be missing, blanks around commas are forgiven.",
    "CR8": "Values are padded base64; 16 KiB at most.",
    "D1": "Deferral is only ever 1.",
    "D2": "A later PATCH brings the length.",
    "D3": "So may the last one, and an empty one.",
    "D4": "It is set once.",
    "D5": "The maximum holds for deferred uploads.",
    "W2": "Bytes may come with the creation.",
    "W3": "Bytes of another type are 415; without bytes the type means nothing.",
    "W4": "A body over the length creates nothing.",
    "W6": "A creation that breaks off leaves an upload with what arrived.",
    "E1": "Unfinished uploads say when they expire.",
    "E2": "Afterwards they are 404, and their bytes go.",
    "E3": "Each byte puts it off, and so does a running request.",
    "E4": "Finished files stay.",
    "E5": "With 0 nothing expires.",
    "K1": "sha1, sha256, sha512, md5, crc32.",
    "K2": "The right digest is 204.",
    "K3": "A mismatch is 460 and changes nothing.",
    "K4": "What cannot be a checksum is 400.",
    "K5": "Nothing of a broken body counts; meanwhile HEAD says the offset before it.",
    "K7": "A creation is checked too.",
    "X2": "DELETE takes the bytes away.",
    "X3": "Unknown is 404.",
    "X4": "It ends a running PATCH.",
    "N2": "Partials say what they are, and are no files.",
    "N4": "A final is its partials in order.",
    "N5": "It has no length and no body of its own.",
    "N7": "The same list gives the same final; used partials are freed later.",
    "N8": "PATCH on it is 403.",
    "N10": "It has a length once that is known, and an offset once it is there.",
    "N12": "Only the paths of URLs are looked at; nothing is fetched.",
    "U1": "Partials may still be running.",
    "U2": "When one is gone the final is too.",
}
HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "protocol-support.md"
HEAD = """# What of tus is supported, rule by rule

Made by `python -m tests.conformance.rules`; the ids are those of this project.
The tests speak real HTTP to a server that was started by its command line.

Advertised: creation, creation-with-upload, creation-defer-length, checksum, termination, concatenation,
concatenation-unfinished, and expiration unless `TUSFM_EXPIRE_AFTER=0`.
Not offered: `checksum-trailer`, for trailers cannot be read safely on a connection that is used again.

| rule | what it says | shown by |
|---|---|---|
"""


def listed() -> Iterator[tuple[str, str, list[str]]]:
    """Give each test's module, name and rules."""
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield path.name, node.name, named(ast.get_docstring(node) or "")


def named(docstring: str) -> list[str]:
    """Read the rules at the beginning of a docstring."""
    head = docstring.partition(":")[0]
    if not re.fullmatch(r"[A-Z]{1,2}\d+(( to |, )[A-Z]{1,2}\d+)*", head):
        return []
    found = re.findall(r"[A-Z]{1,2}\d+", head)
    if " to " in head:
        letters = found[0].rstrip("0123456789")
        found = [f"{letters}{n}" for n in range(int(found[0][len(letters) :]), int(found[-1][len(letters) :]) + 1)]
    return [one for one in found if one in RULES]


def page() -> str:
    """Write the page."""
    shown: dict[str, list[str]] = {rule: [] for rule in RULES}
    for module, name, rules in listed():
        for rule in rules:
            shown[rule].append(f"`{module}::{name}`")
    return HEAD + "".join(f"| {rule} | {RULES[rule]} | {'<br>'.join(shown[rule])} |\n" for rule in RULES)


if __name__ == "__main__":
    PAGE.write_text(page())
