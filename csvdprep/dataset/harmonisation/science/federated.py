"""ComBat of sites whose values stay where they are: each gives sums, and the centre fits.

Location, scale and empirical Bayes of ComBat need no more than counts, means and cross-products
about the means of each site: one round is enough, and the result is that of the pooled values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from csvdprep.core.errors import InputError
from csvdprep.dataset.harmonisation.science.combat import drawn, logged_by
from csvdprep.dataset.harmonisation.science.model import Model
from csvdprep.science.covariate_design import Term, make_columns

#: Fewest participants of whom a sum may leave a site.
CELL = 10


@dataclass(frozen=True)
class Protocol:
    """What all sites agree on before anything is computed.

    Parameters
    ----------
    features : tuple of str
        Measures.
    terms : tuple of Term
        Covariates: groups, and numbers with a middle and a spread (any; they only scale sums) and,
        for a curve, knots.
    logged : tuple of str
        Measures that are taken by their logarithm; values of 0 stay 0.
    reference : str
        Site that stays as it is.
    eb, parametric, mean_only : bool
        As in :func:`csvdprep.dataset.harmonisation.science.fit`.
    tolerance : float
        Relative change at which empirical Bayes ends.
    least : int
        Fewest participants of a site with a value.
    cell : int
        Fewest participants of whom a sum may leave a site.
    """

    features: tuple[str, ...]
    terms: tuple[Term, ...] = ()
    logged: tuple[str, ...] = ()
    reference: str = ''
    eb: bool = True
    parametric: bool = True
    mean_only: bool = False
    tolerance: float = 1e-4
    least: int = 20
    cell: int = CELL

    def offset(self) -> np.ndarray:
        """Return 0 of measures that are taken by their logarithm, NaN of others; shape (p,)."""
        return np.array([0.0 if name in self.logged else np.nan for name in self.features])

    def text(self) -> str:
        """Write it as JSON."""
        facts = {**vars(self), 'terms': [vars(term) for term in self.terms]}
        return json.dumps({'protocol': 1, **facts}, indent=1) + '\n'

    @classmethod
    def read(cls, text: str) -> Protocol:
        """Read what :meth:`text` wrote.

        Raises
        ------
        InputError
            If it is no such thing.
        """
        try:
            facts = json.loads(text)
            if facts.pop('protocol') != 1:
                raise ValueError('another format')
            facts['terms'] = tuple(
                Term(**{k: tuple(v) if isinstance(v, list) else v for k, v in term.items()})
                for term in facts['terms']
            )
            for key in ('features', 'logged'):
                facts[key] = tuple(map(str, facts[key]))
            return cls(**facts)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                'This is no protocol that can be read.',
                remedy='Take the file that csvdprep federate plan wrote.',
            ) from error


@dataclass(frozen=True)
class Sums:
    """What leaves a site.

    Parameters
    ----------
    site : str
        Its name.
    features : tuple of str
        Measures, as in the protocol.
    count : ndarray, shape (p,)
        Participants with a value; 0 where the measure is held back.
    mean : ndarray, shape (p,)
        Their mean.
    squares : ndarray, shape (p,)
        Sum of squares about it.
    columns : ndarray, shape (p, k)
        Means of the covariates of these participants.
    cross : ndarray, shape (p, k)
        Sums of products with the covariates, about the means.
    inner : ndarray, shape (p, k, k)
        Sums of products of the covariates, about their means.
    held : mapping of str to str
        Measures that are held back, with the reason.
    """

    site: str
    features: tuple[str, ...]
    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    columns: np.ndarray
    cross: np.ndarray
    inner: np.ndarray
    held: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Write it as JSON; numbers as they are."""
        facts = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }
        return json.dumps({'sums': 1, **facts}, indent=1, allow_nan=False) + '\n'

    @classmethod
    def read(cls, text: str) -> Sums:
        """Read what :meth:`text` wrote.

        Raises
        ------
        InputError
            If it is no such thing.
        """
        try:
            facts = json.loads(text)
            if facts.pop('sums') != 1:
                raise ValueError('another format')
            p = len(facts['features'])
            arrays = {
                name: np.array(facts[name], float)
                for name in ('count', 'mean', 'squares', 'columns', 'cross', 'inner')
            }
            arrays['columns'] = arrays['columns'].reshape(p, -1)
            arrays['cross'] = arrays['cross'].reshape(p, -1)
            k = arrays['columns'].shape[1]
            arrays['inner'] = arrays['inner'].reshape(p, k, k)
            return cls(
                site=str(facts['site']),
                features=tuple(map(str, facts['features'])),
                held=dict(facts['held']),
                **arrays,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                'These are no sums of a site that can be read.',
                remedy='Take the file that csvdprep federate export wrote.',
            ) from error


