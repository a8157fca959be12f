"""A visit is opened by its key and by nothing else; and what a page began ends with it."""

import json
import shutil
import threading
import time

import httpx
import pytest
from pages import Bench, notice, serve, wait_for
from tab import Tab

from demo.web.visits import Visits
from demo.work import saved
from demo.work.retention import sweep_regularly
from demo.work.shown import GONE, stage_state
from demo.work.visitor import Visitor


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture
def owner(site, clip):
    """(key, user) of a user whose page is called "owner" and who has opened a clip."""
    return visit(site, clip)


def visit(site, clip) -> tuple:
    key = Tab(site.url, "owner").arrive()
    user = site.page.wires.visits.find(key)
    list(site.page.host.panels[0].open_clip(user, str(clip[0])))
    return key, user


def add_object(site, key: str | None, name: str) -> dict:
    tab = Tab(site.url, name)
    tab.key = key
    return tab.order("add")


def names(user) -> list[str | None]:
    """What somebody knows who was shown a picture's address, or who reads a server's log."""
    folder = user.folder
    return [folder.rsplit("/", 1)[1], folder, user.work.clip.folder, stage_state(user)["clip"], "owner"]


def test_a_pictures_address_and_a_pages_name_open_no_visit(site, owner):
    key, user = owner
    for known in [*names(user), "", None, key[:-1], key + "x"]:
        other = Tab(site.url, "stranger").arrive(known)
        assert other and other != key
        found = site.page.wires.visits.find(other)
        assert found is not user and found.forgotten is bool(known)
    assert Tab(site.url, "owner again").arrive(key) == key  # as its own page does when it is loaded again


def test_private_events_are_refused_without_the_key_also_under_the_pages_own_name(site, owner):
    key, user = owner
    stranger = Tab(site.url, "stranger").arrive()
    for known in [*names(user), "", None]:
        for page in ("owner", "stranger"):
            assert GONE in json.dumps(add_object(site, known, page))
    add_object(site, stranger, "owner")  # his own visit, which has no clip
    assert len(user.work.objects) == 1
    work = user.work
    early = Tab(site.url, "owner").do("upload", "upload")  # as if the key were on its way
    assert GONE in json.dumps(early) and user.work is work
    done = add_object(site, key, "a page of any name")
    assert done["success"] and len(user.work.objects) == 2


def test_the_page_knows_whether_a_visits_browser_has_asked_for_its_run(site, owner, monkeypatch):
    (key, user), asks, go = owner, site.page.asks_for_a_run, threading.Event()
    tab = Tab(site.url, "owner")
    tab.key = key
    tab.click(0, 8, 8, 0)
    tab.do("track", "click")
    assert user.work.busy and not asks(user)  # half of a press
    run = site.page.host.panels[3]
    monkeypatch.setattr(run.host.runner, "plan", lambda *_: go.wait(30) and {}["no plan"])
    pressed = threading.Thread(target=tab.track)
    pressed.start()
    try:
        wait_for(lambda: asks(user))
        assert not asks(Visitor(user.folder))
    finally:
        go.set()
        pressed.join(60)
    wait_for(lambda: not asks(user))


def test_a_key_is_in_nothing_that_is_shown_or_kept(site, owner):
    key, user = owner
    answer = add_object(site, key, "owner")
    shown = [json.dumps(answer), httpx.get(site.url).text, json.dumps(saved.to_json(user.work))]
    shown += [httpx.get(f"{site.url}{path}").text for path in ("/config", "/gradio_api/info")]
    kept = [repr(user).encode(), repr(vars(user.work)).encode(), repr(vars(site.page.wires.visits)).encode()]
    assert len(key) >= 43 and not any(key.encode() in data for data in [*map(str.encode, shown), *kept])


def test_a_visit_is_forgotten_with_its_folder(bench):
    visits, user = Visits(), bench.arrive()
    key = visits.begin(user)
    visits.show("page", user)
    visits.forget_the_gone()
    assert visits.find(key) is user and visits.on("page") is user
    bench.host.sweep(time.time() + 61 * 60)
    visits.forget_the_gone()
    assert visits.find(key) is None and visits.on("page") is None


def test_of_the_visits_of_one_address_without_a_clip_the_oldest_go(bench, clip, monkeypatch):
    monkeypatch.setattr("demo.web.visits.MOST_IDLE", 3)
    visits, busy = Visits(), bench.opened(clip[0])
    busy.caller = "a"
    keys = [visits.begin(busy), visits.begin(bench.arrive("b"))]
    keys += [visits.begin(bench.arrive("a")) for _ in range(5)]
    here = [visits.find(key) is not None for key in keys]
    assert here == [True, True, False, False, True, True, True]
    assert len(list(bench.host.visitors.iterdir())) == sum(here)


def test_a_run_of_a_visit_that_is_forgotten_takes_no_place_in_the_queue(tmp_path, clip):
    bench, visits = Bench(tmp_path, queue_size=1), Visits()
    gone, other = (bench.opened(clip[0]) for _ in range(2))
    visits.begin(gone)
    for one in (gone, other):
        bench.click(one, 0, 8, 8)
    bench.track.get_ready(gone)  # and no browser that asks for the run itself
    assert notice(bench.track.get_ready(other))
    shutil.rmtree(gone.folder)
    visits.forget_the_gone()
    assert not notice(bench.track.get_ready(other)) and other.work.busy


def test_a_round_of_sweeping_that_fails_is_not_the_last(monkeypatch):
    monkeypatch.setattr("demo.work.retention.period", lambda _: 0.01)
    rounds = []

    def sweep() -> None:
        rounds.append(1)
        raise RecursionError

    closed = sweep_regularly(sweep, 1)
    wait_for(lambda: len(rounds) > 1)
    closed.set()


def test_a_page_that_is_closed_and_begun_again_leaves_no_thread_and_no_file(tmp_path, clip):
    def once() -> None:
        with serve(tmp_path) as site:
            _, user = visit(site, clip)
            site.page.host.guard.call("sharp", path=str(clip[0]), folder=user.work.clip.folder, index=3)

    def files() -> set:
        return set((tmp_path / "cache").glob("**/*"))

    once()  # what one process has once: the fork server
    threads, kept = set(threading.enumerate()), files()
    for _ in range(3):
        once()
    wait_for(lambda: set(threading.enumerate()) <= threads)
    wait_for(lambda: files() <= kept)


def test_a_page_can_be_launched_again_after_it_was_closed(tmp_path):
    def sweepers() -> int:
        return sum(one.name == "sweeper" for one in threading.enumerate())

    before = sweepers()
    with serve(tmp_path) as site:
        assert sweepers() == before + 1
    wait_for(lambda: sweepers() == before)
    site.page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    assert sweepers() == before + 1
    site.page.close(verbose=False)
    wait_for(lambda: sweepers() == before)
