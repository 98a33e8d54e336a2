"""The ``app`` command: start the web application, from a checkout or from an installed package."""

from __future__ import annotations

from typing import Annotated

import typer

from padim.cli.terminal import Terminal
from padim.errors import MissingExtraError
from padim.extras import install_command, installed


def web_app(
    terminal: Terminal,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on; default this machine only. 0.0.0.0 makes it available to other "
            "machines: there are no accounts, so anyone who can reach it can see, change and delete every "
            "model.",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Port to listen on; default 8501.")
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Do not open a browser, for servers without a display.")
    ] = False,
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTION...]",
            help="Further Streamlit options after --, such as -- --server.baseUrlPath inspection",
        ),
    ] = None,
) -> None:
    """Start the web application; it runs until Ctrl-C.

    Models are kept in PADIM_HOME; if it is not set, in the folder workspace of a checkout, or in the user's
    data folder for an installed package.
    """
    if not installed("streamlit"):
        raise MissingExtraError(
            f"the web application needs Streamlit, which is not installed; run: {install_command('app')}"
        )
    from streamlit.web import cli as streamlit

    from padim.installation import application_folder

    # Streamlit puts the script's folder on the module path, and reads the settings in .streamlit beside it.
    command = ["run", str(application_folder() / "app.py")]
    if address is not None:
        command += ["--server.address", address]
    if port is not None:
        command += ["--server.port", str(port)]
    if headless:
        command += ["--server.headless", "true"]
    streamlit.main([*command, *(options or ())], prog_name="streamlit", standalone_mode=False)
