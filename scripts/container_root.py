"""Run the steps of deploy/Dockerfile without Docker, and check what they make: as root, on Debian.

    python -m scripts.container_root --work /var/tmp/padim-root

``debootstrap`` makes the base image (packages: debootstrap, util-linux, iproute2). Every RUN, COPY and ENV of
the Dockerfile is carried out in a root of its own for each stage (``scripts/dockerfile_steps.py`` parses
them). Then programs run in the result as in a container: as the USER of the Dockerfile, without
capabilities, on a read-only root with /data and /tmp, in namespaces of their own, and without a network but
their own loopback.

What Docker itself does is not run, and said at the end: see ``NOT_RUN``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts import container_checks
from scripts.container import Container
from scripts.dockerfile_steps import DockerfileError, Ignored, Stage, Step, assignments, context_files, parse

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
# Base images, as debootstrap makes them: suite by name. It has a few packages more than the image "slim".
SUITES = {"debian:trixie-slim": "trixie"}
MIRROR = "http://deb.debian.org/debian"
NOT_RUN = (
    "`docker build` itself: its parser, its cache, layers and the size of the image",
    "the image debian:trixie-slim: debootstrap's minimal Debian of the same release stands for it",
    "HEALTHCHECK on Docker's clock: its command was run by hand",
    "Docker's seccomp and AppArmor profiles, its network and its volumes",
    "deploy/compose.yaml: PostgreSQL and mosquitto in containers",
)
# Where a build step finds the host's certificates, if the host has some of its own for the package index.
_CERTIFICATES = "/run/build-certificates.crt"


@dataclass
class Build:
    """Carries out stages, each in a folder of its own.

    Attributes:
        work: where the roots are.
        context: the folder that COPY takes from.
        ignored: what of it is left out.
    """

    work: Path
    context: Path
    ignored: Ignored

    def base(self, image: str, mirror: str) -> Path:
        """Return the root of a base image, made at first use."""
        if image not in SUITES:
            raise DockerfileError(f"FROM {image}: this script knows {', '.join(SUITES)}")
        root = self.work / f"base-{SUITES[image]}"
        if not (root / "etc" / "debian_version").exists() or (root / "debootstrap").exists():
            shutil.rmtree(root, ignore_errors=True)
            run(["debootstrap", "--variant=minbase", SUITES[image], str(root), mirror])
        return root

    def stage(self, stage: Stage, roots: Mapping[str, Path], mirror: str) -> Path:
        """Carry out a stage; return its root."""
        start = roots.get(stage.base) or self.base(stage.base, mirror)
        root = self.work / f"stage-{stage.name}"
        shutil.rmtree(root, ignore_errors=True)
        run(["cp", "-a", "--reflink=auto", str(start), str(root)])
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        for step in stage.steps:
            print(f"  line {step.line}: {step.name} {step.text[:90]}", flush=True)
            if step.name == "ENV":
                environment |= assignments(step)
            elif step.name == "RUN":
                self._run(step, root, environment)
            elif step.name == "COPY":
                self._copy(step, root, roots)
            elif step.name == "WORKDIR":
                (root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return root

    def _run(self, step: Step, root: Path, environment: Mapping[str, str]) -> None:
        command = step.words if step.text.startswith("[") else ["/bin/sh", "-c", step.text]
        inside = ["env", "-i", *(f"{name}={value}" for name, value in {**environment, **_given()}.items())]
        script = " && ".join(
            (
                f"mount -t proc proc {shlex.quote(str(root))}/proc",
                *_mounted_for_build(root),
                f"exec chroot {shlex.quote(str(root))} {shlex.join([*inside, *command])}",
            )
        )
        run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script])
        (root / _CERTIFICATES.lstrip("/")).unlink(missing_ok=True)

    def _copy(self, step: Step, root: Path, roots: Mapping[str, Path]) -> None:
        source, target = step.words
        if set(step.flags) - {"from"}:
            raise DockerfileError(f"line {step.line}: {', '.join(step.flags)} of COPY is not known here")
        into = root / target.lstrip("/")
        if "from" in step.flags:
            into.parent.mkdir(parents=True, exist_ok=True)
            origin = roots[step.flags["from"]] / source.lstrip("/")
            run(["cp", "-a", "--reflink=auto", str(origin), str(into)])
            return
        files = [
            file
            for file in context_files(self.context, self.ignored)
            if source == "." or file.as_posix() == source or file.as_posix().startswith(f"{source}/")
        ]
        if not files:
            raise DockerfileError(f"line {step.line}: COPY {source}: nothing is there, or all is ignored")
        for file in files:
            if file.as_posix() == source:
                place = into / file.name if target.endswith("/") else into
            else:
                place = into / (file if source == "." else file.relative_to(source))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.context / file, place)


def _given() -> dict[str, str]:
    """Return what the host knows of the package index, so that a build step behind a proxy finds it."""
    names = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    # A folder of wheels on the host is not there in the root.
    own = {name: value for name, value in os.environ.items() if name.startswith(names)}
    own.pop("PIP_FIND_LINKS", None)
    return own | ({"PIP_CERT": _CERTIFICATES} if "PIP_CERT" in own else {})


def _mounted_for_build(root: Path) -> list[str]:
    """Return the commands that give a build step /dev, name resolution and the host's certificates."""
    quoted = shlex.quote(str(root))
    commands = [f"mount --rbind /dev {quoted}/dev"]
    if Path("/etc/resolv.conf").exists():
        commands += [
            f"touch {quoted}/etc/resolv.conf",
            f"mount --bind -o ro /etc/resolv.conf {quoted}/etc/resolv.conf",
        ]
    certificates = os.environ.get("PIP_CERT", "")
    if certificates:
        inside = f"{quoted}{_CERTIFICATES}"
        commands += [f"touch {inside}", f"mount --bind -o ro {shlex.quote(certificates)} {inside}"]
    return commands


