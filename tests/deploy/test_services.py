"""The compose file, the systemd units and the scripts beside them."""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import typer
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from padim.cli.app import app
from padim.settings import Settings
from tests.service.mosquitto import broker, needs_mosquitto, subscriber

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("app", "serve", "watch")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def commands() -> dict[str, list[str]]:
    """The words after ``padim`` of everything that is started."""
    found = {name: SERVICES[name]["command"] for name in OURS}
    for unit in UNITS:
        (line,) = re.findall(r"^ExecStart=/opt/padim/bin/padim (.*)$", unit.read_text("utf-8"), re.M)
        found[unit.name] = line.split()
    return found


@pytest.mark.parametrize("words", commands().values(), ids=commands())
def test_what_is_started_is_a_command_with_these_options(words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    command = group.commands[words[0]]
    if hasattr(command, "commands"):
        command = command.commands[words[1]]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["user"] == "10001:10001"
    variables = set(service["environment"]) - {"HEALTH_URL"}
    for variable in variables:
        if variable.startswith("PADIM_"):
            assert variable.removeprefix("PADIM_").removesuffix("_FILE").lower() in Settings.model_fields
    # The image's own health check asks the service; the others say what to ask.
    assert name == "serve" or "healthcheck" in service or "HEALTH_URL" in service["environment"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_bounded_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert name in OURS or "healthcheck" in service
    assert service["read_only"] is True


def test_nothing_is_open_to_a_network_and_no_secret_is_written_down() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        for variable, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|URL$", variable) or str(value).startswith(
                ("/run/secrets/", "http://127.0.0.1:")
            ), variable
    assert SERVICES["database"]["networks"] == SERVICES["broker"]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_are_hardened(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    for line in ("User=padim", "ProtectSystem=strict", "NoNewPrivileges=true", "CapabilityBoundingSet="):
        assert re.search(rf"^{re.escape(line)}$", text, re.M), line
    assert "MemoryMax=" in text
    assert "Restart=on-failure" in text
    assert "[Install]\nWantedBy=multi-user.target\n" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_units_and_finds_little_exposed(unit: Path) -> None:
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    # The program is not installed there on this machine, which systemd says too.
    complaints = [line for line in verified.stderr.splitlines() if unit.name.replace("@", "") in line]
    assert [line for line in complaints if "not executable" not in line] == []
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot judge a file")
    level = re.search(r"exposure level for \S+ ([\d.]+)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) < 2


def entry(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the entrypoint with a ``padim`` that prints its arguments and environment."""
    program = folder / "padim"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\nenv\n", encoding="utf-8")
    program.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(DEPLOY / "entrypoint.sh"), *words],
        capture_output=True,
        text=True,
        env={"PATH": f"{folder}:{os.environ['PATH']}", **environment},
    )


def test_secrets_are_taken_from_their_files(tmp_path: Path) -> None:
    secret = tmp_path / "it is here"
    value = "a$b `c` \"d\" 'e' \\f"
    secret.write_text(value + "\n", encoding="utf-8")
    done = entry(
        tmp_path, "serve", "two words", SINK_MQTT_PASSWORD_FILE=str(secret), SSL_CERT_FILE="/left/alone"
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["serve", "two words"]
    assert f"SINK_MQTT_PASSWORD={value}" in lines
    assert "SSL_CERT_FILE=/left/alone" in lines
    assert not any(line.startswith(("SINK_MQTT_PASSWORD_FILE", "SSL_CERT=")) for line in lines)
    done = entry(tmp_path, "serve", PADIM_DATABASE_URL_FILE=str(tmp_path / "absent"))
    assert done.returncode == 78
    assert f"{tmp_path / 'absent'} cannot be read" in done.stderr
    assert done.stdout == ""


needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None or shutil.which("mosquitto_passwd") is None,
    reason="needs openssl and mosquitto_passwd",
)


def make_secrets(folder: Path) -> subprocess.CompletedProcess[str]:
    script = shutil.copy(DEPLOY / "make_secrets.sh", folder)
    return subprocess.run(["/bin/sh", str(script)], capture_output=True, text=True)


@needs_openssl
def test_passwords_are_made_once(tmp_path: Path) -> None:
    done = make_secrets(tmp_path)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "secrets"
    assert {path.name for path in made.iterdir()} == set(COMPOSE["secrets"])
    assert made.stat().st_mode & 0o777 == 0o700
    password = (made / "database_password").read_text()
    assert len(password) == 48
    assert f":{password}@database:" in (made / "database_url").read_text()
    assert (made / "mqtt_password").read_text() not in (made / "mosquitto_passwords").read_text()
    again = make_secrets(tmp_path)
    assert again.returncode == 1
    assert "there already" in again.stderr
    assert (made / "database_password").read_text() == password


@needs_openssl
@needs_mosquitto
def test_the_broker_takes_its_settings_and_nobody_without_the_password(tmp_path: Path) -> None:
    assert make_secrets(tmp_path).returncode == 0
    settings = (DEPLOY / "mosquitto.conf").read_text(encoding="utf-8")
    for inside, here in (
        ("listener 1883\n", ""),
        ("/run/secrets/mosquitto_passwords", str(tmp_path / "secrets" / "mosquitto_passwords")),
        ("/mosquitto/data/", f"{tmp_path}/"),
    ):
        assert inside in settings
        settings = settings.replace(inside, here)
    password = (tmp_path / "secrets" / "mqtt_password").read_text()
    with broker(tmp_path, settings=settings) as running:
        with subscriber(running.port, username_pw_set=("padim", password)):
            pass
        refused: queue.Queue[bool] = queue.Queue()
        nobody = mqtt.Client(CallbackAPIVersion.VERSION2)
        nobody.on_connect = lambda _, __, ___, reason, ____: refused.put(reason.is_failure)
        nobody.connect("127.0.0.1", running.port)
        nobody.loop_start()
        assert refused.get(timeout=60)
        nobody.loop_stop()
