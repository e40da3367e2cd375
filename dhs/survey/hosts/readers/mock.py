"""``mock``: made-up hosts, each made when it is read."""

from __future__ import annotations

from dhs.config import HostsConfig
from dhs.survey.hosts.record import Found, HostRef, host_reader
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.mock.hosts import index_of, mock_host, mock_refs


@host_reader("mock")
class MockReader:
    """``spec`` is ``mock``: ``n_mock`` hosts of the run's seed."""

    def __init__(self, spec: str, seed: int):
        self.seed = seed

    @staticmethod
    def claims(config: HostsConfig) -> bool:
        return config.spec == "mock"

    def find(self, config: HostsConfig) -> Found:
        return Found(mock_refs(self.seed, config.n_mock), mock=True, made=True)

    def read(self, ref: HostRef) -> HostStamp:
        return mock_host(self.seed, index_of(ref.host_id), ref)
