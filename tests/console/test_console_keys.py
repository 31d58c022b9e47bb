"""The console where keys are on: what each key sees, and that none is copied."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from deployments.router.router import Router
from tests.access.keys import write_keys
from tests.console.conftest import at_work
from tests.serving import FakeCluster
from tests.upstream.faulty import FaultyUpstream


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    return write_keys(tmp_path / "keys.yaml", boss={"admin": True}, guest={"models": ["second"]})


@pytest.fixture
async def router(
    faulty: FaultyUpstream, cluster: FakeCluster, keys: dict[str, str], tmp_path: Path
) -> AsyncIterator[Router]:
    assert keys
    async with at_work(faulty, cluster, access={"keys": str(tmp_path / "keys.yaml")}) as router:
        yield router


async def enter(page: Page, key: str) -> None:
    await page.locator("#key").fill(key)
    await page.locator("#key").press("Tab")


async def test_a_key_without_the_status_has_the_playground_with_the_models_that_it_may_name(
    page: Page, keys: dict[str, str]
) -> None:
    await expect(page.locator("#summary")).to_contain_text("asks for a key")
    await enter(page, keys["guest"])
    await expect(page.locator("#summary")).to_contain_text("no administrator")
    await page.get_by_role("link", name="Playground").click()

    await expect(page.locator("#model option")).to_have_text(["the service's default", "second"])
    await page.locator("#model").select_option("second")
    await page.get_by_role("button", name="Ask").click()
    await expect(page.locator("#writers")).to_contain_text("second (primary)")

    await enter(page, keys["boss"])
    await expect(page.locator("#summary")).to_have_text("All is well.")
    await expect(page.locator("#model option")).to_have_text(["the service's default", "first", "second"])


@pytest.mark.parametrize("program", ["Copy as curl", "Python", "TypeScript"])
async def test_a_copied_program_reads_the_key_from_its_environment(
    page: Page, keys: dict[str, str], program: str
) -> None:
    await enter(page, keys["guest"])
    await page.get_by_role("link", name="Playground").click()
    await page.get_by_role("button", name=program).click()
    await expect(page.locator("#copied")).to_have_text("Copied.")

    copied = await page.evaluate("navigator.clipboard.readText()")

    assert "NEVERBLANK_KEY" in copied
    assert keys["guest"] not in copied
