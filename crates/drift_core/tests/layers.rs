//! The shape of the source, checked as a test: layers, sizes, module docs, and where `unsafe` may stand.
//!
//! A file imports its own folder and lower layers only. Layer 0 is the vocabulary, whose modules may name each other;
//! in every other layer siblings do not, so the three paths of layer 6 meet only in `state` and the structures of
//! layer 4 stay apart. The rules are read off the text of `src/`, with comments and literals blanked out, so a path
//! is found wherever it is written, not in `use` lines alone.

#![allow(clippy::unwrap_used)] // In a test a panic is the report.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of each layer, lowest first.
const LAYERS: [&[&str]; 8] = [
    &["types", "error", "config", "clock", "metrics", "sync"],
    &["kernels"],
    &["format", "quant"],
    &["storage"],
    &["wal", "memtable", "segment", "bitstore", "manifest"],
    &["state"],
    &["ingest", "search", "maintain"],
    &["db"],
];

/// Lines of code of a file, without comments, blank lines and its tests: what one can hold in mind.
const CODE_LINES_MAX: usize = 400;

/// Lines of a file, all of them.
const FILE_LINES_MAX: usize = 600;

/// A source file: its path below `src/`, its text, and its text with comments and literals blanked out.
struct Source {
    path: PathBuf,
    text: String,
    code: String,
}

impl Source {
    /// The top-level module that the file belongs to; none for `lib.rs`.
    fn module(&self) -> Option<String> {
        let first = self.path.components().next()?.as_os_str().to_str()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (name != "lib").then(|| name.to_string())
    }

    fn is_tests(&self) -> bool {
        self.path.file_stem().is_some_and(|stem| stem == "tests")
            || self.path.components().any(|c| c.as_os_str() == "tests")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = blank(&text);
                found.push(Source { path: path.strip_prefix(&root).unwrap().to_path_buf(), text, code });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "src/ holds {} files: the test looks at the wrong folder", found.len());
    found
}

/// The text with every character of comments, strings and character literals replaced by a space; lines stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` if none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let before = at.checked_sub(1).map(|before| chars[before]);
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match rest {
        ['/', '/', ..] => at + rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment_end(chars, at),
        ['r', '"' | '#', ..] if !in_word || before == Some('b') => raw_string_end(chars, at),
        ['"', ..] => quoted_end(chars, at, '"'),
        ['\'', '\\', ..] => quoted_end(chars, at, '\''),
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut end) = (0, at);
    while end < chars.len() {
        match &chars[end..] {
            ['/', '*', ..] => (depth, end) = (depth + 1, end + 2),
            ['*', '/', ..] => (depth, end) = (depth - 1, end + 2),
            _ => end += 1,
        }
        if depth == 0 {
            break;
        }
    }
    end
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let closes =
        |end: usize| chars[end] == '"' && chars[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    (open + 1..chars.len()).find(|&end| closes(end)).map_or(chars.len(), |end| end + 1 + hashes)
}

fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut end = at + 1;
    while end < chars.len() && chars[end] != quote {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(chars.len())
}

/// The modules that follow each `crate::` of the code: `crate::a::b` names a, `crate::{a, b::c}` names a and b.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.push((line, leading_word(rest))),
            Some(group) => found.extend(group_heads(group).into_iter().map(|name| (line, name))),
        }
    }
    found
}

/// The first word of each item of a braced group, up to the brace that closes it.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(leading_word(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(leading_word(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn leading_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Number of the layer of a top-level module.
fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Why `from` may not import `to`; none if it may. Names that are no layer (items that lib.rs re-exports) are refused
/// too: they would hide where a thing lives.
fn refusal(from: &str, to: &str) -> Option<String> {
    if from == to {
        return None;
    }
    let own = layer(from)?;
    match layer(to) {
        None => Some(format!("imports `{to}`, which is in no layer")),
        Some(0) if own == 0 => None,
        Some(other) if other > own => Some(format!("imports `{to}` of layer {other} from layer {own}")),
        Some(other) if other == own => Some(format!("imports its sibling `{to}` of layer {own}")),
        Some(_) => None,
    }
}

/// Lines that hold code, up to the tests at the foot of the file.
fn code_lines(source: &Source) -> usize {
    let foot = source.code.find("#[cfg(test)]\nmod tests {").unwrap_or(source.code.len());
    source.code[..foot].lines().filter(|line| !line.trim().is_empty()).count()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn assert_none(problems: &[String], rule: &str) {
    assert!(problems.is_empty(), "{rule}:\n  {}", problems.join("\n  "));
}

#[test]
fn every_module_has_a_layer() {
    let strays: Vec<String> = sources()
        .iter()
        .filter_map(Source::module)
        .filter(|module| layer(module).is_none())
        .map(|module| format!("`{module}` is in no layer: add it to LAYERS and to lib.rs"))
        .collect();
    assert_none(&strays, "each top-level module belongs to one layer");
}

#[test]
fn imports_go_down_the_layers_only() {
    let mut problems = Vec::new();
    for source in sources() {
        let Some(module) = source.module() else { continue };
        for (line, to) in imports(&source.code) {
            if let Some(why) = refusal(&module, &to) {
                problems.push(format!("{}:{line} {why}", source.path.display()));
            }
        }
    }
    assert_none(&problems, "a file imports its own folder and lower layers only");
}

#[test]
fn files_are_short() {
    let mut problems = Vec::new();
    for source in sources() {
        let (all, code) = (source.text.lines().count(), code_lines(&source));
        if all > FILE_LINES_MAX {
            problems.push(format!("{} has {all} lines: split it by concept", source.path.display()));
        }
        if code > CODE_LINES_MAX && !source.is_tests() {
            problems.push(format!("{} has {code} lines of code: split it by concept", source.path.display()));
        }
    }
    assert_none(&problems, "at most 400 lines of code and 600 lines in all");
}

#[test]
fn every_file_says_what_it_is() {
    let problems: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.display().to_string())
        .collect();
    assert_none(&problems, "a file begins with `//!`: what it is, why it exists, its invariants, its layer");
}

#[test]
fn unsafe_stands_in_kernels_only() {
    let problems: Vec<String> = sources()
        .iter()
        .filter(|source| source.module().as_deref() != Some("kernels"))
        .filter(|source| words(&source.code).any(|word| word == "unsafe"))
        .map(|source| source.path.display().to_string())
        .collect();
    assert_none(&problems, "`unsafe` outside kernels/");
}

#[test]
fn the_rules_catch_what_they_are_for() {
    let sample =
        "use crate::{error::Error, db::{self, X}};\n// crate::search\nlet s = \"crate::ingest\"; crate::wal::f();";
    let found: Vec<String> = imports(&blank(sample)).into_iter().map(|(_, name)| name).collect();
    assert_eq!(found, ["error", "db", "wal"]);
    assert!(refusal("state", "db").is_some(), "upward");
    assert!(refusal("ingest", "search").is_some(), "between the paths of layer 6");
    assert!(refusal("wal", "segment").is_some(), "between structures of layer 4");
    assert!(refusal("db", "search").is_none() && refusal("types", "error").is_none(), "downward, and within layer 0");
    assert!(words(&blank("fn f() { unsafe { } }")).any(|word| word == "unsafe"));
    assert!(
        !words(&blank("#![deny(unsafe_code)] // unsafe\nlet c = '\"'; let d = \"unsafe\";"))
            .any(|word| word == "unsafe")
    );
}
