"""The services that are known by their process or port, and how bad it is when everybody reaches them.

Critical is what hands out the machine to whoever asks; high what holds data or runs work and is often without a
password; medium what should not be seen, but asks who one is or tells little; low what only the local network hears.
Ports: the services' documentation and https://www.iana.org/assignments/service-names-port-numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jobs.core.model import Severity

REDIS, POSTGRES, OLLAMA, DOCKER = "Redis", "PostgreSQL", "Ollama", "the Docker API"


@dataclass(frozen=True)
class Known:
    """A service: how it is called, how bad its exposure is, and by what it is known."""

    name: str
    severity: Severity
    processes: frozenset[str] = frozenset()
    tcp: frozenset[int] = frozenset()
    udp: frozenset[int] = frozenset()


def _known(severity: Severity, *lines: str) -> Iterator[Known]:
    """Each line: name | processes | TCP ports | UDP ports."""
    for line in lines:
        name, processes, tcp, udp = (part.strip() for part in f"{line}|||".split("|")[:4])
        yield Known(
            name,
            severity,
            frozenset(processes.split()),
            frozenset(map(int, tcp.split())),
            frozenset(map(int, udp.split())),
        )


STORES: tuple[Known, ...] = tuple(
    _known(
        Severity.HIGH,
        f"{REDIS} | redis-server valkey-server redis-sentinel keydb-server | 6379 6380 26379",
        f"{POSTGRES} | postgres postmaster pgbouncer | 5432 6432",
        f"{OLLAMA} | ollama | 11434",
        "MySQL | mysqld mariadbd | 3306 33060",
        "MongoDB | mongod mongos | 27017 27018 27019",
        "Microsoft SQL Server | sqlservr | 1433 | 1434",
        "Oracle Database | tnslsnr | 1521",
        "CockroachDB | cockroach | 26257",
        "ArangoDB | arangod | 8529",
        "memcached | memcached | 11211 | 11211",
        "Elasticsearch | | 9200 9300",
        "etcd | etcd | 2379 2380",
        "Consul | consul | 8500",
        "CouchDB | | 5984",
        "Cassandra | | 9042",
        "ClickHouse | clickhouse-serv | 8123",
        "MinIO | minio | 9001",
        "MinIO or ClickHouse | | 9000",
        "InfluxDB | influxd | 8086",
        "Neo4j | | 7474 7687",
        "Qdrant | qdrant | 6333 6334",
        "Milvus | milvus | 19530",
        "RabbitMQ | beam.smp | 5672 15672 25672",
        "Kafka | | 9092",
        "NATS | nats-server | 4222",
    )
)
"""Databases, queues and models: what others have put there, often without a password."""
KNOWN: tuple[Known, ...] = (
    *_known(
        Severity.CRITICAL,
        f"{DOCKER} | dockerd | 2375 2376",
        "Telnet | telnetd in.telnetd | 23",
        "the Kubernetes kubelet | kubelet | 10250 10255",
        "containerd's API | containerd",
    ),
    *STORES,
    *_known(
        Severity.HIGH,
        "Prometheus | prometheus | 9090",
        "Alertmanager | alertmanager prometheus-aler | 9093 9094",
        "Prometheus's push gateway | pushgateway | 9091",
        "cAdvisor | cadvisor",
        "Loki | loki | 3100",
        "Jupyter | jupyter-noteboo jupyter-lab | 8888",
        "Node.js's debugger | | 9229",
        "a Java debugger or JMX | | 1099 5005",
        "NFS | | 2049 | 2049",
        "SMB | smbd | 139 445",
        "rsync | rsync | 873",
        "TFTP | in.tftpd | | 69",
        "VNC | x11vnc Xvnc Xtigervnc | 5900 5901",
        "X11 | Xorg | 6000",
        "RDP | xrdp | 3389",
        "FTP | vsftpd proftpd | 21",
        "rlogin or rsh | | 512 513 514",
    ),
    *_known(
        Severity.MEDIUM,
        "Docker Swarm | dockerd | 2377 7946 | 4789 7946",
        "Grafana | grafana | 3000",
        "a Prometheus exporter | node_exporter prometheus-node | 9100 9115 9121 9187",
        "a DNS server | named dnsmasq unbound | 53 | 53",
        "rpcbind | rpcbind | 111 | 111",
        "CUPS | cupsd | 631 | 631",
        "SNMP | snmpd | | 161",
        "SSDP | minissdpd | | 1900",
    ),
    *_known(
        Severity.LOW,
        "mDNS | avahi-daemon | | 5353",
        "LLMNR | | 5355 | 5355",
        "an NTP server | ntpd chronyd | | 123",
        "NetBIOS names | nmbd | | 137 138",
    ),
)
_BY_PORT = {
    **{("tcp", port): known for known in KNOWN for port in known.tcp},
    **{("udp", port): known for known in KNOWN for port in known.udp},
}
_BY_USER = {"redis": REDIS, "postgres": POSTGRES, "ollama": OLLAMA, "mysql": "MySQL", "mongodb": "MongoDB"}
_PASSES_ON = frozenset({"", "docker-proxy", "rootlessport", "slirp4netns", "systemd"})
"""Processes that pass on what others serve: the port says more than their name."""


def known(protocol: str, port: int, process: str, user: str = "") -> Known | None:
    """The service that this is, going by its process before its port; None for one that is not known.

    Where its process cannot be seen, its user may tell as much.
    """
    by_port = _BY_PORT.get((protocol, port))
    by_process = [] if process in _PASSES_ON else [known for known in KNOWN if process in known.processes]
    if by_process:
        return by_port if by_port in by_process else by_process[0]
    by_user = None if process else next((known for known in KNOWN if known.name == _BY_USER.get(user)), None)
    return by_user or by_port
