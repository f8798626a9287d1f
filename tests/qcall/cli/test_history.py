"""The list of calls, and receipts that prove one call to both phones or say what is wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest

from qcall.agreement.policy import QkdPolicy, QkdState
from qcall.agreement.receipt import EpochRecord, Receipt, SignedReceipt, party
from qcall.cli.receipts import LABEL, epochs
from qcall.crypto.identity import ML_DSA_87, Identity
from qcall.records.store import CallRecord

ALICE, BOB = (Identity.create(random.Random(seed).randbytes) for seed in (1, 2))
EPOCH = EpochRecord(QkdState.PRESENT, None, ("k" * 36,), ("beijing", "hefei"), (0.02,), (1.0,), bytes(48))
RECEIPT = Receipt(
    version=1,
    call_id=b"\xab" * 16,
    suite="Q5",
    scheme=ML_DSA_87,
    policy=QkdPolicy.PREFER,
    caller=party("alice", ALICE.public()),
    callee=party("bob", BOB.public()),
    epochs=(EPOCH,),
)
SIGNED = SignedReceipt(RECEIPT, RECEIPT.sign(ALICE), RECEIPT.sign(BOB))


@pytest.fixture
def talked(records):
    records.pin("bob", BOB.fingerprint)
    security = {"suite": "Q5", "qkd": {"state": "present"}, "receipt": SIGNED.as_json().decode()}
    records.add_call(
        CallRecord(RECEIPT.call_id, "bob", True, 1_790_000_000.0, 1_790_000_061.0, "hangup", security)
    )
    records.add_call(CallRecord(b"\xac" * 16, "bob", False, 1.0, 2.0, "declined", {"receipt": None}))
    return records


def test_calls_are_listed_newest_first(qcall, talked) -> None:
    first, second = qcall("history").output.splitlines()
    for each in ("abababab", "→ bob", "61 s", "you hung up", "Q5, QKD"):
        assert each in first
    assert "← bob" in second
    assert "declined" in second
    assert "hangup" not in first
    listed = [json.loads(line) for line in qcall("history", "--json", "--limit", "1").output.splitlines()]
    assert [(each["call_id"], each["receipt"]) for each in listed] == [("ab" * 16, True)]
    assert listed[0]["reason"] == "hangup"


def test_a_call_with_all_that_is_known_of_it_fits_80_columns(qcall, records) -> None:
    security = {"suite": "Q5", "qkd": {"state": "absent"}, "quality": {"mos": 4.31}, "talked": 3599.6}
    call = CallRecord(b"\xab" * 16, "bob", True, 1_790_000_000.0, 1_790_003_600.0, "remote-hangup", security)
    records.add_call(call)
    (line,) = qcall("history").output.splitlines()
    assert line.endswith("3600 s  they hung up  Q5, no QKD MOS 4.3")
    assert len(line) <= 80


def test_calls_with_one_contact(qcall, talked) -> None:
    talked.add_call(CallRecord(b"\xad" * 16, "carol", True, 3.0, 4.0, "hangup", {}))
    assert [line.split()[4] for line in qcall("history", "--contact", "carol").output.splitlines()] == [
        "carol"
    ]
    assert "no calls with dave yet" in qcall("history", "--contact", "dave").output


def test_all_calls_are_exported_as_json_lines_into_a_new_file(qcall, talked, tmp_path: Path) -> None:
    for number in range(30):
        talked.add_call(CallRecord(b"", "carol", True, float(number), 99.0, "offline", {}))
    file = tmp_path / "calls.jsonl"
    assert qcall("history", "--export", file).output == f"32 calls written to {file}\n"
    written = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(written) == 32
    assert (written[0]["direction"], written[0]["reason"], written[0]["security"]["suite"]) == (
        "outgoing",
        "hangup",
        "Q5",
    )
    assert "give a new file" in qcall("history", "--export", file, code=1).stderr


def test_an_export_is_an_event_for_programs_and_for_nobody_elses_eyes(qcall, talked, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    told = json.loads(qcall("history", "--export", file, "--contact", "bob", "--json").output)
    assert (told["event"], told["file"], told["calls"]) == ("exported", str(file), 2)
    assert file.stat().st_mode & 0o777 == 0o600


def test_one_call_is_exported_in_the_singular(qcall, records, tmp_path: Path) -> None:
    records.add_call(CallRecord(b"", "bob", True, 1.0, 2.0, "offline", {}))
    assert qcall("history", "--export", tmp_path / "calls").output.startswith("1 call written to ")


def test_a_receipt_and_an_export_are_not_asked_for_at_once(qcall, talked, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    refused = qcall("history", "--export", file, "--receipt", "abab", code=2)
    assert "--export writes all calls and --receipt is of one" in refused.stderr
    assert not file.exists()


def test_a_receipt_is_printed_as_a_file_for_the_other_phone(qcall, talked) -> None:
    printed = qcall("history", "--receipt", "ABAB", "--json").output
    assert msgspec.json.decode(printed, type=SignedReceipt) == SIGNED


def lines(output: str) -> dict[str, str]:
    """What stands behind each label; of several lines with one label the last."""
    return {line[:LABEL].strip(): line[LABEL:].strip() for line in output.splitlines()}


def test_a_receipt_tells_people_who_signed_what(qcall, talked) -> None:
    said = lines(qcall("history", "--receipt", "abab").output)
    assert said["call"] == "ab" * 16
    assert "61 s; you hung up" in said["when"]
    assert said["caller"] == "alice  signed ✓  this phone"
    assert said["callee"].startswith("bob  signed ✓  the identity that is pinned here; the words were never")
    assert said["suite"] == "Q5: X25519, ML-KEM-1024; signed with Ed25519 and ML-DSA-87"
    assert said["policy"] == "quantum keys: prefer"
    assert said["epoch"].split("  ", 1)[1].strip() == (
        "classical ✓  ML-KEM ✓  QKD ✓ 1 key, beijing to hefei, 1 hop, QBER 2.0 % at most"
    )
    assert said["proved"] == "alice and bob both signed exactly this"


def test_a_verified_contact_is_one_in_a_receipt(qcall, talked) -> None:
    talked.set_verified("bob", True)
    assert "verified by the words" in lines(qcall("history", "--receipt", "abab").output)["callee"]


def test_epochs_with_the_same_layers_are_one_line() -> None:
    lost = msgspec.structs.replace(
        EPOCH, qkd=QkdState.ABSENT, reason="pool-empty", key_ids=(), path=(), qber=()
    )
    run = list(epochs([EPOCH, EPOCH, EPOCH, lost, EPOCH]))
    assert [line.split()[0] for line in run] == ["0–2", "3", "4"]
    assert "QKD ✓ 3 keys" in run[0]
    assert "QKD ✗ pool-empty" in run[1]


def keep(records, signed: SignedReceipt) -> None:
    """Another call, of which this is the receipt."""
    security = {"receipt": signed.as_json().decode()}
    records.add_call(CallRecord(b"\xad" * 16, "bob", True, 3.0, 4.0, "media-lost", security))


@pytest.mark.parametrize(
    ("pair", "mark", "said"),
    [
        (None, "did not sign ✗", "the callee bob did not sign"),
        (RECEIPT.sign(ALICE), "WRONG signature ✗", "the signatures of the callee bob are wrong"),
    ],
)
def test_a_receipt_that_one_phone_did_not_sign_proves_nothing(qcall, talked, pair, mark, said) -> None:
    keep(talked, SignedReceipt(RECEIPT, RECEIPT.sign(ALICE), pair))
    shown = lines(qcall("history", "--receipt", "adad", code=1).output)
    assert mark in shown["callee"]
    assert shown["NOT PROVED"] == said


def test_the_same_receipt_proves_the_call(qcall, talked, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_bytes(SIGNED.as_json())
    options = ("history", "--receipt", "abab", "--verify", tmp_path / "other.json")
    assert qcall(*options).output == (
        "PROVED: both phones' receipts of call abababab say the same about its suite, policy and 1 epoch;"
        " alice and bob both signed that, and bob has the identity that is pinned here; the words were never"
        " compared\n"
    )
    assert json.loads(qcall(*options, "--json").output)["problems"] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"suite": "Q3"}, "suite differs"), ({"epochs": (EPOCH, EPOCH)}, "epochs differs")],
)
def test_another_statement_proves_nothing(qcall, talked, tmp_path: Path, changes, said: str) -> None:
    receipt = msgspec.structs.replace(RECEIPT, **changes)
    other = SignedReceipt(receipt, receipt.sign(ALICE), receipt.sign(BOB))
    (tmp_path / "other.json").write_bytes(other.as_json())
    output = qcall("history", "--receipt", "abab", "--verify", tmp_path / "other.json", code=1).output
    assert said in output
    assert "PROVED" not in output.replace("NOT PROVED", "")


def test_forged_signatures_prove_nothing(qcall, talked, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_bytes(
        SignedReceipt(RECEIPT, RECEIPT.sign(ALICE), RECEIPT.sign(ALICE)).as_json()
    )
    said = qcall("history", "--receipt", "abab", "--verify", tmp_path / "other.json", code=1).output
    assert "signatures of the callee bob are wrong" in said


def test_a_receipt_of_an_identity_that_is_not_pinned_is_named(qcall, talked, tmp_path: Path) -> None:
    talked.offer("bob", ALICE.fingerprint)
    talked.accept_offered("bob")
    (tmp_path / "other.json").write_bytes(SIGNED.as_json())
    said = qcall("history", "--receipt", "abab", "--verify", tmp_path / "other.json", code=1).output
    assert "not the one pinned" in said


def test_what_the_user_does_wrong_is_one_line(qcall, talked, tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{}")
    for options, code, said in (
        (("--receipt", "a"), 2, "2 calls"),
        (("--receipt", "ff"), 2, "no call"),
        (("--receipt", "acac"), 2, "left no receipt"),
        (("--verify", "x.json"), 2, "--receipt"),
        (("--receipt", "abab", "--verify", tmp_path / "none.json"), 1, "cannot read"),
        (("--receipt", "abab", "--verify", tmp_path / "no.json"), 2, "receipt CALL --json"),
    ):
        error = qcall("history", *options, code=code).stderr
        assert said in error
        assert len(error.strip().splitlines()) == 1


def test_records_that_were_lost_are_missed(qcall, home) -> None:
    assert "begin anew" not in qcall("history").stderr
    home.records.unlink()
    assert qcall("history").stderr.startswith("qcall: the records of this phone were gone and begin anew")
    assert qcall("history").stderr == ""
