//! Medians, ranges, ratios. A ratio is taken within a round, where both servers met the same machine,
//! and only then is the median of the rounds.

use std::fmt::{self, Display, Formatter};

/// One table: the same measures of some servers, over some rounds.
#[derive(Clone, Debug)]
pub struct Table {
    /// What was measured.
    pub title: String,
    /// The columns, and with how many decimals.
    pub measures: Vec<(&'static str, usize)>,
    /// The servers. Ratios are to the first.
    pub rows: Vec<Row>,
}

/// A server's line.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub server: &'static str,
    /// For each round, each measure.
    pub rounds: Vec<Vec<f64>>,
}

impl Row {
    /// A line without numbers yet.
    pub fn new(server: &'static str) -> Self {
        Self { server, rounds: Vec::new() }
    }

    fn measure(&self, index: usize) -> impl Iterator<Item = f64> {
        self.rounds.iter().filter_map(move |round| round.get(index).copied())
    }
}

impl Table {
    fn cells(&self) -> Vec<Vec<String>> {
        let ratios = self.measures.iter().map(|(name, _)| format!("{name}, ratio"));
        let values = self.measures.iter().map(|(name, _)| (*name).to_owned());
        let mut lines =
            vec![["server".to_owned()].into_iter().chain(ratios).chain(values).collect()];
        let Some(base) = self.rows.first() else { return lines };
        for (position, row) in self.rows.iter().enumerate() {
            let mut line = vec![row.server.to_owned()];
            for index in 0..self.measures.len() {
                let pairs = row.measure(index).zip(base.measure(index));
                let ratios = pairs.filter(|(_, of)| *of != 0.0).map(|(is, of)| is / of);
                line.push(if position == 0 { "1".into() } else { summary(ratios, 2) });
            }
            for (index, (_, decimals)) in self.measures.iter().enumerate() {
                line.push(summary(row.measure(index), *decimals));
            }
            lines.push(line);
        }
        lines
    }
}

impl Display for Table {
    /// As a Markdown table, which is as good to read as it is.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let cells = self.cells();
        let columns = 1 + 2 * self.measures.len();
        let width = |column: usize| {
            cells.iter().filter_map(|line| Some(line.get(column)?.chars().count())).max()
        };
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        writeln!(f, "**{}**\n", self.title)?;
        for (number, line) in cells.iter().enumerate() {
            for (cell, width) in line.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for width in &widths {
                    write!(f, "|{:-<1$}", "", width + 2)?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// `median (min–max)`; the median alone if there was one round.
fn summary(values: impl Iterator<Item = f64>, decimals: usize) -> String {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2);
    let lower = values.get(values.len().saturating_sub(1) / 2);
    match (lower, upper, values.as_slice()) {
        (Some(lower), Some(upper), [min, .., max]) => {
            let median = f64::midpoint(*lower, *upper);
            format!("{median:.decimals$} ({min:.decimals$}–{max:.decimals$})")
        }
        (.., [only]) => format!("{only:.decimals$}"),
        _ => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_median_and_the_range() {
        assert_eq!(summary([].into_iter(), 1), "–", "of a ratio to nothing, say");
        assert_eq!(summary([2.0].into_iter(), 1), "2.0");
        assert_eq!(summary([4.0, 1.0].into_iter(), 1), "2.5 (1.0–4.0)");
        assert_eq!(summary([3.0, 9.0, 1.0].into_iter(), 0), "3 (1–9)");
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_come_first() {
        let row = |server, rounds: &[f64]| Row {
            server,
            rounds: rounds.iter().map(|value| vec![*value]).collect(),
        };
        let table = Table {
            title: "title".into(),
            measures: vec![("ms", 0)],
            // The second round met a machine at half the speed.
            rows: vec![row("limit", &[10.0, 20.0]), row("other", &[30.0, 60.0])],
        };
        let expected = "\
            **title**\n\n\
            | server | ms, ratio        | ms         |\n\
            |--------|------------------|------------|\n\
            | limit  | 1                | 15 (10–20) |\n\
            | other  | 3.00 (3.00–3.00) | 45 (30–60) |\n";
        assert_eq!(table.to_string(), expected);
    }
}
