"""A stream crawls when it writes a tenth of what its model usually does."""

from deployments.policy.pace import PaceEstimator, PaceMeter

USUAL = 100.0
"""Characters a second."""


def written(*pieces: tuple[int, float], usual: float = USUAL, crawl_s: float = 10.0) -> PaceMeter:
    """A stream of pieces: characters, and the wait for them."""
    meter, now = PaceMeter(usual, crawl_s, 0.0), 0.0
    for characters, waited_s in pieces:
        now += waited_s
        meter.note(characters, waited_s, now)
    return meter


def test_a_tenth_of_the_usual_pace_for_long_enough_is_a_crawl() -> None:
    assert written(*[(9, 1.0)] * 10).crawls
    assert not written(*[(9, 1.0)] * 9).crawls
    assert not written(*[(11, 1.0)] * 30).crawls


def test_a_stream_that_begins_to_crawl_late_is_found_as_well() -> None:
    assert written(*[(100, 1.0)] * 25, *[(5, 1.0)] * 20).crawls


def test_a_model_without_a_history_never_crawls() -> None:
    assert not written(*[(1, 1.0)] * 100, usual=0.0).crawls


def test_a_model_that_reasons_or_writes_a_call_in_between_does_not_crawl() -> None:
    assert not written(*[(5, 1.0), (0, 1.0)] * 30).crawls


def beside(*waits: tuple[float, float], at_work: bool, rounds: int = 30) -> PaceMeter:
    """A stream of five characters in each round, and before them what stands beside: the wait for that, and for them.

    Of several waits the last one is that for a round's text and what comes before it.
    """
    meter, now = PaceMeter(USUAL, 10.0, 0.0), 0.0
    for _ in range(rounds):
        for beside_s, text_s in waits:
            now += beside_s
            meter.note_beside(beside_s, now, at_work=at_work)
            now += text_s
        meter.note(5, waits[-1][1], now)
    return meter


def test_what_comes_with_each_piece_of_the_text_hides_no_crawl() -> None:
    assert beside((1.0, 0.0), at_work=False).crawls
    assert beside((0.5, 0.5), at_work=False).crawls
    assert beside((1.0, 0.0), at_work=True).crawls


def test_what_comes_with_each_piece_of_a_text_makes_no_crawl_of_it() -> None:
    assert not beside((0.01, 0.0), rounds=3000, at_work=False).crawls
    assert not beside((0.01, 0.0), rounds=3000, at_work=True).crawls


def test_a_model_that_reasons_between_pieces_of_its_text_does_not_crawl() -> None:
    assert not beside((1.0, 1.0), at_work=True).crawls
    assert not beside((1.0, 0.0), (1.0, 0.0), (1.0, 0.0), at_work=True).crawls


def test_the_time_that_a_reader_takes_is_not_the_models() -> None:
    meter = PaceMeter(USUAL, 10.0, 0.0)
    for second in range(100):
        meter.note(5, 0.0, float(second))

    assert not meter.crawls
    assert not meter.is_telling


def test_the_usual_pace_is_the_median_of_enough_streams() -> None:
    paces = PaceEstimator()
    for _ in range(19):
        paces.add("a", written(*[(10, 0.1)] * 10))
    assert paces.usual("a") == 0.0

    paces.add("a", written(*[(10, 0.1)] * 10))

    assert round(paces.usual("a"), 6) == USUAL
    assert paces.usual("b") == 0.0


def test_a_stream_of_a_few_characters_says_nothing_about_a_pace() -> None:
    paces = PaceEstimator()
    for _ in range(30):
        paces.add("a", written((3, 1.0)))

    assert paces.usual("a") == 0.0
