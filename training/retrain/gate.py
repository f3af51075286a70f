"""Champion against challenger: may a new release take the place of the one that is served?

Both are judged as they are served, opened from their folders, on things that neither was trained on where there are
such: held-out newest items and links, views of pictures. Every space is judged by itself, and the release as a whole.
Where two figures of the same questions are compared, the interval is that of their differences (paired bootstrap).
"""

from collections.abc import Sequence

from recsvc.answers import Recommender
from recsvc.answers.bundle import Bundle, open_bundle
from recsvc.answers.queries import IMAGE_SPACE, SEQUENCE_SPACE
from recsvc.data import make_split
from recsvc.errors import ReleaseError
from training.progress import Reporter
from training.retrain.gate_behaviour import held_out_items, judge_next_items, popular_items
from training.retrain.gate_config import GateConfig
from training.retrain.gate_graph import judge_graph, lost_things
from training.retrain.gate_image import judge_pictures
from training.retrain.gate_new_events import judge_new_events, newest_event
from training.retrain.gate_reader import ReleaseReader
from training.retrain.gate_service import latency, parity, recall, size
from training.retrain.gate_verdict import Check, Contender, Verdict
from training.run import Run
from training.spaces import spaces_in

__all__ = ["Check", "Contender", "Verdict", "judge"]

_GRAPH = "graph"


def judge(
    challenger: Contender, champion: Contender | None, run: Run, config: GateConfig, *, reporter: Reporter | None = None
) -> Verdict:
    """Compare a challenger with the champion, space by space.

    The same releases and run give the same verdict, but for what is timed.

    Args:
        challenger: the release that is judged.
        champion: the one that is served; None where none is, and then only floors count.
        run: the challenger's: its log, split, graph and pictures are what both are asked about.
        config: how much worse the challenger may be.
        reporter: where progress is shown.

    Raises:
        ReleaseError: the champion cannot be opened. A challenger that cannot is refused.
    """
    reporter = reporter or Reporter(quiet=True)
    names = sorted(challenger.manifest.spaces.keys() | (champion.manifest.spaces.keys() if champion else set()))
    old = None if champion is None else open_bundle(champion.folder, champion.release)
    try:
        new = open_bundle(challenger.folder, challenger.release)
    except ReleaseError as error:
        return Verdict(
            [Check(None, "opens", False, None, None, f"it cannot be served: {error}")], dict.fromkeys(names, False)
        )
    checks: list[Check] = []
    trained = {name for name, space in spaces_in(run).items() if space.trained(run)}
    for name in names:
        if name not in new.spaces:
            checks.append(_lost_space(name, config))
            continue
        reporter.line(f"{name}: champion against challenger")
        checks += _judge_space(
            name, new, old if old is not None and name in old.spaces else None, champion, run, config
        )
        checks += recall(name, challenger.manifest.spaces[name], config)
        if name in trained:
            checks.append(parity(name, new, run, config))
    checks += _judge_whole(challenger, champion, new, old, config)
    return Verdict.of(checks, names)


def _judge_space(
    name: str, new: Bundle, old: Bundle | None, champion: Contender | None, run: Run, config: GateConfig
) -> Sequence[Check]:
    """The checks of a kind of space; ``old`` is None where the champion has no such space."""
    if name == SEQUENCE_SPACE:
        return _judge_behaviour(new, old, champion, run, config)
    if name == _GRAPH:
        return judge_graph(new, old, run, config)
    if name == IMAGE_SPACE:
        return judge_pictures(new, old, run, config)
    return [] if old is None else [lost_things(name, new, old, config)]


def _judge_behaviour(
    new: Bundle, old: Bundle | None, champion: Contender | None, run: Run, config: GateConfig
) -> Sequence[Check]:
    log = run.load_log()
    split = make_split(log, run.config.split)
    seen = run.config.evaluation.exclude_seen
    readers = [None if each is None else ReleaseReader(each, log, exclude_seen=seen) for each in (new, old)]
    challenger, known = readers
    assert challenger is not None
    until = None if champion is None else newest_event(champion.manifest.data)
    popular = popular_items(log, split, config.popular_share)
    checks = judge_next_items(held_out_items(log, split, config.users), challenger, known, popular, until, config)
    if known is not None:
        checks += judge_new_events(known, log, split, until, config)
    return checks


def _judge_whole(
    challenger: Contender, champion: Contender | None, new: Bundle, old: Bundle | None, config: GateConfig
) -> list[Check]:
    """Size and latency."""
    if champion is None or old is None:
        return []
    checks = [size(challenger, champion, config)]
    if new.warm_up and SEQUENCE_SPACE in old.spaces:
        checks.append(latency(Recommender(new), Recommender(old), new.warm_up, config))
    return checks


def _lost_space(name: str, config: GateConfig) -> Check:
    said = f"the champion has the space {name}, the challenger has not"
    if not config.lose_spaces:
        said += "; bring its files, or set retrain.gate.lose_spaces to true"
    return Check(name, "there", config.lose_spaces, None, None, said)
