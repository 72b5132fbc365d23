"""The report in a real browser: it opens from a file, plays, filters, is read by keyboard, and trusts no data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import barriers, opened
from report_runs import HOSTILE, KEYS, run

SHOWN = "article.clip:not([hidden])"
PLAY = """async (video) => {
  video.muted = true;
  await video.play();
  await new Promise((done) => video.addEventListener('timeupdate', () => video.currentTime > 0.2 && done()));
  return [video.videoWidth, video.duration];
}"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_has_no_barriers_and_fits(page: Path, width: int, scheme: str):
    with opened(page, width=width, scheme=scheme) as tab:
        assert barriers(tab) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator(SHOWN).count() == len(KEYS) + 1


def test_players_play_the_sound_before_and_after(page: Path):
    with opened(page) as tab:
        clip = tab.locator("article", has_text="fixable-b").first
        for which in ("before", "after"):
            width, seconds = clip.locator(f"video.{which}").evaluate(PLAY)
            assert width == 96
            assert seconds == pytest.approx(1.6, abs=0.1)
        # One at a time.
        assert clip.locator("video.before").evaluate("(video) => video.paused")


def test_filters_filter_and_links_lead_to_a_clip_all_the_same(page: Path):
    with opened(page) as tab:
        tab.select_option("select[name=outcome]", "improved")
        assert tab.locator(SHOWN).count() == 4
        tab.select_option("select[name=action]", "volume")
        assert tab.locator(SHOWN).count() == 1
        assert tab.locator("#shown").inner_text() == f"1 of {len(KEYS) + 1} clips"
        tab.fill("input[name=text]", "no such words")
        assert tab.locator(SHOWN).count() == 0
        assert tab.locator("#none-shown").is_visible()
        tab.click("button[type=reset]")
        tab.wait_for_function(f"document.querySelectorAll('{SHOWN}').length === {len(KEYS) + 1}")
        tab.select_option("select[name=reason]", "muted")
        assert tab.locator(SHOWN).get_attribute("data-key") == "silent-e"
        tab.select_option("select[name=reason]", "")
        tab.select_option("select[name=label]", HOSTILE)
        assert tab.locator(SHOWN).count() == 3
        tab.evaluate("location.hash = 'clip-corrupt-z'")
        tab.wait_for_function("document.activeElement.id === 'clip-corrupt-z'")
        assert tab.locator("#clip-corrupt-z").is_visible()


def test_keys_lead_from_clip_to_clip_and_play(page: Path):
    with opened(page, anchor="#clip-fixable-b") as tab:
        tab.wait_for_function("document.activeElement.id === 'clip-fixable-b'")
        tab.keyboard.press("a")
        tab.wait_for_function("!document.querySelector('#clip-fixable-b video.after').paused")
        tab.keyboard.press("x")
        tab.wait_for_function("!document.querySelector('#clip-fixable-b video.before').paused")
        assert tab.locator("#clip-fixable-b video.after").evaluate("(video) => video.paused")
        before = tab.evaluate("document.activeElement.id")
        tab.keyboard.press("j")
        assert tab.evaluate("document.activeElement.id") != before
        tab.keyboard.press("k")
        assert tab.evaluate("document.activeElement.id") == before
        tab.keyboard.press("/")
        assert tab.evaluate("document.activeElement.name") == "text"


def test_text_of_a_run_is_neither_markup_nor_code(page: Path):
    with opened(page) as tab:
        clip = tab.locator("article[data-key='fixable-\"<g>&']")
        assert HOSTILE in clip.inner_text()
        assert tab.locator("img[src=x]").count() == 0
        assert tab.evaluate("document.scripts.length") == 1
        # What would get in all the same is not run.
        tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<b id=late>late</b>')")
        policy = tab.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy


def test_a_script_that_gets_in_is_refused_by_the_page(page: Path, tmp_path: Path):
    changed = tmp_path / "report.html"
    text = page.read_text("utf-8").replace("</main>", "<script>window.ran = true</script></main>")
    changed.write_text(text, "utf-8")
    with pytest.raises(pytest.fail.Exception, match="Content Security Policy"), opened(changed) as tab:
        assert tab.evaluate("window.ran") is None


def test_it_says_what_became_of_the_run(page: Path, refined: Path):
    text = re.sub(r"\s+", " ", page.read_text("utf-8"))
    assert "No clip is called <code>nobody</code>" in text
    assert f"avagent replay --output {refined} --reason model_failed" in text
    assert "0 of them ended otherwise" in text
    assert "the scores did not rise by more than their own noise" in text
    assert "as written" in text
    assert text.count("<video") + text.count("<audio") == 2 * 4 + 4


def test_without_the_input_the_records_are_shown_and_the_page_says_so(refined: Path, shards: Path, tmp_path: Path):
    hidden = shards.with_name("elsewhere")
    shards.rename(hidden)
    try:
        assert run("report", refined, "--to", tmp_path / "without.html") == 0
        assert "Its media cannot be shown" in (tmp_path / "without.html").read_text("utf-8")
        assert run("report", refined, "--to", tmp_path / "moved.html", "--input", hidden) == 0
        assert "<video" in (tmp_path / "moved.html").read_text("utf-8")
    finally:
        hidden.rename(shards)


def test_a_page_keeps_to_its_size(refined: Path, tmp_path: Path):
    path = tmp_path / "small.html"
    assert run("report", refined, "--to", path, "--max-mb", "1") == 0
    assert path.stat().st_size <= 1_000_000
    assert path.read_text("utf-8").count('class="clip"') == len(KEYS) + 1


def test_a_folder_without_a_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("report", tmp_path) == 2
    assert "holds no run" in capsys.readouterr().err
