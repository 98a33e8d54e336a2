"""render.py: fixed colours, sizes, what the overlay leaves alone, and the strip's geometry."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from padim.data.preprocess import Box
from padim.decision.anomaly_map import MAX_LEVEL
from padim.decision.prediction import Prediction, decide
from padim.locating.frame import rotation
from padim.locating.placement import Placement
from padim.output import render
from padim.output.render import (
    COLORMAPS,
    color_table,
    encode_jpeg,
    encode_png,
    four_panel,
    heatmap,
    mask_image,
    overlay,
    scale_bar,
    scale_table,
    score_text,
)
from padim.output.small_overlays import outlined_jpeg, overlay_jpeg

CYAN = (0, 229, 255)


def image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def hot_map(size: int = 32, peak: int = 900) -> NDArray[np.uint16]:
    y, x = np.mgrid[:size, :size]
    bump = np.exp(-((x - 0.6 * size) ** 2 + (y - 0.3 * size) ** 2) / (0.02 * size**2))
    return np.rint(100 + peak * bump).astype(np.uint16)


# --- the scale ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [1, 2, 3, 500, 32767, 40000, MAX_LEVEL])
def test_the_threshold_is_the_middle_of_the_scale(threshold: int) -> None:
    table = scale_table(threshold)
    assert table.shape == (MAX_LEVEL + 1,)
    assert table[0] == 0
    assert table[threshold] == 128
    assert (np.diff(table.astype(int)) >= 0).all()
    if 2 * threshold <= MAX_LEVEL:
        assert table[2 * threshold] == 255
    assert (table[2 * threshold :] == 255).all()


def test_a_threshold_of_zero_divides_nothing() -> None:
    table = scale_table(0)
    assert table[0] == 0
    assert (table[1:] == 255).all()
    q = np.array([[0, 1], [0, MAX_LEVEL]], np.uint16)
    np.testing.assert_array_equal(heatmap(q, 0, (2, 2))[:, 1], [color_table()[255]] * 2)


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_the_heatmap_looks_levels_up_on_the_fixed_scale(colormap: str) -> None:
    q = np.array([[0, 250, 500], [750, 1000, 65535]], np.uint16)
    table = color_table(colormap)
    out = heatmap(q, 500, (2, 3), colormap=colormap)
    np.testing.assert_array_equal(out, table[[[0, 64, 128], [191, 255, 255]]], strict=True)


def test_colormaps_are_opencvs_in_rgb_order() -> None:
    assert tuple(color_table("jet")[0]) == (0, 0, 128)  # jet is blue at the bottom, red at the top
    assert color_table("jet")[255][0] > 100
    for name in ("inferno", "magma", "viridis", "cividis"):
        lab = cv2.cvtColor(color_table(name)[None], cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
        assert (np.diff(lab) >= -1).all(), name  # lightness rises
    with pytest.raises(ValueError, match="inferno"):
        color_table("rainbow-ish")


def test_the_same_level_has_the_same_colour_whatever_else_is_in_the_map() -> None:
    calm, wild = np.full((16, 16), 40, np.uint16), np.full((16, 16), 40, np.uint16)
    wild[8:] = MAX_LEVEL
    np.testing.assert_array_equal(heatmap(calm, 300, (64, 64))[:16], heatmap(wild, 300, (64, 64))[:16])


def test_a_good_part_looks_cold() -> None:
    cold = heatmap(np.full((8, 8), 200, np.uint16), 500, (8, 8))
    hot = heatmap(np.full((8, 8), 900, np.uint16), 500, (8, 8))
    assert cold.mean() < 70 < 140 < hot.mean()


def test_the_heatmap_is_enlarged_smoothly_as_levels() -> None:
    q = hot_map()
    out = heatmap(q, 400, (200, 300))
    levels = cv2.resize(q, (300, 200), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(out, color_table()[scale_table(400)[levels]], strict=True)


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (90, 7), (32, 32), (100, 50)])
def test_the_heatmap_has_the_images_size(size: tuple[int, int]) -> None:
    assert heatmap(hot_map(), 400, size).shape == (*size, 3)
    assert heatmap(hot_map(), 400, size, content_box=Box(4, 0, 20, 32)).shape == (*size, 3)


def test_padding_is_cut_away() -> None:
    q = np.full((32, 32), MAX_LEVEL, np.uint16)
    q[8:24] = 0
    out = heatmap(q, 400, (64, 128), content_box=Box(8, 0, 16, 32))
    np.testing.assert_array_equal(out, np.broadcast_to(color_table()[0], out.shape))


def test_the_scale_bar_is_hot_at_the_top_with_the_threshold_in_its_middle() -> None:
    bar = scale_bar(257, "jet", width=9)
    assert bar.shape == (257, 9, 3)
    for row, step in ((0, 255), (128, 128), (256, 0)):
        assert (bar[row] == color_table("jet")[step]).all()
    assert scale_bar(1).shape == (1, 1, 3)
    with pytest.raises(ValueError, match="height"):
        scale_bar(0)


# --- mask and overlay ---------------------------------------------------------------------------------------


def test_the_mask_image_is_black_and_white() -> None:
    mask = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(mask_image(mask), np.array([[255, 0], [0, 255]], np.uint8), strict=True)


def test_without_heat_and_contour_the_overlay_is_the_image() -> None:
    rgb, q = image(60, 80), hot_map()
    mask = decide(q, 400, 4, original_size=(60, 80)).mask
    before = rgb.copy()
    out = overlay(rgb, q, mask, 400, opacity=0, contour=False)
    np.testing.assert_array_equal(out, rgb)
    assert out is not rgb
    # With the contour, only pixels within the line's reach of the mask's edge differ.
    lined = overlay(rgb, q, mask, 400, opacity=0)
    changed = (lined != rgb).any(axis=2)
    core = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    assert changed.any()
    assert not (changed & ((core > 0) | (wide == 0))).any()
    overlay(rgb, q, mask, 400)
    np.testing.assert_array_equal(rgb, before)


def test_heat_weighs_nothing_at_level_zero_and_opacity_from_the_threshold_up() -> None:
    rgb = np.full((1, 4, 3), 200, np.uint8)
    q = np.array([[0, 250, 500, 5000]], np.uint16)
    none = np.zeros((1, 4), bool)
    out = overlay(rgb, q, none, 500, opacity=0.5).astype(float)
    table = color_table().astype(float)
    np.testing.assert_array_equal(out[0, 0], rgb[0, 0])
    np.testing.assert_allclose(out[0, 1], 200 + 0.5 / 8 * (table[64] - 200), atol=1.5)
    np.testing.assert_allclose(out[0, 2], 200 + 0.5 * (table[128] - 200), atol=1.5)
    np.testing.assert_allclose(out[0, 3], 200 + 0.5 * (table[255] - 200), atol=1.5)
    full = overlay(rgb, q, none, 500, opacity=1.0)
    np.testing.assert_array_equal(full[0, 2:], color_table()[[128, 255]])


def test_a_good_part_stays_visible_and_grey_stays_grey() -> None:
    gray = np.repeat(image(40, 40)[:, :, :1], 3, axis=2)
    cold = np.zeros((32, 32), np.uint16)
    np.testing.assert_array_equal(overlay(gray, cold, np.zeros((40, 40), bool), 500), gray)
    calm = np.full((32, 32), 150, np.uint16)
    change = overlay(gray, calm, np.zeros((40, 40), bool), 500).astype(int) - gray
    assert np.abs(change).max() <= 4


@pytest.mark.parametrize("side", [40, 300, 2400])
def test_the_contour_is_as_wide_as_the_image_asks_for(side: int) -> None:
    mask = np.zeros((side, side), bool)
    mask[side // 4 : -side // 4, side // 4 : -side // 4] = True
    rgb = np.full((side, side, 3), 90, np.uint8)
    out = overlay(rgb, np.zeros((32, 32), np.uint16), mask, 500)
    line = (out[side // 2] == CYAN).all(axis=1).sum()
    assert line == 2 * max(1, round(side / 300))
    assert tuple(out[side // 4, side // 2]) == CYAN  # on the mask's edge pixel
    assert (out[side // 4 - 1, side // 2] < 40).all()  # the halo outside
    assert tuple(out[side // 2, side // 2]) == (90, 90, 90)


def test_the_contour_shows_every_mask_and_its_holes() -> None:
    rgb, cold = np.full((30, 30, 3), 90, np.uint8), np.zeros((32, 32), np.uint16)
    full = overlay(rgb, cold, np.ones((30, 30), bool), 500, contour_color=(1, 2, 3))
    assert (full[0] == (1, 2, 3)).all()
    assert (full[:, -1] == (1, 2, 3)).all()
    single = np.zeros((30, 30), bool)
    single[29, 0] = True
    assert tuple(overlay(rgb, cold, single, 500)[29, 0]) == CYAN
    holed = np.ones((30, 30), bool)
    holed[10:20, 10:20] = False
    assert tuple(overlay(rgb, cold, holed, 500)[9, 15]) == CYAN
    tiny = overlay(rgb[:1, :1], cold, np.ones((1, 1), bool), 500)
    assert tuple(tiny[0, 0]) == CYAN


def test_extreme_maps_and_thresholds_can_be_drawn() -> None:
    rgb = image(20, 30)
    for level in (0, 1, MAX_LEVEL):
        for threshold in (0, 1, MAX_LEVEL):
            q = np.full((16, 16), level, np.uint16)
            decision = decide(q, threshold, 16, original_size=(20, 30))
            assert overlay(rgb, q, decision.mask, threshold).shape == rgb.shape
            assert four_panel(rgb, q, decision, caption="x").dtype == np.uint8


def test_overlay_refuses_what_does_not_match() -> None:
    rgb, q, mask = image(20, 30), hot_map(), np.zeros((20, 30), bool)
    with pytest.raises(ValueError, match="mask"):
        overlay(rgb, q, mask.T, 5)
    with pytest.raises(ValueError, match="opacity"):
        overlay(rgb, q, mask, 5, opacity=1.2)
    with pytest.raises(ValueError, match="image"):
        overlay(rgb[:, :, 0], q, mask, 5)
    with pytest.raises(ValueError, match="threshold"):
        overlay(rgb, q, mask, -1)
    with pytest.raises(ValueError, match="level map"):
        heatmap(q.astype(np.float32), 5, (20, 30))


# --- the strip ----------------------------------------------------------------------------------------------


def strip_of(
    height: int, width: int, **kwargs: object
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Prediction]:
    rgb, q = image(height, width), hot_map()
    decision = decide(q, 400, 4, original_size=(height, width))
    return rgb, four_panel(rgb, q, decision, **kwargs), decision  # type: ignore[arg-type]


def test_the_strip_holds_the_four_panels_side_by_side() -> None:
    rgb, strip, decision = strip_of(300, 400, labels=False)
    gutter = 4
    assert strip.shape == (300 + 2 * gutter, 4 * 400 + 5 * gutter, 3)
    panels = [strip[gutter:-gutter, gutter + i * 404 :][:, :400] for i in range(4)]
    q = hot_map()
    np.testing.assert_array_equal(panels[0], rgb)
    np.testing.assert_array_equal(panels[1], heatmap(q, 400, (300, 400)))
    np.testing.assert_array_equal(panels[2], np.repeat(mask_image(decision.mask)[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(panels[3], overlay(rgb, q, decision.mask, 400))
    for i in range(5):
        assert (strip[:, i * 404 : i * 404 + gutter] == strip[0, 0]).all()


def test_labels_and_caption_add_lines_and_leave_the_panels_alone() -> None:
    _, bare, _ = strip_of(300, 400, labels=False)
    _, full, _ = strip_of(300, 400, caption="part_0001.png")
    assert full.shape[1] == bare.shape[1]
    line = (full.shape[0] - 300) // 2
    np.testing.assert_array_equal(full[line : line + 300], bare[4:304])
    for i in range(4):  # something is written above each panel
        head = full[:line, 4 + i * 404 :][:, :400]
        assert (head != full[0, 0]).any()
    assert (full[line + 300 :, :200] != full[0, 0]).any()  # the name
    assert (full[line + 300 :, -60:] == (198, 40, 57)).all(axis=2).any()  # the verdict, in red


def test_accept_and_reject_look_different() -> None:
    rgb, q = image(200, 200), hot_map()
    strips = [four_panel(rgb, q, decide(q, t, 4, original_size=(200, 200)), caption="a") for t in (400, 2000)]
    red, green = (
        (s == c).all(axis=2).sum() for s, c in zip(strips, ((198, 40, 57), (31, 132, 90)), strict=True)
    )
    assert red > 100
    assert green > 100


def test_a_reduced_strip_loses_no_mask_pixel() -> None:
    rgb, q = image(640, 1280), np.zeros((128, 128), np.uint16)
    q[77, 31] = 900
    decision = decide(q, 400, 1, original_size=(640, 1280))
    strip = four_panel(rgb, q, decision, labels=False, panel_side=64)
    assert strip.shape == (32 + 4, 4 * 64 + 5 * 2, 3)
    assert (strip[2:34, 2 + 2 * 66 :][:, :64] == 255).any()


@pytest.mark.parametrize("size", [(1, 1), (30, 50), (1, 500), (500, 3)])
def test_small_images_are_enlarged_by_a_whole_factor(size: tuple[int, int]) -> None:
    rgb, strip, _ = strip_of(*size, caption="a long name that does not fit " * 9, labels=True)
    factor = -(-192 // max(size)) if max(size) < 192 else 1
    gutter = max(2, round(factor * max(size) / 100))
    assert strip.shape[1] == 4 * factor * size[1] + 5 * gutter
    big = rgb.repeat(factor, axis=0).repeat(factor, axis=1)
    line = 2 * min(96, max(12, round(factor * max(size) / 24)))
    np.testing.assert_array_equal(strip[line : line + len(big), gutter : gutter + big.shape[1]], big)


def test_a_padded_image_in_the_strip() -> None:
    q, rgb = np.zeros((32, 32), np.uint16), image(200, 400)
    q[8:24] = 100
    q[10:14, 10:14] = 900
    box = Box(8, 0, 16, 32)
    decision = decide(q, 400, 4, original_size=(200, 400), content_box=box)
    strip = four_panel(rgb, q, decision, labels=False, content_box=box)
    np.testing.assert_array_equal(
        strip[4:204, 4 + 404 :][:, :400], heatmap(q, 400, (200, 400), content_box=box)
    )


def located(size: tuple[int, int], scale: float = 1.0) -> Placement:
    """A map of 32 x 32 pixels in the middle of an image, turned by 30 degrees."""
    linear = rotation(30) * scale
    shift = np.array([size[1] / 2, size[0] / 2]) - linear @ (16, 16)
    return Placement.of(np.column_stack([linear, shift]))


def test_heat_of_a_located_part_is_turned_back_to_it() -> None:
    q, size = hot_map(), (200, 300)
    placement = located(size, 4.0)
    hot = heatmap(q, 400, size, placement=placement)
    brightest = np.unravel_index(hot.sum(axis=2).argmax(), size)
    row, column = np.unravel_index(q.argmax(), q.shape)
    expected = placement.matrix @ (column + 0.5, row + 0.5, 1)
    # The scale ends at twice the threshold, so that a spot of some pixels has the highest color.
    assert np.hypot(brightest[1] + 0.5 - expected[0], brightest[0] + 0.5 - expected[1]) < 12
    assert (hot[0, 0] == color_table()[0]).all()
    original = image(*size)
    mask = decide(q, 400, 16, original_size=size, placement=placement).mask
    drawn = overlay(original, q, mask, 400, placement=placement)
    assert (drawn[0, 0] == original[0, 0]).all()
    assert not (drawn[mask] == original[mask]).all()


@pytest.mark.parametrize("side", [None, 120])
def test_the_strip_of_a_located_part_shows_what_the_model_has_seen(side: int | None) -> None:
    q, size = hot_map(), (200, 300)
    decision = decide(q, 400, 16, original_size=size, placement=located(size, 4.0))
    strip = four_panel(image(*size), q, decision, labels=False, panel_side=side)
    height, width = (200, 300) if side is None else (80, 120)
    gutter = max(2, round(width / 100))
    seen, heat, mask, _ = (
        strip[gutter : gutter + height, gutter + i * (width + gutter) :][:, :width] for i in range(4)
    )
    if side is None:
        assert (seen == image(*size)).all()
        assert (mask[..., 0] == 255 * decision.mask).all()
    # The border of the map is drawn, in a gray that no colormap has.
    corners = np.array([(0, 16, 1), (32, 16, 1), (16, 0, 1), (16, 32, 1)])
    where = corners @ located(size, 4.0).matrix.T * (height / 200)
    for x, y in np.floor(where).astype(int):
        around = heat[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].reshape(-1, 3)
        assert (abs(around.astype(int) - (160, 168, 180)).max(axis=1) < 60).any()


def test_small_jpegs_draw_a_located_part_at_its_place() -> None:
    q, size = hot_map(), (200, 300)
    original = np.full((*size, 3), 90, np.uint8)
    for content in (
        overlay_jpeg(original, q, 400, 16, None, placement=located(size, 4.0)),
        outlined_jpeg(original, q, q > 400, 400, None, placement=located(size, 4.0)),
    ):
        drawn = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        changed = abs(drawn - 90).max(axis=2) > 40
        mask = decide(q, 400, 16, original_size=size, placement=located(size, 4.0)).mask
        near = cv2.dilate(mask.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
        assert changed.any()
        assert not (changed & ~near).any()


def test_the_strip_refuses_a_decision_on_another_image() -> None:
    q = hot_map()
    with pytest.raises(ValueError, match="mask"):
        four_panel(image(20, 30), q, decide(q, 400, 4, original_size=(30, 20)))
    with pytest.raises(ValueError, match="panel_side"):
        four_panel(image(32, 32), q, decide(q, 400, 4), panel_side=0)


@pytest.mark.parametrize(
    ("score", "threshold", "text"),
    [
        (500, 500, "score 1.00 × threshold"),
        (501, 500, "score 1.01 × threshold"),
        (499, 500, "score 0.99 × threshold"),
        (1130, 500, "score 2.26 × threshold"),
        (0, 500, "score 0.00 × threshold"),
        (7, 0, "score 7, threshold 0"),
    ],
)
def test_the_score_never_rounds_across_the_threshold(score: int, threshold: int, text: str) -> None:
    assert score_text(score, threshold) == text


def test_names_in_any_script_are_written_without_placeholder_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_SYSTEM_FONTS", ())  # a machine that has only the built-in font
    text, _ = render._text_and_font("  Prüfling \n Größe_Łódź_部品.png", 20)
    assert text == "Prufling Grosse_Lodz_??.png"


# --- files --------------------------------------------------------------------------------------------------


def test_png_and_jpeg_keep_channel_order_and_size() -> None:
    rgb = np.zeros((24, 40, 3), np.uint8)
    rgb[:, :20] = (250, 20, 30)
    rgb[:, 20:] = (10, 60, 240)
    with Image.open(io.BytesIO(encode_png(rgb))) as png:
        assert png.format == "PNG"
        np.testing.assert_array_equal(np.asarray(png), rgb)
    with Image.open(io.BytesIO(encode_jpeg(rgb))) as jpeg:
        assert jpeg.format == "JPEG"
        np.testing.assert_allclose(np.asarray(jpeg).astype(int), rgb, atol=12)
    mask = mask_image(np.eye(9, dtype=bool))
    with Image.open(io.BytesIO(encode_png(mask))) as png:
        assert png.mode == "L"
        np.testing.assert_array_equal(np.asarray(png), mask)
    with pytest.raises(ValueError, match="uint8"):
        encode_png(rgb.astype(np.float32))
