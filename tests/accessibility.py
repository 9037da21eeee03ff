"""What axe-core, the rules of accessibility that browsers' own tools use, finds in a page."""

from typing import Any


def violations(page: Any) -> list[str]:
    """Return a line for each place that breaks one of axe-core's rules, best practices included."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:120]}: {node['failureSummary']}" for each in found for node in each["nodes"]]
