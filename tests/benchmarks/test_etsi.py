"""What ``scripts/bench keys`` measures is what a relay runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from scripts.benchmarks.etsi_load import connect, enc_keys, enrol, keys_of
from scripts.benchmarks.etsi_programs import AUDIT_FILE
from scripts.benchmarks.etsi_rounds import Server


async def test_the_key_nodes_under_load_write_the_audit_log(tmp_path: Path) -> None:
    enrol(tmp_path, 1, {"master": "near", "slave": "near"})
    server = Server("kme", tmp_path, min(os.sched_getaffinity(0)))
    await server.start()
    try:
        [master] = await connect(tmp_path, "master", 1, server.ports["near"], "near")
        await enc_keys([master], "slave", 0.1)
        master.close()
    finally:
        await server.kill()
    written = [json.loads(line) for line in (tmp_path / AUDIT_FILE).read_text().splitlines()]
    assert {key_id for entry in written for key_id in entry["key_ids"]} == keys_of(master.bodies).keys()
