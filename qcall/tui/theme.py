"""Themes. Colour only repeats what a word says: with all of them equal, nothing is lost."""

from __future__ import annotations

from textual.theme import Theme

NIGHT = Theme(
    name="qcall-night",
    primary="#7aa2f7",
    secondary="#9d7cd8",
    accent="#2ac3de",
    foreground="#c8d3f5",
    background="#16161e",
    surface="#1a1b26",
    panel="#2f334d",
    success="#9ece6a",
    warning="#e0af68",
    error="#f7768e",
    dark=True,
    variables={
        "border": "#3b4261",
        "muted": "#828bb8",
        "border-blurred": "#3b4261",
        "footer-key-foreground": "#2ac3de",
    },
)
DAY = Theme(
    name="qcall-day",
    primary="#2e5cb8",
    secondary="#7847bd",
    accent="#006a83",
    foreground="#1f2335",
    background="#f4f5fa",
    surface="#ffffff",
    panel="#d5d9eb",
    success="#2f6b18",
    warning="#7a5200",
    error="#b3153a",
    dark=False,
    variables={
        "border": "#a8aecb",
        "muted": "#5a6080",
        "border-blurred": "#a8aecb",
        "footer-key-foreground": "#006a83",
    },
)
CONTRAST = Theme(
    name="qcall-contrast",
    primary="#ffffff",
    secondary="#ffff00",
    accent="#00ffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    success="#00ff00",
    warning="#ffff00",
    error="#ff6060",
    dark=True,
    text_alpha=1.0,
    variables={
        "border": "#ffffff",
        "muted": "#ffffff",
        "border-blurred": "#ffffff",
        "footer-key-foreground": "#00ffff",
        "text-muted": "#ffffff",
        "text-disabled": "#c0c0c0",
    },
)
PLAIN = Theme(
    name="qcall-plain",
    primary="#d8d8d8",
    secondary="#d8d8d8",
    accent="#ffffff",
    foreground="#d8d8d8",
    background="#101010",
    surface="#101010",
    panel="#303030",
    success="#d8d8d8",
    warning="#ffffff",
    error="#ffffff",
    dark=True,
    variables={
        "border": "#707070",
        "muted": "#a8a8a8",
        "border-blurred": "#707070",
        "footer-key-foreground": "#ffffff",
    },
)
"""No colour at all, only light and dark; also what ``NO_COLOR`` chooses."""
THEMES = (NIGHT, DAY, CONTRAST, PLAIN)
NAMES = tuple(theme.name for theme in THEMES)
