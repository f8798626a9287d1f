"""The ProVerif models are whole and speak of this protocol; without ProVerif this is all that is checked.

A reader of the models' declarations and uses, no prover: names are declared, functions, events, tables and
processes get as many arguments as they take, and the key schedule's labels are those of `Label`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcall.crypto.kdf import Label

HERE = Path(__file__).parent
KEYWORDS = {
    "among", "axiom", "barrier", "channel", "choice", "clauses", "const", "def", "diff", "do", "else",
    "elimtrue", "equation", "equivalence", "event", "expand", "fail", "for", "forall", "foreach", "free",
    "fun", "get", "if", "implementation", "in", "inj-event", "insert", "lemma", "let", "letfun",
    "letproba", "new", "noninterf", "noselect", "not", "nounif", "or", "otherwise", "out", "param",
    "phase", "pred", "proba", "process", "proof", "public_vars", "putbegin", "query", "reduc",
    "restriction", "secret", "select", "set", "suchthat", "sync", "table", "then", "type", "weaksecret",
    "yield",
}  # fmt: skip
"""Words that can name nothing (ProVerif 2.05, language reference)."""
BUILT_IN = {"attacker", "bitstring", "bool", "false", "private", "true", "expandIfTermsToTerms"}
NOT_MODELLED = {
    Label.IDENTITY_KEY,
    Label.WORDS,
    Label.WORDS_TRANSCRIPT,
    Label.RECEIPT,
    Label.SECOND_KEM,
    Label.HANDSHAKE_I,
    Label.HANDSHAKE_R,
}
"""Labels of what the models leave out: a second suite's key, the words, receipts, Q5+, and boxes."""
POSITIVE = {"qcall1.pv": 16, "qcall1-rekey.pv": 17}
NEGATIVE = {"qcall1-all-revealed.pv": 7, "qcall1-rekey-all-revealed.pv": 11}
"""The models and their queries."""
MODELS = [*POSITIVE, *NEGATIVE]
PROCESSES = [("qcall1.pv", "Caller"), ("qcall1.pv", "Callee")] + [
    ("qcall1-rekey.pv", name) for name in ("Caller", "Callee", "Overheard")
]


def model(name: str) -> str:
    """A model without its comments; a negative one behind what it shares with the other."""
    text = (HERE / name).read_text()
    if name in NEGATIVE:
        text = (HERE / name.replace("-all-revealed", "")).read_text().split("(* Main *)")[0] + text
    return re.sub(r"\(\*.*?\*\)", " ", text, flags=re.S)


def arguments(text: str, start: int) -> int:
    """How many arguments the parenthesis at ``start`` holds."""
    depth, count = 0, 0 if text[start + 1 :].lstrip().startswith(")") else 1
    for each in text[start:]:
        depth += (each == "(") - (each == ")")
        count += each == "," and depth == 1
        if depth == 0:
            return count
    raise AssertionError("a parenthesis is not closed")


def declared(text: str) -> dict[str, int | None]:
    """Names with the number of their arguments; ``None`` for what takes none and is no function."""
    found: dict[str, int | None] = {}
    for names in re.findall(r"\b(?:free|const|type)\s+([\w\s,]+?)\s*(?::|\.)", text):
        found |= dict.fromkeys(re.split(r"\s*,\s*", names))
    for kind, name in re.findall(r"\b(fun|event|table|let|letfun)\s+(\w+)\s*(?=[(.=])", text):
        declaration = re.search(rf"\b{kind}\s+{name}\s*\(", text)
        found.setdefault(name, arguments(text, declaration.end() - 1) if declaration else None)
    for name in re.findall(r"\breduc\b[^.]*?;\s*(\w+)\(", text):
        place = re.search(rf"\breduc\b[^.]*?;\s*{name}\(", text)
        found.setdefault(name, arguments(text, place.end() - 1))
    return found


def uses(text: str) -> Iterator[tuple[str, int | None]]:
    """Every name that is used, with the number of arguments it is given."""
    for match in re.finditer(r"(?<![\w-])([A-Za-z_]\w*)\s*(\(?)", text):
        yield match[1], arguments(text, match.end() - 1) if match[2] else None


@pytest.mark.parametrize("name", MODELS)
def test_every_name_is_declared_and_takes_its_arguments(name: str) -> None:
    text = model(name)
    known = declared(text)
    bound = set(re.findall(r"\b(\w+)\s*:\s*\w+", text)) | set(re.findall(r"\blet\s+(\w+)\s*=", text))
    for used, given in uses(text.replace("inj-event", "event")):
        if used in KEYWORDS | BUILT_IN or used.isdigit():
            continue
        assert used in known or used in bound, used
        if given is not None and known.get(used) is not None:
            assert given == known[used], used
    assert len(known) > 90


@pytest.mark.parametrize("name", MODELS)
def test_no_keyword_is_a_name(name: str) -> None:
    text = model(name)
    bound = set(re.findall(r"\b(\w+)\s*:\s*\w+", text)) | set(re.findall(r"\blet\s+(\w+)\s*=", text))
    assert not (bound | set(declared(text))) & KEYWORDS


@pytest.mark.parametrize("name", MODELS)
def test_parentheses_close(name: str) -> None:
    text = model(name)
    assert text.count("(") == text.count(")")
    assert text.count("[") == text.count("]")


def test_the_labels_are_those_of_the_key_schedule() -> None:
    used = re.sub(r"\bconst [^.]*\.", "", "".join(map(model, POSITIVE)))
    labels = {label.name.lower() for label in set(Label) - NOT_MODELLED}
    assert set(re.findall(r"\bl_(\w+)", used)) == labels
    assert all(set(re.findall(r"\bl_(\w+)", model(name))) == labels for name in POSITIVE)


