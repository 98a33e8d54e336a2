"""The pages of the application in the order of work, their tabs, and where former addresses lead."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MOVED", "PAGES", "AppPage", "PageTab", "page_of"]

# What the pages of a group are about, as the sidebar says it.
_MODEL, _INSPECTION, _SERVER = "Model", "Inspection", "Server"


@dataclass(frozen=True)
class PageTab:
    """One tab of a page.

    Attributes:
        key: its name in the address, as in ``?tab=region``.
        label: its name on screen.
    """

    key: str
    label: str


@dataclass(frozen=True)
class AppPage:
    """One page of the application.

    Attributes:
        path: its file, relative to the entry point.
        label: its name in the sidebar and its heading.
        icon: its icon in the sidebar.
        lead: one sentence that states its purpose.
        group: the heading that it stands below in the sidebar; pages of a group follow each other.
        tabs: its tabs; empty if it has none.
    """

    path: str
    label: str
    icon: str
    lead: str
    group: str
    tabs: tuple[PageTab, ...] = ()


PAGES = (
    AppPage(
        "home.py",
        "Models",
        ":material/home:",
        "Fit on images of good parts, set a threshold with the expected false rejects, then review test "
        "images.",
        _MODEL,
        (
            PageTab("models", "Models"),
            PageTab("versions", "Versions"),
            PageTab("part-numbers", "Part numbers"),
        ),
    ),
    AppPage(
        "pages/fit.py",
        "Fit",
        ":material/deployed_code:",
        "Fit a model on images of good parts alone: it learns what good looks like, place by place.",
        _MODEL,
        (PageTab("images", "Images"), PageTab("result", "Result"), PageTab("region", "Region")),
    ),
    AppPage(
        "pages/calibrate.py",
        "Calibrate",
        ":material/tune:",
        "Move the threshold on real images, and read what it will cost.",
        _MODEL,
        (PageTab("threshold", "Threshold"), PageTab("repeatability", "Repeatability")),
    ),
    AppPage(
        "pages/validate.py",
        "Validate",
        ":material/rule:",
        "Find out what the model catches and tolerates, on images that it was not fitted on.",
        _MODEL,
        (
            PageTab("test-set", "Test set"),
            PageTab("second-session", "Second session"),
            PageTab("smallest-defect", "Smallest defect"),
            PageTab("light-and-fixture", "Light and fixture"),
        ),
    ),
    AppPage(
        "pages/compare.py",
        "Compare",
        ":material/compare_arrows:",
        "For experts: methods, layers and networks on the same images; which is better by more than chance.",
        _MODEL,
    ),
    AppPage(
        "pages/inspect.py",
        "Inspect",
        ":material/search:",
        "Drop test images: each is scored once, and decided by the threshold in use.",
        _INSPECTION,
        (PageTab("run", "Run"), PageTab("review", "Review"), PageTab("learn", "Learn")),
    ),
    AppPage(
        "pages/records.py",
        "Records",
        ":material/fact_check:",
        "What was inspected, with which result, and what people decided: find it, look at it, take it along.",
        _INSPECTION,
        (PageTab("records", "Records"), PageTab("figures", "Figures")),
    ),
    AppPage(
        "pages/line.py",
        "Line",
        ":material/conveyor_belt:",
        "Inspect without anybody at a screen: watched folders, machines that are sent the results, and a "
        "service for other programs.",
        _INSPECTION,
        (
            PageTab("watches", "Watched folders"),
            PageTab("connections", "Connections"),
            PageTab("service", "Service"),
        ),
    ),
    AppPage(
        "pages/settings.py",
        "Settings",
        ":material/settings:",
        "The settings and limits that this server runs with, and where each comes from; a backup of all it "
        "keeps.",
        _SERVER,
        (PageTab("settings", "Settings"), PageTab("backup", "Backup")),
    ),
)

# Addresses of pages that have become tabs of others, which links in mails and bookmarks still name.
MOVED = {
    "region": ("fit", "region"),
    "checks": ("calibrate", "repeatability"),
    "evaluate": ("validate", "test-set"),
    "sensitivity": ("validate", "smallest-defect"),
    "robustness": ("validate", "light-and-fixture"),
}


def page_of(path: str) -> AppPage:
    """Return the page with this file.

    Raises:
        KeyError: there is none.
    """
    for page in PAGES:
        if page.path == path:
            return page
    raise KeyError(path)
