"""Laws of the classifier that is fitted to the memory."""

import pytest
import torch

from stm_core.readout import read
from stm_core.separation import separate

NEAR, FAR = 0.2, 0.15  # spread of each cluster, penalty


def clusters(frames=2, positions=60, objects=1, share=0.2, seed=0, channels=8):
    """Keys around one centre for each object and one for the rest, and the covers that say which is which."""
    dice = torch.Generator().manual_seed(seed)
    centres = torch.eye(objects + 1, channels) * 2
    ids = torch.zeros(1, frames, positions, dtype=torch.long)
    for n in range(objects):
        ids[:, :, n * int(share * positions) : (n + 1) * int(share * positions)] = n + 1
    keys = centres[ids] + torch.randn(*ids.shape, channels, generator=dice) * NEAR
    covers = torch.stack([ids == n + 1 for n in range(objects)], -1).float()
    return keys, covers, ids, centres


def scores(keys, covers, query, **options):
    return separate([keys], [covers], query, ridge=FAR, **options)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.8])
def test_an_object_of_any_size_is_told_from_the_rest_with_the_same_sureness(share):
    keys, covers, _, centres = clusters(share=share)
    on, off = scores(keys, covers, centres[[1, 0]][None])[0, 0]
    assert 0.6 < on < 1.2 and -1.2 < off < -0.6


def test_what_lies_between_is_told_by_the_nearer_side_though_memory_never_saw_it():
    keys, covers, _, centres = clusters()
    beyond = centres.new_tensor([[[0.0, 3.0], [3.0, 0.0]]])
    query = torch.nn.functional.pad(beyond, (0, keys.shape[-1] - 2))
    on, off = scores(keys, covers, query)[0, 0]
    assert on > 0.8 and off < -0.8


def test_the_order_of_objects_and_the_blocks_of_frames_do_not_matter():
    keys, covers, _, _ = clusters(frames=3, objects=3)
    query = torch.randn(1, 9, keys.shape[-1], generator=torch.Generator().manual_seed(1))
    whole = scores(keys, covers, query)
    torch.testing.assert_close(scores(keys, covers.flip(-1), query), whole.flip(1))
    blocks = separate([keys[:, :1], keys[:, 1:]], [covers[:, :1], covers[:, 1:]], query, ridge=FAR)
    torch.testing.assert_close(blocks, whole)


def test_reads_side_by_side_equal_one_by_one():
    clips = [clusters(seed=seed, objects=2) for seed in (0, 1)]
    keys, covers = (torch.cat([clip[i] for clip in clips]) for i in (0, 1))
    query = torch.randn(2, 5, keys.shape[-1], generator=torch.Generator().manual_seed(2))
    both = scores(keys, covers, query)
    for i in (0, 1):
        torch.testing.assert_close(both[i : i + 1], scores(*clips[i][:2], query[i : i + 1]))


def test_a_frame_that_does_not_know_an_object_says_nothing_of_it():
    keys, covers, _, centres = clusters(frames=2, objects=2)
    covers[:, 1, :, 1] = 0  # unknown there, not absent: the object is in the picture
    present = torch.tensor([[[True, True], [True, False]]])
    query = centres[None]
    found = scores(keys, covers, query, present=present)
    torch.testing.assert_close(found[:, 1:], scores(keys[:, :1], covers[:, :1, :, 1:], query))
    torch.testing.assert_close(found[:, :1], scores(keys, covers[..., :1], query))


def test_an_object_that_no_frame_shows_scores_nothing():
    keys, covers, _, centres = clusters(objects=2)
    covers[..., 1] = 0
    found = scores(keys, covers, centres[None])
    assert not found[0, 1].any() and found[0, 0].abs().min() > 0.1
    none = torch.zeros(1, 2, 2, dtype=torch.bool)
    assert not scores(keys, covers, centres[None], present=none).any()


def test_positions_that_were_not_seen_do_not_count():
    keys, covers, _, centres = clusters(frames=1)
    unseen = torch.zeros_like(keys[:, :, :40])
    widened = torch.cat([keys, unseen], 2), torch.cat([covers, torch.zeros_like(covers[:, :, :40])], 2)
    torch.testing.assert_close(scores(*widened, centres[None]), scores(keys, covers, centres[None]))


def test_a_frame_with_twice_the_weight_counts_as_two():
    keys, covers, _, centres = clusters(frames=2)
    twice = [torch.cat([one[:, :1], one], 1) for one in (keys, covers)]
    weighted = scores(keys, covers, centres[None], weights=[2.0, 1.0])
    torch.testing.assert_close(weighted, scores(*twice, centres[None]), atol=1e-4, rtol=1e-3)


def test_it_is_what_a_read_says_of_the_last_channel_and_leaves_the_others_alone():
    keys, covers, _, centres = clusters(objects=2)
    values = torch.randn(*covers.shape, 6, generator=torch.Generator().manual_seed(3))
    values[..., -1] = covers
    plain = read([keys], [values], centres[None], scale=1.0)
    found = read([keys], [values], centres[None], scale=1.0, ridge=FAR)
    assert torch.equal(found.value[..., :-1], plain.value[..., :-1])
    assert torch.equal(found.usage, plain.usage)
    torch.testing.assert_close(found.value[..., -1], scores(keys, covers, centres[None]))


def test_gradients_reach_keys_covers_and_penalty():
    keys, covers, _, centres = clusters(frames=1, positions=12)
    given = [keys.double(), covers.double() * 0.8 + 0.1, torch.tensor(FAR).double()]
    given = [one.float().requires_grad_() for one in given]
    separate([given[0]], [given[1]], centres[None], ridge=given[2])[..., 1].sum().backward()
    assert all(one.grad.isfinite().all() and one.grad.any() for one in given)
