"""Every view of the console, in Chromium, before a whole router with two remote models."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page, expect

from deployments.request.acts import Act, ActKind
from deployments.router.router import Router
from tests.console.conftest import Picture
from tests.router.test_drills import ask
from tests.serving import FakeCluster
from tests.upstream.exchange import TEXT

DRAIN_FIRST = Act(ActKind.DRAIN, "first")
HEARD_BY_ONE = {"routers": 1, "unheard": {"r2": "it is away"}}
PHONE = 400
"""The width of a narrow screen, in pixels."""


async def test_now_shows_the_models_and_how_a_fallback_came_about(page: Page, router: Router, picture: Picture) -> None:
    await expect(page.locator("#models")).to_contain_text("first")
    await ask(router, tiers=["primary"], model="nobody")
    router._answering.hands.do(DRAIN_FIRST, 1.0)
    await ask(router)

    fallback = page.locator("#fallbacks details").filter(has_text="first → second")
    await fallback.locator("summary").click()

    await expect(fallback.locator("svg.timeline")).to_contain_text("first: refused")
    await expect(fallback).to_contain_text("drained by the operator")
    await picture("now")


async def test_now_says_that_the_head_is_away_and_that_what_it_shows_is_from_before(
    page: Page, cluster: FakeCluster, picture: Picture
) -> None:
    await expect(page.locator("#models caption")).to_have_text("Models")
    await expect(page.locator("#summary")).to_have_text("All is well.")
    cluster.trouble = ConnectionError("nobody answers")

    await expect(page.locator("#problems li.error").first).to_contain_text("head has not answered")
    await expect(page.locator("#models caption")).to_contain_text("the head is away")
    await expect(page.locator("#models")).to_contain_text("first")
    await picture("head-away")


async def test_the_playground_colours_who_wrote_which_part_of_a_stream_that_was_continued(
    page: Page, picture: Picture
) -> None:
    await page.get_by_role("link", name="Playground").click()
    await page.locator("#model").select_option("first")
    await page.locator("#fault").fill("cut:4@first")
    await page.get_by_role("button", name="Ask").click()

    await expect(page.locator("#trace")).to_contain_text("drill: an injected break", timeout=10_000)
    marks = page.locator("#answer mark")
    texts = await marks.all_text_contents()
    colours = [await mark.get_attribute("class") for mark in await marks.all()]

    assert "".join(texts) == TEXT
    assert len(set(colours)) == len(texts) > 1
    await picture("playground")


async def test_the_hands_drain_a_model_and_the_router_asks_it_no_more(
    page: Page, router: Router, picture: Picture
) -> None:
    await page.get_by_role("link", name="Hands").click()
    await page.get_by_role("button", name="Drain: first").click()
    await expect(page.locator("#done")).to_contain_text("Done")

    assert router.describe()["interventions"]["holds"] == {"first": "drained"}
    await expect(page.locator("#levers")).to_contain_text("drained")
    await picture("hands")


async def test_an_act_that_a_router_has_not_heard_of_is_not_told_as_done_everywhere(page: Page) -> None:
    await page.route("**/admin/acts", lambda route: route.fulfill(status=202, json=HEARD_BY_ONE))
    await page.get_by_role("link", name="Hands").click()
    await page.get_by_role("button", name="Drain: first").click()

    await expect(page.locator("#done")).to_have_text("Done in 1 router. Not heard by r2 (it is away).")
    await expect(page.locator("#done")).to_have_class("bad")


async def test_who_asks_again_gets_one_answer_and_not_two_in_each_other(page: Page) -> None:
    await page.get_by_role("link", name="Playground").click()
    await page.locator("#model").select_option("first")
    await page.locator("#fault").fill("crawl@first")
    await page.get_by_role("button", name="Ask").click()
    await expect(page.locator("#answer mark").first).to_be_visible()
    await page.locator("#fault").fill("")
    await page.get_by_role("button", name="Ask").click()

    await expect(page.locator("#trace")).to_contain_text("primary: first", timeout=10_000)
    await asyncio.sleep(1.5)  # in which the first answer would write on
    assert await page.locator("#answer").text_content() == TEXT
    await expect(page.locator("#stop")).to_be_disabled()


async def test_all_views_are_reached_and_used_by_keyboard(page: Page, router: Router) -> None:
    await expect(page.locator("#models")).to_contain_text("first")
    await page.get_by_role("link", name="Hands").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#hands")).to_be_visible()
    await page.get_by_role("button", name="Hold open: second").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#done")).to_contain_text("Done")

    assert router.describe()["interventions"]["holds"] == {"second": "held"}


@pytest.mark.parametrize("view", ["now", "playground", "hands"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_view_fits_a_narrow_screen(page: Page, view: str, scheme: Any) -> None:
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": PHONE, "height": 800})
    await page.goto(f"{page.url.partition('#')[0]}#{view}")
    await expect(page.locator(f"#{view}")).to_be_visible()
    await expect(page.locator("#summary")).not_to_contain_text("Connecting")

    wide = await page.evaluate("document.documentElement.scrollWidth")

    assert wide <= PHONE
