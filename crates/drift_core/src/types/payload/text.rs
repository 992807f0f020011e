//! Columns of texts, and of lists of texts.
//!
//! Layer 0.

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

    /// The text at `row`. Panics when `row >= len`.
    pub fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.text[start..self.ends[row] as usize]
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

    /// The items of the list at `row`. Panics when `row >= len`.
    pub fn get(&self, row: usize) -> impl ExactSizeIterator<Item = &str> + Clone {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        (start..self.ends[row] as usize).map(|at| self.items.get(at))
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
