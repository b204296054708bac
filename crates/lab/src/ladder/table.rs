//! A table as text is written: cells with their places, and the shares of its bars.

use super::words::{clean, width};
use crate::record::Table;

/// A table, laid out in characters.
#[derive(Debug)]
pub(super) struct Grid {
    /// The head and then the rows: each cell with the character at which it begins.
    pub(super) rows: Vec<Vec<(usize, String)>>,
    pub(super) width: usize,
    /// For each row its part of the largest value, 0 to 1.
    pub(super) shares: Vec<f64>,
}

impl Grid {
    pub(super) fn new(table: &Table) -> Self {
        let rows: Vec<Vec<String>> = [&table.head]
            .into_iter()
            .chain(&table.rows)
            .map(|row| row.iter().map(|cell| clean(cell)).collect())
            .collect();
        let widths: Vec<usize> = (0..table.head.len())
            .map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| width(cell)).max().unwrap_or_default()
            })
            .collect();
        let place = |row: &Vec<String>| {
            let mut start = 0;
            let mut cells = Vec::new();
            for (column, (cell, width_of_column)) in row.iter().zip(&widths).enumerate() {
                // Names at the left, numbers at the right.
                let shift = match column {
                    0 => 0,
                    _ => width_of_column - width(cell),
                };
                cells.push((start + shift, cell.clone()));
                start += width_of_column + 2;
            }
            cells
        };
        let value = |row: &Vec<String>| {
            let cell = row.get(table.bars).map_or("", |cell| cell.as_str());
            cell.replace(' ', "").parse().unwrap_or(0.0_f64).max(0.0)
        };
        let values: Vec<f64> = table.rows.iter().map(value).collect();
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        Self {
            rows: rows.iter().map(place).collect(),
            width: widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1),
            shares: values.into_iter().map(|value| value / most).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_the_left_and_numbers_at_the_right() {
        let row = |cells: [&str; 2]| cells.map(String::from).to_vec();
        let table = Table {
            head: row(["design", "calls"]),
            rows: vec![row(["fork", "2"]), row(["a long name", "40"])],
            bars: 1,
        };
        let grid = Grid::new(&table);
        let starts: Vec<Vec<usize>> = grid
            .rows
            .iter()
            .map(|row| row.iter().map(|(start, _)| *start).collect())
            .collect();
        assert_eq!(starts, [[0, 13], [0, 17], [0, 16]]);
        assert_eq!((grid.width, &grid.shares[..]), (18, &[0.05, 1.0][..]));
    }
}
