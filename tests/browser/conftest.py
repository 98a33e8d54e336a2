"""A served app and a real browser for the tests of this folder.

Without Chromium they are skipped, and say so; where the environment variable ``CI`` is set they fail instead,
so that they cannot be skipped for good unnoticed. A failed test leaves a screenshot of every page it had open
and the server's log in ``test-artifacts/``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import served
from padim import Padim, PadimConfig, Workspace
from padim.analysis.health import FILE, Health
from padim.storage.model_folders import Entry
from tests.browser.looking import PATIENCE, Visitor, require_chromium
from tests.parts import normals
from tests.posed import any_pose
from ui import health

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

ARTIFACTS = served.ROOT / "test-artifacts"
_OUTCOME = pytest.StashKey[bool]()

Start = Callable[..., served.Server]
Visit = Callable[[served.Server], Visitor]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note on each test whether it failed, for the fixtures that clear up after it."""
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        item.stash[_OUTCOME] = True
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder are browser tests."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


# A module, not the session: Playwright keeps an event loop running in this thread for as long as it is open.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of a module."""
    require_chromium()
    with served.launched() as found:
        yield found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of this module's servers."""
    return tmp_path_factory.mktemp("browser") / "home"


@pytest.fixture(scope="module")
def start(home: Path) -> Iterator[Start]:
    """Starts servers on the module's workspace; they end with the module at the latest."""
    # What a server writes lies below one folder: workspace, temporary files, log.
    temporary = home.parent / "tmp"
    temporary.mkdir()
    with ExitStack() as running:

        def starting(
            *, command: tuple[str, ...] = served.APP, port: int | None = None, **environment: str
        ) -> served.Server:
            return running.enter_context(
                served.serving(
                    command,
                    log=home.parent / "server.log",
                    environment={"PADIM_HOME": str(home), "TMPDIR": str(temporary), **environment},
                    patience=PATIENCE / 1000,
                    port=port,
                )
            )

        yield starting


def sound(entry: Entry) -> Entry:
    """Store a check that found nothing, so that the pages make none while a test looks at other things."""
    Health((), health.state_of(entry)).write(entry.path / FILE)
    return entry


@pytest.fixture(scope="module")
def small_entry(home: Path, small_model: Padim) -> Entry:
    """A model in the module's workspace that took no time to fit: 22 good parts of ``tests.parts``."""
    return _plate(home, small_model, "Small plate")


@pytest.fixture
def own_entry(home: Path, small_model: Padim) -> Entry:
    """The model of ``small_entry`` for one test alone: nothing in its image library, its first threshold."""
    return _plate(home, small_model, "Own plate")


def _plate(home: Path, small_model: Padim, name: str) -> Entry:
    store = Workspace(home)
    entry = store.create(name)
    shutil.copytree(small_model.working_set.folder, store.work_dir(entry.id))
    small_model.save(entry.path)
    return sound(store.get(entry.id))


@pytest.fixture(scope="module")
def tall_entry(home: Path) -> Entry:
    """A model of upright parts, whose maps are 160 map pixels high and 64 wide."""
    store = Workspace(home)
    entry = store.create("Tall plate")
    config = PadimConfig(input_size=(160, 64), grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8)
    Padim(config, work_dir=store.work_dir(entry.id)).fit(normals(22, size=(250, 100))).save(entry.path)
    return sound(store.get(entry.id))


@pytest.fixture(scope="module")
def turned_entry(home: Path) -> Entry:
    """A model of parts that lie at any angle, located by their outline."""
    store = Workspace(home)
    entry = store.create("Turned plate")
    model = Padim(
        align="outline",
        input_size=128,
        grid_stride=8,
        n_features=20,
        smoothing_sigma=2,
        min_area=4,
        work_dir=store.work_dir(entry.id),
    )
    model.fit(any_pose(16)).save(entry.path)
    return sound(store.get(entry.id))


def _session(browser: Browser) -> BrowserContext:
    return browser.new_context(
        viewport={"width": 1440, "height": 1000}, accept_downloads=True, reduced_motion="reduce"
    )


@pytest.fixture(scope="module")
def session(browser: Browser) -> Iterator[BrowserContext]:
    """The first session of each test, which forgets what the test before has left.

    It keeps the files of the page's own program, which takes a browser longer to compile than to run.
    """
    found = _session(browser)
    yield found
    found.close()


def _forget(session: BrowserContext, server: served.Server) -> None:
    """Remove what a page has stored in a browser session: cookies, and everything of the server's origin."""
    session.clear_cookies()
    page = session.new_page()
    session.new_cdp_session(page).send(
        "Storage.clearDataForOrigin",
        {"origin": server.url, "storageTypes": "local_storage,indexeddb,cache_storage,service_workers"},
    )
    page.close()


@pytest.fixture
def visit(
    browser: Browser, session: BrowserContext, home: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[served.Server], Visitor]]:
    """Opens a fresh browser session: no cookies, no memory of others.

    Nothing a page does may leave this machine: at the end every request of every visit is looked at.
    """
    visitors: list[Visitor] = []

    def opened(server: served.Server) -> Visitor:
        context = _session(browser) if visitors else session
        visitors.append(Visitor(context.new_page(), server))
        return visitors[-1]

    try:
        yield opened
        if not request.node.stash.get(_OUTCOME, False):
            for visitor in visitors:
                visitor.check_stayed_here()
    finally:
        if request.node.stash.get(_OUTCOME, False):
            _keep_evidence(visitors, home.parent / "server.log", request.node.nodeid)
        for visitor in visitors:
            context = visitor.page.context
            if context is not session:
                context.close()
                continue
            visitor.leave()
            for page in context.pages:
                page.close()
            _forget(context, visitor.server)


def _keep_evidence(visitors: list[Visitor], log: Path, test: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "_", test.removeprefix("tests/browser/"))[:120]
    for i, visitor in enumerate(visitors):
        visitor.page.screenshot(path=ARTIFACTS / f"{stem}-{i}.png", full_page=True)
    if log.exists():
        shutil.copy(log, ARTIFACTS / f"{stem}.log")
