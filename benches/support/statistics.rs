//! Medians of repeated runs: a shared machine makes means worthless.

/// Smallest, middle and largest of a series of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The smallest value.
    pub min: f64,
    /// The middle value (the upper one of the two middle values of an even series).
    pub median: f64,
    /// The largest value.
    pub max: f64,
}

impl Spread {
    /// The spread of `values`; all zero when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(min), Some(median), Some(max)) =
            (sorted.first(), sorted.get(sorted.len() / 2), sorted.last())
        else {
            return Self::default();
        };
        Self { min: *min, median: *median, max: *max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_an_unsorted_series() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Spread::of([]), Spread::default());
    }
}