def sums_of(
    protocol: Protocol,
    site: str,
    values: np.ndarray,
    covariates: Mapping[str, Sequence] | None = None,
) -> Sums:
    """Reduce the values of a site to sums.

    Parameters
    ----------
    protocol : Protocol
        What sites agreed on.
    site : str
        Name of the site.
    values : ndarray, shape (n, p)
        Measures of participants, one visit each; NaN where there is none.
    covariates : mapping of str to sequence, length n
        Those of the protocol.

    Returns
    -------
    Sums
        A measure of fewer participants than the protocol's cell is held back. Where the
        participants of a measure are those of another and few more, these few are left out: the
        difference of two sums would be theirs.

    Raises
    ------
    InputError
        If a group of a covariate has fewer participants than a cell, or all but fewer.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = sums_of(Protocol(('bpf', 'lv_ml')), 'A', rng.normal(size=(25, 2)))
    >>> found.count.astype(int).tolist(), found.mean.round(2).tolist()
    ([25, 25], [-0.07, 0.33])
    """
    data = logged_by(np.asarray(values, float), protocol.offset())
    columns = make_columns(protocol.terms, covariates or {}, len(data))
    if len(data) < protocol.cell:
        raise InputError(
            f'{site} has {len(data)} participants; sums of fewer than {protocol.cell} do not '
            'leave a site.',
            remedy='Take in more participants, or leave the site out.',
        )
    seen, held = _without_small_cells(np.isfinite(data), protocol, columns)
    p, k = data.shape[1], columns.shape[1]
    count = np.zeros(p)
    mean, squares = np.zeros(p), np.zeros(p)
    middle, cross, inner = np.zeros((p, k)), np.zeros((p, k)), np.zeros((p, k, k))
    for at, name in enumerate(protocol.features):
        if name in held:
            continue
        rows = seen[:, at]
        y, x = data[rows, at], columns[rows]
        count[at], mean[at], middle[at] = len(y), y.mean(), x.mean(axis=0)
        off, far = y - mean[at], x - middle[at]
        squares[at], cross[at], inner[at] = off @ off, far.T @ off, far.T @ far
    return Sums(site, protocol.features, count, mean, squares, middle, cross, inner, held)


