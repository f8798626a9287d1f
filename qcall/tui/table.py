"""A page with a table that can be searched, and below it what is known of the row that is chosen."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import DataTable, Input, Static

from .draw import MUTED
from .strips import Page, SecurityStrip, TitleBar

T = TypeVar("T")

GAP = 2
"""Cells between two columns."""
EDGES = 3
"""Cells of a screen's width that are no table: its margins, and the bar beside more rows than fit."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``least`` cells, and of more where there is room, by its ``share`` of that.

    Where there is not room for all, those that can be spared are left out, the more ``spare`` first.
    """

    label: str
    least: int
    share: int = 0
    spare: int = 0


def widths(columns: Sequence[Column], screen: int) -> dict[int, int]:
    """How wide each of those that fit is on a ``screen`` of so many cells, by their places."""
    kept = dict(enumerate(columns))
    needed = EDGES + sum(each.least + GAP for each in columns)
    for place in sorted((at for at in kept if kept[at].spare), key=lambda at: -kept[at].spare):
        if needed > screen:
            needed -= kept.pop(place).least + GAP
    room, shares = max(0, screen - needed), sum(each.share for each in kept.values())
    return {at: each.least + (room * each.share // shares if shares else 0) for at, each in kept.items()}


class TablePage(Page, Generic[T]):
    """A page of things of type ``T``, given by ``put``; Enter calls whom the chosen one is about."""

    COLUMNS: ClassVar[Sequence[Column]]
    """From left to right; all of them fit into 79 cells."""
    SEARCH: ClassVar[str]
    """What can be searched for."""
    KEYS: ClassVar[str]
    """The last line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("slash", "search", "Search"),
    ]
    AUTO_FOCUS = "DataTable"

    def __init__(self) -> None:
        super().__init__()
        self._all: Sequence[T] = ()
        self._listed: list[T] = []
        self._widths: dict[int, int] = {}

    # What a page is about

    @abc.abstractmethod
    def matches(self, each: T, wanted: str) -> bool:
        """Whether it is one that the user looks for."""

    @abc.abstractmethod
    def cells(self, each: T) -> Sequence[str | Content]:
        """Its row."""

    @abc.abstractmethod
    def account(self, each: T) -> Content:
        """All that is known of it."""

    @abc.abstractmethod
    def contact(self, each: T) -> str:
        """Whom Enter calls."""

    @abc.abstractmethod
    def nothing(self, wanted: str) -> str:
        """What to say in place of rows."""

    # The page

    def compose(self) -> ComposeResult:
        """Search, table, detail."""
        yield TitleBar(id="title")
        yield SecurityStrip(id="security")
        yield Input(placeholder=self.SEARCH, classes="search")
        yield DataTable(cursor_type="row", classes="page")
        yield Static("", id="detail", classes="detail")
        yield Static(Content.styled(self.KEYS, MUTED), id="prompt")

    async def on_mount(self) -> None:
        """Columns."""
        self._lay_out(self.app.size.width)

    async def on_resize(self) -> None:
        """Columns get the room that there is."""
        if self._lay_out(self.app.size.width):
            self._list()

    def _lay_out(self, width: int) -> bool:
        if (found := widths(self.COLUMNS, width)) == self._widths:
            return False
        self._widths = found
        table = self.query_one(DataTable)
        table.clear(columns=True)
        for at, cells in found.items():
            table.add_column(self.COLUMNS[at].label, width=cells)
        return True

    def put(self, every: Sequence[T]) -> None:
        """These are the things that there are; the cursor stays in its row."""
        self._all = every
        self._list()

    @property
    def chosen(self) -> T | None:
        """What the cursor is on."""
        row = self.query_one(DataTable).cursor_row
        return self._listed[row] if 0 <= row < len(self._listed) else None

    def _list(self) -> None:
        table, wanted = self.query_one(DataTable), self.query_one(Input).value
        row = table.cursor_row
        self._listed = [each for each in self._all if self.matches(each, wanted)]
        table.clear()
        for each in self._listed:
            cells = self.cells(each)
            table.add_row(*(fitted(cells[at], width) for at, width in self._widths.items()))
        if self._listed:
            table.move_cursor(row=min(max(0, row), len(self._listed) - 1))
        else:
            self.query_one("#detail", Static).update(Content.styled(self.nothing(wanted), MUTED))

    @on(DataTable.RowHighlighted)
    def _tell(self) -> None:
        if (each := self.chosen) is not None:
            self.query_one("#detail", Static).update(self.account(each))

    @on(DataTable.RowSelected)
    def _call(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if (each := self.chosen) is not None:
            self.app.pop_screen()
            self.app.dial(self.contact(each))

    def action_search(self) -> None:
        """Open the search."""
        search = self.query_one(Input)
        search.add_class("-open")
        search.focus()

    @on(Input.Changed)
    def _search(self) -> None:
        self._list()

    @on(Input.Submitted)
    def _found(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one(DataTable).focus()

    def action_back(self) -> None:
        """Close the search, else the page."""
        search = self.query_one(Input)
        if search.has_class("-open"):
            search.value = ""
            search.remove_class("-open")
            self.query_one(DataTable).focus()
        else:
            self.app.pop_screen()

    def work(self, work: Any) -> None:
        """Have a coroutine run beside the page."""
        self.run_worker(work, exit_on_error=False)


def fitted(cell: str | Content, width: int) -> Content:
    """What a column of ``width`` cells shows of ``cell``, which is text and never markup."""
    return (Content(cell) if isinstance(cell, str) else cell).truncate(width, ellipsis=True)
