"""The floor for ``tui``: a Textual application that shows one line and answers one key, and nothing else."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static


class BareScreen(App[None]):
    """Shows ``ready``; the key ``m`` toggles ``MUTED``."""

    def compose(self) -> ComposeResult:
        """One line."""
        yield Static("ready")

    def on_key(self, event: object) -> None:
        """Toggle."""
        if getattr(event, "key", "") == "m":
            line = self.query_one(Static)
            line.update("MUTED" if str(line.render()) != "MUTED" else "ready")


if __name__ == "__main__":
    BareScreen().run()
