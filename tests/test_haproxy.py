"""The proxy that is shipped: its configuration is one that haproxy takes."""

import shutil
import subprocess
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[1] / "container" / "haproxy.cfg"


def checked(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The result of a check by haproxy, without the certificate, which each owner brings."""
    file = folder / "haproxy.cfg"
    file.write_text(text.replace(" ssl crt /etc/haproxy/fitscore.pem alpn h2,http/1.1", ""))
    return subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed here")
def test_haproxy_takes_the_configuration_and_not_a_spoilt_one(tmp_path: Path) -> None:
    sound = CONFIG.read_text(encoding="ascii")
    done = checked(sound, tmp_path)
    assert done.returncode == 0, done.stderr
    assert checked(sound.replace("balance leastconn", "balance leastcon"), tmp_path).returncode != 0


def test_it_logs_nothing_that_a_caller_chose() -> None:
    (form,) = [line for line in CONFIG.read_text(encoding="ascii").splitlines() if "log-format" in line]
    assert not any(field in form for field in ("%r", "%HU", "%HP", "%HQ", "%hr", "%hs", "capture"))
