"""Whether things are equal more often than chance explains: one significance for every check that refuses for equality.

Rows of few different values are equal by chance, and among many rows one equality is no finding. Each check compares what
it sees with what unrelated rows or columns would show, and refuses only below `SIGNIFICANCE`. docs/thresholds.md says
where the number and the tests come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# One false refusal in a million trainings; copies that could flatter a measure are far beyond it.
SIGNIFICANCE = 1e-6


@dataclass(frozen=True)
class Matches:
    """How many of some rows are like another row, and by how much such matches come in clusters.

    `design_effect` rows say as much as one independent row: rows of one day that are alike match together, and some days
    have more matches than others (Rao and Scott, Biometrics 48, 1992).
    """

    matched: float
    rows: int
    design_effect: float

    @property
    def share(self) -> float:
        return self.matched / self.rows

    def probability(self, observed: int, rows: int) -> float:
        """The probability that `observed` or more of `rows` other rows match by chance, as these did.

        The one-sided tail of the beta-binomial distribution, which is the posterior predictive of a binomial count whose
        rate has Jeffreys' prior; all counts are divided by the design effect.
        """
        import numpy as np
        from scipy.stats import betabinom

        independent = max(1, round(rows / self.design_effect))
        seen = min(int(observed / self.design_effect), independent)
        matched, unmatched = (
            count / self.design_effect + 0.5 for count in (self.matched, self.rows - self.matched)
        )
        tail = betabinom.pmf(np.arange(seen, independent + 1), independent, matched, unmatched)
        return min(1.0, float(tail.sum()))


def matches_of_other_days(contents: np.ndarray, days: np.ndarray) -> Matches:
    """Count the rows that are like a row of another day.

    Args:
        contents: a number a row, equal for rows that are alike; days: a number a row, two or more different ones.
    """
    import numpy as np

    content, day, alike, sizes = _groups(contents, days)
    matches = np.bincount(alike // (day.max() + 1))[content] > 1
    rows, matched = np.bincount(day), np.bincount(day, weights=matches)
    total, share = len(day), float(matches.mean())
    effect = float((sizes**2).sum() / total)
    if 0 < share < 1:
        spread = ((matched - rows * share) ** 2).sum() * len(rows) / (len(rows) - 1)
        effect = max(effect, float(spread / (total * share * (1 - share))))
    # A row was compared with the other days only: with all days it would match at most so much more often.
    comparable = float((matched * total / (total - rows)).sum())
    return Matches(min(comparable, total), total, effect)


def matches_within_days(contents: np.ndarray, days: np.ndarray, *, usual: float) -> Matches:
    """Count the rows that are like another row of their own day, beyond the share of them that is usual.

    Nothing that was copied from another day adds to them: many such rows are rows of few different values.
    """
    _, _, _, sizes = _groups(contents, days)
    rows = len(contents)
    return Matches(
        max(0.0, float(sizes[sizes > 1].sum()) - usual * rows), rows, float((sizes**2).sum() / rows)
    )


def usual_share_within_days(contents: np.ndarray, days: np.ndarray) -> float:
    """The share of a day's rows that are like another row of that day, on the median day."""
    import numpy as np

    _, day, alike, sizes = _groups(contents, days)
    twins = np.bincount(alike % (day.max() + 1), weights=np.where(sizes > 1, sizes, 0))
    return float(np.median(twins / np.bincount(day)))


def _groups(contents: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, ...]:
    """Content and day of each row as numbers from 0; then content * days + day of each group of rows, and its size."""
    import numpy as np

    _, content = np.unique(contents, return_inverse=True)
    names, day = np.unique(days, return_inverse=True)
    return (content, day, *np.unique(content * len(names) + day, return_counts=True))


def probability_of_twin(values: np.ndarray) -> float:
    """The probability that an unrelated column of the same values has them in the same rows.

    One in the number of orders that the values could be in (a permutation test). Neighbours with the same value count as
    one: a column that is the same all day has as many places as there are days.
    """
    import numpy as np
    from scipy.special import gammaln

    runs = values[
        np.append(True, (values[1:] != values[:-1]) & ~(np.isnan(values[1:]) & np.isnan(values[:-1])))
    ]
    counts = np.unique(runs, return_counts=True)[1]
    return float(np.exp(gammaln(counts + 1).sum() - gammaln(len(runs) + 1)))


def probability_of_table(first: np.ndarray, second: np.ndarray) -> float:
    """The probability that two unrelated yes-or-no columns agree, or disagree, in so many rows (Fisher's exact test)."""
    from scipy.stats import fisher_exact

    both, one, other = (int(part.sum()) for part in (first & second, first & ~second, ~first & second))
    return float(fisher_exact([[both, one], [other, len(first) - both - one - other]]).pvalue)


def probability_of_rank(auc: float, label: np.ndarray) -> float:
    """The probability that an unrelated column ranks the label with this AUC or a higher one, in either direction.

    The normal approximation of Mann and Whitney's test (Annals of Mathematical Statistics 18, 1947), without a correction
    for ties: ties, and few rows of one class, make the true probability smaller.
    """
    from scipy.stats import norm

    positives, rows = int(label.sum()), len(label)
    deviation = ((rows + 1) / (12 * positives * (rows - positives))) ** 0.5
    return float(2 * norm.sf((auc - 0.5) / deviation))
