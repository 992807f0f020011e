//! Columns of texts, and of lists of texts.
//!
//! Layer 0.

use memchr::memmem::Finder;
use std::ops::Range;

/// Texts one after the other, with the end of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    text: String,
    ends: Vec<u64>,
}

impl Texts {
    /// From text and ascending ends within it, each at a character's boundary; none otherwise.
    pub fn from_parts(text: String, ends: Vec<u64>) -> Option<Texts> {
        let mut from = 0;
        for &end in &ends {
            let end = usize::try_from(end).ok()?;
            text.get(from..end)?;
            from = end;
        }
        (from == text.len()).then_some(Texts { text, ends })
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends one.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u64);
    }

    /// Appends some texts of `more`. Panics when one of them is `>= more.len`.
    pub fn append(&mut self, more: &Texts, rows: Range<usize>) {
        let (from, to) = (more.start(rows.start), more.start(rows.end));
        let base = self.text.len();
        self.text.push_str(&more.text[from..to]);
        self.ends.extend(more.ends[rows].iter().map(|end| end - from as u64 + base as u64));
    }

    /// The rows, ascending, whose text has a part that is not empty. All texts are searched as one, several times as fast as each
    /// on its own; what is found across the end of a row is passed over.
    pub fn find(&self, part: &Finder<'_>, mut found: impl FnMut(usize)) {
        let (text, length) = (self.text.as_bytes(), part.needle().len());
        let mut from = 0;
        while let Some(at) = part.find(&text[from..]) {
            let at = from + at;
            let row = self.ends.partition_point(|&end| end as usize <= at);
            let end = self.ends[row] as usize;
            let is_within = at + length <= end;
            if is_within {
                found(row);
            }
            from = if is_within { end } else { at + 1 };
        }
    }

    /// Where the text at `row` begins; behind the last one for `len`.
    fn start(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.ends[row - 1] as usize }
    }

    /// The text at `row`. Panics when `row >= len`.
    pub fn get(&self, row: usize) -> &str {
        &self.text[self.start(row)..self.ends[row] as usize]
    }

    /// All text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// End of each.
    pub fn ends(&self) -> &[u64] {
        &self.ends
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + 8 * self.ends.capacity()
    }
}

/// Lists of texts: all items, and the end of each list among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    items: Texts,
    ends: Vec<u64>,
}

impl Lists {
    /// From items and ascending ends among them; none otherwise.
    pub fn from_parts(items: Texts, ends: Vec<u64>) -> Option<Lists> {
        let ascends = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        let all = ends.last().copied().unwrap_or(0) == items.len() as u64;
        (ascends && all).then_some(Lists { items, ends })
    }

    /// Number of lists.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends one.
    pub fn push<'a>(&mut self, list: impl Iterator<Item = &'a str>) {
        list.for_each(|item| self.items.push(item));
        self.ends.push(self.items.len() as u64);
    }

    /// Appends some lists of `more`. Panics when one of them is `>= more.len`.
    pub fn append(&mut self, more: &Lists, rows: Range<usize>) {
        let (from, to) = (more.start(rows.start), more.start(rows.end));
        let base = self.items.len();
        self.items.append(&more.items, from..to);
        self.ends.extend(more.ends[rows].iter().map(|end| end - from as u64 + base as u64));
    }

    /// The first item of the list at `row`; behind the last one for `len`.
    fn start(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.ends[row - 1] as usize }
    }

    /// The items of the list at `row`. Panics when `row >= len`.
    pub fn get(&self, row: usize) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.places(row).map(|at| self.items.get(at))
    }

    /// Where the items of the list at `row` are among all. Panics when `row >= len`.
    pub fn places(&self, row: usize) -> Range<usize> {
        self.start(row)..self.ends[row] as usize
    }

    /// All items.
    pub fn items(&self) -> &Texts {
        &self.items
    }

    /// End of each.
    pub fn ends(&self) -> &[u64] {
        &self.ends
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        self.items.bytes() + 8 * self.ends.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[aäb]{0,4}", 0..12)
    }

    proptest! {
        #[test]
        fn a_part_is_found_in_the_rows_that_have_it(given in texts(), part in "[aäb]{1,3}") {
            let mut all = Texts::default();
            given.iter().for_each(|text| all.push(text));
            let mut rows = Vec::new();
            all.find(&Finder::new(&part), |row| rows.push(row));
            let wanted: Vec<usize> = (0..given.len()).filter(|&row| given[row].contains(&part)).collect();
            prop_assert_eq!(rows, wanted);
        }

        #[test]
        fn appended_parts_are_what_pushed_ones_are(own in texts(), more in texts(), ends in any::<[prop::sample::Index; 2]>()) {
            let mut ends = ends.map(|end| end.index(more.len() + 1));
            ends.sort_unstable();
            let rows = ends[0]..ends[1];
            let (mut pushed, mut whole, mut appended) = (Texts::default(), Texts::default(), Texts::default());
            own.iter().chain(&more[rows.clone()]).for_each(|text| pushed.push(text));
            more.iter().for_each(|text| whole.push(text));
            own.iter().for_each(|text| appended.push(text));
            appended.append(&whole, rows.clone());
            prop_assert_eq!(appended, pushed);

            let list = |text: &String| text.chars().map(String::from).collect::<Vec<_>>();
            let push = |lists: &mut Lists, text| lists.push(list(text).iter().map(String::as_str));
            let (mut pushed, mut whole, mut appended) = (Lists::default(), Lists::default(), Lists::default());
            own.iter().chain(&more[rows.clone()]).for_each(|text| push(&mut pushed, text));
            more.iter().for_each(|text| push(&mut whole, text));
            own.iter().for_each(|text| push(&mut appended, text));
            appended.append(&whole, rows);
            prop_assert_eq!(appended, pushed);
        }
    }
}
