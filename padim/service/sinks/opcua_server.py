"""An OPC UA server that shows the state of a line, and inspects a file when a client asks for it."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from asyncua import Server, ua, uamethod
from asyncua.crypto.permission_rules import User, UserRole

from padim.errors import PadimError
from padim.records.sink_parts import ChallengeSettings
from padim.service.sinks.line_state import VERDICT_CODES, LineState
from padim.service.sinks.loop_thread import LoopThread, free_port
from padim.service.sinks.opcua_nodes import NODES, node_values

__all__ = ["NAMESPACE", "OpcUaServer", "OpcUaServerOptions", "SecurityMode"]

NAMESPACE = "urn:padim:inspection"
# Another than the namespace, because the specification gives the server's own the index 1; so ours is 2.
_APPLICATION = "urn:padim:inspection:server"
_BEAT_SECONDS = 1.0
_START_SECONDS = 120.0
_CALL_SECONDS = 20.0
# Result of a request to inspect: the document, with "error" where there is none.
Trigger = Callable[[Mapping[str, Any]], Mapping[str, Any]]
SecurityMode = Literal["none", "sign_and_encrypt"]
# The modern policies only; Basic128Rsa15 and Basic256 are broken and not offered.
_POLICIES: Mapping[str, tuple[ua.SecurityPolicyType, ...]] = {
    "none": (ua.SecurityPolicyType.NoSecurity,),
    "sign_and_encrypt": (
        ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
        ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
    ),
}


@dataclass(frozen=True)
class OpcUaServerOptions:
    """Where the server listens, and whom it lets in.

    Attributes:
        host, port: its address; port 0: any that is free.
        security: whether clients must sign and encrypt.
        users: passwords by user name; without users everybody is let in.
        cert_file, key_file: its certificate and key, made at the first start if neither is there; needed for
            security.
        challenges: which inspections are of challenge parts.
        acknowledge: whether a client has to write the sequence number of each result to
            ``LastResult.Acknowledged`` before the next one is shown.
    """

    host: str = "127.0.0.1"
    port: int = 4840
    security: SecurityMode = "none"
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    cert_file: Path | None = None
    key_file: Path | None = None
    challenges: ChallengeSettings = field(default_factory=ChallengeSettings)
    acknowledge: bool = False


class _Users:
    """Lets in whoever knows a user's password; everybody if there are no users."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = dict(users)

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        if not self._users:
            return User(role=UserRole.User)
        # Compared also for an unknown name, so that the time taken does not tell which names there are.
        expected = self._users.get(username or "")
        given = password.decode("utf-8", "replace") if isinstance(password, bytes) else password or ""
        same = hmac.compare_digest((expected or "").encode(), given.encode())
        return User(role=UserRole.User, name=username) if same and expected else None


