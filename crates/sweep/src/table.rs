//! a summary → a table for a terminal, Markdown, or CSV

use std::fmt::Write as _;

use crate::summary::{Row, Summary};

impl Summary {
    /// A table for a terminal: a line a cell, columns apart by two blanks.
    pub fn to_text(&self) -> String {
        let (header, lines) = self.cells();
        let lines: Vec<Vec<String>> = [header].into_iter().chain(lines).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let padded = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
        }
        text
    }

    /// The same as Markdown.
    pub fn to_markdown(&self) -> String {
        let (header, lines) = self.cells();
        let mut text = format!("| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len()));
        for line in lines {
            let line: Vec<String> = line.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(text, "| {} |", line.join(" | "));
        }
        text
    }

    /// The same with all digits, and a column for each number; what is absent is empty.
    ///
    /// # Panics
    /// Never: memory takes all lines.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(vec![]);
        let names = "n mean sd low high pairs difference difference_sd difference_low difference_high verdict done running open \
                     failed minutes median";
        let mut write = |line: Vec<String>| writer.write_record(line).expect("memory takes a line");
        write(self.keys.iter().cloned().chain(names.split_whitespace().map(str::to_owned)).collect());
        let number =
            |number: Option<f64>| number.filter(|number| number.is_finite()).map_or(String::new(), |n| n.to_string());
        for row in &self.rows {
            let Row { mean, interval, difference, difference_interval, trials, .. } = row;
            let mut line = row.values.clone();
            line.push(mean.map_or(0, |mean| mean.n).to_string());
            line.extend([mean.map(|mean| mean.mean), mean.map(|mean| mean.sd)].map(number));
            line.extend([interval.map(|(low, _)| low), interval.map(|(_, high)| high)].map(number));
            line.push(difference.map_or(String::new(), |difference| difference.n.to_string()));
            line.extend(
                [difference.map(|difference| difference.mean), difference.map(|difference| difference.sd)].map(number),
            );
            line.extend(
                [difference_interval.map(|(low, _)| low), difference_interval.map(|(_, high)| high)].map(number),
            );
            line.push(row.verdict.map_or(String::new(), |verdict| verdict.as_str().to_owned()));
            let counts = [trials.done, trials.running, trials.open, trials.failed, trials.minutes, trials.median];
            line.extend(counts.map(|count| count.to_string()));
            write(line);
        }
        String::from_utf8_lossy(&writer.into_inner().expect("memory takes all")).into_owned()
    }

    /// Names of columns, and the lines below.
    fn cells(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let names =
            ["n", "mean", "sd", "95 % interval", "difference", "95 % interval", "", "trials"].map(str::to_owned);
        let line = |(index, row): (usize, &Row)| {
            let interval = |interval: Option<(f64, f64)>, is_signed| match interval {
                Some((low, high)) => format!("{} … {}", short(low, is_signed), short(high, is_signed)),
                None => String::new(),
            };
            let is_baseline = index == self.baseline;
            let mut line = row.values.clone();
            line.extend([
                row.mean.map_or(0, |mean| mean.n).to_string(),
                row.mean.map_or(String::new(), |mean| short(mean.mean, false)),
                row.mean.filter(|mean| mean.n > 1).map_or(String::new(), |mean| short(mean.sd, false)),
                interval(row.interval, false),
                match row.difference {
                    _ if is_baseline => "baseline".into(),
                    Some(difference) => short(difference.mean, true),
                    None => String::new(),
                },
                interval(row.difference_interval, true),
                row.verdict.map_or(String::new(), |verdict| verdict.as_str().to_owned()),
                row.trials.in_words(),
            ]);
            line
        };
        let header = self.keys.iter().cloned().chain(names).collect();
        (header, self.rows.iter().enumerate().map(line).collect())
    }
}

/// Four digits behind the point, or in all where those would say nothing; with its sign where that matters.
fn short(number: f64, is_signed: bool) -> String {
    let sign = if is_signed && number >= 0.0 { "+" } else { "" };
    let size = number.abs();
    if number == 0.0 || (1e-3..1e5).contains(&size) {
        format!("{sign}{number:.4}")
    } else {
        format!("{sign}{number:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::found;

    fn summary() -> Summary {
        let (plan, states) = found();
        Summary::new(&plan, &states, "val_bpb").expect("a summary")
    }

    #[test]
    fn a_table_says_what_differs_and_what_is_missing() {
        let expected = "\
train.lr  n  mean    sd      95 % interval    difference  95 % interval      \x20                trials
0.001     3  1.2033  0.1002  0.9545 … 1.4522  +0.1033     +0.0890 … +0.1177  higher
0.002     3  1.1000  0.1000  0.8516 … 1.3484  baseline
0.004     1  1.0100                           +0.0100                        too few seeds   1 to do, 1 failed
";
        assert_eq!(
            summary().to_text().split_whitespace().collect::<Vec<_>>(),
            expected.split_whitespace().collect::<Vec<_>>()
        );
        let markdown = summary().to_markdown();
        assert!(
            markdown.contains("\n| 0.002 | 3 | 1.1000 | 0.1000 | 0.8516 … 1.3484 | baseline |  |  |  |\n"),
            "{markdown}"
        );
        assert!(markdown.lines().all(|line| line.matches('|').count() == 10), "{markdown}");
    }

    #[test]
    fn csv_has_all_digits() {
        let csv = summary().to_csv();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let names: Vec<String> = reader.headers().expect("names").iter().map(str::to_owned).collect();
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
        let of = |row: usize, name: &str| &rows[row][names.iter().position(|known| known == name).expect(name)];
        assert_eq!((of(0, "train.lr"), of(0, "verdict"), of(1, "verdict")), ("0.001", "higher", ""));
        let mean: f64 = of(0, "mean").parse().expect("a number");
        assert!((mean - 3.61 / 3.0).abs() < 1e-15);
        assert_eq!((of(2, "sd"), of(2, "low"), of(2, "failed"), of(2, "n")), ("", "", "1", "1"));
    }
}
