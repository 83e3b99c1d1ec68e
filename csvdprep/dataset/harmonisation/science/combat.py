"""ComBat: fit, apply to others, and take in a new site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from csvdprep.core.errors import InputError
from csvdprep.dataset.harmonisation.science.gaps import likely, moments
from csvdprep.dataset.harmonisation.science.mixed import intercepts, random_intercept, unpredicted
from csvdprep.dataset.harmonisation.science.model import Model
from csvdprep.dataset.harmonisation.science.priors import FEWEST, shrink_sums
from csvdprep.science.covariate_design import Term, check_separable, make_columns, make_terms

#: Fewest participants of a site that is taken in without fitting the others anew.
CONTROLS = 20


def fit(
    values: np.ndarray,
    sites: Sequence[str],
    covariates: Mapping[str, Sequence] | None = None,
    *,
    features: Sequence[str] = (),
    people: Sequence[str] | None = None,
    reference: str = '',
    eb: bool = True,
    parametric: bool = True,
    mean_only: bool = False,
    splines: Iterable[str] = (),
    offset: np.ndarray | None = None,
    terms: Sequence[Term] | None = None,
    covbat: float = 0.0,
    least: int = 2,
    tolerance: float = 1e-4,
) -> tuple[Model, np.ndarray]:
    """Estimate what sites do to measures, and take it away.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        Measures of visits; NaN where there is none.
    sites : sequence of str, length n
        Site of each visit.
    covariates : mapping of str to sequence, length n
        What is to be kept: numbers (age) or names of groups (sex).
    features : sequence of str, length p, optional
        Names of the measures.
    people : sequence of str, length n, optional
        Participant of each visit: a random intercept of participants is fitted (Beer 2020).
    reference : str, optional
        Site that stays as it is, and to which others are brought.
    eb : bool, optional
        Empirical Bayes; without, each measure is treated by itself. It takes three measures.
    parametric : bool, optional
        Priors are normal and inverse gamma (True), or the effects on the other measures.
    mean_only : bool, optional
        Bring the means together, and leave variances.
    splines : iterable of str, optional
        Covariates whose effect is a restricted cubic spline with four knots, in place of a line.
    offset : ndarray, shape (p,), optional
        Added before the logarithm is taken; NaN where none is taken. Where it is 0, values of 0
        (no lesion) take no part, and stay 0.
    terms : sequence of Term, optional
        Covariates as described elsewhere (knots, groups), in place of ``splines``.
    covbat : float, optional
        Share of the variance in components whose scores are harmonised, too (CovBat, Chen 2022);
        0 is plain ComBat.
    least : int, optional
        Fewest participants with a value; a site with fewer goes without the measure.
    tolerance : float, optional
        Relative change at which empirical Bayes ends.

    Returns
    -------
    model : Model
        For others; see :func:`apply`.
    harmonised : ndarray, shape (n, p)
        NaN where there was no value, or where a site or measure could not be fitted.

    Raises
    ------
    InputError
        If there is one site only, a site has one participant, a covariate is missing or cannot
        be told from the sites, the reference is unknown, or no measure is left.

    Notes
    -----
    y = alpha + X beta + gamma_i + delta_i e, as in Johnson 2007; sigma squared is the mean of the
    squared residuals (those of the reference, if there is one). With ``people`` it is the
    restricted maximum likelihood estimate within participants, and variances of sites are those
    of residuals over the square root of the share that the prediction of participants leaves of
    them: then no site effect means delta = 1, however many visits a participant has (Beer 2020
    takes residuals as they are, which makes all visits of a site more scattered than they were).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> age, sites = rng.uniform(50, 80, 200), np.repeat(['A', 'B'], 100)
    >>> truth = rng.normal(size=(200, 5)) + 0.05 * age[:, None]
    >>> model, found = fit(truth + 2.0 * (sites == 'B')[:, None], sites, {'age': age})
    >>> gap = found[sites == 'B'].mean(0) - found[sites == 'A'].mean(0)
    >>> bool(np.abs(gap).max() < 0.35)
    True
    """
    raw = np.asarray(values, float)
    sites = np.asarray(sites).astype(str)
    count, width = raw.shape
    names = tuple(features) or tuple(f'v{at}' for at in range(width))
    offset = np.full(width, np.nan) if offset is None else np.asarray(offset, float)
    persons = np.arange(count).astype(str) if people is None else np.asarray(people).astype(str)
    known = tuple(sorted(set(sites)))
    _check_sites(known, sites, persons, reference)
    terms = make_terms(covariates or {}, splines) if terms is None else list(terms)
    columns = make_columns(terms, covariates or {}, count)
    check_separable(columns, sites, [term.name for term in terms])

    data = logged_by(raw, offset)
    shape = (len(known), width)
    empty = {name: np.full(width, np.nan) for name in ('alpha', 'sigma')}
    empty |= {n: np.full(shape, np.nan) for n in ('shift', 'scale', 'raw_shift', 'raw_scale')}
    model = Model(
        features=names,
        sites=known,
        terms=tuple(terms),
        beta=np.full((columns.shape[1], width), np.nan),
        count=np.zeros(shape),
        ratio=np.zeros(width),
        offset=offset,
        reference=reference,
        eb=eb,
        parametric=parametric,
        mean_only=mean_only,
        left_out={},
        means=columns.mean(axis=0),
        **empty,
    )
    for at in range(width):
        why = _fit_one(model, at, data[:, at], sites, columns, persons, people is not None, least)
        if why:
            model.left_out[names[at]] = why
    if len(model.left_out) == width:
        raise InputError(
            f'No measure can be harmonised: {next(iter(model.left_out.values()))}.',
            remedy='More participants of each site are needed.',
        )
    scaled = _scaled(model, data, sites, columns, persons)[0]
    freed = _freed(model, scaled, sites, persons)
    for place, site in enumerate(known):
        model.raw_scale[place] = _variance(freed[sites == site])
        lost = ~(model.raw_scale[place] > 1e-20) & np.isfinite(model.raw_shift[place])
        for at in np.flatnonzero(lost):
            model.left_out[names[at]] = f'all values at {site} are the same'
    gone = [at for at, name in enumerate(names) if name in model.left_out]
    for part in (model.raw_shift, model.raw_scale):
        part[:, gone] = np.nan
    if not np.isfinite(model.raw_shift).any():
        raise InputError(
            f'No measure can be harmonised: {next(iter(model.left_out.values()))}.',
            remedy='Look at the measures: these do not vary.',
        )
    for place, site in enumerate(known):
        model.shift[place], model.scale[place] = drawn(
            model,
            _summed(freed[sites == site]),
            model.raw_shift[place],
            model.raw_scale[place],
            site,
            tolerance,
        )
    if covbat:
        model = _fit_covariance(model, scaled, sites, covbat)
    return model, apply(model, raw, sites, covariates, people=people)


def apply(
    model: Model,
    values: np.ndarray,
    sites: Sequence[str],
    covariates: Mapping[str, Sequence] | None = None,
    *,
    people: Sequence[str] | None = None,
    at_means: bool = False,
) -> np.ndarray:
    """Harmonise visits, also of participants that the fit did not have.

    Parameters
    ----------
    model : Model
        From :func:`fit` or :func:`add_site`.
    values : ndarray, shape (n, p)
        Measures in the order of ``model.features``.
    sites : sequence of str, length n
        Sites that the model knows.
    covariates : mapping of str to sequence, length n
        Those of the model.
    people : sequence of str, length n, optional
        Participant of each visit, for a model with a random intercept: it is predicted from the
        visits given here.
    at_means : bool, optional
        Take all covariates as they were on average in the fit, as ``neuroCombatFromTraining``
        does: where a site's variance is changed, what is due to age is changed with it.

    Returns
    -------
    ndarray, shape (n, p)
        NaN where there is no value, or where the site has no effect of that measure.

    Raises
    ------
    InputError
        If a site is unknown to the model, or a covariate is not given.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model, _ = fit(rng.normal(size=(40, 4)), ['A'] * 20 + ['B'] * 20)
    >>> apply(model, np.zeros((1, 4)), ['C'])
    Traceback (most recent call last):
    ...
    csvdprep.core.errors.InputError: The model does not know the site C. ...
    """
    raw = np.asarray(values, float)
    if raw.ndim != 2 or raw.shape[1] != len(model.features):
        raise InputError(
            f'The model has {len(model.features)} measures; the shape given is {raw.shape}.'
        )
    sites = np.asarray(sites).astype(str)
    _check_known(model, sites)
    persons = np.arange(len(raw)).astype(str) if people is None else np.asarray(people).astype(str)
    if at_means:
        if len(model.means) != len(model.beta):
            raise InputError('The model does not tell the means of its covariates: fit it anew.')
        columns = np.tile(model.means, (len(raw), 1))
    else:
        columns = make_columns(model.terms, covariates or {}, len(raw))
    place = _places(model, sites)
    scaled, kept = _scaled(model, logged_by(raw, model.offset), sites, columns, persons)
    even = (scaled - model.shift[place]) / np.sqrt(model.scale[place])
    if len(model.axes):
        even = _even_covariance(model, even, place)
    out = even * model.sigma + kept
    with np.errstate(over='ignore', invalid='ignore'):
        linear = np.exp(out) - model.offset
    out = np.where(np.isnan(model.offset), out, np.where(linear < 0, 0.0, linear))
    none = (raw == 0) & (model.offset == 0) & np.isfinite(model.shift[place])
    out = np.where(none, 0.0, out)
    if model.reference:
        stays = sites == model.reference
        out[stays] = np.where(np.isfinite(out[stays]), raw[stays], np.nan)
    return out


def add_site(
    model: Model,
    site: str,
    values: np.ndarray,
    covariates: Mapping[str, Sequence] | None = None,
    *,
    least: int = CONTROLS,
) -> Model:
    """Take in a new site by its controls, leaving everything else as it is.

    Parameters
    ----------
    model : Model
        From :func:`fit`.
    site : str
        Its name.
    values : ndarray, shape (n, p)
        Measures of participants who are like those of the fit (controls), one visit each.
    covariates : mapping of str to sequence, length n
        Those of the model.
    least : int, optional
        Fewest of them.

    Returns
    -------
    Model
        That knows the site, too. Patients of the site can then be harmonised with :func:`apply`;
        what sets them apart from controls stays.

    Raises
    ------
    InputError
        If the model knows the site already, was fitted with CovBat, or there are too few controls.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model, _ = fit(rng.normal(size=(40, 4)), ['A'] * 20 + ['B'] * 20)
    >>> more = add_site(model, 'C', rng.normal(3, 1, (25, 4)))
    >>> bool(np.abs(apply(more, np.full((1, 4), 3.0), ['C'])).max() < 1)
    True
    """
    raw = np.asarray(values, float)
    if site in model.sites:
        raise InputError(f'The model knows the site {site} already.', field='site')
    if len(model.axes):
        raise InputError(
            'CovBat cannot take in a site: components are of all sites together.',
            remedy='Fit anew with it, or use ComBat.',
        )
    if len(raw) < least:
        raise InputError(
            f'{site} has {len(raw)} controls; {least} are needed to tell what the site does.',
            field='site',
            remedy='Add controls, or leave the site as it is and say so.',
        )
    columns = make_columns(model.terms, covariates or {}, len(raw))
    scaled = (logged_by(raw, model.offset) - model.alpha - columns @ model.beta) / _total(model)
    count = np.isfinite(scaled).sum(axis=0)
    enough = (count >= least) & np.isfinite(model.alpha)
    shift = np.full(len(enough), np.nan)
    shift[enough] = np.nanmean(scaled[:, enough], axis=0)
    scale = np.where(enough, _variance(scaled), np.nan)
    taken = drawn(model, _summed(scaled), shift, scale, site)
    # What is estimated here is in units of the spread between participants.
    unit = _total(model) / model.sigma
    add = lambda old, new: np.concatenate([old, new[None]])  # noqa: E731
    return replace(
        model,
        sites=(*model.sites, site),
        shift=add(model.shift, taken[0] * unit),
        scale=add(model.scale, taken[1]),
        raw_shift=add(model.raw_shift, shift * unit),
        raw_scale=add(model.raw_scale, scale),
        count=add(model.count, count.astype(float)),
    )


def expected(model: Model, covariates: Mapping[str, Sequence] | None, count: int) -> np.ndarray:
    """Return what the covariates explain, on the scale on which the fit was made.

    Parameters
    ----------
    model : Model
        From :func:`fit`.
    covariates : mapping of str to sequence
        Those of the model.
    count : int
        Number of visits.

    Returns
    -------
    ndarray, shape (count, p)
        Grand mean and effects of covariates; of logarithms where these were taken.
    """
    return model.alpha + make_columns(model.terms, covariates or {}, count) @ model.beta


def logged(model: Model, values: np.ndarray) -> np.ndarray:
    """Return values on the scale on which the fit was made; shape as given."""
    return logged_by(np.asarray(values, float), model.offset)


def _check_sites(known, sites, persons, reference: str) -> None:
    if len(known) < 2:
        raise InputError(
            'There is one site only: nothing can be brought together.',
            field='site',
            remedy='A column site in participants.tsv tells sites apart.',
        )
    for site in known:
        if len(set(persons[sites == site])) < 2:
            raise InputError(
                f'{site} has one participant only: what is due to the site cannot be told from '
                'what is due to the participant.',
                field='site',
                remedy='Leave the site out, or join it with another of the same scanner.',
            )
    if reference and reference not in known:
        raise InputError(
            f'The reference {reference} is none of the sites.',
            field='reference',
            remedy=f'Sites are: {", ".join(known)}.',
        )


def _check_known(model: Model, sites: np.ndarray) -> None:
    if strange := sorted(set(sites) - set(model.sites)):
        many = 'sites' if len(strange) > 1 else 'site'
        raise InputError(
            f'The model does not know the {many} {", ".join(strange)}.',
            field='site',
            remedy=f'It knows {", ".join(model.sites)}. Take a new site in by at least {CONTROLS} '
            'controls (add_site), fit anew with it, or leave it out.',
        )


def _fit_one(model, at, values, sites, columns, persons, repeated, least) -> str:
    """Fit one measure into the arrays of the model; return why that cannot be done."""
    found = np.isfinite(values)
    for place, site in enumerate(model.sites):
        here = found & (sites == site)
        if len(set(persons[here])) < max(least, 2):
            found &= sites != site
        else:
            model.count[place, at] = here.sum()
    counts = model.count[:, at]
    used = np.flatnonzero(counts)
    if len(used) < 2:
        return f'fewer than two sites have values of {max(least, 2)} participants'
    home = model.sites.index(model.reference) if model.reference else -1
    if model.reference and home not in used:
        return f'the reference {model.reference} has too few values'
    y = values[found]
    dummies = np.stack([sites[found] == model.sites[place] for place in used], axis=1)
    design = np.concatenate([dummies.astype(float), columns[found]], axis=1)
    if np.linalg.matrix_rank(design) < design.shape[1] or len(y) <= design.shape[1]:
        return 'where it has values, sites and covariates cannot be told apart'
    level = np.abs(y).max()
    if np.ptp(y) <= 1e-12 * level:
        return 'all values are the same'
    if repeated:
        effects, sigma, ratio = random_intercept(y, design, persons[found])
    else:
        effects = np.linalg.lstsq(design, y, rcond=None)[0]
        squares = (y - design @ effects) ** 2
        ratio = 0.0
        of = sites[found] == model.reference if model.reference else slice(None)
        sigma = float(np.sqrt(squares[of].mean()))
    if sigma <= 1e-12 * level:
        return 'sites and covariates explain all of it'
    means = effects[: len(used)]
    model.alpha[at] = (
        means[list(used).index(home)] if model.reference else counts[used] @ means / counts.sum()
    )
    model.beta[:, at], model.sigma[at] = effects[len(used) :], sigma
    model.ratio[at] = ratio
    model.raw_shift[used, at] = (means - model.alpha[at]) / sigma
    return ''


def _scaled(model, data, sites, columns, persons) -> tuple[np.ndarray, np.ndarray]:
    """Standardise; return that, and what is added again: mean, covariates, participants."""
    kept = model.alpha + columns @ model.beta
    if model.ratio.any():
        rest = data - kept - model.raw_shift[_places(model, sites)] * model.sigma
        for at in np.flatnonzero(model.ratio):
            found = np.isfinite(rest[:, at])
            kept[found, at] += intercepts(rest[found, at], persons[found], model.ratio[at])
    return (data - kept) / model.sigma, kept


def _freed(model: Model, scaled, sites, persons) -> np.ndarray:
    """Give residuals the variance that the prediction of participants took from them."""
    if not model.ratio.any():
        return scaled
    shift, out = model.raw_shift[_places(model, sites)], scaled.copy()
    for at in np.flatnonzero(model.ratio):
        found = np.isfinite(scaled[:, at]) & np.isfinite(shift[:, at])
        left = unpredicted(persons[found], model.ratio[at])
        rest = scaled[found, at] - shift[found, at]
        out[found, at] = shift[found, at] + rest / np.sqrt(left)
    return out


def drawn(
    model: Model, sums, shift, scale, site: str, tolerance: float = 1e-4
) -> tuple[np.ndarray, np.ndarray]:
    """Return the effects of a site that are taken away.

    Parameters
    ----------
    model : Model
        Whose options tell what is to be done.
    sums : tuple of (ndarray, shape (p,))
        Number, mean, and squares about the mean, of the standardised values of the site.
    shift, scale : ndarray, shape (p,)
        Effects as estimated; NaN where there is none.
    site : str
        Its name.
    tolerance : float, optional
        Relative change at which empirical Bayes ends.

    Returns
    -------
    shift, scale : ndarray, shape (p,)
    """
    known = np.isfinite(shift) & np.isfinite(scale)
    new_shift, new_scale = np.where(known, shift, np.nan), np.where(known, scale, np.nan)
    if model.reference and site == model.reference:
        return np.where(known, 0.0, np.nan), np.where(known, 1.0, np.nan)
    if model.eb and known.sum() >= FEWEST:
        new_shift[known], new_scale[known] = shrink_sums(
            *(part[known] for part in sums),
            shift[known],
            scale[known],
            mean_only=model.mean_only,
            parametric=model.parametric,
            tolerance=tolerance,
        )
    elif model.mean_only:
        new_scale[known] = 1.0
    return new_shift, new_scale


def _fit_covariance(model: Model, scaled, sites, share: float) -> Model:
    """Harmonise the scores of components of what ComBat left (Chen 2022, section 2.3)."""
    place = _places(model, sites)
    even = (scaled - model.shift[place]) / np.sqrt(model.scale[place])
    used = np.isfinite(model.alpha) & ~np.isin(model.features, list(model.left_out))
    part = even[:, used]
    rows = np.isfinite(part).any(axis=1)
    centre, spread = np.zeros(len(used)), np.zeros((0, 0))
    if np.isfinite(part).all():
        centre[used] = part.mean(axis=0)
        _, roots, axes = np.linalg.svd(part - centre[used], full_matrices=False)
        powers = roots**2
    else:
        middle, spread = moments(part[rows])
        centre[used] = middle
        powers, axes = np.linalg.eigh(spread)
        powers, axes = powers[::-1], axes.T[::-1]
    gained = np.cumsum(powers) / powers.sum()
    number = int(np.searchsorted(gained, share)) + 1
    whole = np.zeros((min(number, len(axes)), len(used)))
    whole[:, used] = axes[: len(whole)]
    cover = np.zeros((len(used), len(used)) if spread.size else (0, 0))
    if spread.size:
        cover[np.ix_(used, used)] = spread
        part[rows] = likely(part[rows], middle, spread)
    # Who has no value at all says nothing about the components.
    known, at = np.flatnonzero(rows), place[rows]
    scores = (part - centre[used])[known] @ whole[:, used].T
    counts = np.bincount(at, minlength=len(model.sites))
    if counts.min() < 2:
        raise InputError(
            f'{model.sites[counts.argmin()]} has too few values for CovBat.',
            remedy='Leave the site out, or use ComBat.',
        )
    by_site = np.stack([scores[at == k].mean(axis=0) for k in range(len(counts))])
    home = model.sites.index(model.reference) if model.reference else None
    alpha = counts @ by_site / counts.sum() if home is None else by_site[home]
    squares = (scores - by_site[at]) ** 2
    sigma = np.sqrt((squares if home is None else squares[at == home]).mean(axis=0))
    unit = (scores - alpha) / sigma
    shift = np.stack([unit[at == k].mean(axis=0) for k in range(len(counts))])
    scale = np.stack([unit[at == k].var(axis=0, ddof=1) for k in range(len(counts))])
    if home is not None:
        shift[home], scale[home] = 0.0, 1.0
    return replace(
        model,
        axes=whole,
        centre=centre,
        cover=cover,
        score_alpha=alpha,
        score_sigma=sigma,
        score_shift=shift,
        score_scale=scale,
    )


def _even_covariance(model: Model, even: np.ndarray, place: np.ndarray) -> np.ndarray:
    used = np.abs(model.axes).sum(axis=0) > 0
    rest = even[:, used]
    if not np.isfinite(rest).all():
        rows = np.isfinite(rest).any(axis=1)
        if not len(model.cover):
            raise InputError(
                'This CovBat was fitted without missing values, and takes none.',
                remedy='Leave these visits out, or fit with visits that lack values, too.',
            )
        rest[rows] = likely(rest[rows], model.centre[used], model.cover[np.ix_(used, used)])
        rest[~rows] = model.centre[used]
    scores = (rest - model.centre[used]) @ model.axes[:, used].T
    unit = (scores - model.score_alpha) / model.score_sigma
    unit = (unit - model.score_shift[place]) / np.sqrt(model.score_scale[place])
    better = unit * model.score_sigma + model.score_alpha
    return np.where(used, even + (better - scores) @ model.axes, even)


def _places(model: Model, sites: np.ndarray) -> np.ndarray:
    return np.array([model.sites.index(site) for site in sites], int)


def _total(model: Model) -> np.ndarray:
    """Spread between participants of one visit each."""
    return model.sigma * np.sqrt(1 + model.ratio)


def _summed(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return number, mean, and squares about the mean."""
    count = np.isfinite(scaled).sum(axis=0)
    middle = np.nansum(scaled, axis=0) / np.maximum(count, 1)
    return count, middle, np.nansum((scaled - middle) ** 2, axis=0)


def logged_by(values: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Take logarithms where an offset is a number; what has none is NaN. Shape as given."""
    with np.errstate(divide='ignore', invalid='ignore'):
        logs = np.log(values + offset)
    # No lesion has no logarithm, and is left as it is.
    return np.where(np.isnan(offset), values, np.where(np.isfinite(logs), logs, np.nan))


def _variance(scaled: np.ndarray) -> np.ndarray:
    count = np.isfinite(scaled).sum(axis=0)
    squares = np.nansum((scaled - np.nansum(scaled, axis=0) / np.maximum(count, 1)) ** 2, axis=0)
    return np.where(count > 1, squares / np.maximum(count - 1, 1), np.nan)