def fit_sums(protocol: Protocol, sums: Sequence[Sums]) -> Model:
    """Fit ComBat to the sums of all sites.

    Parameters
    ----------
    protocol : Protocol
        What sites agreed on.
    sums : sequence of Sums
        One of each site.

    Returns
    -------
    Model
        That of :func:`csvdprep.dataset.harmonisation.science.fit` on the pooled values, to
        rounding.

    Raises
    ------
    InputError
        If there is one site only, a site gave sums twice or of another protocol, or no measure
        can be fitted.

    Notes
    -----
    With a mean of its own for each site, effects of covariates follow from sums of products about
    the means of sites; the residuals of a site have the mean of its effect, and a sum of squares
    that is a quadratic form in the same sums, which is all that empirical Bayes takes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values, age = rng.normal(size=(80, 4)), rng.uniform(50, 80, 80)
    >>> site = np.repeat(['A', 'B'], 40)
    >>> terms = (Term('age', middle=65, spread=10),)
    >>> protocol = Protocol(tuple('abcd'), terms)
    >>> sums = [sums_of(protocol, s, values[site == s], {'age': age[site == s]}) for s in 'AB']
    >>> from csvdprep.dataset.harmonisation.science.combat import fit
    >>> pooled = fit(values, site, {'age': age}, terms=terms)[0]
    >>> bool(np.abs(fit_sums(protocol, sums).shift - pooled.shift).max() < 1e-12)
    True
    """
    names = [item.site for item in sums]
    if len(set(names)) < len(names):
        raise InputError(f'Two files are of one site: {", ".join(sorted(names))}.')
    if len(names) < 2:
        raise InputError('There is one site only: nothing can be brought together.')
    p = len(protocol.features)
    k = make_columns(protocol.terms, _nobody(protocol.terms), 0).shape[1]
    for item in sums:
        if item.features != protocol.features or item.columns.shape != (p, k):
            raise InputError(
                f'The sums of {item.site} are of another protocol.',
                remedy='Export them with this one.',
            )
    if protocol.reference and protocol.reference not in names:
        raise InputError(
            f'The reference {protocol.reference} is none of the sites: {", ".join(names)}.'
        )
    sums = sorted(sums, key=lambda item: item.site)
    names = tuple(item.site for item in sums)
    shape = (len(names), p)
    blank = lambda *size: np.full(size, np.nan)  # noqa: E731
    alpha, sigma, beta = blank(p), blank(p), blank(k, p)
    shift, scale, count = blank(*shape), blank(*shape), np.zeros(shape)
    middles, left = np.zeros(k), {}
    for at, name in enumerate(protocol.features):
        used = [i for i, item in enumerate(sums) if item.count[at] >= max(protocol.least, 2)]
        home = names.index(protocol.reference) if protocol.reference else -1
        if len(used) < 2:
            left[name] = f'fewer than two sites have values of {protocol.least} participants'
            continue
        if protocol.reference and home not in used:
            left[name] = f'the reference {protocol.reference} has too few values'
            continue
        inner = sum(sums[i].inner[at] for i in used)
        cross = sum(sums[i].cross[at] for i in used)
        n = np.array([sums[i].count[at] for i in used])
        if k and np.linalg.matrix_rank(inner, hermitian=True) < k:
            left[name] = 'where it has values, sites and covariates cannot be told apart'
            continue
        slope = np.linalg.solve(inner, cross) if k else np.zeros(0)
        means = np.array([sums[i].mean[at] - sums[i].columns[at] @ slope for i in used])
        squares = np.array(
            [
                sums[i].squares[at]
                - 2 * slope @ sums[i].cross[at]
                + slope @ sums[i].inner[at] @ slope
                for i in used
            ]
        )
        squares = np.maximum(squares, 0)
        if protocol.reference:
            alpha[at] = means[used.index(home)]
            spread = squares[used.index(home)] / n[used.index(home)]
        else:
            alpha[at] = n @ means / n.sum()
            spread = squares.sum() / n.sum()
        if not spread > 1e-24 * max(np.abs(means).max() ** 2, 1e-300):
            left[name] = 'sites and covariates explain all of it'
            continue
        sigma[at], beta[:, at] = np.sqrt(spread), slope
        shift[used, at] = (means - alpha[at]) / sigma[at]
        scale[used, at] = squares / (n - 1) / spread
        count[used, at] = n
        if lost := [i for i, q in zip(used, squares, strict=True) if q / spread < 1e-20]:
            left[name] = f'all values at {names[lost[0]]} are the same'
            shift[:, at] = scale[:, at] = np.nan
    if len(left) == p:
        raise InputError(f'No measure can be harmonised: {next(iter(left.values()))}.')
    if k:
        total = sum(item.count.max() for item in sums)
        middles = (
            sum(item.count.max() * item.columns[int(item.count.argmax())] for item in sums) / total
        )
    model = Model(
        features=protocol.features,
        sites=names,
        terms=protocol.terms,
        alpha=alpha,
        sigma=sigma,
        beta=beta,
        shift=blank(*shape),
        scale=blank(*shape),
        raw_shift=shift,
        raw_scale=scale,
        count=count,
        ratio=np.zeros(p),
        offset=protocol.offset(),
        reference=protocol.reference,
        eb=protocol.eb,
        parametric=protocol.parametric,
        mean_only=protocol.mean_only,
        means=np.asarray(middles, float),
        left_out=left,
    )
    for place, site in enumerate(names):
        about = np.maximum(count[place] - 1, 0) * scale[place]
        model.shift[place], model.scale[place] = drawn(
            model,
            (count[place], shift[place], about),
            shift[place],
            scale[place],
            site,
            protocol.tolerance,
        )
    return model


def _nobody(terms):
    return {term.name: np.zeros(0, 'U1' if term.levels else float) for term in terms}


def _without_small_cells(seen: np.ndarray, protocol: Protocol, columns: np.ndarray):
    """Leave out what would tell of few participants; return who is left, and what is held back."""
    cell, seen = protocol.cell, seen.copy()
    start = 0
    for term in protocol.terms:
        width = max(1, len(term.levels) - 1) if not term.knots else len(term.knots) - 1
        if term.levels:
            part = columns[:, start : start + width]
            groups = np.column_stack([1 - part.sum(axis=1), part]).sum(axis=0)
            for level, many in zip(term.levels, groups, strict=True):
                if 0 < many < cell:
                    raise InputError(
                        f'{term.name} {level} has {int(many)} participants at this site; sums of '
                        f'fewer than {cell} do not leave it.',
                        field=term.name,
                        remedy='Join groups, leave the covariate out, or leave these out.',
                    )
        start += width
    held = {
        name: f'fewer than {cell} participants have a value'
        for name, many in zip(protocol.features, seen.sum(axis=0), strict=True)
        if many < cell
    }
    seen[:, [name in held for name in protocol.features]] = False
    # Where the participants of one measure are those of another and few more, the difference of
    # two sums would be that of the few: they are left out.
    changed = True
    while changed:
        changed = False
        patterns = np.unique(seen.T, axis=0)
        for one in patterns:
            for two in patterns:
                if two.any() and not (two & ~one).any() and 0 < (one & ~two).sum() < cell:
                    seen[:, (one == seen.T).all(axis=1)] = two[:, None]
                    changed = True
                    break
            if changed:
                break
    return seen, held
