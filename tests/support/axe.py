"""axe-core in a page: what keeps people who use a screen reader, a keyboard or their own colours from a part of it.

assert violations(page, ".qstate-panel") == []
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

GRAVE = ("serious", "critical")


def violations(page: Page, selector: str, impacts: tuple[str, ...] = GRAVE) -> list[str]:
    """Return the violations inside what the selector finds, a line for each element and rule.

    ``impacts`` are those that count: minor, moderate, serious, critical.
    """
    from axe_playwright_python.sync_playwright import Axe  # not installed everywhere

    page.locator(selector).first.wait_for()
    found: list[dict[str, Any]] = Axe().run(page, selector).response["violations"]
    return [_line(rule, node) for rule in found if rule["impact"] in impacts for node in rule["nodes"]]


def _line(rule: dict[str, Any], node: dict[str, Any]) -> str:
    reasons = [check["message"] for check in [*node["any"], *node["all"], *node["none"]]]
    html = " ".join(node["html"].split())
    return f"{rule['impact']} {rule['id']}: {'; '.join(reasons)}: {html[:160]}"
