"""A visit is opened by its key and by nothing else; and what a page began ends with it."""

import json
import pickle
import threading
import time

import httpx
import pytest
from pages import serve, wait_for

from demo import render, saved
from demo.visits import Visits


class Door:
    """Plain HTTP calls to a page's private events, as anybody can send them."""

    def __init__(self, site):
        self.site, self.parts = site, site.page.wiring.parts
        self.config = httpx.get(f"{site.url}/config").json()

    def number(self, part, event: str) -> int:
        """Of the event that a part of the page brings."""
        target = [getattr(part, "_id", part), event]
        return next(one["id"] for one in self.config["dependencies"] if target in map(list, one["targets"]))

    def send(self, number: int, data: list, page: str, event=None) -> dict:
        """What is answered to an event that a page of this name sends."""
        body = {"fn_index": number, "data": data, "session_hash": page, "event_data": event}
        httpx.post(f"{self.site.url}/gradio_api/queue/join", json=body).raise_for_status()
        address = f"{self.site.url}/gradio_api/queue/data"
        with httpx.stream("GET", address, params={"session_hash": page}, timeout=30) as answer:
            for line in answer.iter_lines():
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("the event was not answered")

    def arrive(self, key: str | None, page: str) -> str:
        """The key that a page gets when it hands over this one."""
        number = self.number(self.site.page, "load")
        return self.send(number, [key], page)["output"]["data"][0]

    def add_object(self, key: str | None, page: str) -> dict:
        return self.send(self.number(self.parts["stage"], "order"), [key], page, {"kind": "add"})


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("site")) as site:
        yield Door(site)


@pytest.fixture
def owner(door, clip):
    """(key, session) of a visitor whose page is called "owner" and who has opened a clip."""
    key = door.arrive("", "owner")
    session = door.site.page.wiring.visits.find(key)
    list(door.site.page.handlers.open_clip(session, str(clip[0])))
    return key, session


def names(session) -> list[str | None]:
    """What somebody knows who was shown a picture's address, or who reads a server's log."""
    folder = session.folder
    return [folder.rsplit("/", 1)[1], folder, session.clip.folder, render.stage(session)["clip"], "owner"]


def test_a_pictures_address_and_a_pages_name_open_no_visit(door, owner):
    key, session = owner
    for known in [*names(session), "", None, key[:-1], key + "x"]:
        other = door.arrive(known, "stranger")
        assert other and other != key
        assert door.site.page.wiring.visits.find(other) is not session
    assert door.arrive(key, "owner again") == key  # as its own page does when it is loaded again


def test_private_events_are_refused_without_the_key_also_under_the_pages_own_name(door, owner):
    key, session = owner
    stranger = door.arrive("", "stranger")
    for known in [*names(session), "", None]:
        for page in ("owner", "stranger"):
            assert not door.add_object(known, page)["success"]
    door.add_object(stranger, "owner")  # his own visit, which has no clip
    assert len(session.subjects) == 1
    upload = door.number(door.parts["upload"], "upload")
    assert not door.send(upload, ["", None], "owner")["success"]  # as if the key were still on its way
    done = door.add_object(key, "a page of any name")
    assert done["success"] and len(session.subjects) == 2


def test_a_key_is_in_nothing_that_is_shown_or_kept(door, owner):
    key, session = owner
    answer = door.add_object(key, "owner")
    shown = [json.dumps(answer), httpx.get(door.site.url).text, json.dumps(saved.to_json(session))]
    shown += [httpx.get(f"{door.site.url}{path}").text for path in ("/config", "/gradio_api/info")]
    kept = [repr(session).encode(), pickle.dumps(session), repr(vars(door.site.page.wiring.visits)).encode()]
    assert len(key) >= 43 and not any(key.encode() in data for data in [*map(str.encode, shown), *kept])


def test_a_visit_is_forgotten_with_its_folder(bench):
    visits, session = Visits(), bench.handlers.arrive()
    key = visits.begin(session)
    visits.show("page", session)
    visits.forget_the_gone()
    assert visits.find(key) is session and visits.on("page") is session
    bench.handlers.sweep(time.time() + 61 * 60)
    visits.forget_the_gone()
    assert visits.find(key) is None and visits.on("page") is None


def test_a_page_that_is_closed_and_begun_again_leaves_no_thread_and_no_file(tmp_path, clip):
    def once() -> None:
        with serve(tmp_path) as site:
            door = Door(site)
            session = site.page.wiring.visits.find(door.arrive("", "owner"))
            list(site.page.handlers.open_clip(session, str(clip[0])))
            site.page.handlers.guard.call("sharp", path=str(clip[0]), folder=session.clip.folder, index=3)

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
        return sum(one.name == "keep-house" for one in threading.enumerate())

    before = sweepers()
    with serve(tmp_path) as site:
        assert sweepers() == before + 1
    wait_for(lambda: sweepers() == before)
    site.page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    assert sweepers() == before + 1
    site.page.close(verbose=False)
    wait_for(lambda: sweepers() == before)
