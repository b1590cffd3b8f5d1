"""Whom a rule leaves alone, and as whom an address is counted."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from pfwatch.detection.rules import Networks, subject_of

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


def _network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int) -> str:
    return str(ipaddress.ip_network(f"{address}/{min(length, address.max_prefixlen)}", strict=False))


NETWORKS = st.builds(_network, ADDRESSES, st.integers(0, 128))


@given(st.lists(NETWORKS, max_size=4), ADDRESSES, st.integers(0))
def test_an_address_is_in_the_networks_that_hold_it(
    networks: list[str], address: ipaddress.IPv4Address | ipaddress.IPv6Address, number: int
) -> None:
    inside = [network[number % network.num_addresses] for network in map(ipaddress.ip_network, networks)]
    for one in (address, *inside):
        holding = [network for network in map(ipaddress.ip_network, networks) if one in network]
        assert (str(one) in Networks(networks)) == bool(holding)


@given(st.ip_addresses(v=6))
def test_a_v6_address_is_counted_as_its_64(address: ipaddress.IPv6Address) -> None:
    assert subject_of(str(address)) == str(ipaddress.ip_network(f"{address}/64", strict=False))


@given(st.ip_addresses(v=4))
def test_a_v4_address_is_counted_as_itself(address: ipaddress.IPv4Address) -> None:
    assert subject_of(str(address)) == str(address)
