"""What the node's programs are started with: every listener is bound, every file is in the cluster's own state."""

import ipaddress
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from localkube import components, places

NODE = components.Node(places.State(Path("/state")), Path("/binaries"), bridge_netfilter=True)
ALLOWED = {"127.0.0.1", places.NODE_ADDRESS}


def flags(name: str) -> dict[str, str]:
    command = next(one.command for one in components.components(NODE) if one.name == name)
    return dict(word.removeprefix("--").split("=", 1) for word in command if word.startswith("--") and "=" in word)


def config(name: str) -> str:
    return next(content for path, content in components.config_files(NODE).items() if path.name == name)


@pytest.mark.parametrize("name", ["apiserver", "controller-manager", "scheduler"])
def test_servers_bind_one_address(name: str) -> None:
    assert flags(name)["bind-address"] in ALLOWED


def test_etcd_listens_on_loopback_for_clients_and_peers() -> None:
    urls = [value for flag, value in flags("etcd").items() if flag.endswith("-urls")]
    assert len(urls) == 4
    assert all(url.startswith("http://127.0.0.1:") for url in urls)


def test_kubelet_and_proxy_bind_in_their_files() -> None:
    kubelet, proxy = json.loads(config("kubelet.json")), json.loads(config("proxy.json"))
    assert {kubelet["address"], kubelet["healthzBindAddress"], proxy["bindAddress"]} <= ALLOWED
    assert {proxy[key].split(":")[0] for key in ("healthzBindAddress", "metricsBindAddress")} == {"127.0.0.1"}
    assert proxy["nodePortAddresses"] == [f"{places.NODE_ADDRESS}/32"]


def test_dns_and_streams_bind_one_address() -> None:
    assert f"bind {places.NODE_ADDRESS}\n" in config("Corefile")
    assert 'stream_server_address = "127.0.0.1"' in config("containerd.toml")


def test_anonymous_requests_are_refused() -> None:
    assert flags("apiserver")["anonymous-auth"] == "false"
    assert json.loads(config("kubelet.json"))["authentication"]["anonymous"] == {"enabled": False}


def test_no_config_names_a_file_outside_state_binaries_and_plugins() -> None:
    texts = [*components.config_files(NODE).values(), *(" ".join(one.command) for one in components.components(NODE))]
    # only where a path can begin; this leaves out addresses' prefixes and URLs
    found = {path for text in texts for path in re.findall(r'(?:^|[\s"=]|unix://)(/[a-z][\w./-]*)', text)}
    own = ("/state/", "/binaries/", "/run/containerd", "/usr/lib/cni", f"/{places.NAME}")
    assert found
    assert [path for path in found if not path.startswith(own)] == []


def test_addresses_are_inside_their_networks_and_apart() -> None:
    pods, services = ipaddress.ip_network(places.POD_NETWORK), ipaddress.ip_network(places.SERVICE_NETWORK)
    assert not pods.overlaps(services)
    fixed = [ipaddress.ip_address(one) for one in (places.NODE_ADDRESS, places.HOST_ADDRESS)]
    assert all(one in pods and one < ipaddress.ip_address(places.FIRST_POD_ADDRESS) for one in fixed)
    assert services[1] == ipaddress.ip_address(places.FIRST_SERVICE_ADDRESS)


def test_without_bridge_netfilter_services_masquerade() -> None:
    files = components.config_files(replace(NODE, bridge_netfilter=False))
    without = next(content for path, content in files.items() if path.name == "proxy.json")
    assert json.loads(without)["iptables"]["masqueradeAll"] is True
    assert json.loads(config("proxy.json"))["iptables"]["masqueradeAll"] is False


def test_the_stamp_follows_binaries_and_settings() -> None:
    others = [replace(NODE, binaries=Path("/newer")), replace(NODE, bridge_netfilter=False)]
    assert len({components.stamp(NODE), *(components.stamp(one) for one in others)}) == 3
    assert components.stamp(NODE) == components.stamp(replace(NODE))
