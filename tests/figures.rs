//! Prints figures of the code, for each room: sizes, branches on a dialect, import circles, and
//! lines that stand twice. It measures; `tests/architecture.rs` judges.
//!
//! ```sh
//! cargo test --test figures                              # this tree
//! cargo test --test figures -- --src ../old/src          # another tree
//! cargo test --test figures -- --list                    # and where: large files and functions, …
//! ```
#![expect(clippy::unwrap_used, reason = "a tool ends by panicking")]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::indexing_slicing, clippy::panic, reason = "as above")]

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/code.rs"]
mod code;
#[path = "figures/copies.rs"]
mod copies;
#[path = "architecture/imports.rs"]
mod imports;
#[path = "figures/syntax.rs"]
mod syntax;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use code::Source;
use copies::Copy;
use syntax::{Branch, Function};

/// Maximum lines of a file and of a function, as the style of the project has them.
const LARGE_FILE: usize = 400;
const LARGE_FUNCTION: usize = 40;

/// The figures of one room, and of all.
#[derive(Default)]
struct Figures {
    files: usize,
    lines: usize,
    large_files: usize,
    /// The lengths of all functions.
    functions: Vec<usize>,
    large_functions: usize,
    branches: usize,
    circles: usize,
    copies: usize,
    copied_lines: usize,
}

impl Figures {
    fn row(&mut self, room: &str) -> String {
        self.functions.sort_unstable();
        let at = |percent: usize| {
            let last = self.functions.len().saturating_sub(1);
            self.functions.get(last * percent / 100).unwrap_or(&0)
        };
        format!(
            "{room:<10} {:>6} {:>7} {:>6} {:>10} {:>7} {:>5} {:>5} {:>6} {:>9} {:>8} {:>7} {:>7}",
            self.files,
            self.lines,
            self.large_files,
            self.functions.len(),
            at(50),
            at(95),
            at(100),
            self.large_functions,
            self.branches,
            self.circles,
            self.copies,
            self.copied_lines,
        )
    }
}

/// Everything that was found in a tree.
struct Measured {
    sources: Vec<Source>,
    functions: Vec<Function>,
    branches: Vec<Branch>,
    circles: Vec<Vec<String>>,
    copies: Vec<Copy>,
}

impl Measured {
    fn new(root: &Path) -> Self {
        let sources = code::sources(root);
        let (mut functions, mut branches) = (Vec::new(), Vec::new());
        for source in &sources {
            let found = syntax::read(source);
            functions.extend(found.functions);
            branches.extend(found.branches);
        }
        // A room chooses within its own vocabulary.
        branches.retain(|it| !it.path.starts_with("dialect"));
        branches.retain(|it| it.path != Path::new("dialect.rs"));
        let circles = circles::circles(&sources);
        let copies = copies::find(&sources);
        Self {
            sources,
            functions,
            branches,
            circles,
            copies,
        }
    }

    fn large_files(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|it| it.lines.len() > LARGE_FILE)
    }

    fn large_functions(&self) -> impl Iterator<Item = &Function> {
        self.functions
            .iter()
            .filter(|it| it.code_lines > LARGE_FUNCTION)
    }

    fn by_room(&self) -> BTreeMap<String, Figures> {
        let mut rooms: BTreeMap<String, Figures> = BTreeMap::new();
        for room in ["all".to_owned()].into_iter().chain(self.rooms()) {
            let within = |path: &Path| room == "all" || room_of(path) == room;
            let figures = rooms.entry(room.clone()).or_default();
            let sources = self.sources.iter().filter(|it| within(&it.path));
            figures.files = sources.clone().count();
            figures.lines = sources.map(|it| it.lines.len()).sum();
            figures.large_files = self.large_files().filter(|it| within(&it.path)).count();
            let functions = self.functions.iter().filter(|it| within(&it.path));
            figures.functions = functions.map(|it| it.lines).collect();
            figures.large_functions = self.large_functions().filter(|it| within(&it.path)).count();
            figures.branches = self.branches.iter().filter(|it| within(&it.path)).count();
            figures.circles = self
                .circles
                .iter()
                .filter(|it| within(Path::new(&it[0])))
                .count();
            let copies = self.copies.iter().filter(|it| within(&it.second.0));
            figures.copies = copies.clone().count();
            figures.copied_lines = copies.map(|it| it.length).sum();
        }
        rooms
    }

    fn rooms(&self) -> std::collections::BTreeSet<String> {
        self.sources
            .iter()
            .filter_map(Source::room)
            .map(str::to_owned)
            .collect()
    }

    fn print(&self) {
        println!(
            "{:<10} {:>6} {:>7} {:>6} {:>10} {:>7} {:>5} {:>5} {:>6} {:>9} {:>8} {:>7} {:>7}",
            "room",
            "files",
            "lines",
            ">400",
            "functions",
            "median",
            "p95",
            "max",
            ">40",
            "branches",
            "circles",
            "copies",
            "lines"
        );
        let mut rooms = self.by_room();
        let mut all = rooms.remove("all").unwrap_or_default();
        for (room, figures) in &mut rooms {
            println!("{}", figures.row(room));
        }
        println!("{}", all.row("all"));
    }

    fn print_places(&self) {
        println!("\nFiles of more than {LARGE_FILE} lines without tests:");
        for source in self.large_files() {
            println!("  {:>4} {}", source.lines.len(), source.path.display());
        }
        println!("\nFunctions of more than {LARGE_FUNCTION} lines, as clippy counts them:");
        for it in self.large_functions() {
            println!(
                "  {:>4} {}:{} {}",
                it.code_lines,
                it.path.display(),
                it.line,
                it.name
            );
        }
        println!("\nBranches on a dialect outside of `dialect`:");
        for it in &self.branches {
            println!("  {}:{} {}", it.path.display(), it.line, it.dialect);
        }
        println!("\nImport circles between files of a room, parents and children excepted:");
        for circle in &self.circles {
            println!("  {}", circle.join("  "));
            for import in circles::imports_within(&self.sources, circle) {
                println!("      {import}");
            }
        }
        println!("\nEqual lines:");
        for copy in &self.copies {
            let (first, second) = (&copy.first, &copy.second);
            println!(
                "  {:>4} {}:{} and {}:{}",
                copy.length,
                first.0.display(),
                first.1,
                second.0.display(),
                second.1
            );
        }
    }
}

/// Returns the room of a path below `src`.
fn room_of(path: &Path) -> String {
    let first = path.with_extension("");
    let first = first.iter().next().unwrap_or_default();
    first.to_string_lossy().into_owned()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = arguments
        .iter()
        .position(|it| it == "--src")
        .and_then(|at| arguments.get(at + 1))
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            PathBuf::from,
        );
    let measured = Measured::new(&root);
    measured.print();
    if arguments.iter().any(|it| it == "--list") {
        measured.print_places();
    }
}
