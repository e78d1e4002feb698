//! Columns, as kubectl has them.

/// Space between two columns.
const GAP: usize = 3;

/// Rows as lines of left-aligned columns; the last column is not filled up. Each line ends with a line break.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.to_vec()).collect();
    wide_table(&head, &rows)
}

/// The same for a number of columns that is only known later. A row that is too short has empty cells at its end.
pub(super) fn wide_table(head: &[String], rows: &[Vec<String>]) -> String {
    let all = || std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + GAP));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["aws-1".to_owned(), "2".to_owned()], ["a".to_owned(), String::new()]];
        assert_eq!(table(["CLUSTER", "N"], &rows), "CLUSTER   N\naws-1     2\na\n");
    }
}