def run(command: Sequence[str]) -> None:
    """Run a command; its output is shown only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout[-8000:])
        raise SystemExit(f"ended with {done.returncode}: {shlex.join(command)[:300]}")


def build(stages: Sequence[Stage], work: Path, mirror: str) -> Path:
    """Carry out all stages; return the root of the last."""
    ignored = Ignored(DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8"))
    builder = Build(work, ROOT, ignored)
    roots: dict[str, Path] = {}
    for stage in stages:
        began = time.monotonic()
        print(f"stage {stage.name} FROM {stage.base}", flush=True)
        roots[stage.name] = builder.stage(stage, roots, mirror)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return roots[stages[-1].name]


def main() -> int:
    """Build, check, and say what was not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/padim-root"), help="folder of the roots")
    parser.add_argument("--mirror", default=MIRROR, help="Debian's packages")
    parser.add_argument("--check-only", action="store_true", help="check the root that is there")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        return _refused("only root may make a root")
    missing = [name for name in ("debootstrap", "unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return _refused(f"not installed: {', '.join(missing)}")
    stages = parse(DOCKERFILE.read_text(encoding="utf-8"))
    arguments.work.mkdir(parents=True, exist_ok=True)
    root = arguments.work / f"stage-{stages[-1].name}"
    if not arguments.check_only:
        root = build(stages, arguments.work, arguments.mirror)
    failed = 0
    checks: list[Callable[[Container], str]] = container_checks.CHECKS
    data = arguments.work / "data"
    shutil.rmtree(data, ignore_errors=True)
    container = Container.of(stages[-1], root, data)
    for check in checks:
        said = ""
        try:
            said = check(container)
            print(f"ok      {check.__doc__} {said}".rstrip(), flush=True)
        except (AssertionError, OSError, StopIteration, subprocess.SubprocessError) as error:
            failed += 1
            print(f"FAILED  {check.__doc__} {type(error).__name__}: {error}", flush=True)
    print("\nNot run:")
    for thing in NOT_RUN:
        print(f"- {thing}")
    return 1 if failed else 0


def _refused(reason: str) -> int:
    print(f"container_root: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
