"""What is checked of the container: the first line of each check's docstring is what it holds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from scripts.container import Container, Running

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data" / "flange"
APP = {"HEALTH_URL": "http://127.0.0.1:8501/_stcore/health"}
_PATIENCE = 120.0


def _python(container: Container, code: str) -> str:
    done = container.run("python", "-c", code, bare=True)
    assert done.returncode == 0, done.stderr[-800:]
    return done.stdout.strip()


def _padim(container: Container, *words: str) -> str:
    done = container.run(*words)
    assert done.returncode == 0, f"{words}: {done.stdout[-400:]} {done.stderr[-800:]}"
    return done.stdout


def _wait(what: str, running: Running, true: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not true():
        if running.process.poll() is not None:
            raise AssertionError(f"{what}: it ended: {running.process.stderr.read()[-1500:]}")  # type: ignore[union-attr]
        assert time.monotonic() - began < _PATIENCE, f"{what}: not within {_PATIENCE:.0f} s"
        time.sleep(0.5)
    return time.monotonic() - began


def user(container: Container) -> str:
    """It runs as another user than root, without capabilities."""
    said = _python(
        container,
        "import os; print(os.getuid(), os.getgid(), os.getgroups(), [line.split()[1] for line in "
        "open('/proc/self/status') if line.startswith(('CapEff', 'CapBnd', 'NoNewPrivs'))])",
    )
    assert said == "10001 10001 [] ['0000000000000000', '0000000000000000', '1']", said
    return ""


def read_only(container: Container) -> str:
    """Only /data and /tmp can be written to."""
    code = """
import errno, os
for folder in ("/", "/opt/padim", "/etc", "/usr/bin", "/var/tmp", "/opt/padim/lib"):
    try:
        open(os.path.join(folder, "probe"), "w")
        print("written:", folder)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES): print(folder, error)
for folder in ("/data", "/tmp"):
    open(os.path.join(folder, "probe"), "w"); os.remove(os.path.join(folder, "probe"))
"""
    said = _python(container, code)
    assert said == "", said
    return ""


def no_torch(container: Container) -> str:
    """There is no PyTorch, compiler or pip, and what is there imports."""
    code = """
import importlib.util as find, shutil
import padim, streamlit, fastapi, psycopg, paho.mqtt, asyncua, pymodbus
print([name for name in ("torch", "torchvision", "pip", "ensurepip", "pytest") if find.find_spec(name)],
      [name for name in ("gcc", "cc", "pip", "curl", "wget") if shutil.which(name)])
"""
    said = _python(container, code)
    assert said == "[] []", said
    return ""


def fits(container: Container) -> str:
    """A model is fitted and scores, without a network and with nothing but what is in the image."""
    inside = container.with_files(sample=SAMPLE)
    _padim(inside, "fit", "/mnt/sample/train/good", "-o", "/data/flange.padim")
    said = _padim(inside, "score", "/data/flange.padim", "/mnt/sample/test", "-o", "/data/results")
    assert (container.data / "results" / "results.csv").is_file(), said
    return ""


def serves(container: Container) -> str:
    """The service is healthy, asks for a key, gives the verdict of `padim score`, and stops when told."""
    key = _padim(container, "keys", "add", "check").split()
    secret = next(word for word in key if len(word) > 30)
    image = "/mnt/sample/test/dent/000.jpg"
    inside = container.with_files(sample=SAMPLE)
    with inside.started(*container.command, "/data/flange.padim") as running:
        took = _wait("the service", running, running.healthy)
        ask = f"""
import json, sys, httpx
files = {{"image": open("{image}", "rb")}}
keys = {{"X-API-Key": sys.argv[1]}} if sys.argv[1:] else None
answer = httpx.post("http://127.0.0.1:8600/v1/inspections", files=files, headers=keys)
print(answer.status_code, json.dumps(answer.json()))
"""
        refused = running.execute("python", "-c", ask)
        assert refused.stdout.startswith("401"), refused.stdout + refused.stderr[-500:]
        answered = running.execute("python", "-c", ask, secret)
        assert answered.stdout.startswith(("200", "201")), answered.stdout + answered.stderr[-500:]
        verdicts = (container.data / "results" / "results.csv").read_text(encoding="utf-8")
        row = next(line for line in verdicts.splitlines() if "dent/000.jpg" in line)
        verdict = "reject" if "reject" in row else "accept"
        assert f'"verdict": "{verdict}"' in answered.stdout, answered.stdout
        code = running.stop()
    assert code in (0, 143), f"ended with {code}"
    return f"Healthy after {took:.1f} s."


def app(container: Container) -> str:
    """The application is healthy and serves its page."""
    with container.started("app", "--address", "0.0.0.0", "--headless", environment=APP) as running:
        took = _wait("the application", running, lambda: running.healthy(APP))
        page = running.execute(
            "python", "-c", "import httpx; print(httpx.get('http://127.0.0.1:8501/').status_code)"
        )
        assert page.stdout.strip() == "200", page.stdout + page.stderr[-500:]
        running.stop()
    return f"Healthy after {took:.1f} s."


def watches(container: Container) -> str:
    """A watched folder's image is inspected."""
    incoming, out = container.data / "in", container.data / "out"
    uid, gid = map(int, container.user.split(":"))
    for folder in (incoming, out):
        folder.mkdir()
    shutil.copy(SAMPLE / "test" / "dent" / "000.jpg", incoming / "part.jpg")
    for path in (incoming, out, incoming / "part.jpg"):
        os.chown(path, uid, gid)
    command = ("watch", "/data/flange.padim", "/data/in", "--out", "/data/out")
    with container.started(*command) as running:
        took = _wait("the watch", running, lambda: bool(list(out.rglob("part*.json"))))
        running.stop()
    return f"After {took:.1f} s."


def secrets(container: Container) -> str:
    """A secret comes from its file; one that cannot be read is named."""
    held = container.data / "secret"
    held.write_text("postgresql://padim:word@nowhere.invalid/padim")
    held.chmod(0o444)
    given = {"PADIM_DATABASE_URL_FILE": "/data/secret"}
    done = container.run("settings", environment=given)
    assert done.returncode == 0, done.stderr[-500:]
    assert "PADIM_DATABASE_URL" in done.stdout or "database_url" in done.stdout, done.stdout
    assert "word" not in done.stdout
    held.chmod(0o400)
    done = container.run("settings", environment=given)
    assert done.returncode == 78, (done.returncode, done.stderr)
    assert "/data/secret cannot be read" in done.stderr
    held.unlink()
    return ""


CHECKS: list[Callable[[Container], str]] = [
    user,
    read_only,
    no_torch,
    fits,
    serves,
    app,
    watches,
    secrets,
]