def test_both_models_have_the_same_primitives_schedule_and_attacker() -> None:
    shared = {
        (HERE / name).read_text().split("(* A choice between")[1].split("(* Up to here")[0]
        for name in POSITIVE
    }
    (text,) = shared
    assert all(word in text for word in ("next_root", "BreakQkd", "rejected", "mlverify"))


@pytest.mark.parametrize(("name", "process"), PROCESSES)
def test_names_are_born_before_the_network_speaks(name: str, process: str) -> None:
    """A name made later has every earlier input for an argument, and clauses grow to a million nodes."""
    text = re.split(rf"\blet {process}\(", model(name))[1].split(").\n")[0]
    assert "new " in text
    assert "new " not in text[text.index("in(c,") :]


def test_a_stolen_root_comes_with_all_that_its_keys_are_made_of() -> None:
    """The keys are expansions of root0 over th4: a thief without th4 would have none."""
    stolen = re.findall(r"event RootStolen\(root0\); out\(c, (\(.*?\))\)", model("qcall1.pv"))
    assert stolen == ["(root0, th4)"] * 2


@pytest.mark.parametrize("process", ["Caller", "Callee", "Overheard"])
def test_a_rekeyed_call_is_the_attackers_to_make_up(process: str) -> None:
    """Healing is proved of a root that was never secret, in a call that the attacker invents."""
    text = re.split(rf"\blet {process}\(", model("qcall1-rekey.pv"))[1].split(").\n")[0]
    assert re.search(r"\bin\(c, \([^;]*\broot0: bitstring, e: epoch", text)
    assert "new root0" not in text


@pytest.mark.parametrize(("name", "queries"), [*POSITIVE.items(), *NEGATIVE.items()])
def test_no_query_is_lost_and_every_layer_can_break(name: str, queries: int) -> None:
    text = model(name)
    assert len(re.findall(r"^query", text.split("let Phones")[1], flags=re.M)) == queries
    main = text.rsplit("process", 1)[1]
    assert all(layer in main for layer in ("BreakX25519", "BreakKem", "BreakQkd"))
    assert ("phase 1; out(c, (ed_a, ml_a, ed_b, ml_b))" in main) == (name in POSITIVE)
    assert ("Leak(ed_a, ml_a) | Leak(ed_b, ml_b)" in " ".join(main.split())) == (name in POSITIVE)


def run(path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HERE / "run"], env={**os.environ, "PATH": path}, capture_output=True, text=True)


STUB = """#!/bin/sh
case $1 in *all-revealed.pv) verdict=false;; *) verdict=true;; esac
if [ "$(basename "$1")" = "$ODD" ]; then verdict=$ODD_VERDICT; fi
for _ in $(seq "$(grep -c '^query' "$1")"); do echo "RESULT event(X) ==> event(Y) is $verdict."; done
"""
"""Stands in for ProVerif, and says what the test wants: this tests the runner, not the models."""


@pytest.fixture
def stub(tmp_path: Path) -> str:
    """A search path where `STUB` comes first."""
    (tmp_path / "proverif").write_text(STUB)
    (tmp_path / "proverif").chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def test_the_runner_is_content_when_every_query_is_as_it_should_be(stub: str) -> None:
    done = run(stub)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == sum(POSITIVE.values()) + sum(NEGATIVE.values())


@pytest.mark.parametrize("verdict", ["true", "false", "cannot be proved", "true. RESULT"])
@pytest.mark.parametrize("odd", MODELS)
def test_the_runner_wants_every_file_as_it_should_be(stub: str, monkeypatch, odd: str, verdict: str) -> None:
    monkeypatch.setenv("ODD", odd)
    monkeypatch.setenv("ODD_VERDICT", verdict)
    done = run(stub)
    right = verdict == ("true" if odd in POSITIVE else "false")
    assert done.returncode == (0 if right else 1)
    assert right or f"of {odd} are" in done.stderr


def test_the_runner_counts_the_verdicts(tmp_path: Path, stub: str) -> None:
    short = (tmp_path / "proverif").read_text().replace("for _ in $(seq", "for _ in $(seq 2")
    (tmp_path / "proverif").write_text(short)
    assert run(stub).returncode == 1


def test_the_runner_says_what_a_prover_that_fails_said(tmp_path: Path, stub: str) -> None:
    (tmp_path / "proverif").write_text("#!/bin/sh\necho 'Error: syntax error'\nexit 2\n")
    done = run(stub)
    assert done.returncode == 1
    assert "syntax error" in done.stderr
    assert "proverif refused qcall1.pv" in done.stderr


def test_the_runner_gives_up_a_proof_that_does_not_end(tmp_path: Path, stub: str, monkeypatch) -> None:
    (tmp_path / "proverif").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setenv("QCALL_PROOF_LIMIT", "0.2")
    done = run(stub)
    assert done.returncode == 1
    assert "nothing is proved: proverif did not end with qcall1.pv" in done.stderr


@pytest.mark.timeout(7200)
@pytest.mark.skipif(
    shutil.which("proverif") is None or os.environ.get("QCALL_TEST_PROFILE") != "nightly",
    reason="needs proverif on PATH and the nightly profile; scripts/check proves the models, too",
)
def test_the_models_are_proved() -> None:
    done = run(os.environ["PATH"])
    assert done.returncode == 0, done.stdout + done.stderr
