"""The ProVerif model is whole and speaks of this protocol; without ProVerif this is all that is checked.

A reader of the model's declarations and uses, no prover: names are declared, functions, events, tables and
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
NOT_MODELLED = {Label.IDENTITY_KEY, Label.WORDS, Label.WORDS_TRANSCRIPT, Label.RECEIPT, Label.SECOND_KEM}
"""Labels of what the model leaves out: a second suite's key, the words, receipts, Q5+."""


def model(name: str = "qcall1.pv") -> str:
    """A model without its comments; the negative one behind what it shares with the other."""
    text = (HERE / name).read_text()
    if name != "qcall1.pv":
        text = (HERE / "qcall1.pv").read_text().split("(* Main *)")[0] + text
    return re.sub(r"\(\*.*?\*\)", " ", text, flags=re.S)


MODELS = ["qcall1.pv", "qcall1-all-revealed.pv"]


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
    modelled = set(re.findall(r"\bl_(\w+)", model()))
    assert modelled == {label.name.lower() for label in set(Label) - NOT_MODELLED}


@pytest.mark.parametrize("process", ["Caller", "Callee"])
def test_names_are_born_before_the_network_speaks(process: str) -> None:
    """A name made later has every earlier input for an argument, and clauses grow to a million nodes.

    Only quantum keys must know for which SAEs they are: with one name for all, the attacker's would be B's.
    """
    text = re.split(rf"\blet {process}\(", model())[1].split(").\n")[0]
    late = re.findall(r"\bnew (\w+)", text[text.index("in(c,") :])
    assert late == (["fresh_key", "fresh_key1"] if process == "Caller" else [])


def test_a_stolen_root_comes_with_all_that_its_keys_are_made_of() -> None:
    """The keys are expansions of root0 over th4: a thief without th4 has none: nothing would heal."""
    assert re.findall(r"event RootStolen\(root0\); out\(c, (\(.*?\))\)", model()) == ["(root0, th4)"] * 2


def test_every_query_has_its_opposite_in_the_negative_model() -> None:
    assert len(re.findall(r"^query", model(), flags=re.M)) == 24
    assert len(re.findall(r"^query", model("qcall1-all-revealed.pv"), flags=re.M)) == 9
    for layer in ("BreakX25519", "BreakKem", "BreakQkd"):
        assert all(layer in model(name).rsplit("process", 1)[1] for name in MODELS)


def run(path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HERE / "run"], env={**os.environ, "PATH": path}, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (("true", "false"), 0),
        (("false", "false"), 1),
        (("true", "true"), 1),
        (("cannot be proved", "false"), 1),
    ],
)
def test_the_runner_wants_every_query_as_it_should_be(tmp_path: Path, verdicts, code: int) -> None:
    """A program in ProVerif's place says what the test wants: this tests the runner, not the model."""
    stub = tmp_path / "proverif"
    stub.write_text(
        "#!/bin/sh\n"
        f'case $1 in qcall1.pv) n=24 v="{verdicts[0]}";; *) n=9 v="{verdicts[1]}";; esac\n'
        'for _ in $(seq $n); do echo "RESULT event(X) ==> event(Y) is $v."; done\n'
    )
    stub.chmod(0o755)
    done = run(f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == code, done.stderr


def test_the_runner_gives_up_a_proof_that_does_not_end(tmp_path: Path, monkeypatch) -> None:
    stub = tmp_path / "proverif"
    stub.write_text("#!/bin/sh\nexec sleep 60\n")
    stub.chmod(0o755)
    monkeypatch.setenv("QCALL_PROOF_LIMIT", "0.2")
    done = run(f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "nothing is proved: proverif did not end with qcall1.pv" in done.stderr


@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    shutil.which("proverif") is None or os.environ.get("QCALL_TEST_PROFILE") != "nightly",
    reason="needs proverif on PATH and the nightly profile; scripts/check proves the model, too",
)
def test_the_model_is_proved() -> None:
    done = run(os.environ["PATH"])
    assert done.returncode == 0, done.stdout + done.stderr
