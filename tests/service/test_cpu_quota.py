"""The default number of threads follows the CPU quota of a container."""

from pathlib import Path

import pytest

from service.cpu_quota import usable_cores

OWN_V2 = "0::/\n"
NESTED_V2 = "0::/kubepods/pod1/c1\n"
V1 = "5:memory:/\n4:cpu,cpuacct:/docker/c1\n"


def machine(root: Path, groups: str, **files: str) -> Path:
    """A root with /proc/self/cgroup, and files below /sys/fs/cgroup; `__` in a name is a slash."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / (name if name.startswith("proc") else f"sys/fs/cgroup/{name.replace('__', '/')}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("50000 100000\n", 1),
        ("100000 100000\n", 1),
        ("190000 100000\n", 1),
        ("400000 100000\n", 4),
        ("25000 10000\n", 2),
        ("6400000 100000\n", 16),
        ("max 100000\n", 16),
        ("", 16),
        ("0 0\n", 16),
        ("nonsense", 16),
    ],
)
def test_a_quota_bounds_the_cores(tmp_path: Path, quota: str, cores: int) -> None:
    assert usable_cores(machine(tmp_path, OWN_V2, **{"cpu.max": quota}), affinity=16) == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"), [("50000", "100000", 1), ("300000", "100000", 3), ("-1", "100000", 16)]
)
def test_the_quota_of_the_first_version_of_control_groups_counts_too(
    tmp_path: Path, quota: str, period: str, cores: int
) -> None:
    files = {"cpu__cpu.cfs_quota_us": f"{quota}\n", "cpu__cpu.cfs_period_us": f"{period}\n"}
    assert usable_cores(machine(tmp_path, V1, **files), affinity=16) == cores


def test_the_smallest_quota_of_nested_groups_counts(tmp_path: Path) -> None:
    files = {"kubepods__pod1__cpu.max": "200000 100000", "kubepods__pod1__c1__cpu.max": "max 100000"}
    assert usable_cores(machine(tmp_path, NESTED_V2, **files), affinity=16) == 2


def test_a_container_that_sees_only_its_own_group_is_bounded_too(tmp_path: Path) -> None:
    assert usable_cores(machine(tmp_path, NESTED_V2, **{"cpu.max": "300000 100000"}), affinity=16) == 3


def test_the_affinity_bounds_the_cores_of_a_larger_quota(tmp_path: Path) -> None:
    assert usable_cores(machine(tmp_path, OWN_V2, **{"cpu.max": "800000 100000"}), affinity=2) == 2


def test_a_machine_without_control_groups_uses_its_affinity(tmp_path: Path) -> None:
    assert usable_cores(tmp_path, affinity=3) == 3
    assert usable_cores() >= 1
