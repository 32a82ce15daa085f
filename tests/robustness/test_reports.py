"""Reports in a browser: light and dark, as narrow as a phone, on paper; no request, no barrier."""

import base64

import pytest
from helpers.reports import audit_page, comparison_page
from helpers.site import (
    NARROW,
    WIDTH,
    _requests,
    _violations,
    _width,
    browser,
    needs_chromium,
)

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module", params=["audit", "comparison"])
def report(request, tmp_path_factory):
    """A page of either kind, of a model whose name is markup."""
    file = tmp_path_factory.mktemp(request.param) / "report.html"
    file.write_text({"audit": audit_page, "comparison": comparison_page}[request.param]())
    return file


def scheme(driver, name: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": name}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


BACKGROUND = "return getComputedStyle(document.body).backgroundColor"


def test_a_report_is_without_barriers_in_either_theme_and_on_a_phone(report, axe):
    with browser() as driver:
        driver.set_script_timeout(120)
        driver.get_log("performance"), driver.get_log("browser")
        colors = set()
        for theme in ("light", "dark"):
            scheme(driver, theme)
            for width in (1280, NARROW):
                _width(driver, width)
                driver.get(report.as_uri())
                assert driver.execute_script(WIDTH) <= width
                assert _violations(driver, axe) == []
            colors.add(driver.execute_script(BACKGROUND))
        assert len(colors) == 2
        assert [url for url in _requests(driver) if not url.startswith("file:")] == []
        severe = [each for each in driver.get_log("browser") if each["level"] == "SEVERE"]
        assert severe == []
        assert driver.find_elements("css selector", "main img, header img, script") == []


def test_a_report_can_be_printed(report):
    with browser() as driver:
        driver.get(report.as_uri())
        scheme(driver, "dark")  # paper stays white
        pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
        assert pdf.startswith(b"%PDF")
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
        )
        assert driver.execute_script(BACKGROUND) == "rgb(255, 255, 255)"
