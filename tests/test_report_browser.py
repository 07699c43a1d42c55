"""A report in a real Chromium: downloaded from the dashboard, opened from disk without a network, read on a phone."""

from __future__ import annotations

from playwright.sync_api import expect


def test_a_report_opens_from_disk_without_a_network(page, browser, address, tmp_path):
    page.goto(f"{address}/parameters?model=Mixtral+8x7B&lang=id")
    page.get_by_role("radio", name="Laporan").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="HTML").click()
    assert download.value.suggested_filename == "llmcalc-report-mixtral-8x7b.html"
    file = tmp_path / "report.html"
    download.value.save_as(file)

    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True, color_scheme="dark")
    report, complaints, asked = context.new_page(), [], []
    report.on("console", lambda message: complaints.append(message.text))
    report.on("pageerror", lambda error: complaints.append(str(error)))
    report.on("request", lambda request: asked.append(request.url))
    report.goto(file.as_uri())
    expect(report.locator("h1")).to_have_text("Laporan: Mixtral 8x7B")
    expect(report.get_by_text("46.702.792.704").first).to_be_visible()
    formula, rows = report.locator("mfrac").first.bounding_box(), report.locator("svg.bar rect")
    assert formula["height"] > 20, "a fraction is no fraction"
    assert rows.first.bounding_box()["width"] > 20 * rows.nth(3).bounding_box()["width"]
    assert report.evaluate("document.documentElement.scrollWidth") <= 390, "the report is wider than the phone"
    assert report.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 21, 26)"
    assert complaints == []
    assert asked == [file.as_uri()]
    context.close()
