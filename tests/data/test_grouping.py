"""Proposals of which images show the same part: likeness, copies, names, folders, and their union."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from padim.data.grouping import SIDE, GroupProposal, fingerprint, near_identical, propose_groups, resolve

ImageArray = NDArray[np.uint8]
SIZE = 256


@cache
def make_part(seed: int, contrast: float = 8.0) -> ImageArray:
    """A round part of one product: the same for every seed but for its surface texture, as good parts are."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.normal(size=(SIZE, SIZE)), (0, 0), 4.0)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    gray = 60 + 80 * (np.hypot(x, y) < 70) + 30 * (np.hypot(x, y) < 30) + contrast * texture / texture.std()
    return np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def reshoot(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    """A shot of the part: shifted (two shots by up to 1.5 px), turned, exposed anew, noisy, as JPEG."""
    height, width = image.shape[:2]
    move = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-0.15, 0.15), 1.0)
    move[:, 2] += rng.uniform(-0.75, 0.75, 2)
    shot = cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float64)
    shot = shot * rng.uniform(0.97, 1.03) + rng.normal(0, rng.uniform(2, 4), shot.shape)
    jpeg = cv2.imencode(".jpg", np.clip(shot, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


def shots_of(parts: list[int], contrast: float = 8.0) -> NDArray[np.float32]:
    """Fingerprints (len(parts), k) of one shot for each entry; the same number is the same part."""
    rng = np.random.default_rng(len(parts))
    return np.stack([fingerprint(reshoot(make_part(part, contrast), rng)) for part in parts])


def by_name(names: list[str], rule: str) -> tuple[tuple[int, ...], ...]:
    """The groups one rule proposes for images that are all different and flat."""
    flat = np.zeros((len(names), SIDE * SIDE), np.float32)
    proposals = propose_groups(names, [str(i) for i in range(len(names))], flat)
    assert {p.rule for p in proposals} <= {"name_prefix", "sub_folder"}
    return next((p.groups for p in proposals if p.rule == rule), ())


# --- fingerprint


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (7, 5), (31, 33), (123, 286), (1000, 1000)])
def test_fingerprint_is_a_unit_vector_at_any_size(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    descriptor = fingerprint(image)
    assert descriptor.shape == (SIDE * SIDE,)
    assert descriptor.dtype == np.float32
    assert np.linalg.norm(descriptor) == pytest.approx(0.0 if shape == (1, 1) else 1.0, abs=1e-5)


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_fingerprint_of_a_flat_image_is_zero(level: int) -> None:
    assert not fingerprint(np.full((50, 70, 3), level, np.uint8)).any()


def test_fingerprint_ignores_gain() -> None:
    bright = make_part(1)
    dark = (bright * 0.6).round().astype(np.uint8)
    assert float(fingerprint(bright) @ fingerprint(dark)) > 0.99


def test_fingerprint_sees_a_texture_fainter_than_one_grey_level() -> None:
    """Area averaging must not round: dithered by noise, half a grey level is a clear signal."""
    rng = np.random.default_rng(0)
    half = np.zeros((800, 800))
    half[:, (np.arange(800) // 100) % 2 == 1] = 0.5
    prints = []
    for _ in range(2):
        gray = np.clip(100 + half + rng.normal(0, 1.5, half.shape), 0, 255).round().astype(np.uint8)
        prints.append(fingerprint(np.repeat(gray[:, :, None], 3, axis=2)))
    assert float(prints[0] @ prints[1]) > 0.9


# --- near-identical


def test_distinct_parts_of_one_product_are_not_grouped() -> None:
    prints = shots_of(list(range(60)), contrast=2.0)
    raw = prints @ prints.T - 2 * np.eye(60)
    assert raw.max() > 0.8  # they do look alike; without the set's mean taken out this would be no test
    assert near_identical(prints) == []


def test_repeat_shots_among_single_shots_are_found() -> None:
    found = near_identical(shots_of([*range(40), 3, 11, 17, 25]))
    assert sorted(found) == [(3, 40), (11, 41), (17, 42), (25, 43)]


@pytest.mark.parametrize("n_parts", [2, 4, 30])
@pytest.mark.parametrize("n_shots", [2, 3, 5])
def test_a_set_shot_repeatedly_throughout_is_found(n_parts: int, n_shots: int) -> None:
    found = near_identical(shots_of(list(range(n_parts)) * n_shots))
    part = np.arange(n_parts * n_shots) % n_parts
    together = np.array(resolve(len(part), found))
    same_part = part[:, None] == part
    proposed = together[:, None] == together
    assert not (proposed & ~same_part).any()
    assert proposed[same_part].mean() > 0.95


def test_texture_below_the_noise_gives_no_groups() -> None:
    """Parts that cannot be told apart must not be: a wrong proposal is worse than none."""
    assert near_identical(shots_of(list(range(40)), contrast=0.0)) == []


def test_parts_that_merely_lie_the_same_way_are_not_grouped() -> None:
    """Position varies far more than the parts do: images of two parts in one place are nearly alike."""
    rng = np.random.default_rng(3)
    moved = [np.roll(make_part(part, contrast=1.0), rng.integers(-8, 9, 2), (0, 1)) for part in range(60)]
    prints = np.stack([fingerprint(reshoot(image, rng)) for image in moved])
    centred = prints - prints.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    assert (
        centred @ centred.T - 2 * np.eye(60)
    ).max() > 0.8  # so the absolute guard alone would propose them
    assert near_identical(prints) == []


def test_a_run_longer_than_a_burst_is_not_a_part() -> None:
    """25 look-alikes beside 25 others are two variants or batches: nobody shoots a part 25 times."""
    assert near_identical(shots_of([0] * 25 + [1] * 25)) == []


def prints_with(cosines: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Fingerprints in blocks of given cosines, 0 between blocks, then all again negated for a mean of 0."""
    size = sum(map(len, cosines))
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(SIDE * SIDE, size)))[0].T
    rows, start = [], 0
    for block in cosines:
        rows.append(np.linalg.cholesky(block) @ basis[start : start + len(block)])
        start += len(block)
    half = np.concatenate(rows)
    return np.concatenate([half, -half]).astype(np.float32)


def test_a_pair_hardly_nearer_than_the_next_part_is_not_proposed() -> None:
    """Image 0 sees only 1, but 1 has a neighbour almost as near: likeness without a gap proves nothing."""
    in_doubt = np.array([[1, 0.85, 0.4], [0.85, 1, 0.78], [0.4, 0.78, 1]])
    clear = np.array([[1, 0.85, 0.4], [0.85, 1, 0.4], [0.4, 0.4, 1]])
    assert near_identical(prints_with([in_doubt, *[np.eye(3)] * 4])) == []
    assert near_identical(prints_with([clear] * 2)) == [(0, 1), (3, 4), (6, 7), (9, 10)]


def test_a_pair_no_nearer_than_parts_of_this_set_usually_are_is_not_proposed() -> None:
    pair = np.array([[1, 0.82], [0.82, 1]])
    alike = np.full((3, 3), 0.75) + 0.25 * np.eye(3)
    assert near_identical(prints_with([pair, *[alike] * 6])) == []
    assert near_identical(prints_with([pair, *[np.eye(3)] * 6])) == [(0, 1), (20, 21)]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_images_give_no_likeness(n: int) -> None:
    prints = shots_of([5] * n) if n else np.zeros((0, SIDE * SIDE), np.float32)
    assert near_identical(prints) == []
    names = [f"{i}.png" for i in range(n)]
    assert propose_groups(names, names, prints) == ()


@pytest.mark.parametrize("n", [3, 50])
def test_flat_images_give_no_groups(n: int) -> None:
    assert near_identical(np.zeros((n, SIDE * SIDE), np.float32)) == []
    textured = np.concatenate([np.zeros((n, SIDE * SIDE), np.float32), shots_of([1, 2, 3, 1])])
    assert near_identical(textured) in ([], [(n, n + 3)])


def test_more_images_than_one_block_give_the_same_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    prints = rng.normal(size=(2300, SIDE * SIDE)).astype(np.float32)
    prints[2200:] = prints[:100] + rng.normal(0, 0.1, (100, SIDE * SIDE))
    prints /= np.linalg.norm(prints, axis=1, keepdims=True)
    assert sorted(near_identical(prints)) == [(i, 2200 + i) for i in range(100)]


PRINTS_24 = shots_of([*range(15), 0, 1, 2, 2, 3, 0, 1, 2, 3])


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(24)))
def test_proposals_follow_the_images_in_any_order(order: list[int]) -> None:
    parts = [*range(15), 0, 1, 2, 2, 3, 0, 1, 2, 3]
    names = [f"lot/part{part:02d}_{i % 3}.png" for i, part in enumerate(parts)]
    hashes = [str(i % 20) for i in range(24)]
    prints = PRINTS_24.copy()
    prints[20:] = prints[:4]  # the same bytes are the same image
    straight = {p.rule: p for p in propose_groups(names, hashes, prints)}
    turned = propose_groups([names[i] for i in order], [hashes[i] for i in order], prints[order])
    assert {p.rule for p in turned} == set(straight) == {"identical", "near_identical", "name_prefix"}
    for proposal in turned:
        back = {frozenset(order[i] for i in group) for group in proposal.groups}
        assert back == {frozenset(group) for group in straight[proposal.rule].groups}


# --- copies and the proposal itself


def test_copies_are_automatic_and_hide_no_other_shot() -> None:
    """A copy at distance 0 must not make the part's real second shot look like another part."""
    prints = shots_of([*range(20), 4])
    prints = np.concatenate([prints, prints[4:5]])
    hashes = [f"h{i}" for i in range(21)] + ["h4"]
    copies, likeness = propose_groups([f"{i}.png" for i in range(22)], hashes, prints)
    assert (copies.rule, copies.groups, copies.automatic) == ("identical", ((4, 21),), True)
    assert (likeness.rule, likeness.groups, likeness.automatic) == ("near_identical", ((4, 20, 21),), False)
    assert (likeness.n_images, likeness.n_groups) == (3, 1)
    assert likeness.reason.startswith("3 images look like repeat shots of 1 part")


def test_copies_are_found_in_a_set_of_two() -> None:
    (proposal,) = propose_groups(["a.png", "b.png"], ["same", "same"], np.zeros((2, SIDE * SIDE), np.float32))
    assert proposal.groups == ((0, 1),)


def test_one_group_reads_as_one() -> None:
    prints = shots_of([*range(20), 4])
    copies, likeness = propose_groups(
        [f"{i}.png" for i in range(22)],
        [f"h{i}" for i in range(21)] + ["h4"],
        np.concatenate([prints, prints[4:5]]),
    )
    assert "copies: 1 image, saved" in copies.reason
    assert "shots of 1 part:" in likeness.reason
    names = ["lid7_1.png", "lid7_2.png", "x.png", "y.png", "z.png"]
    (by_name,) = propose_groups(names, list("vwxyz"), np.zeros((5, SIDE * SIDE), np.float32))
    assert "makes 1 part photographed" in by_name.reason


def test_reason_counts_and_quotes() -> None:
    names = ["part1_a.png", "part1_b.png", "part2_a.png", "part2_b.png"]
    (proposal,) = propose_groups(names, list("wxyz"), np.zeros((4, SIDE * SIDE), np.float32))
    assert isinstance(proposal, GroupProposal)
    assert "4 file names" in proposal.reason
    assert "2 parts" in proposal.reason
    assert "part1_a.png, part1_b.png" in proposal.reason


def test_inputs_must_describe_the_same_images() -> None:
    with pytest.raises(ValueError, match="2 names, 1 hashes and 2 fingerprints"):
        propose_groups(["a", "b"], ["x"], np.zeros((2, SIDE * SIDE), np.float32))
    with pytest.raises(ValueError, match=r"shape \(1, 7\)"):
        propose_groups(["a"], ["x"], np.zeros((1, 7), np.float32))


# --- names


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["part017_a.jpg", "part017_b.jpg", "part018_a.jpg", "part018_b.jpg"], ((0, 1), (2, 3))),
        (["IMG_12-1.png", "IMG_12-2.png", "IMG_13-1.png", "IMG_13-2.png"], ((0, 1), (2, 3))),
        (["A-001 (1).png", "A-001 (2).png", "A-002 (1).png", "A-002 (2).png"], ((0, 1), (2, 3))),
        (["A-001.png", "A-001 (1).png", "A-002.png", "A-002 (1).png"], ((0, 1), (2, 3))),
        (["IMG_12-1.png", "IMG_12-2.png", "IMG_13.png", "IMG_14.png"], ((0, 1),)),
        (["p1a.bmp", "p1b.bmp", "p1c.bmp", "p2a.bmp", "p2b.bmp", "p3a.bmp"], ((0, 1, 2), (3, 4))),
        (["day1/lid 3.left.png", "day1/lid 3.right.png", "day1/lid 4.left.png"], ()),
        (["lid3.left.png", "lid3.right.png", "lid4.left.png", "lid4.right.png"], ((0, 1), (2, 3))),
        (["d\\p7_1.png", "d\\p7_2.png", "e\\p7_1.png", "e\\p7_2.png"], ((0, 1), (2, 3))),
        (["partA_1.png", "partA_2.png", "partB_1.png", "partB_2.png", "partC_1.png", "partC_2.png"], 3),
        ([f"P{i:03d}_{k:03d}.png" for i in range(8) for k in range(12)], 8),
        ([f"{i}_BURST{k:02d}.jpg" for i in range(100, 110) for k in range(3)], 10),
    ],
)
def test_names_that_read_as_part_and_shot(
    names: list[str], groups: tuple[tuple[int, ...], ...] | int
) -> None:
    found = by_name(names, "name_prefix")
    assert (len(found) if isinstance(groups, int) else found) == groups


@pytest.mark.parametrize(
    "names",
    [
        [f"good_{i:03d}.png" for i in range(209)],
        [f"good_{i}.png" for i in range(5)],
        [f"good ({i}).jpg" for i in range(1, 209)],
        [f"{i:03d}.png" for i in range(209)],
        [f"DSC{i:04d}.JPG" for i in range(50)],
        [f"DSC_{i:04d}.JPG" for i in range(50)],
        [f"{kind}_{i:03d}.png" for kind in ("good", "ok", "fine", "new") for i in range(10)],
        [f"{kind}_{i}.png" for kind in ("good", "ok") for i in range(10)],
        [f"exp{e}_num_{7919 * i + e}.jpg" for e in range(6) for i in range(10)],
        [f"20240501_1{i:05d}.jpg" for i in range(0, 6000, 61)],
        [f"2024-05-{d:02d}_{i:03d}.jpg" for d in range(1, 6) for i in range(10)],
        [f"2024-05-01 12.{s // 60:02d}.{s % 60:02d}.jpg" for s in range(0, 3600, 13)],
        [f"{i * 2654435761 % 2**32:08x}-{i * 40503 % 65536:04x}.png" for i in range(1, 200)],
        [f"lot{lot}_{i:03d}.png" for lot in range(4) for i in range(50)],
        ["", ".png", "a", "a."],
    ],
    ids=lambda names: names[-1],
)
def test_names_that_only_count(names: list[str]) -> None:
    assert by_name(names, "name_prefix") == ()


# --- folders


@pytest.mark.parametrize(
    "template", ["part{0:02d}/{1}.png", "train/part{0:02d}/{1}.png", "a\\part{0:02d}\\{1}.png"]
)
def test_folders_with_a_few_images_each(template: str) -> None:
    names = [template.format(part, shot) for part in range(5) for shot in range(3)]
    assert by_name(names, "sub_folder") == tuple((i, i + 1, i + 2) for i in range(0, 15, 3))


def test_folders_are_taken_a_level_up_where_each_image_has_its_own() -> None:
    names = [f"part{part}/cam{cam}/x.png" for part in range(4) for cam in range(2)]
    assert by_name(names, "sub_folder") == ((0, 1), (2, 3), (4, 5), (6, 7))


@pytest.mark.parametrize(
    "names",
    [
        [f"train/good/{i:03d}.png" for i in range(30)],
        [f"{folder}/{i:03d}.png" for folder in ("train", "test") for i in range(10)],
        [f"{folder}/{i:03d}.png" for folder in ("mon", "tue", "wed", "thu") for i in range(40)],
        [f"part{i}/x.png" for i in range(30)],
        [f"{i}.png" for i in range(30)],
    ],
    ids=lambda names: names[-1],
)
def test_folders_that_are_no_parts(names: list[str]) -> None:
    assert by_name(names, "sub_folder") == ()


# --- resolve


def test_resolve_unites_what_overlaps() -> None:
    assert resolve(7, [[5, 1], [2, 3], [3, 6]]) == [0, 1, 2, 2, 3, 1, 2]
    assert resolve(3, []) == [0, 1, 2]
    assert resolve(0, []) == []
    assert resolve(2, [[], [1]]) == [0, 1]


@pytest.mark.parametrize("wrong", [-1, 3])
def test_resolve_refuses_images_that_are_not_there(wrong: int) -> None:
    with pytest.raises(ValueError, match=f"image {wrong}"):
        resolve(3, [[0, wrong]])


@settings(deadline=None)
@given(st.data(), st.integers(1, 25))
def test_resolve_is_the_smallest_equivalence_that_holds_the_groups(data: st.DataObject, n: int) -> None:
    groups = data.draw(st.lists(st.lists(st.integers(0, n - 1), max_size=6), max_size=8))
    part = resolve(n, groups)
    reached = np.eye(n, dtype=bool)
    for group in groups:
        reached[np.ix_(group, group)] = True
    for via in range(n):  # Warshall's transitive closure
        reached |= np.outer(reached[:, via], reached[via])
    assert ((np.array(part)[:, None] == part) == reached).all()
    first = [part.index(p) for p in range(max(part) + 1)]
    assert first == sorted(first)  # numbered from 0 without holes, in order of first image
