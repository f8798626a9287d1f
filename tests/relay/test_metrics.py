"""What Prometheus reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from relay.metrics import Figures, exposition
from relay.turn.counters import Counters


def read(**figures):
    """Every sample by name and labels."""
    found = {"turn": Counters(), "busy": 0.0, "full": False, "draining": False, **figures}
    text = exposition(Figures(**found)).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_idle_relay_has_its_zeros():
    samples = read()
    assert samples["relay_turn_packets_total", ("direction", "client-in")] == 0
    assert samples["relay_turn_allocation_events_total", ("event", "made")] == 0
    assert samples["relay_path_release_error_seconds_count",] == 0
    assert samples["relay_phones",] == 0


def test_traffic_by_direction():
    turn = Counters(client_packets_in=3, client_bytes_out=500, peer_packets_out=7, hairpinned=2)
    samples = read(turn=turn)
    assert samples["relay_turn_packets_total", ("direction", "client-in")] == 3
    assert samples["relay_turn_packets_total", ("direction", "peer-out")] == 7
    assert samples["relay_turn_bytes_total", ("direction", "client-out")] == 500
    assert samples["relay_turn_hairpinned_total",] == 2


def test_allocations_drops_and_failures_have_labels():
    turn = Counters(allocations_made=5, receive_buffer=4096)
    turn.by_transport["tcp"] += 2
    turn.drops["no-channel"] += 4
    turn.auth_failures[401] += 6
    turn.errors[486] += 1
    samples = read(turn=turn)
    assert samples["relay_turn_receive_buffer_bytes",] == 4096
    assert samples["relay_turn_allocations", ("transport", "tcp")] == 2
    assert samples["relay_turn_drops_total", ("reason", "no-channel")] == 4
    assert samples["relay_turn_auth_failures_total", ("code", "401")] == 6
    assert samples["relay_turn_errors_total", ("code", "486")] == 1


def test_histograms_add_up():
    turn = Counters()
    for late in (0.00005, 0.0002, 0.0002, 0.1):
        turn.released(late)
    samples = read(turn=turn)
    name = "relay_path_release_error_seconds"
    assert samples[f"{name}_bucket", ("le", "0.0001")] == 1
    assert samples[f"{name}_bucket", ("le", "0.00025")] == 3
    assert samples[f"{name}_bucket", ("le", "+Inf")] == samples[f"{name}_count",] == 4
    assert abs(samples[f"{name}_sum",] - 0.10045) < 1e-9


def test_states_and_hops():
    hop = {"from": "beijing", "to": "hefei", "hop": "a - b", "passed": 9, "lost": 1, "dropped": 0}
    samples = read(full=True, busy=0.5, hops=[hop], phones=2, signalling={"logins": 3})
    assert (samples["relay_full",], samples["relay_draining",], samples["relay_busy",]) == (1, 0, 0.5)
    place = (("hop", "a - b"), ("outcome", "lost"), ("source", "beijing"), ("target", "hefei"))
    assert samples["relay_path_packets_total", *place] == 1
    assert samples["relay_phones",] == 2
    assert samples["relay_signalling_events_total", ("event", "logins")] == 3


def test_links_and_keys():
    link = {"a": "beijing", "b": "wuqing", "pool": 5000, "spent": 300, "lost": 20}
    samples = read(links=[link], keys_relayed=4, relays_rejected=1)
    name = ("link", "beijing - wuqing")
    assert samples["relay_key_pool_bits", name] == 5000
    assert samples["relay_key_bits_total", ("fate", "spent"), name] == 300
    assert samples["relay_key_relays_total", ("outcome", "delivered")] == 4
    assert samples["relay_key_relays_total", ("outcome", "rejected")] == 1
