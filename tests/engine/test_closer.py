"""Laws of the closer look: a piece holds what it is about, lies where it says, and changes nothing else."""

import numpy as np
import pytest
import torch
from conftest import colour_model

from stm_core import segment_frame
from stm_core.engine.click_reader import ClickReader
from stm_core.engine.clicks import click_logits
from stm_core.engine.closer import OWN_SIDE, SEAM, CloseUp, Piece, piece_around, pixels_of, window_of
from stm_core.networks.weights import random_model

CPU = torch.device("cpu")


def box(top, bottom, left, right, shape=(240, 320)):
    mask = torch.zeros(shape)
    mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize("span", [(100, 140, 100, 180), (0, 3, 0, 2), (230, 240, 300, 320), (0, 240, 0, 320)])
@pytest.mark.parametrize("click", [(150.0, 120.0), (0.0, 239.0), (319.9, 0.0)])
def test_a_piece_holds_mask_and_clicks_with_room_around_them(span, click):
    x, y = torch.tensor([click[0]]), torch.tensor([click[1]])
    piece = piece_around(box(*span), x, y)
    top, bottom = min(span[0], int(y)), max(span[1], int(y) + 1)
    left, right = min(span[2], int(x)), max(span[3], int(x) + 1)
    for begin, end, low, high, length in (
        (piece.top, piece.bottom, top, bottom, 240),
        (piece.left, piece.right, left, right, 320),
    ):
        assert 0 <= begin <= low < high <= end <= length
        assert (begin == 0 or begin <= low - 12) and (end == length or end >= high + 12)
        assert end - begin >= (64 if begin > 0 and end < length else 32)  # a small one has context


def test_a_mask_that_changes_by_a_pixel_keeps_its_piece():
    one = piece_around(box(100, 140, 100, 180), torch.tensor([120.0]), torch.tensor([120.0]))
    assert one == piece_around(box(101, 141, 99, 180), torch.tensor([130.0]), torch.tensor([110.0]))


def test_a_click_is_seen_where_the_picture_shows_it():
    image = np.zeros((480, 640, 3), np.uint8)
    image[200:204, 300:304] = 255
    piece = Piece(80, 160, 120, 200)  # of the frame at 240 lines
    window = window_of(piece, (240, 320), image.shape[:2])
    frame = pixels_of(image, window, 224, CPU)
    close = CloseUp(piece, window, frame, None)
    bright = (frame[0, 0] > 0.5).nonzero().float().mean(0)
    x, y, label = close.points(torch.tensor([[301.5, 201.5, 1.0]]))[0].tolist()
    assert frame.shape[-2] % 16 == frame.shape[-1] % 16 == 0 and label == 1
    assert abs(y - bright[0]) < 1 and abs(x - bright[1]) < 1
    mask = close.masks(box(100, 102, 150, 152)[None])[0]
    assert abs((mask > 0.5).nonzero().float().mean(0) - bright).max() < 1.5


def test_small_pieces_are_enlarged_only_so_far_and_the_largest_shrink():
    image = np.zeros((480, 640, 3), np.uint8)
    assert pixels_of(image, (0, 64, 0, 64), 224, CPU).shape[-2:] == (128, 128)
    height, width = pixels_of(image, (0, 480, 0, 640), 224, CPU).shape[-2:]
    assert abs(height * width - OWN_SIDE**2) < 0.1 * OWN_SIDE**2 and height < width
    assert pixels_of(image, (0, 320, 0, 400), 224, CPU).shape[-2:] == (320, 400)  # as they are


def test_what_is_pasted_fades_out_at_its_inner_edges_and_leaves_the_rest():
    piece = Piece(0, 80, 40, 120)  # its upper edge is the frame's
    close = CloseUp(piece, (0, 80, 40, 120), torch.zeros(1, 3, 64, 64), None)
    before = torch.full((240, 320), -5.0)
    after = close.pasted(torch.full((64, 64), 5.0), before)
    inside = torch.zeros(240, 320, dtype=bool)
    inside[:80, 40:120] = True
    assert (after[~inside] == -5).all() and (after[: 80 - SEAM, 40 + SEAM : 120 - SEAM] == 5).all()
    edge = after[79, 60], after[40, 40], after[40, 119]
    assert max(edge) < -3 and after[0, 80] == 5


