"""A service by its command line, over https: one certificate is trusted and no other; files that cannot serve are named."""

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from fourfold.api.tls import Tls, TlsError
from tests.api.samples import make_home

TIMEOUT = 60


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The certificate of an authority, and a certificate and key that it issued for this machine."""
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return folder / "ca.pem", folder / "certificate.pem", folder / "key.pem"


@contextmanager
def https_service(home: Path, certificate: Path, key: Path) -> Iterator[str]:
    """`fourfold serve` in a process of its own, with a limit and a quiet log; gives its address. The log is kept."""
    command = [sys.executable, "-m", "fourfold", "serve", "--surface", "feed", "--port", "0"]
    options = [
        "--tls-certificate",
        str(certificate),
        "--tls-key",
        str(key),
        "--requests-per-second",
        "0.001",
        "--log-share",
        "0",
    ]
    environment = os.environ | {"FOURFOLD_HOME": str(home)}
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "serving" in line)
        yield line.split()[-1]
        process.send_signal(signal.SIGTERM)
        (home.parent / "log").write_text(process.communicate(timeout=TIMEOUT)[1])


def test_a_service_as_the_command_line_asks_for_it(tmp_path: Path, files: tuple[Path, Path, Path]) -> None:
    authority, certificate, key = files
    make_home(tmp_path / "home")
    with https_service(tmp_path / "home", certificate, key) as url:
        assert url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(authority))
        with httpx.Client(base_url=url, verify=context, timeout=TIMEOUT) as client:
            assert client.get("/healthz").json()["status"] == "alive"
            statuses = [client.get("/v1/surfaces").status_code for _ in range(3)]
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{url}/healthz", timeout=TIMEOUT)
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http") + "/healthz", timeout=TIMEOUT)
    assert statuses == [200, 429, 429]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["status"] for line in lines if line["event"] == "request"] == [429, 429]


def test_files_that_cannot_serve_are_named(tmp_path: Path, files: tuple[Path, Path, Path]) -> None:
    _, certificate, key = files
    other = trustme.CA().issue_cert("127.0.0.1")
    other.private_key_pem.write_to_path(str(tmp_path / "other.pem"))
    assert Tls.of(None, None) is None
    assert Tls.of(certificate, key) == Tls(certificate, key)
    with pytest.raises(TlsError, match="pass both --tls-certificate and --tls-key"):
        Tls.of(certificate, None)
    with pytest.raises(TlsError, match=r"missing\.pem is no file"):
        Tls.of(tmp_path / "missing.pem", key)
    with pytest.raises(TlsError, match=r"other\.pem cannot be used together"):
        Tls.of(certificate, tmp_path / "other.pem")
    with pytest.raises(TlsError, match="cannot be used together"):
        Tls.of(key, certificate)
