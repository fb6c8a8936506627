//! Aligned columns, as Docker's tables have them: each column as wide as its longest cell and three
//! spaces, at least ten; the last one is left as it is.

/// A table under construction.
pub(crate) struct Table {
    text: String,
    least: usize,
    padding: usize,
}

impl Table {
    /// A table with Docker's spacing.
    pub(crate) fn new() -> Self {
        Self::with_spacing(10, 3)
    }

    /// A table with its own least width of a column and space between columns.
    pub(crate) fn with_spacing(least: usize, padding: usize) -> Self {
        Self { text: String::new(), least, padding }
    }

    /// Adds text whose cells are separated by tabs and rows by newlines.
    pub(crate) fn push(&mut self, row: &str) {
        self.text.push_str(row);
        self.text.push('\n');
    }

    /// Adds a row of cells.
    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        self.push(&cells.join("\t"));
    }

    /// The text as it was added.
    pub(crate) fn unaligned(self) -> String {
        self.text
    }

    /// The aligned text.
    ///
    /// A column is a run of neighbouring lines that have a cell there with another one after it,
    /// so a line without tabs between two blocks separates them.
    pub(crate) fn finish(self) -> String {
        let lines: Vec<Vec<&str>> =
            self.text.lines().map(|line| line.split('\t').collect()).collect();
        let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len()]).collect();
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        for column in 0..columns.saturating_sub(1) {
            let mut start = 0;
            while start < lines.len() {
                let in_column = |line: &Vec<&str>| line.len() > column + 1;
                if !in_column(&lines[start]) {
                    start += 1;
                    continue;
                }
                let length = lines[start..].iter().take_while(|line| in_column(line)).count();
                let block = start..start + length;
                let longest = lines[block.clone()]
                    .iter()
                    .map(|cells| cells[column].chars().count())
                    .max()
                    .unwrap_or(0);
                let width = (longest + self.padding).max(self.least);
                widths[block.clone()].iter_mut().for_each(|row| row[column] = width);
                start = block.end;
            }
        }
        let mut out = String::new();
        for (cells, widths) in lines.iter().zip(&widths) {
            for (index, cell) in cells.iter().enumerate() {
                out.push_str(cell);
                if index + 1 < cells.len() {
                    let missing = widths[index].saturating_sub(cell.chars().count());
                    out.extend(std::iter::repeat_n(' ', missing));
                }
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new();
        table.row(&["ID", "NAME", "X"]);
        table.row(&["0123456789ab", "a", ""]);
        assert_eq!(table.finish(), "ID             NAME      X\n0123456789ab   a         \n");
    }

    #[test]
    fn lines_without_cells_separate_blocks() {
        let mut table = Table::with_spacing(0, 1);
        table.push("long cell\tx");
        table.push("");
        table.push("a\tb");
        assert_eq!(table.finish(), "long cell x\n\na b\n");
    }
}
