//! The layout that ARCHITECTURE.md draws is the layout of the code: a crate depends on floors below its own, files of a crate
//! do not import each other in a loop, and no file tells several stories.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Lines of a file that tells one story.
const MOST_LINES: usize = 450;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every `.rs` file under a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Crate → floor, from the table of ARCHITECTURE.md: `| 3 | `runtime` | …`.
fn floors() -> BTreeMap<String, usize> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let floor = cells.next()?.parse().ok()?;
        Some((cells.next()?.trim_matches('`').to_owned(), floor))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn a_crate_depends_on_floors_below_its_own() {
    let floors = floors();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("crates") {
        let dir = entry.expect("an entry").path();
        let name = dir.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        // the binary, whose manifest is that of the workspace, stands above all others
        let Ok(manifest) = fs::read_to_string(dir.join("Cargo.toml")) else { continue };
        let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let ours = dependencies.keys().filter_map(|key| key.strip_prefix("itera-"));
        match floors.get(&name) {
            Some(floor) => wrong.extend(
                ours.filter(|below| floors.get(*below).is_none_or(|found| found >= floor))
                    .map(|below| format!("{name} (floor {floor}) depends on {below} (floor {:?})", floors.get(below))),
            ),
            // what only tests use has no floor, and nothing to keep out
            None if ["testkit", "fixtures"].contains(&name.as_str()) => {}
            None => wrong.push(format!("{name} has no floor in ARCHITECTURE.md")),
        }
    }
    assert!(floors.len() > 10, "the table of ARCHITECTURE.md was not found: {floors:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_file_tells_one_story() {
    let long = sources(&root().join("crates")).into_iter().filter_map(|path| {
        let lines = read(&path).lines().count();
        (lines > MOST_LINES).then(|| format!("{} has {lines} lines", path.display()))
    });
    assert_eq!(long.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn files_of_a_crate_do_not_import_each_other_in_a_loop() {
    let mut loops = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("crates") {
        let dir = entry.expect("an entry").path();
        let dir = if dir.join("src").is_dir() { dir.join("src") } else { dir };
        loops.extend(Crate::read(&dir).loops());
    }
    assert!(loops.is_empty(), "{loops:#?}");
}

#[test]
fn a_loop_is_found_and_named() {
    let files = [
        ("", "mod a;\nmod b;\npub use a::A;\nmod c;"),
        ("a", "use crate::b::{self, B};\n#[cfg(test)]\nmod tests {\n    use crate::c::C;\n}"),
        ("b", "//! use crate::c;\nuse crate::A;"),
        ("c", "fn c() { crate::a::call(); }"),
        ("c::d", "use super::super::b;\nuse super::e;"),
        ("c::e", "use std::fmt;"),
    ];
    let found = Crate::of(files.map(|(module, text)| (module.to_owned(), text.to_owned())).into()).loops();
    assert_eq!(found, ["a ↔ b"]);
}

/// The files of a crate by the path of their module, the root being empty.
struct Crate {
    files: BTreeMap<String, String>,
    /// Names that the root hands on → the module they come from.
    reexports: BTreeMap<String, String>,
}

impl Crate {
    fn read(dir: &Path) -> Self {
        let module = |path: &Path| {
            let relative = path.strip_prefix(dir).expect("a file of the directory").with_extension("");
            let mut parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if matches!(parts.last().map(String::as_str), Some("lib" | "main" | "mod")) {
                parts.pop();
            }
            parts.join("::")
        };
        Self::of(sources(dir).iter().map(|path| (module(path), read(path))).collect())
    }

    fn of(files: BTreeMap<String, String>) -> Self {
        let files: BTreeMap<_, _> =
            files.into_iter().filter(|(module, _)| !module.ends_with("tests") && !module.contains("tests::")).collect();
        let files: BTreeMap<_, _> = files.into_iter().map(|(module, text)| (module, without_tests(&text))).collect();
        let root = files.get("").map_or("", String::as_str);
        let mut reexports = BTreeMap::new();
        for path in statements(root, "pub use ").iter().flat_map(|tree| leaves(tree)) {
            if let Some((module, name)) = path.strip_prefix("crate::").unwrap_or(&path).rsplit_once("::") {
                reexports.insert(name.to_owned(), module.to_owned());
            }
        }
        Self { files, reexports }
    }

    /// The file that a path within the crate leads to.
    fn file_of(&self, path: &str) -> Option<&str> {
        let first = path.split("::").next().unwrap_or_default();
        let path = match self.reexports.get(first) {
            Some(module) if !self.files.contains_key(first) => module,
            _ => path,
        };
        let mut module = path;
        loop {
            if let Some((file, _)) = self.files.get_key_value(module).filter(|_| !module.is_empty()) {
                return Some(file);
            }
            module = module.rsplit_once("::")?.0;
        }
    }

    /// The files that a file imports from, but for the one that declares it: children use what their parent says of itself.
    fn imports(&self, module: &str, text: &str) -> BTreeSet<&str> {
        let parent = |module: &str| module.rsplit_once("::").map_or("", |(parent, _)| parent).to_owned();
        let uses = statements(text, "use ");
        let inline = text.match_indices("crate::").map(|(at, _)| path_at(&text[at..]));
        let paths = uses.iter().flat_map(|tree| leaves(tree)).chain(inline).filter_map(|path| {
            let (mut base, mut rest) = (module.to_owned(), path.as_str());
            if let Some(within) = rest.strip_prefix("crate::") {
                return Some(within.to_owned());
            }
            let is_relative = rest.starts_with("super::") || rest.starts_with("self::");
            while let Some(above) = rest.strip_prefix("super::") {
                (base, rest) = (parent(&base), above);
            }
            rest = rest.strip_prefix("self::").unwrap_or(rest);
            let child = format!("{base}::{rest}").trim_start_matches("::").to_owned();
            // `use child::Name` of a module's own children
            (is_relative || self.file_of(&child).is_some_and(|file| file != base)).then_some(child)
        });
        let files = paths.collect::<Vec<_>>();
        let files = files.iter().filter_map(|path| self.file_of(path));
        files.filter(|file| *file != module && *file != parent(module)).collect()
    }

    /// Pairs, or longer chains, of files that reach each other.
    fn loops(&self) -> Vec<String> {
        let edges: BTreeMap<&str, BTreeSet<&str>> =
            self.files.iter().map(|(module, text)| (module.as_str(), self.imports(module, text))).collect();
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            edges.keys().map(|module| (*module, reach(&edges, module))).collect();
        let mut loops = BTreeSet::new();
        for (module, all) in &reached {
            let members: BTreeSet<&str> = all.iter().copied().filter(|other| reached[other].contains(module)).collect();
            if members.len() > 1 {
                loops.insert(members.into_iter().collect::<Vec<_>>().join(" ↔ "));
            }
        }
        loops.into_iter().collect()
    }
}

/// All that can be reached from a file, by one import or more.
fn reach<'a>(edges: &BTreeMap<&str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let (mut seen, mut next) = (BTreeSet::new(), edges[from].iter().copied().collect::<Vec<_>>());
    while let Some(module) = next.pop() {
        if seen.insert(module) {
            next.extend(&edges[module]);
        }
    }
    seen
}

/// A file without comments and without its `mod tests`, which comes last and may import what it likes.
fn without_tests(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let is_tests = |at: &usize| {
        code[*at..].lines().skip(1).find(|line| !line.starts_with("#[")).is_some_and(|line| line.contains("mod tests"))
    };
    let end = code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(is_tests);
    end.map_or(code.clone(), |end| code[..end].to_owned())
}

/// What follows `keyword` at the beginning of a line, up to the semicolon. `pub use` is no import: it hands on.
fn statements(text: &str, keyword: &str) -> Vec<String> {
    let begins_line = |at: usize| text[..at].rsplit('\n').next().is_none_or(|line| line.trim().is_empty());
    text.match_indices(keyword)
        .filter(|(at, _)| begins_line(*at))
        .filter_map(|(at, _)| text[at + keyword.len()..].split_once(';'))
        .map(|(tree, _)| tree.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// The paths of a tree: `a::{b, c::{self, D as E}}` → `a::b`, `a::c`, `a::c::D`.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        return vec![path.trim_end_matches("::self").to_owned()];
    };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    let inner = parts.into_iter().filter(|part| !part.trim().is_empty()).flat_map(leaves);
    inner.map(|leaf| format!("{prefix}{leaf}").trim_end_matches("::self").to_owned()).collect()
}

/// The path that a text begins with.
fn path_at(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_' || *letter == ':').collect()
}
