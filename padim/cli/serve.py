"""The ``serve`` command: the REST service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import summary
from padim.cli.terminal import Terminal
from padim.errors import MissingExtraError, PadimError
from padim.extras import install_command, installed

if TYPE_CHECKING:
    from padim.service.rest.server import RunningService

_LIMITS = "Limits"
_ACCESS = "Who may use it"


def serve(
    terminal: Terminal,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="The model of requests that name none: the path of a saved model, or the id, name or part "
            "number of one of the workspace.",
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on; default this machine only. Any other needs a key with each request.",
            rich_help_panel=_ACCESS,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0: any.")
    ] = 8600,
    allow_root: Annotated[
        list[Path] | None,
        typer.Option(
            "--allow-root",
            metavar="DIR",
            help="Folder below which requests may name images by their path; may be repeated.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="Name under which a proxy asks for the service; may be repeated.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    require_key: Annotated[
        bool,
        typer.Option(
            "--require-key", help="Need a key on this machine, too (padim keys add).", rich_help_panel=_ACCESS
        ),
    ] = False,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            metavar="FILE",
            help="Certificate in PEM format, for HTTPS.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    private_key: Annotated[
        Path | None,
        typer.Option(
            "--private-key", metavar="FILE", help="Its private key in PEM format.", rich_help_panel=_ACCESS
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Put results on record in the workspace.")
    ] = True,
    sinks: Annotated[
        bool, typer.Option("--sinks/--no-sinks", help="Deliver results to the workspace's sinks, too.")
    ] = True,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=16, metavar="N", help="Threads that inspect.")
    ] = 2,
    upload_megabytes: Annotated[
        float,
        typer.Option(
            "--upload-megabytes", min=0.001, metavar="MB", help="Largest image file.", rich_help_panel=_LIMITS
        ),
    ] = 64,
    request_megabytes: Annotated[
        float,
        typer.Option(
            "--request-megabytes", min=0.001, metavar="MB", help="Largest request.", rich_help_panel=_LIMITS
        ),
    ] = 256,
    batch_images: Annotated[
        int,
        typer.Option(
            "--batch-images", min=1, metavar="N", help="Most images of a request.", rich_help_panel=_LIMITS
        ),
    ] = 100,
    queue_images: Annotated[
        int,
        typer.Option(
            "--queue-images",
            min=1,
            metavar="N",
            help="Most images that wait; beyond that requests are told to come later (503).",
            rich_help_panel=_LIMITS,
        ),
    ] = 256,
    waiting_megabytes: Annotated[
        float,
        typer.Option(
            "--waiting-megabytes",
            min=1,
            metavar="MB",
            help="Size of all requests that wait.",
            rich_help_panel=_LIMITS,
        ),
    ] = 1024,
    images_per_minute: Annotated[
        int,
        typer.Option(
            "--images-per-minute",
            min=0,
            metavar="N",
            help="Most images of one client; 0: no limit.",
            rich_help_panel=_LIMITS,
        ),
    ] = 12_000,
    receive_seconds: Annotated[
        float,
        typer.Option(
            "--receive-seconds",
            min=0.1,
            metavar="S",
            help="Time in which a request must arrive.",
            rich_help_panel=_LIMITS,
        ),
    ] = 60,
) -> None:
    """Start the service that inspects images sent by other programs; it runs until Ctrl-C.

    Results are put on record in the workspace (PADIM_HOME) as those of the app. Told to stop, it finishes the
    requests that it has taken. The largest image in pixels is set by PADIM_MAX_MEGAPIXELS.
    """
    _check_installed()
    if (certificate is None) != (private_key is None):
        raise PadimError("--certificate and --private-key belong together; give both or neither")
    # Imported here, because the help needs none of it.
    from padim.installation import workspace_folder
    from padim.service.logs import configure_logs
    from padim.service.rest.limits import ServiceLimits
    from padim.service.rest.server import RunningService, ServiceOptions

    configure_logs(quiet=terminal.quiet)
    limits = ServiceLimits(
        upload_megabytes,
        request_megabytes,
        batch_images,
        queue_images,
        waiting_megabytes,
        images_per_minute,
        receive_seconds,
    )
    options = ServiceOptions(
        root=workspace_folder(),
        target=target,
        address=address,
        port=port,
        allow_roots=tuple(allow_root or ()),
        allowed_hosts=tuple(allowed_host or ()),
        require_key=require_key,
        record=record,
        sinks=sinks,
        threads=workers,
        certificate=certificate,
        private_key=private_key,
        limits=limits,
    )
    service = RunningService(options)
    _say_what_is_odd(terminal, service)
    document: dict[str, Any] = {
        "url": service.url,
        "workspace": str(options.root),
        "model": None if service.model is None else service.model.model_id,
        "key_needed": options.needs_key,
    }
    service.run(lambda: _started(terminal, document))


def _started(terminal: Terminal, document: dict[str, Any]) -> None:
    terminal.result(
        document,
        f"Listening on {document['url']} for the workspace {summary.plain(str(document['workspace']))}; "
        "Ctrl-C stops",
    )
    sys.stdout.flush()  # whoever has started it may wait for this line


def _say_what_is_odd(terminal: Terminal, service: RunningService) -> None:
    """Say what a user may not expect of the service, before it starts."""
    from padim.records.api_keys import ApiKeys

    options, model = service.options, service.model
    if options.needs_key and not any(key.revoked is None for key in ApiKeys(options.root).all()):
        terminal.warn("there is no key yet, so that every request is refused; make one: padim keys add NAME")
    if not options.local and options.certificate is None:
        terminal.note(
            "keys and images travel unencrypted; put a proxy with TLS in front, or give --certificate and "
            "--private-key"
        )
    if model is not None and model.note:
        terminal.note(model.note)
    if model is not None and model.root is None:
        terminal.note(f"{options.target}: is outside of a workspace, so that nothing is put on record")


def _check_installed() -> None:
    needed = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
    missing = [name for name in needed if not installed(name)]
    if missing:
        raise MissingExtraError(
            f"the service needs packages that are not installed ({', '.join(missing)}); run: "
            f"{install_command('service')}"
        )
