"""What each program of the node is started with: arguments and configuration files. Pure: nothing is read, written or
started here.

Every listener is bound to the loopback of the node's network namespace or to its bridge; a test on the live cluster
holds that.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localkube import places
from localkube.places import State

CNI_PLUGINS = Path("/usr/lib/cni")
ETCD_URL = f"http://127.0.0.1:{places.ETCD_PORT}"


@dataclass(frozen=True)
class Component:
    """One program: `name` is its log file and its key in the process list."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Node:
    """What the rendering depends on. `bridge_netfilter`: iptables sees bridged packets, so replies through a Service
    need no masquerade."""

    state: State
    binaries: Path
    bridge_netfilter: bool


def components(node: Node) -> list[Component]:
    """All programs, in the order they are started."""
    return [
        Component("etcd", _etcd(node)),
        Component("apiserver", _apiserver(node)),
        Component("containerd", ("containerd", "--config", str(node.state.config / "containerd.toml"))),
        Component("controller-manager", _controller_manager(node)),
        Component("scheduler", _scheduler(node)),
        Component("kubelet", _kubelet(node)),
        Component("proxy", _program(node, "kube-proxy", config=node.state.config / "proxy.json")),
        Component("dns", (str(node.binaries / "coredns"), "-conf", str(node.state.config / "Corefile"))),
    ]


def config_files(node: Node) -> dict[Path, str]:
    """Absolute path to content; JSON where the program reads YAML."""
    config = node.state.config
    return {
        config / "cni" / "10-localkube.conflist": json.dumps(_cni(), indent=1),
        config / "containerd.toml": _containerd(node),
        config / "kubelet.json": json.dumps(_kubelet_configuration(node), indent=1),
        config / "proxy.json": json.dumps(_proxy_configuration(node), indent=1),
        config / "Corefile": _corefile(node),
    }