class OpcUaServer:
    """The server; it runs in a thread of its own between :meth:`start` and :meth:`stop`.

    Args:
        options: where it listens, and whom it lets in.
        trigger: inspects a file; None: clients cannot ask for it.
    """

    def __init__(self, options: OpcUaServerOptions, trigger: Trigger | None = None) -> None:
        self._options = options
        self._trigger = trigger
        self._thread: LoopThread | None = None
        self._server: Server | None = None
        self._nodes: dict[str, Any] = {}
        self._beat = 0
        self._state = LineState()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = options.port

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"opc.tcp://{self._options.host}:{self.port}/padim/"

    def start(self, state: LineState | None = None) -> None:
        """Listen, and show a state; returns when clients can connect.

        Raises:
            PadimError: it cannot listen there, or has no certificate; the message says why.
        """
        # The library logs each connection, and the whole traceback when a port is taken.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        self._thread = LoopThread("opc-ua-server")
        try:
            self._thread.run(self._start(state or LineState()), _START_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            self.stop()
            raise PadimError(
                f"the OPC UA server cannot listen on {self._options.host}:{self._options.port} "
                f"({error}); choose a port that no other program uses"
            ) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Disconnect clients and stop listening; calling it again does nothing."""
        thread, server = self._thread, self._server
        self._thread = self._server = None
        if thread is None:
            return
        try:
            if server is not None:
                thread.run(self._stop(server), _CALL_SECONDS)
        finally:
            thread.stop()

    def show(self, state: LineState) -> None:
        """Show a state: all of its variables, the sequence number last.

        Raises:
            PadimError: the server does not run.
        """
        self._running().run(self._write(state), _CALL_SECONDS)

    def is_acknowledged(self, state: LineState) -> bool:
        """Return whether a client has acknowledged the last result of a state."""

        async def read() -> int:
            return int(await self._nodes["LastResult.Acknowledged"].read_value())

        return self._running().run(read(), _CALL_SECONDS) == state.sequence

    def problem(self) -> str:
        """Return why it no longer works; empty while it does."""
        if self._thread is None or self._server is None:
            return "the OPC UA server does not run"
        # The heartbeat ends only if the server can no longer be used.
        ended = [task for task in self._tasks if task.done()]
        return "the OPC UA server has stopped working" if ended else ""

    def _running(self) -> LoopThread:
        if self._thread is None or self._server is None:
            raise PadimError("the OPC UA server does not run")
        return self._thread

    async def _start(self, state: LineState) -> None:
        options = self._options
        if not options.port:
            self.port = free_port(options.host)
        else:
            _try_to_listen(options.host, options.port)  # first, because to prepare the server takes seconds
        if options.security != "none":
            self._certificate_files()
        server = Server(user_manager=_Users(options.users))
        await server.init()
        server.set_endpoint(self.url)
        server.set_server_name("PaDiM inspection")
        await server.set_application_uri(_APPLICATION)
        server.set_security_policy(list(_POLICIES[options.security]))
        server.set_identity_tokens([ua.UserNameIdentityToken if options.users else ua.AnonymousIdentityToken])
        if options.security != "none":
            await self._load_certificate(server)
        index = await server.register_namespace(NAMESPACE)
        await self._build(server, index)
        await self._write(state)
        await server.start()
        self._server = server
        self._tasks = {asyncio.create_task(self._heartbeat())}
        if self._trigger is not None:
            self._tasks.add(asyncio.create_task(self._requests()))

    async def _stop(self, server: Server) -> None:
        for task in self._tasks:
            task.cancel()
        await server.stop()

    def _certificate_files(self) -> tuple[Path, Path]:
        certificate, key = self._options.cert_file, self._options.key_file
        if certificate is None or key is None:
            raise PadimError("the OPC UA server needs files for certificate and key, or security: none")
        if certificate.is_file() != key.is_file():
            there, gone = (certificate, key) if certificate.is_file() else (key, certificate)
            raise PadimError(f"{gone}: is not there, though {there} is; put both there, or neither")
        return certificate, key

    async def _load_certificate(self, server: Server) -> None:
        from cryptography.x509.oid import ExtendedKeyUsageOID

        certificate, key = self._certificate_files()
        if not key.is_file():
            for file in (certificate, key):
                file.parent.mkdir(parents=True, exist_ok=True)
            from asyncua.crypto.cert_gen import setup_self_signed_certificate

            await setup_self_signed_certificate(
                key,
                certificate,
                _APPLICATION,
                socket.gethostname(),
                [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
                {"commonName": "PaDiM inspection", "organizationName": "PaDiM inspection"},
            )
            key.chmod(0o600)
        try:
            await server.load_certificate(certificate)
            await server.load_private_key(key)
        except (ValueError, TypeError) as error:
            raise PadimError(
                f"{certificate} or {key}: is no certificate or key that can be read ({error})"
            ) from error

    async def _build(self, server: Server, index: int) -> None:
        top = await server.nodes.objects.add_object(ua.NodeId("Inspection", index), f"{index}:Inspection")
        groups: dict[str, Any] = {}
        more: list[tuple[str, str, Any]] = [(node.path, node.type, _empty(node.type)) for node in NODES]
        more += [
            ("Status.Heartbeat", "UInt32", 0),
            ("Status.Running", "Boolean", True),
            ("LastResult.Acknowledged", "UInt32", 0),
        ]
        if self._trigger is not None:
            more += [("Trigger.Request", "String", ""), ("Trigger.Answer", "String", "")]
            more += [("Trigger.Answered", "UInt32", 0)]
        for path, kind, value in more:
            group, name = path.split(".")
            if group not in groups:
                groups[group] = await top.add_object(
                    ua.NodeId(f"Inspection.{group}", index), f"{index}:{group}"
                )
            self._nodes[path] = await groups[group].add_variable(
                ua.NodeId(f"Inspection.{path}", index),
                f"{index}:{name}",
                value,
                getattr(ua.VariantType, kind),
            )
        if self._options.acknowledge:
            await self._nodes["LastResult.Acknowledged"].set_writable()
        if self._trigger is not None:
            await self._nodes["Trigger.Request"].set_writable()
            await groups["Trigger"].add_method(
                ua.NodeId("Inspection.Trigger.Inspect", index),
                f"{index}:Inspect",
                self._inspect_method(),
                [
                    _argument("Path", "file to inspect, below the allowed folder"),
                    _argument("Serial"),
                    _argument("PartNumber", "chooses the model, if the server is set up so"),
                ],
                [
                    _argument("Id"),
                    _argument("Verdict"),
                    _argument("VerdictCode", kind=ua.ObjectIds.UInt16),
                    _argument("Score", kind=ua.ObjectIds.Double),
                    _argument("Error", "why there is no result; empty if there is one"),
                ],
            )

    async def _write(self, state: LineState) -> None:
        self._state = state
        for path, (kind, value) in node_values(state, self._options.challenges).items():
            await self._put(path, kind, _empty(kind) if value is None else value)

    async def _put(self, path: str, kind: str, value: Any) -> None:
        if isinstance(value, datetime):
            value = value.astimezone(UTC).replace(tzinfo=None)  # as the library wants it
        await self._nodes[path].write_value(ua.Variant(value, getattr(ua.VariantType, kind)))

    async def _heartbeat(self) -> None:
        while True:
            self._beat = (self._beat + 1) % 2**32
            await self._put("Status.Heartbeat", "UInt32", self._beat)
            # A challenge falls due by time alone.
            values = node_values(self._state, self._options.challenges)
            for path in ("Challenge.State", "Challenge.StateCode"):
                await self._put(path, *values[path])
            await asyncio.sleep(_BEAT_SECONDS)

    async def _requests(self) -> None:
        """Answer what is written to ``Trigger.Request``; the variable is emptied with the answer."""
        queue: asyncio.Queue[str] = asyncio.Queue()

        class Written:
            def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
                if value:
                    queue.put_nowait(str(value))

        assert self._server is not None
        subscription = await self._server.create_subscription(50, Written())
        await subscription.subscribe_data_change(self._nodes["Trigger.Request"])
        answered = 0
        while True:
            request = await queue.get()
            answer = await self._ask(_request_of(request))
            answered = answered % (2**32 - 1) + 1
            await self._put("Trigger.Answer", "String", json.dumps(answer, ensure_ascii=False))
            await self._put("Trigger.Request", "String", "")
            await self._put("Trigger.Answered", "UInt32", answered)

    def _inspect_method(self) -> Any:
        @uamethod
        async def inspect(parent: Any, path: str, serial: str, part_number: str) -> tuple[Any, ...]:
            answer = await self._ask({"path": path, "serial": serial, "part_number": part_number})
            score = answer.get("score")
            verdict = str(answer.get("verdict") or "")
            return (
                str(answer.get("id") or ""),
                verdict,
                ua.Variant(VERDICT_CODES.get(verdict, 4), ua.VariantType.UInt16),
                ua.Variant(float("nan") if score is None else float(score), ua.VariantType.Double),
                str(answer.get("error") or ""),
            )

        return inspect

    async def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have a file inspected outside of the loop, which goes on serving meanwhile."""
        assert self._trigger is not None
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._trigger, request)
        except Exception as error:  # a client learns of it; the server goes on
            return {"error": str(error) or type(error).__name__}


def _request_of(text: str) -> dict[str, Any]:
    """Return a request that was written as JSON, or as nothing but a path."""
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            return {"path": text}
        return found if isinstance(found, dict) else {"path": text}
    return {"path": text}


def _empty(kind: str) -> Any:
    return {
        "String": "",
        "Double": float("nan"),
        "Boolean": False,
        "DateTime": datetime(1970, 1, 1),  # as the library wants it
    }.get(kind, 0)


def _argument(name: str, meaning: str = "", kind: int = ua.ObjectIds.String) -> ua.Argument:
    argument = ua.Argument()
    argument.Name = name
    argument.DataType = ua.NodeId(kind)
    argument.ValueRank = -1
    argument.ArrayDimensions = []
    argument.Description = ua.LocalizedText(meaning)
    return argument


def _try_to_listen(host: str, port: int) -> None:
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
        pass
