"""Latency on another machine: over a real sshd on the loopback, with keys of its own."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from support.models import conv_net, residual_net
from tightfit.api.evaluate import benchmark, evaluate
from tightfit.cli.evaluate import benchmark as command
from tightfit.errors import ModelError, OptionError, RuntimeFailureError
from tightfit.evaluation.devices.ssh_device import Device, bundle, latency_on
from tightfit.graph.writer import write_model

SSHD = shutil.which("sshd") or next((p for p in ("/usr/sbin/sshd",) if Path(p).exists()), None)
KEYGEN = shutil.which("ssh-keygen") or "ssh-keygen"
needs_sshd = pytest.mark.skipif(
    SSHD is None or shutil.which("scp") is None,
    reason="sshd is not installed: apt-get install openssh-server",
)
needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")

SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
Subsystem sftp internal-sftp
"""
CLIENT = """
IdentityFile {folder}/user
IdentitiesOnly yes
UserKnownHostsFile {folder}/known
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("ssh"), free_port()
    for name in ("host", "user"):
        subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "server").write_text(SERVER.format(port=port, folder=folder))
    (folder / "client").write_text(CLIENT.format(folder=folder))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd started by root puts unprivileged processes
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "server")], stderr=subprocess.PIPE)
    for _ in range(50):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        if server.poll() is not None:
            pytest.skip(f"sshd does not start here: {server.stderr.read().decode().strip()}")
        time.sleep(0.1)
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
    yield Device.parse(url, config=folder / "client", python=sys.executable)
    server.terminate()
    server.communicate()


@pytest.fixture
def models(tmp_path):
    paths = [tmp_path / "a model.tflite", tmp_path / "b.tflite"]
    write_model(conv_net(), paths[0])
    write_model(residual_net(), paths[1])
    return paths


@needs_sshd
def test_a_device_is_measured_interleaved_and_named(device, models):
    found = benchmark(models, rounds=6, seconds=5, on=device)
    assert [b.latency.reason for b in found] == [None, None]
    assert all(b.latency.median_ms > 0 and b.latency.runs >= 6 for b in found)
    assert found[0].latency.ratio == 1.0
    assert found[1].latency.ratio_low <= found[1].latency.ratio <= found[1].latency.ratio_high
    assert found[0].machine["on"] == device.url
    assert found[0].machine["litert"]
    assert found[0].footprint.size_bytes == models[0].stat().st_size


@needs_sshd
def test_a_model_that_does_not_run_there_gets_its_reason_and_nothing_is_left(device, tmp_path, models):
    (tmp_path / "bad.tflite").write_bytes(b"TFL3" * 20)
    before = left()
    _, latencies = latency_on(device, [models[0], tmp_path / "bad.tflite"], rounds=6, seconds=1)
    assert latencies[0].median_ms > 0
    assert latencies[1].median_ms is None
    assert latencies[1].reason
    assert left() <= before


def left() -> set[str]:
    return {p.name for p in Path("/tmp").glob("tightfit.*")}  # noqa: S108 - where mktemp puts it


@needs_sshd
def test_the_command_names_the_device(device, models):
    words = [str(models[0]), "--on", device.url, "--ssh-config", str(device.config), "--remote-python",
             sys.executable, "--rounds", "6", "--seconds", "1", "--json"]  # fmt: skip
    result = CliRunner().invoke(command, words, standalone_mode=False, catch_exceptions=False)
    found = json.loads(result.output)
    assert found["machine"]["on"] == device.url
    assert found["models"][0]["latency"]["median_ms"] > 0
    assert "machine" not in found["models"][0]


@needs_sshd
def test_a_device_without_litert_or_with_another_python_is_told(device, models, tmp_path):
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho found 3 9\n")
    other.chmod(0o755)
    old = Device(device.host, device.user, device.port, device.config, str(other))
    with pytest.raises(OptionError, match=r"has Python 3\.9 as .*; expected 3\.11 or newer"):
        latency_on(old, models)
    none = Device(device.host, device.user, device.port, device.config, "no-such-python")
    with pytest.raises(OptionError, match=r"lacks Python 3\.11 with ai-edge-litert .* pip install ai-edge"):
        latency_on(none, models)


@needs_sshd
def test_a_key_that_is_refused_is_one_sentence(device, models, tmp_path):
    (tmp_path / "client").write_text(
        f"IdentityFile none\nIdentitiesOnly yes\nUserKnownHostsFile {device.config.parent}/known\n"
    )
    other = Device(device.host, device.user, device.port, tmp_path / "client")
    with pytest.raises(RuntimeFailureError, match=r"Cannot reach 'ssh://.*Permission denied"):
        latency_on(other, models)


@needs_ssh
def test_a_refused_connection_ends_with_2_and_one_sentence(models):
    words = [
        sys.executable,
        "-m",
        "tightfit",
        "benchmark",
        str(models[0]),
        "--on",
        f"ssh://nobody@127.0.0.1:{free_port()}",
    ]
    done = subprocess.run([*words, "--ssh-config", "/dev/null"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Cannot reach 'ssh://nobody@127.0.0.1" in done.stderr
    assert "Connection refused" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_files_are_read_before_anything_is_sent():
    with pytest.raises(ModelError):
        benchmark(["missing.tflite"], on=Device("127.0.0.1"))


@pytest.mark.parametrize(
    "url", ["pi@host", "http://pi@host", "ssh://", "ssh://-oProxyCommand=x", "ssh://a b@host", "ssh://pi@host:x",
            "ssh://pi:secret@host", "ssh://pi@host/home"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url):
    with pytest.raises(OptionError, match=r"expected ssh://user@host"):
        Device.parse(url)


def test_an_address_keeps_its_parts():
    assert Device.parse("ssh://pi@[::1]:2222").login == "pi@::1"
    assert Device.parse("ssh://host").url == "ssh://host"


def test_what_is_sent_measures_by_itself(tmp_path, models):
    (tmp_path / "code.zip").write_bytes(bundle())
    with zipfile.ZipFile(tmp_path / "code.zip") as archive:
        archive.extractall(tmp_path / "code")
    asked = {"models": [str(models[0])], "threads": 1, "rounds": 6, "seconds": 1}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tightfit.evaluation.devices.ssh_worker", json.dumps(asked)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "code")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["latencies"][0]["median_ms"] > 0


@needs_sshd
def test_a_model_is_evaluated_on_a_device_and_its_outputs_are_compared(device, models, tmp_path):
    inputs = np.random.default_rng(0).standard_normal((4, 16, 16, 3)).astype(np.float32)
    np.savez(tmp_path / "set.npz", x=inputs, y=np.arange(4) % 3)
    found = evaluate(models[0], tmp_path / "set.npz", on=device)
    assert found[0].failure is None
    assert found.apart[0].equal
    assert device.url in found.notes[-1]
