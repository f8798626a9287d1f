"""What the interface needs before its first frame."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcall.config import Home
from qcall.errors import StorageError
from qcall.tui.start import LOG_FILE, run


def test_a_home_whose_log_cannot_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).mkdir()
    with pytest.raises(StorageError, match=rf"cannot write .*{LOG_FILE}.* yours to write"):
        run(Home(tmp_path), {}, {}, None, {})