def stamp(node: Node) -> str:
    """Identifies binaries and settings: a running cluster with another stamp has to be replaced."""
    parts = [" ".join(component.command) for component in components(node)]
    parts += [f"{path}\n{content}" for path, content in sorted(config_files(node).items())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _program(node: Node, program: str, **flags: object) -> tuple[str, ...]:
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    return (str(node.binaries / "localkube"), program, *arguments)


def _etcd(node: Node) -> tuple[str, ...]:
    peer = f"http://127.0.0.1:{places.ETCD_PEER_PORT}"
    return (
        *_program(
            node,
            "etcd",
            data_dir=node.state.root / "etcd",
            listen_client_urls=ETCD_URL,
            advertise_client_urls=ETCD_URL,
            listen_peer_urls=peer,
            initial_advertise_peer_urls=peer,
            initial_cluster=f"default={peer}",
            log_level="warn",
        ),
        # a cluster for tests may lose its last second when the machine loses power
        "--unsafe-no-fsync",
    )


def _apiserver(node: Node) -> tuple[str, ...]:
    pki = node.state.pki
    return _program(
        node,
        "kube-apiserver",
        etcd_servers=ETCD_URL,
        bind_address=places.NODE_ADDRESS,
        advertise_address=places.NODE_ADDRESS,
        secure_port=places.API_PORT,
        service_cluster_ip_range=places.SERVICE_NETWORK,
        tls_cert_file=pki / "apiserver.crt",
        tls_private_key_file=pki / "apiserver.key",
        client_ca_file=pki / "ca.crt",
        authorization_mode="Node,RBAC",
        enable_admission_plugins="NodeRestriction",
        allow_privileged="true",
        anonymous_auth="false",
        profiling="false",
        event_ttl="30m",
        service_account_key_file=pki / "service-accounts.pub",
        service_account_signing_key_file=pki / "service-accounts.key",
        service_account_issuer="https://kubernetes.default.svc",
        api_audiences="https://kubernetes.default.svc",
        kubelet_client_certificate=pki / "kubelet-client.crt",
        kubelet_client_key=pki / "kubelet-client.key",
        kubelet_certificate_authority=pki / "ca.crt",
        kubelet_preferred_address_types="InternalIP",
        requestheader_client_ca_file=pki / "ca.crt",
        requestheader_allowed_names="front-proxy",
        requestheader_extra_headers_prefix="X-Remote-Extra-",
        requestheader_group_headers="X-Remote-Group",
        requestheader_username_headers="X-Remote-User",
        proxy_client_cert_file=pki / "front-proxy.crt",
        proxy_client_key_file=pki / "front-proxy.key",
    )


def _controller_manager(node: Node) -> tuple[str, ...]:
    pki = node.state.pki
    return _program(
        node,
        "kube-controller-manager",
        kubeconfig=node.state.config / "controller-manager.kubeconfig",
        bind_address="127.0.0.1",
        leader_elect="false",
        profiling="false",
        use_service_account_credentials="true",
        service_account_private_key_file=pki / "service-accounts.key",
        root_ca_file=pki / "ca.crt",
        cluster_signing_cert_file=pki / "ca.crt",
        cluster_signing_key_file=pki / "ca.key",
        # benchmarks with a thousand objects measure the operator, not this client's throttle
        kube_api_qps=300,
        kube_api_burst=600,
    )


def _scheduler(node: Node) -> tuple[str, ...]:
    return _program(
        node,
        "kube-scheduler",
        kubeconfig=node.state.config / "scheduler.kubeconfig",
        bind_address="127.0.0.1",
        leader_elect="false",
        profiling="false",
    )


def _kubelet(node: Node) -> tuple[str, ...]:
    return _program(
        node,
        "kubelet",
        config=node.state.config / "kubelet.json",
        kubeconfig=node.state.config / "kubelet.kubeconfig",
        hostname_override=places.NODE_NAME,
        node_ip=places.NODE_ADDRESS,
        # cAdvisor's default of 10 s is a steady load on a small machine
        housekeeping_interval="30s",
    )


def _kubelet_configuration(node: Node) -> dict[str, Any]:
    pki = node.state.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": places.NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{places.NAME}",
        "clusterDNS": [places.NODE_ADDRESS],
        "clusterDomain": places.CLUSTER_DOMAIN,
        "containerRuntimeEndpoint": f"unix://{node.state.containerd_socket}",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failSwapOn": False,
        "healthzBindAddress": "127.0.0.1",
        # images are loaded, not pulled: one that is collected would be gone
        "imageGCHighThresholdPercent": 100,
        "maxPods": 200,
        # the machine's resolver is out of the pods' reach
        "resolvConf": "",
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
    }


def _proxy_configuration(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "bindAddress": places.NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "nodePortAddresses": [f"{places.NODE_ADDRESS}/32"],
        "clusterCIDR": places.POD_NETWORK,
        "hostnameOverride": places.NODE_NAME,
        "clientConnection": {"kubeconfig": str(node.state.config / "proxy.kubeconfig")},
        # these limits belong to the machine; a network namespace cannot set them
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": {"masqueradeAll": not node.bridge_netfilter, "minSyncPeriod": "200ms"},
    }


def _cni() -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": places.BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": places.POD_NETWORK, "rangeStart": places.FIRST_POD_ADDRESS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": places.NAME, "plugins": [bridge, portmap]}


def _containerd(node: Node) -> str:
    state = node.state
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE the write of -998 kills every sandbox before it starts
    return f"""version = 2
root = "{state.root / "containerd"}"
state = "/run/containerd"
[grpc]
  address = "{state.containerd_socket}"
[{cri}]
  sandbox_image = "{places.PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [{cri}.cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{state.config / "cni"}"
  [{cri}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [{cri}.containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def _corefile(node: Node) -> str:
    return f""".:53 {{
  bind {places.NODE_ADDRESS}
  errors
  kubernetes {places.CLUSTER_DOMAIN} in-addr.arpa {{
    kubeconfig {node.state.config / "dns.kubeconfig"} {places.NAME}
  }}
  cache 5
}}
"""
