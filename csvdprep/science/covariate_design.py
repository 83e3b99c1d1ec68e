"""Covariates as columns: numbers, splines of numbers, groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from csvdprep.core.errors import InputError

#: Quantiles at which the knots of a spline lie (Harrell 2015, four knots).
KNOTS = (0.05, 0.35, 0.65, 0.95)


@dataclass(frozen=True)
class Term:
    """One covariate, as it was where the model was fitted.

    Parameters
    ----------
    name : str
        Of the covariate.
    levels : tuple of str
        Groups, the first being that which others are compared with; none of a number.
    middle, spread : float
        Mean and standard deviation of a number.
    low, high : float
        Quantiles 5 and 95 % of a number: where the fit holds. Extremes are those of a person.
    knots : tuple of float
        Knots of a spline, in units of the number; none where it is linear.
    """

    name: str
    levels: tuple[str, ...] = ()
    middle: float = 0.0
    spread: float = 1.0
    low: float = 0.0
    high: float = 0.0
    knots: tuple[float, ...] = ()

    @classmethod
    def of(cls, name: str, values: Sequence, *, spline: bool = False) -> Term:
        """Describe a covariate by its values.

        Raises
        ------
        InputError
            If a value is missing, or all are the same.
        """
        values = np.asarray(values)
        if values.dtype.kind in 'OUS':
            levels = tuple(sorted({str(value) for value in values}))
            if len(levels) < 2:
                raise _constant(name)
            return cls(name, levels=levels)
        values = values.astype(float)
        _check_given(name, values)
        if np.ptp(values) == 0:
            raise _constant(name)
        knots: tuple[float, ...] = ()
        if spline:
            knots = tuple(float(k) for k in np.quantile(values, KNOTS))
            if len(set(knots)) < len(knots):
                raise InputError(
                    f'{name} has too few different values for a curve.',
                    field=name,
                    remedy='Take it as linear.',
                )
        return cls(
            name,
            middle=float(values.mean()),
            spread=float(values.std()),
            low=float(np.quantile(values, 0.05)),
            high=float(np.quantile(values, 0.95)),
            knots=knots,
        )

    def columns(self, values: Sequence) -> np.ndarray:
        """Return its columns of the design.

        Parameters
        ----------
        values : sequence, length n
            Numbers, or names of groups.

        Returns
        -------
        ndarray, shape (n, k)
            One column of a number, one of each group but the first, or the restricted cubic
            spline of a number, linear beyond the outer knots (Harrell 2015,
            doi:10.1007/978-3-319-19425-7).

        Raises
        ------
        InputError
            If a value is missing, or a group was not there where the model was fitted.

        Examples
        --------
        >>> Term.of('sex', ['F', 'M', 'F']).columns(['M', 'F'])
        array([[1.],
               [0.]])
        >>> ages = np.arange(50.0, 90.0)
        >>> Term.of('age', ages, spline=True).columns(ages).shape
        (40, 3)
        """
        if self.levels:
            values = np.asarray(values).astype(str)
            if strange := sorted(set(values) - set(self.levels)):
                raise InputError(
                    f'"{strange[0]}" is no {self.name} that the model knows.',
                    field=self.name,
                    remedy=f'It knows {", ".join(self.levels)}: correct the table, or fit anew.',
                )
            return np.stack([values == level for level in self.levels[1:]], axis=1).astype(float)
        values = np.asarray(values, float)
        _check_given(self.name, values)
        x = (values - self.middle) / self.spread
        if not self.knots:
            return x[:, None]
        *inner, before, last = (np.array(self.knots) - self.middle) / self.spread
        cube = lambda knot: np.clip(x - knot, 0, None) ** 3  # noqa: E731
        width = (last - inner[0]) ** 2
        bends = [
            (
                cube(k)
                - cube(before) * (last - k) / (last - before)
                + cube(last) * (before - k) / (last - before)
            )
            / width
            for k in inner
        ]
        return np.stack([x, *bends], axis=1)


def make_terms(covariates: Mapping[str, Sequence], splines: Iterable[str] = ()) -> list[Term]:
    """Describe covariates; see :class:`Term`."""
    return [Term.of(n, values, spline=n in set(splines)) for n, values in covariates.items()]


def make_columns(
    terms: Iterable[Term], covariates: Mapping[str, Sequence], count: int
) -> np.ndarray:
    """Return the columns of all covariates.

    Parameters
    ----------
    terms : iterable of Term
        From :func:`make_terms`.
    covariates : mapping of str to sequence
        Values by name; there may be others.
    count : int
        Number of rows.

    Returns
    -------
    ndarray, shape (count, k)

    Raises
    ------
    InputError
        If a covariate is not given.
    """
    parts = [np.zeros((count, 0))]
    for term in terms:
        if term.name not in covariates:
            raise InputError(f'The model needs {term.name}, which is not given.', field=term.name)
        parts.append(term.columns(covariates[term.name]))
    return np.concatenate(parts, axis=1)


def check_separable(columns: np.ndarray, sites: np.ndarray, names: Sequence[str]) -> None:
    """Refuse covariates that cannot be told from the sites, or from each other.

    Parameters
    ----------
    columns : ndarray, shape (n, k)
        Of the covariates.
    sites : ndarray of str, shape (n,)
        Site of each row.
    names : sequence of str
        Covariates, for the message.

    Raises
    ------
    InputError
        If site and covariates are collinear.

    Examples
    --------
    >>> sites, age = np.array(['A', 'A', 'B', 'B']), np.array([[60.0], [60], [70], [70]])
    >>> check_separable(age, sites, ['age'])
    Traceback (most recent call last):
    ...
    csvdprep.core.errors.InputError: Sites and covariates (age) cannot be told apart: ...
    """
    dummies = np.stack([sites == name for name in sorted(set(sites))], axis=1).astype(float)
    design = np.concatenate([dummies, columns], axis=1)
    if np.linalg.matrix_rank(design, tol=1e-7 * np.sqrt(len(design))) < design.shape[1]:
        raise InputError(
            f'Sites and covariates ({", ".join(names)}) cannot be told apart: within the sites '
            'one follows from the others.',
            field='covariates',
            remedy='Leave a covariate out, or a site that has one kind of participants only.',
        )


def overlap(values: Sequence[float], here: np.ndarray) -> float:
    """Return how far the distributions of a number at a site, and at the others, overlap.

    Parameters
    ----------
    values : sequence of float, length n
        Numbers, such as ages.
    here : ndarray of bool, shape (n,)
        Those of the site.

    Returns
    -------
    float
        Area under the lower of the two densities (Gaussian kernels, Silverman's width): 1 where
        they are the same, 0 where they do not meet; NaN with fewer than two of either.

    Examples
    --------
    >>> ages = np.concatenate([np.linspace(50, 70, 40), np.linspace(50, 70, 40)])
    >>> round(overlap(ages, np.arange(80) < 40), 2)
    1.0
    >>> round(overlap(np.append(ages[:40], ages[:40] + 40), np.arange(80) < 40), 2)
    0.0
    """
    values = np.asarray(values, float)
    parts = [values[here], values[~here]]
    if min(map(len, parts)) < 2:
        return np.nan
    widths = [0.9 * part.std(ddof=1) * len(part) ** -0.2 for part in parts]
    if not min(widths) > 0:
        return float(np.ptp(values) == 0)
    grid = np.linspace(values.min() - 4 * max(widths), values.max() + 4 * max(widths), 400)
    lower = np.full(len(grid), np.inf)
    for part, width in zip(parts, widths, strict=True):
        # Of many, their histogram on a fine grid tells the same.
        if len(part) > 1000:
            counts, edges = np.histogram(part, 1000)
            part, weights = (edges[1:] + edges[:-1]) / 2, counts / len(part)
        else:
            weights = np.full(len(part), 1 / len(part))
        bells = np.exp(-0.5 * ((grid[:, None] - part) / width) ** 2)
        lower = np.minimum(lower, bells @ weights / (width * np.sqrt(2 * np.pi)))
    return float(min(1.0, lower.sum() * (grid[1] - grid[0])))


def _constant(name: str) -> InputError:
    return InputError(
        f'{name} is the same for all.', field=name, remedy='Leave it out of the covariates.'
    )


def _check_given(name: str, values: np.ndarray) -> None:
    if missing := int((~np.isfinite(values)).sum()):
        raise InputError(
            f'{name} is missing for {missing} of {len(values)}.',
            field=name,
            remedy='Give it, leave these visits out, or leave it out of the covariates.',
        )
