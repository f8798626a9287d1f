"""History, contacts, settings, the command line, the welcome, help, trace: what they do."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall import errors
from qcall.agreement.insistence import Insistence
from qcall.config import Home
from qcall.errors import DeviceError, StorageError
from qcall.media.portaudio import STUCK
from qcall.session import commands
from qcall.session.snapshot import Hop, Phase, Route
from qcall.session.sound import Wishes, instead
from qcall.tui import draw
from qcall.tui.commandline import completions, names, parse
from qcall.tui.help import text_for
from qcall.tui.history import HistoryScreen
from qcall.tui.lists import PeoplePane
from qcall.tui.panes import CallPane, RoutePane
from qcall.tui.strips import SecurityStrip
from qcall.tui.trace import MEANING, arrow
from tests.qcall.tui.phones import HISTORY, IDLE, IN_CALL, ROUTE, TALKING, TRACE

# History


async def test_history_lists_calls_and_enter_calls_again(running):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press("c")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.screen.query_one("DataTable").row_count == 2
        await pilot.press("enter")
        await pilot.pause()
        assert link.told == [commands.History(1000), commands.Dial("bob")]


async def test_missed_calls_are_seen_once_they_were_shown(running):
    async with running(replace(IDLE, missed=2)) as (app, link, pilot):
        await pilot.press("c")
        await app.workers.wait_for_complete()
        assert commands.Seen() in link.told


async def test_history_is_searched_in_words(running):
    async with running(IDLE) as (app, _link, pilot):
        await pilot.press("c")
        await app.workers.wait_for_complete()
        await pilot.press("slash", *"missed")
        await pilot.pause()
        assert [call["contact"] for call in app.screen._listed] == ["carol"]
        await pilot.press("escape")
        assert isinstance(app.screen, HistoryScreen)
        assert len(app.screen._listed) == 2


async def test_history_is_exported_as_json_lines(running, tmp_path):
    async with running(IDLE) as (app, _link, pilot):
        await pilot.press("c")
        await app.workers.wait_for_complete()
        await pilot.press("e")
        await pilot.pause()
        app.screen.query_one("Input").value = str(tmp_path / "calls.jsonl")
        await pilot.press("enter")
        await app.workers.wait_for_complete()
    lines = (tmp_path / "calls.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == HISTORY
    assert (tmp_path / "calls.jsonl").stat().st_mode & 0o777 == 0o600


async def test_an_export_of_the_history_leaves_a_file_that_is_there_alone(running, tmp_path):
    kept = tmp_path / "thesis.tex"
    kept.write_text("years of work")
    async with running(IDLE) as (app, _link, pilot):
        await pilot.press("c")
        await app.workers.wait_for_complete()
        await pilot.press("e")
        await pilot.pause()
        app.screen.query_one("Input").value = str(kept)
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        notices = [notice.message for notice in app._notifications]
    assert kept.read_text() == "years of work"
    assert any("thesis.tex" in notice and "give a new file" in notice for notice in notices)


# Contacts


async def test_a_contact_is_added_edited_and_removed(running):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press("f", "n", *"erin", "enter", *"Erin", "enter", "enter")
        await app.workers.wait_for_complete()
        await pilot.press("e", *"by", "enter", "enter")
        await app.workers.wait_for_complete()
        await pilot.press("x", "r")
        await app.workers.wait_for_complete()
        assert link.told == [
            commands.Save("erin", "Erin"),
            commands.Save("bob", "by", "Hefei, second floor"),
            commands.Remove("bob"),
        ]


async def test_contacts_are_searched_imported_and_exported(running):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press("f", "slash", *"hefei")
        await pilot.pause()
        assert [person.name for person in app.screen._listed] == ["bob", "lab-hefei"]
        await pilot.press("escape", "i", *"a.vcf", "enter")
        await app.workers.wait_for_complete()
        await pilot.press("o", "enter")
        await app.workers.wait_for_complete()
        assert link.told == [commands.Import("a.vcf"), commands.Export("contacts.vcf")]


async def test_a_name_the_user_gave_is_dialled_too(running):
    async with running(IDLE) as (_app, link, pilot):
        await pilot.press("d", *"dave m.", "enter")
        await pilot.pause()
        assert link.told == [commands.Dial("dave")]


# Settings


async def test_a_setting_is_written_at_once_and_the_theme_changes(running):
    saved = []
    async with running(IDLE, save=saved.append) as (app, _link, _pilot):
        app.choose("theme", "qcall-day")
        app.choose("bell", False)
        app.choose("bell", False)
        assert saved == [{"theme": "qcall-day"}, {"bell": False}]
        assert app.theme == "qcall-day"


async def test_policy_and_presence_are_told_to_the_phone_at_once(running):
    async with running(IDLE) as (app, link, pilot):
        app.choose("qkd", "require")
        app.choose("presence", not app.settings.presence)
        await app.workers.wait_for_complete()
        await pilot.pause()
        state = "on" if app.settings.presence else "off"
        assert link.told == [commands.Policy("require"), commands.Presence(state)]
        assert not app._notifications


async def test_a_device_is_changed_in_the_settings_and_in_the_call_at_once(running):
    saved = []
    async with running(IN_CALL, save=saved.append) as (app, link, pilot):
        await pilot.press("s", "down", "down")
        await app.workers.wait_for_complete()
        await pilot.press("enter", "down", "enter")
        await app.workers.wait_for_complete()
        assert saved == [{"microphone": "Headset"}]
        assert link.told == [commands.Device("microphone", "Headset")]
        await pilot.press("up", "enter")
        assert saved[1:] == [{"presence": False}]


async def test_a_call_is_recorded_and_says_so_until_that_ends(running, tmp_path):
    file = str(tmp_path / "a.wav")
    async with running(IN_CALL) as (app, link, pilot):
        await pilot.press("R")
        await pilot.pause()
        app.screen.query_one("Input").value = file
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        call = replace(IN_CALL.calls[0], recording="you record")
        link.show(replace(IN_CALL, calls=(call, *IN_CALL.calls[1:])))
        await pilot.press("s", "R")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "REC you record" in str(app.screen.query_one("TitleBar").render())
        assert link.told == [commands.Record("on", file), commands.Record("off")]


@pytest.mark.parametrize("file", ["/absent/a.wav", "~nobody-at-all/a.wav"])
async def test_a_file_that_cannot_be_recorded_into_is_asked_for_again(running, file):
    async with running(IN_CALL) as (app, link, pilot):
        link.refusal = DeviceError(f"cannot write {file}: No such file or directory; choose another file")
        await pilot.press("R")
        await pilot.pause()
        app.screen.query_one("Input").value = file
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert str(link.refusal) in str(app.screen.query_one(".hint").render())
        assert app.screen.query_one("Input").value == file
        link.refusal = None
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        assert [told.state for told in link.told] == ["on"]
        assert len(app.screen_stack) == 1


@pytest.mark.parametrize("page", [["c", "e"], ["f", "o"], ["f", "i"]])
async def test_a_name_that_no_file_can_have_is_told(running, page):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press(*page)
        await app.workers.wait_for_complete()
        app.screen.query_one("Input").value = "a\0b"
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert len(app._notifications) == 1
        assert not any(isinstance(told, commands.Import | commands.Export) for told in link.told)


async def test_ctrl_c_says_which_key_quits(running):
    async with running(IDLE) as (app, _link, pilot):
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert [notice.message[:7] for notice in app._notifications] == ["q quits"]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("QCALL_REDUCED_MOTION", "1"), ("", "")])
async def test_nothing_moves_where_the_environment_says_so(running, monkeypatch, tmp_path, name, value):
    if name:
        monkeypatch.setenv(name, value)
    settings = Home(tmp_path).settings({}, os.environ)
    async with running(IDLE, settings=settings) as (app, _link, _pilot):
        assert app.animation_level == ("none" if name else "full")
        assert app.theme == ("qcall-plain" if name == "NO_COLOR" else "qcall-night")


async def test_a_setting_that_cannot_be_written_stays_as_it_was(running):
    def fail(changes):
        raise StorageError("cannot write config.toml: the disk is full")

    async with running(IDLE, save=fail) as (app, _link, pilot):
        app.choose("bell", False)
        await pilot.pause()
        assert app.settings.bell
        assert [notice.message for notice in app._notifications] == [
            "cannot write config.toml: the disk is full"
        ]


async def test_the_sound_test_says_what_was_heard(running):
    async with running(IDLE) as (app, _link, pilot):
        await pilot.press("s", "p")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "it works" in str(app.screen.query_one("#level").render())


async def test_without_a_sound_card_the_advice_is_for_the_screen(running):
    def missing(microphone, speaker):
        raise DeviceError(
            "no loudspeaker can be opened (none); plug one in, or give a WAV file with --output",
            code=errors.NO_CARD,
        )

    fault = "no microphone can be opened (none); plug one in, or give a WAV file with --input"
    async with running(replace(IDLE, sound=fault, sound_code=errors.NO_CARD)) as (app, _link, pilot):
        said = str(app.query_one(CallPane).render())
        assert said.endswith("no microphone can be opened (none); plug one in, or choose another: s")
        app.sound_test.run = missing
        await pilot.press("s", "p")
        await app.workers.wait_for_complete()
        await pilot.pause()
        tested = str(app.screen.query_one("#level").render())
        assert (
            tested
            == "no loudspeaker can be opened (none); plug one in and test again, or choose another above"
        )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DeviceError("x", code=errors.NO_PYAUDIO), "see the README"),
        (DeviceError(STUCK, code=errors.NO_SOUND_SYSTEM), "does not answer; start the phone again"),
        (DeviceError("there is no microphone called a; b --c"), "there is no microphone called a; b --c"),
    ],
)
def test_no_flag_of_the_command_line_is_advised_on_the_screen(error, said):
    shown = draw.on_screen(str(instead(Wishes(), error)), error.code, "plug one in")
    assert shown.endswith(said)
    assert "--input" not in shown


@pytest.mark.parametrize(
    ("reason", "outgoing", "head", "said"),
    [
        ("cancelled", False, "MISSED", "they called, and gave up before anybody answered"),
        ("no-answer", False, "MISSED", "nobody answered"),
        ("cancelled", True, "ENDED", "ended: you gave up"),
        ("hangup", True, "ENDED", "ended: you hung up"),
    ],
)
async def test_how_a_call_ended_is_said_as_people_say_it(running, reason, outgoing, head, said):
    call = replace(TALKING, phase=Phase.ENDED, talking_at=None, reason=reason, outgoing=outgoing)
    async with running(replace(IDLE, calls=(call,))) as (app, _link, _pilot):
        lines = str(app.query_one(CallPane).render()).splitlines()
        assert lines[0].rstrip() == f"Bob  {head}"
        assert lines[1] == said


@pytest.mark.parametrize("outgoing", [True, False])
async def test_how_to_allow_less_is_said_as_it_is_typed_on_the_screen(running, outgoing):
    there = Insistence("alice", "bob", outgoing, True, True, "Q5", True)
    failure = there.without_keys("no quantum key came")
    call = replace(
        TALKING, phase=Phase.ENDED, talking_at=None, reason="qkd-required", outgoing=outgoing, failure=failure
    )
    async with running(replace(IDLE, calls=(call,))) as (app, link, pilot):
        said = str(app.query_one(CallPane).render())
        assert ":allow-less bob here" in said
        await pilot.press("colon", *"allow-less bob", "enter")
        await app.workers.wait_for_complete()
        assert link.told == [commands.Less("bob")]


# The command line


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("dial bob", commands.Dial("bob")),
        ("dial bob true", commands.Dial("bob", allow_less=True)),
        ("mute on", commands.Mute("on")),
        ("text I am late today", commands.Text("I am late today")),
        ("verify bob true", commands.Verify("bob", same=True)),
        ("save bob 'Bob B.' second floor", commands.Save("bob", "Bob B.", "second floor")),
        ("history 5", commands.History(5)),
    ],
)
def test_a_line_is_a_command(line, command):
    assert parse(line) == command


@pytest.mark.parametrize(
    "line", ["", "explode", "dial", "mute maybe", "dtmf 12x", "answer now", "subscribe", "dial 'bob"]
)
def test_a_line_that_is_none_says_why(line):
    with pytest.raises(ValueError, match=r"\w"):
        parse(line)


@given(st.text(max_size=80))
def test_no_line_does_more_than_be_refused(line):
    with contextlib.suppress(ValueError):
        assert isinstance(parse(line), commands.Command)
    assert isinstance(completions(line, IDLE), list)


def test_completion_knows_names_contacts_and_choices():
    assert completions("di", IDLE) == ["dial"]
    assert completions("dial l", IDLE) == ["dial lab-hefei"]
    assert completions("mute o", IDLE) == ["mute on", "mute off"]
    assert completions("", IDLE) == names()


async def test_tab_completes_and_enter_runs(running):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press("colon", *"dia", "tab", *"la", "tab", "enter")
        await app.workers.wait_for_complete()
        assert link.told == [commands.Dial("lab-hefei")]


async def test_a_wrong_line_stays_to_be_mended(running):
    async with running(IDLE) as (app, _link, pilot):
        await pilot.press("colon", *"dial", "enter")
        await pilot.pause()
        assert "contact" in str(app.screen.query_one("#hints").render())
        assert app.screen.query_one("Input").value == "dial"


# The welcome


async def test_three_steps_end_in_a_phone_that_runs(running):
    enrolled = []

    async def enrol(name, relay, invite):
        enrolled.append((name, relay, invite))
        return "beijing"

    async with running(IDLE, enrol=enrol) as (app, _link, pilot):
        await pilot.press(*"alice", "enter", *"127.0.0.1:1", "enter", *"code", "enter")
        await app.workers.wait_for_complete()
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.press("enter")
        await pilot.pause()
        assert enrolled == [("alice", "127.0.0.1:1", "code")]
        assert len(app.screen_stack) == 1
        assert app.snapshot.name == "alice"


# Route, trace, help


async def test_arrows_walk_along_the_route(running):
    async with running(IN_CALL) as (app, _link, pilot):
        pane = app.query_one(RoutePane)
        pane.focus()
        assert "weakest  xuzhou–suzhou" in str(pane.render())
        await pilot.press("right", "right")
        assert "hop 2/15  langfang–tianjin" in str(pane.render())
        await pilot.press("left", "left")
        assert "hop 1/15" in str(pane.render())


@pytest.mark.parametrize("size", [(120, 40), (159, 40), (160, 40), (200, 60)])
async def test_where_there_is_room_every_hop_has_its_figures(running, size):
    async with running(IN_CALL, size=size) as (app, _link, _pilot):
        labels = [line[:8].strip() for line in str(app.query_one(RoutePane).render()).splitlines()]
        assert labels == ["beijing", "", "pool %", "kb/s", "QBER %", "weakest"]


@pytest.mark.parametrize("size", [(80, 24), (99, 59), (100, 40), (120, 40), (120, 30)])
async def test_the_hop_to_worry_about_is_in_sight_at_every_size(running, size):
    async with running(IN_CALL, size=size) as (app, _link, _pilot):
        pane = app.query_one(RoutePane)
        lines = str(pane.render()).splitlines()
        assert len(lines) <= pane.content_size.height
        assert [line[:22] for line in lines if "weakest" in line] == ["weakest  xuzhou–suzhou"]


async def test_room_below_the_chain_is_for_the_hops_to_worry_about_next(running):
    async with running(IN_CALL, size=(100, 40)) as (app, _link, pilot):
        pane = app.query_one(RoutePane)
        assert [line[:9] for line in str(pane.render()).splitlines()[3:]] == ["then     "] * 3
        pane.action_choose(1)
        await pilot.pause()
        assert "then" not in str(pane.render())


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_cut_and_the_way_around_it_are_on_the_route_together(running, size):
    call = IN_CALL.call
    first, *rest = call.route.hops
    cut = replace(first, state="cut", pool=None)
    now = (call.route.nodes[0], "zhuozhou", *call.route.nodes[2:])
    route = replace(call.route, hops=(cut, *rest), now=now)
    async with running(replace(IN_CALL, calls=(replace(call, route=route),)), size=size) as (app, _, _pilot):
        pane = app.query_one(RoutePane)
        lines = str(pane.render()).splitlines()
        assert len(lines) <= pane.content_size.height
        assert lines[-2].startswith("weakest  beijing–langfang  cut")
        assert lines[-1] == "next keys: 15 hops by zhuozhou"


@pytest.mark.parametrize(
    ("hop", "word"),
    [
        (Hop(pool=0.9, qber=0.02), ""),
        (Hop(pool=0.1, qber=0.02), "pool low"),
        (Hop(pool=0.9, qber=0.2), "QBER ALARM"),
        (Hop(pool=0.9, qber=0.02, state="cut"), "cut"),
    ],
)
def test_what_is_wrong_with_a_hop_is_a_word(hop, word):
    assert draw.trouble_of(hop) == word


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (90, "weakest  suzhou-anhui–bengbu  ok  pool 42 %  QBER 1.7 %  12.3 kb/s  80 km"),
        (70, "weakest  suzhou-anhui–bengbu  ok  pool 42 %  QBER 1.7 %  12.3 kb/s"),
        (54, "weakest  suzhou-anh…–bengbu  ok  pool 42 %  QBER 1.7 %"),
        (48, "weakest  suzho…–bengbu  ok  pool 42 %  QBER 1.7 %"),
    ],
)
def test_the_figures_of_a_hop_are_never_cut(width, said):
    hop = Hop(pool=0.42, qber=0.017, rate=12_300.0, km=80.0)
    line = draw.hop_line(Route(("suzhou-anhui", "bengbu"), (hop,)), 0, width, prefix="weakest  ")
    assert str(line) == said


def test_what_is_low_is_named_once():
    route = Route(("suzhou-anhui", "bengbu"), (Hop(pool=0.1, qber=0.02), Hop(pool=0.9, qber=0.2)))
    assert str(draw.hop_line(route, 0, 60)) == "suzhou-anhui–bengbu  pool low 10 %  QBER 2.0 %"
    route = Route(("suzhou-anhui", "bengbu"), (Hop(pool=0.9, qber=0.2),))
    assert str(draw.hop_line(route, 0, 60)) == "suzhou-anhui–bengbu  pool 90 %  QBER ALARM 20 %"


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 80))
def test_two_names_fit_where_there_is_room_for_any(one, other, width):
    assert len(draw.between(one, other, width)) <= max(width, 13)
    assert draw.between(one, other, len(one) + len(other) + 13) == f"{one}–{other}"


async def test_two_phones_at_one_site_have_a_route_without_a_hop(running):
    call = replace(TALKING, route=Route(nodes=("beijing",)))
    async with running(replace(IN_CALL, calls=(call,))) as (app, _link, pilot):
        pane = app.query_one(RoutePane)
        pane.focus()
        await pilot.press("right", "left")
        assert "both phones are at beijing" in str(pane.render())


async def test_what_held_in_a_call_is_not_said_of_one_that_has_ended(running):
    over = replace(TALKING, phase=Phase.ENDED, muted=True, held=True, silent=True)
    async with running(replace(IDLE, calls=(over,))) as (app, _link, _pilot):
        said = str(app.query_one(CallPane).render())
        assert "ENDED" in said
        assert not any(word in said for word in ("MUTED", "HOLD", "NOT HEARD"))


async def test_an_ended_call_without_keys_is_no_call_to_be_secured(running):
    failed = replace(TALKING, phase=Phase.ENDED, security={})
    async with running(replace(IDLE, calls=(failed,)), size=(80, 24)) as (app, _link, _pilot):
        assert "NO CALL" in str(app.query_one(SecurityStrip).render())


WARNING = "quantum network: jinan–taian cut; keys go over 17 hops"


@pytest.mark.parametrize(("width", "lines"), [(59, 2), (80, 2), (200, 1)])
async def test_a_warning_is_read_wherever_it_stands(running, width, lines):
    warned = replace(IN_CALL, calls=(replace(TALKING, network=WARNING),))
    async with running(warned, size=(width, 40)) as (app, link, pilot):
        strip = app.query_one(SecurityStrip)
        assert strip.size.height == lines
        assert WARNING[:40] in str(strip.render())
        link.show(IN_CALL)
        await pilot.pause()
        assert strip.size.height == 1


@pytest.mark.parametrize("word", ["NEW", "VERIFIED", "WORDS DIFFER"])
@pytest.mark.parametrize("phase", [Phase.TALKING, Phase.ENDED])
async def test_who_it_is_with_is_never_cut_off(running, word, phase):
    line = TALKING.security["line"].replace("VERIFIED", word)
    call = replace(TALKING, phase=phase, security={**TALKING.security, "line": line})
    async with running(replace(IN_CALL, calls=(call,)), size=(59, 39)) as (app, _link, _pilot):
        assert str(app.query_one(SecurityStrip).render()).endswith(word)


@given(st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=12), st.integers(36, 120))
def test_the_way_of_the_next_keys_names_whom_there_is_room_for(names, width):
    line = str(draw.other_way(Route(nodes=("x",), now=("x", *names)), width))
    assert len(line) <= width
    assert line.startswith(f"next keys: {len(names)} hops by ")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_end_keys_that_are_left_are_in_sight(running, size):
    async with running(IN_CALL, size=size) as (app, _link, _pilot):
        assert "end keys ready" in app.query_one(RoutePane).border_subtitle


async def test_a_narrow_screen_has_both_text_and_log_if_it_is_tall(running):
    async with running(IN_CALL, size=(80, 40)) as (app, _link, pilot):
        assert app.query_one("#talk").region.bottom == app.query_one("#log").region.y
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert not app.query_one("#log").display


@given(st.integers(1, 40), st.integers(10, 200))
def test_a_route_of_any_length_fits_any_width(hops, width):
    route = Route(tuple(f"n{i}" for i in range(hops + 1)), tuple(Hop(pool=0.5) for _ in range(hops)))
    for line in draw.picture(route, width):
        assert line.cell_length <= max(width, 2 * hops + 12)


@given(st.lists(st.floats(-10, 10), max_size=200), st.integers(1, 120))
def test_a_sparkline_is_as_wide_as_it_should_be(samples, width):
    assert len(draw.sparkline(samples, width, 0.0, 1.0)) == width


def test_every_message_of_the_trace_is_explained_and_its_lane_is_straight():
    assert all(line.what in MEANING for line in TRACE)
    assert {arrow(line).plain[13] for line in TRACE} == {"│"}
    assert len({arrow(line).cell_length for line in TRACE}) == 1


def test_help_is_for_what_has_the_focus():
    assert "address book" in text_for(PeoplePane(), PeoplePane())
    assert "pool" in text_for(RoutePane(), RoutePane())
    assert ROUTE.nodes[0] == "beijing"
