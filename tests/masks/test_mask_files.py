"""Masks: what people bring becomes the labels they meant, or a sentence; what is written comes back."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from stm_core.errors import MaskError
from stm_core.masks.mask_files import encode_mask, object_ids, read_mask, write_mask
from stm_core.masks.palette import OVERLAY_COLOURS, PALETTE, SCREEN, on_screen, standing_out

SIZE = (120, 160)


def labels(*ids):
    """Labels with a rectangle per id, touching each other."""
    found = np.zeros(SIZE, np.uint8)
    for n, which in enumerate(ids):
        found[20:100, 10 + n * 30 : 40 + n * 30] = which
    return found


def saved(tmp_path, image, name="mask.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_the_palette_is_that_of_davis():
    assert PALETTE.shape == (256, 3) and PALETTE.dtype == np.uint8
    assert PALETTE[[0, 1, 2, 3, 9, 18, 21]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [191, 0, 0], [0, 191, 0], [128, 64, 128]
    ]  # fmt: skip
    assert (PALETTE[22:] == np.arange(22, 256)[:, None]).all()


def test_a_colour_is_clearly_seen_on_what_lies_under_it_and_no_two_objects_share_one():
    bright = SCREEN.astype(int)
    for under in (*bright, (0, 0, 0), (255, 255, 255), (128, 0, 0), (90, 140, 60)):
        pixels, taken = np.full((50, 3), under, np.uint8), set()
        assert np.abs(bright[standing_out(pixels)] - under).sum() > 150
        for _ in SCREEN:
            taken.add(standing_out(pixels, taken))
        assert taken == set(range(len(SCREEN)))
    assert standing_out(np.zeros((0, 3), np.uint8)) == 0


def test_a_screen_has_the_colours_that_were_chosen_and_files_keep_theirs():
    table = on_screen({2: (1, 2, 3)})
    assert table[2].tolist() == [1, 2, 3] and (table[1] == OVERLAY_COLOURS[1]).all()
    assert (OVERLAY_COLOURS[2] != [1, 2, 3]).any() and PALETTE[1].tolist() == [128, 0, 0]


def test_colours_of_objects_on_pictures_all_differ():
    assert len(np.unique(OVERLAY_COLOURS[:255], axis=0)) == 255


def test_written_masks_come_back_unchanged_with_sparse_ids(tmp_path):
    found = labels(3, 17, 254)
    write_mask(tmp_path / "00000.png", found)
    with Image.open(tmp_path / "00000.png") as image:
        assert image.mode == "P" and (np.asarray(image) == found).all()
        assert (np.array(image.getpalette(), np.uint8).reshape(-1, 3) == PALETTE).all()
    assert (read_mask(tmp_path / "00000.png", SIZE) == found).all()
    assert object_ids(found) == (3, 17, 254)
    assert list(tmp_path.iterdir()) == [tmp_path / "00000.png"]


def test_an_empty_mask_can_be_written():
    with Image.open(io.BytesIO(encode_mask(np.zeros(SIZE, np.uint8)))) as image:
        assert not np.asarray(image).any() and image.mode == "P"


@pytest.mark.parametrize("make", [
    lambda m: Image.fromarray(m * np.uint8(255)),
    lambda m: Image.fromarray(m * np.uint8(255)).convert("1"),
    lambda m: Image.fromarray(m * np.uint8(255)).convert("RGB"),
    lambda m: Image.fromarray(m * np.uint8(255)).convert("P"),
    lambda m: Image.fromarray(np.dstack([m * np.uint8(255)] * 3 + [np.full(SIZE, 255, np.uint8)])),
    lambda m: Image.fromarray(np.dstack([np.zeros((*SIZE, 3), np.uint8), m * np.uint8(255)])),
    Image.fromarray,
    lambda m: Image.fromarray(m.astype(np.uint16) * 65535),
    lambda m: Image.fromarray(np.dstack([m * np.uint8(200), m * np.uint8(40), m * np.uint8(90)])),
])  # fmt: skip
def test_one_object_however_it_is_stored(tmp_path, make):
    mask = labels(1)
    assert (read_mask(saved(tmp_path, make(mask)), SIZE) == mask).all()


@pytest.mark.parametrize("form", ["BMP", "GIF", "TIFF"])
def test_other_lossless_formats(tmp_path, form):
    path = saved(tmp_path, Image.fromarray(labels(1) * np.uint8(255)), f"mask.{form.lower()}")
    assert (read_mask(path, SIZE) == labels(1)).all()


def test_arrays_and_images_are_taken_too():
    assert (read_mask(labels(1, 2), SIZE) == labels(1, 2)).all()
    assert (read_mask(labels(1) > 0) == labels(1)).all()
    assert (read_mask(Image.fromarray(labels(4)), SIZE) == labels(4)).all()
    assert (read_mask(Image.fromarray(labels(1).astype(np.int32) * 255)) == labels(1)).all()


def test_grey_and_palette_ids_are_kept_and_255_beside_them_is_ignored(tmp_path):
    found = labels(1, 2, 5)
    grey = Image.fromarray(found)
    assert (read_mask(saved(tmp_path, grey)) == found).all()
    odd = grey.copy()
    odd.putpalette([0, 0, 0, 212, 87, 157, 232, 107, 235] + [90, 200, 30] * 253)
    assert (read_mask(saved(tmp_path, odd)) == found).all()
    void = labels(1, 2, 255)
    assert (read_mask(saved(tmp_path, Image.fromarray(void))) == labels(1, 2, 0)).all()
    rim = labels(1, 2)
    rim[100, 10:70] = 255  # one pixel wide
    assert (read_mask(saved(tmp_path, Image.fromarray(rim))) == labels(1, 2)).all()


def test_davis_colours_in_rgb_come_back_as_their_ids(tmp_path):
    found = labels(2, 7, 19)
    assert (read_mask(saved(tmp_path, Image.fromarray(PALETTE[found]))) == found).all()


def test_other_colours_count_from_the_top():
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[70:100, 10:60], rgb[10:40, 10:60], rgb[50:60, 90:150] = (250, 10, 10), (20, 30, 250), (255, 255, 255)
    found = read_mask(rgb)
    assert (found[80, 20], found[20, 20], found[55, 100]) == (3, 1, 2) and object_ids(found) == (1, 2, 3)


def test_white_and_grey_levels_are_objects():
    grey = np.zeros(SIZE, np.uint8)
    grey[10:50, 10:50], grey[60:100, 60:120] = 128, 255
    assert object_ids(read_mask(grey)) == (1, 2)


def drawn(colours, scale=4):
    """Overlapping ellipses with soft edges, and the same with hard ones."""
    big = Image.new("RGB", (SIZE[1] * scale, SIZE[0] * scale))
    pen = ImageDraw.Draw(big)
    for n, colour in enumerate(colours):
        left = scale * (10 + 28 * n)
        pen.ellipse((left, scale * 20, left + scale * 50, scale * (90 + n)), fill=colour)
    return big.resize((SIZE[1], SIZE[0]), Image.Resampling.LANCZOS), big.resize(
        (SIZE[1], SIZE[0]), Image.Resampling.NEAREST
    )


# red, green and their mix: the soft edge between the first two has the colour of the third
TRICKY = [(255, 0, 0), (0, 255, 0), (128, 128, 0), (0, 0, 255)]


@pytest.mark.parametrize(
    "colours", [[(255, 255, 255)], TRICKY, [tuple(map(int, PALETTE[n])) for n in (1, 2, 3, 4)]]
)
def test_soft_edges_never_become_objects(tmp_path, colours):
    soft, hard = drawn(colours)
    found, wanted = read_mask(saved(tmp_path, soft), SIZE), read_mask(hard)
    assert len(np.unique(np.asarray(soft).reshape(-1, 3), axis=0)) > 30
    assert object_ids(found) == object_ids(wanted) and len(object_ids(found)) == len(colours)
    assert (found != wanted).mean() < 0.02
    # no specks: a pixel's id occurs among its neighbours' ids
    for which in object_ids(found):
        here = np.pad(found == which, 1)
        near = (
            sum(np.roll(here, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)).astype(int) - here
        )
        assert near[here].min() >= 1


def test_soft_edges_survive_a_palette_and_a_blur(tmp_path):
    soft, hard = drawn(TRICKY[:2] + TRICKY[3:])
    wanted = read_mask(hard)
    quantised = soft.quantize(200, dither=Image.Dither.NONE)
    for image in (quantised, soft.filter(ImageFilter.GaussianBlur(1))):
        found = read_mask(saved(tmp_path, image))
        assert len(object_ids(found)) == 3 and ((found > 0) != (wanted > 0)).mean() < 0.03


@pytest.mark.parametrize("colours", [[(255, 255, 255)], [(255, 0, 0), (0, 255, 0), (0, 0, 255)]])
@pytest.mark.parametrize("form", ["jpg", "webp"])
def test_lossy_masks_are_cleaned(tmp_path, colours, form):
    soft, hard = drawn(colours)
    found, wanted = read_mask(saved(tmp_path, soft, f"mask.{form}", quality=85)), read_mask(hard)
    assert len(object_ids(found)) == len(colours) and ((found > 0) != (wanted > 0)).mean() < 0.03


@pytest.mark.parametrize("form", ["jpg", "webp"])
def test_a_lossy_mask_that_its_exif_turns_is_cleaned_as_well(tmp_path, form):
    soft, _ = drawn([(255, 0, 0), (0, 255, 0), (0, 0, 255)])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    plain, turned = (
        read_mask(saved(tmp_path, soft, f"mask.{form}", quality=85, **more)) for more in ({}, {"exif": exif})
    )
    assert len(object_ids(turned)) == 3 and ((turned > 0) != np.rot90(plain > 0, -1)).mean() < 1e-3


def test_thin_lines_survive_in_hard_masks(tmp_path):
    found = labels(1)
    found[110, :] = 2
    found[:, 150] = 3
    found[100:102, 90:92] = 4
    for image in (Image.fromarray(found), Image.fromarray(PALETTE[found])):
        assert (read_mask(saved(tmp_path, image)) == found).all()
    colours = np.array([(0, 0, 0), (250, 10, 10), (20, 30, 250), (20, 240, 30), (255, 255, 255)], np.uint8)
    got = read_mask(saved(tmp_path, Image.fromarray(colours[found])))
    assert all(len(np.unique(got[found == n])) == 1 for n in range(5)) and object_ids(got) == (1, 2, 3, 4)
    line = np.zeros((*SIZE, 3), np.uint8)
    line[50:52, 10:90] = 255, 0, 0
    assert (read_mask(saved(tmp_path, Image.fromarray(line))) == (line[..., 0] > 0)).all()
    assert (read_mask(saved(tmp_path, Image.open(io.BytesIO(encode_mask(found))))) == found).all()


def test_a_few_stray_or_halved_pixels_are_no_objects(tmp_path):
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[20:80, 20:80] = 255, 0, 0
    rgb[100, 100] = 0, 1, 0
    assert (read_mask(saved(tmp_path, Image.fromarray(rgb))) == (rgb[..., 0] > 0)).all()
    halved = np.zeros((*SIZE, 3), np.uint8)
    halved[20:80, 20:80] = PALETTE[1]
    halved[20:80, [19, 80]] = PALETTE[1] // 2  # which is the colour of object 8
    assert object_ids(read_mask(saved(tmp_path, Image.fromarray(halved)))) == (1,)


def test_254_objects_are_possible():
    found = np.arange(256).clip(max=254).astype(np.uint8).reshape(16, 16).repeat(4, 0).repeat(4, 1)
    assert (read_mask(found) == found).all() and object_ids(found) == tuple(range(1, 255))
    # as colours, too; only 128 has the grey of 7
    assert (read_mask(PALETTE[found]) == np.where(found == 128, 7, found)).all()


def noise(seed=0):
    smooth = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8))
    return smooth.resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC)


def many_colours():
    rgb = np.zeros((80, 80, 3), np.uint8)
    for n in range(300):
        rgb[4 * (n // 20) : 4 * (n // 20) + 4, 4 * (n % 20) : 4 * (n % 20) + 4] = (
            n % 250 + 5,
            255 - n % 200,
            n * 7 % 256,
        )
    return Image.fromarray(rgb)


def test_bad_masks_are_refused_in_words(tmp_path):
    cases = [
        (Image.new("L", (160, 120)), "background"),
        (Image.new("RGBA", (160, 120)), "background"),
        (Image.fromarray(labels(1)[:, :80]), "80x120.* 160x120"),
        (Image.fromarray(labels(1)[::2, ::2]), "scale"),
        (Image.fromarray(labels(1).T), "turn"),
        (noise(), None),
        (Image.new("RGB", (160, 120), (200, 10, 10)), "black"),
        (Image.fromarray(np.arange(160 * 120, dtype=np.uint16).reshape(SIZE)), "renumber"),
    ]
    for image, words in cases:
        with pytest.raises(MaskError, match=words) as caught:
            read_mask(saved(tmp_path, image), SIZE)
        assert "\n" not in str(caught.value)
    with pytest.raises(MaskError, match="254"):
        read_mask(saved(tmp_path, many_colours()))


def test_files_that_are_no_masks_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("#EXTM3U")
    whole = encode_mask(np.random.default_rng(0).integers(0, 9, SIZE).astype(np.uint8))
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name in ("text.png", "cut.png", "none.png"):
        with pytest.raises(MaskError, match=name):
            read_mask(tmp_path / name)
    with pytest.raises(MaskError, match="9000x9000"):
        read_mask(saved(tmp_path, Image.new("1", (9000, 9000))))
