"""Run programs in a folder as Docker runs those of an image.

As another user than root, without capabilities, on a read-only root, in namespaces of their own.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.dockerfile_steps import Stage

_DEVICES = ("null", "zero", "random", "urandom", "tty")


@dataclass(frozen=True)
class Container:
    """An image, and how its Dockerfile runs it.

    Attributes:
        root: its folder.
        data: the folder on the host that is /data.
        environment: of its programs.
        user: "uid:gid".
        work: the folder in which programs start.
        entry: what stands before each command.
        command: what runs unless another command is given.
        health: the command of HEALTHCHECK.
    """

    root: Path
    data: Path
    environment: dict[str, str]
    user: str
    work: str
    entry: list[str]
    command: list[str]
    health: list[str]
    read_only: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, stage: Stage, root: Path, data: Path) -> Container:
        """Return the container of a Dockerfile's last stage; the folder for /data is made."""

        def words(name: str) -> list[str]:
            step = stage.last(name)
            return step.words if step else []

        (user,) = words("USER")
        uid, gid = map(int, user.split(":"))
        data.mkdir(parents=True, mode=0o750)
        os.chown(data, uid, gid)
        health = stage.last("HEALTHCHECK")
        assert health is not None
        kind, _, rest = health.text.partition(" ")
        assert kind == "CMD"
        step = type(health)(health.line, health.name, {}, rest.strip())
        (work,) = words("WORKDIR") or ["/"]
        return cls(root, data, stage.environment(), user, work, words("ENTRYPOINT"), words("CMD"), step.words)

    def with_files(self, **read_only: Path) -> Container:
        """Return the container with folders of the host mounted as /name, read-only."""
        return Container(**{**self.__dict__, "read_only": read_only})

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, bare: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, in a container of its own.

        Args:
            command: the words after the ENTRYPOINT.
            environment: more variables.
            bare: without the ENTRYPOINT.
        """
        with self.started(*command, environment=environment, bare=bare) as running:
            out, errors = running.process.communicate(timeout=300)
            return subprocess.CompletedProcess(command, running.process.returncode, out, errors)

    @contextmanager
    def started(
        self, *command: str, environment: Mapping[str, str] | None = None, bare: bool = False
    ) -> Iterator[Running]:
        """Start a command, or the CMD; on leaving it is killed if it still runs."""
        words = [*([] if bare else self.entry), *(command or self.command)]
        script = "\n".join(("set -e", *self._mounts(), self._inside(words, environment)))
        spaces = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
        process = subprocess.Popen(
            [*spaces, "/bin/sh", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield Running(self, process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def _mounts(self) -> list[str]:
        root, at = shlex.quote(str(self.root)), "/mnt"
        lines = [
            "mount --make-rprivate /",
            f"mount --bind {root} {at}",
            f"mount --bind {shlex.quote(str(self.data))} {at}/data",
            f"mount -t tmpfs -o nosuid,nodev,size=64m,mode=1777 tmpfs {at}/tmp",
            f"mount -t proc -o nosuid,nodev,noexec proc {at}/proc",
            f"mount -t tmpfs -o nosuid,noexec,size=64k,mode=755 tmpfs {at}/dev",
        ]
        for device in _DEVICES:
            lines += [f"touch {at}/dev/{device}", f"mount --bind /dev/{device} {at}/dev/{device}"]
        lines += [f"mkdir -m 1777 {at}/dev/shm", f"mount -t tmpfs -o size=64m tmpfs {at}/dev/shm"]
        if self.read_only:
            # A folder to mount on: the root itself is not written to.
            lines += [f"mount -t tmpfs -o mode=755 tmpfs {at}/mnt"]
        for name, folder in self.read_only.items():
            place = f"{at}/mnt/{name}"
            lines += [
                f"mkdir {place}",
                f"mount --bind {shlex.quote(str(folder))} {place}",
                f"mount -o remount,bind,ro {place}",
            ]
        return [*lines, f"mount -o remount,bind,ro {at}", "ip link set lo up"]

    def _inside(self, words: Sequence[str], environment: Mapping[str, str] | None) -> str:
        uid, gid = self.user.split(":")
        limits = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
        limits += ["--bounding-set=-all", "--inh-caps=-all"]
        pairs = {**self.environment, **(environment or {})}
        command = [*limits, "env", "-i", *(f"{name}={value}" for name, value in pairs.items())]
        moved = ["/bin/sh", "-c", f"cd {shlex.quote(self.work)} && exec {shlex.join([*command, *words])}"]
        return f"exec chroot /mnt {shlex.join(moved)}"


@dataclass
class Running:
    """A started container; ``process`` is the one that waits for it."""

    container: Container
    process: subprocess.Popen[str]

    def pid(self) -> int:
        """Return the host's number of the container's first process."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if not children:
            raise ChildProcessError("the container has ended")
        return int(children[0])

    def execute(
        self, *words: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command beside the first process, as ``docker exec`` does: without the ENTRYPOINT."""
        inside = self.container._inside(words, environment)
        spaces = ["nsenter", "--target", str(self.pid()), "--mount", "--pid", "--net", "--ipc", "--uts"]
        return subprocess.run([*spaces, "/bin/sh", "-c", inside], capture_output=True, text=True, timeout=300)

    def healthy(self, environment: Mapping[str, str] | None = None) -> bool:
        """Run the command of HEALTHCHECK; False also before the container's first process is there."""
        try:
            return self.execute(*self.container.health, environment=environment).returncode == 0
        except ChildProcessError:
            return False

    def stop(self) -> int:
        """Send the first process SIGTERM; return how it ended."""
        os.kill(self.pid(), signal.SIGTERM)
        return self.process.wait(timeout=30)
