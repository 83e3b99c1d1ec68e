"""The graph of the scores."""

from csvdprep.interfaces.wiring import init_single_wf
from csvdprep.markers.scores.interfaces import Scores


def init_scores_wf(*, room, options, context):
    """Compute the scores.

    Inputs
    ------
    ratings
        Ratings by persons.
    wmh_lesions
        List of hyperintensities.
    fazekas_values, ...
        Measures, and lists of candidates, of the rooms of :mod:`csvdprep.markers.scores.sources`.

    Outputs
    -------
    svd_points, svd_totals, svd_ratings
        Points of each item, probability of each total, and the ratings.
    scores_values
        Measures.

    """
    interface = Scores(
        room.asks,
        bgpvs_threshold=options.bgpvs_threshold,
        experimental=options.experimental,
        draws=options.draws,
        seed=context.random_seed,
    )
    return init_single_wf(interface, room=room, mem_gb=0.3)