def test_a_small_object_fills_what_is_seen_the_second_time_and_the_same_clicks_give_the_same(monkeypatch):
    image = np.full((240, 320, 3), 96, np.uint8)
    image[96:128, 144:176] = (230, 30, 30)
    model, seen = colour_model(), []
    encode, model.network.click_side, model.network.close_side = model.network.encode_query, 128, 128
    monkeypatch.setattr(model.network, "encode_query", lambda frame: seen.append(frame) or encode(frame))
    found = segment_frame(model, image, [(160, 112, 1, 1)])
    pixels = [int((frame[0, 0] > 0.7).sum()) for frame in seen]
    assert len(seen) == 3 and pixels[1] > 2 * pixels[0] > 0
    assert torch.equal(seen[2], seen[1].flip(-1))  # seen mirrored too
    assert np.array_equal(found, segment_frame(model, image, [(160, 112, 1, 1)]))
    seen.clear()
    segment_frame(model, image, [(160, 112, 1, 1), (150, 112, 1, 1)], mask=found)
    assert len(seen) == 2  # where it was found before, only the piece is looked at


@pytest.mark.parametrize("side, heights", [(16, [192]), (64, [192, 128])])
def test_a_small_object_is_looked_for_in_more_pixels_and_a_large_one_again_in_fewer(
    side, heights, monkeypatch
):
    image = np.full((240, 320, 3), 96, np.uint8)
    image[40 : 40 + side, 80 : 80 + side] = (230, 30, 30)
    model, seen = colour_model(), []
    encode, model.network.small_side, model.network.click_side = model.network.encode_query, 192, 128
    monkeypatch.setattr(model.network, "encode_query", lambda frame: seen.append(frame) or encode(frame))
    found = segment_frame(model, image, [(80 + side / 2, 40 + side / 2, 1, 1)])
    assert [frame.shape[2] for frame in seen] == heights
    assert found[40 + side // 2, 80 + side // 2] == 1 and not found[:, 200:].any()


def test_what_was_found_first_stays_where_the_second_look_finds_nothing(monkeypatch):
    image = np.full((240, 320, 3), 96, np.uint8)
    image[40:104, 80:144] = (230, 30, 30)
    model = colour_model()
    model.network.small_side, model.network.click_side = 192, 128
    coarse = ClickReader._coarse
    monkeypatch.setattr(
        ClickReader, "_coarse", lambda reader, *given: coarse(reader, *given) - 99 * (given[2] == 128)
    )
    assert segment_frame(model, image, [(112, 72, 1, 1)])[72, 112] == 1


def test_a_click_on_a_mask_of_the_mirrored_frame_is_answered_by_the_mirrored_mask():
    model, image = (
        random_model("compact-tiny", seed=3),
        np.random.default_rng(3).integers(0, 256, (96, 128, 3), np.uint8),
    )
    mask = torch.zeros(1, 96, 128)
    mask[:, 32:64, 24:56] = 1
    clicks = [(40, 50, 1, 1), (90, 20, 0, 1)]
    found = click_logits(model, image, clicks, 96, mask)
    turned = [(127 - x, y, label, i) for x, y, label, i in clicks]
    other = click_logits(model, np.ascontiguousarray(image[:, ::-1]), turned, 96, mask.flip(-1))
    assert found.std() > 0 and torch.allclose(found, other.flip(-1), atol=1e-3)


def test_objects_that_touch_are_told_apart_in_the_closer_look():
    image = np.full((240, 320, 3), 96, np.uint8)
    image[88:120, 128:160], image[88:120, 160:192] = (230, 30, 30), (30, 200, 40)
    model = colour_model()
    model.network.click_side, model.network.close_side = 128, 128
    found = segment_frame(model, image, [(144, 104, 1, 2), (176, 104, 1, 7)])
    assert (found[96:112, 136:152] == 2).all() and (found[96:112, 168:184] == 7).all()


def test_of_a_mask_that_was_given_a_click_keeps_what_lies_beyond_its_piece():
    image = np.full((240, 320, 3), 96, np.uint8)
    mask = np.zeros((240, 320), np.uint8)
    mask[96:128, 16:48], mask[200:220, 280:300] = 1, 3
    image[mask == 1] = (230, 30, 30)
    model = colour_model()
    model.network.click_side, model.network.close_side = 128, 128
    found = segment_frame(model, image, [(32, 112, 1, 1)], mask=mask)
    assert np.array_equal(found == 3, mask == 3) and (found[104:120, 24:40] == 1).all()
    assert not found[:, 100:270].any()
