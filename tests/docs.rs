//! Checks the handbook against the program: links resolve, the summary lists every page, every
//! configuration on a page is accepted, and every block of code is run or says why not (tests/sdk
//! and tests/browser run the shell blocks and recipes).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(clippy::string_slice, reason = "offsets into a text were found in it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sluicegate::config::Config;

/// Maximum number of words in the README, code and tables included.
const MAX_README_WORDS: usize = 1600;

/// Languages whose blocks are recipes of tests/sdk or tests/browser, or say why they are not run.
const RECIPES: [&str; 6] = ["python", "js", "jsx", "ts", "tsx", "html"];

/// Languages whose blocks are samples that nothing runs.
const SAMPLES: [&str; 5] = ["text", "json", "mermaid", "csv", "http"];

/// Sections that are added to a fragment of a configuration that lacks them.
const DEFAULT_SECTIONS: [(&str, &str); 7] = [
    ("providers.openai", "[providers.openai]\napi_key = \"k\"\n"),
    (
        "providers.anthropic",
        "[providers.anthropic]\napi_key = \"k\"\n",
    ),
    (
        "providers.local",
        "[providers.local]\nwire = \"openai-chat\"\nbase_url = \"http://127.0.0.1:9/v1\"\n",
    ),
    (
        "providers.azure-eu",
        "[providers.azure-eu]\npreset = \"azure\"\nresource = \"r\"\napi_key = \"k\"\n",
    ),
    (
        "models.smart",
        "[models.smart]\nroute = [\"openai/gpt-5\"]\n",
    ),
    (
        "models.fast",
        "[models.fast]\nroute = [\"local/llama3.2\"]\n",
    ),
    ("models.demo", "[models.demo]\nroute = [\"local/demo\"]\n"),
];

/// A fenced block of a page.
struct Block {
    page: String,
    line: usize,
    language: String,
    /// The line before the fence: `<!-- recipe: NAME -->` or `<!-- not run: REASON -->`.
    marker: String,
    text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    fn is_recipe(&self) -> bool {
        self.marker.starts_with("<!-- recipe: ")
    }

    /// Returns true if it gives a reason for not being run.
    fn is_excused(&self) -> bool {
        let reason = self
            .marker
            .strip_prefix("<!-- not run: ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        reason.is_some_and(|reason| reason.len() > 8)
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the README and all pages, with paths below the root.
fn pages() -> Vec<(String, String)> {
    let mut names: Vec<String> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    names.push("README.md".into());
    names.sort();
    names
        .into_iter()
        .map(|name| {
            (
                name.clone(),
                fs::read_to_string(root().join(&name)).unwrap(),
            )
        })
        .collect()
}

fn blocks() -> Vec<Block> {
    pages()
        .iter()
        .flat_map(|(page, text)| parse_blocks(page, text))
        .collect()
}

fn parse_blocks(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start();
        match (&mut open, fence.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    page: page.into(),
                    line: number + 1,
                    language: language.trim().into(),
                    marker: before.trim().into(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
        before = line;
    }
    assert!(open.is_none(), "{page}: the last block is not closed");
    blocks
}

/// Returns the text without its fenced blocks and code spans.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let outside = line.split('`').step_by(2).collect::<Vec<_>>();
            out.push_str(&outside.join("code"));
            out.push('\n');
        }
    }
    out
}

/// Returns the anchor that GitHub and mdBook generate for a heading.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    let lower = heading.trim().to_lowercase();
    lower
        .chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if !fenced && line.starts_with('#') && heading.starts_with(' ') {
            let plain: String = heading.chars().filter(|c| *c != '`').collect();
            let slug = slug(&plain);
            let again = (1..).map(|number| format!("{slug}-{number}"));
            let mut names = std::iter::once(slug.clone()).chain(again);
            found.insert(names.find(|name| !found.contains(name)).unwrap());
        }
    }
    found
}

/// Returns the targets of the links `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let mut found = Vec::new();
    for (at, _) in prose.match_indices("](") {
        let target = &prose[at + 2..];
        found.extend(target.split(')').next().map(str::to_owned));
    }
    found
}

/// Returns why a link on this page does not resolve.
fn link_error(page: &str, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = Path::new(page).parent().unwrap();
    let path = if file.is_empty() {
        root().join(page)
    } else {
        root().join(folder).join(file)
    };
    if !path.exists() {
        return Some(format!("{page}: ({link}) names a file that does not exist"));
    }
    if anchor.is_empty() {
        return None;
    }
    let text = fs::read_to_string(path).unwrap();
    (!anchors(&text).contains(anchor))
        .then(|| format!("{page}: ({link}) names a heading that does not exist"))
}

#[test]
fn every_link_resolves() {
    let dead: Vec<String> = pages()
        .iter()
        .flat_map(|(page, text)| {
            links(text)
                .into_iter()
                .filter_map(move |link| link_error(page, &link))
        })
        .collect();
    assert!(dead.is_empty(), "\n{}", dead.join("\n"));
}

#[test]
fn the_summary_lists_every_page() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed: BTreeSet<String> = links(&summary)
        .into_iter()
        .map(|link| format!("docs/{link}"))
        .collect();
    let there: BTreeSet<String> = pages()
        .into_iter()
        .map(|(page, _)| page)
        .filter(|page| page != "README.md" && page != "docs/SUMMARY.md")
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn the_readme_is_short() {
    let words = fs::read_to_string(root().join("README.md"))
        .unwrap()
        .split_whitespace()
        .count();
    assert!(
        words <= MAX_README_WORDS,
        "{words} words: move something into docs"
    );
}

/// Returns the errors of a configuration on a page; `None` if it is accepted.
fn configuration_error(block: &Block) -> Option<String> {
    let env = |_: &str| Some("x".to_owned());
    // Files that a page names do not exist here: use one letter as their content.
    let mut text = block.text.clone();
    while let Some(at) = text.find("${file:") {
        let end = at
            + text[at..]
                .find('}')
                .unwrap_or_else(|| panic!("{}", block.place()));
        text.replace_range(at..=end, "x");
    }
    let folder = root().join("config.toml");
    let alone = Config::parse(&text, &folder, &env).err()?;
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return Some(format!("{}: {error}", block.place())),
    };
    let has = |name: &str| {
        let (section, key) = name.split_once('.').unwrap();
        table.get(section).and_then(|it| it.get(key)).is_some()
    };
    for (name, section) in DEFAULT_SECTIONS {
        if !has(name) {
            text.push_str(section);
        }
    }
    let completed = Config::parse(&text, &folder, &env).err()?;
    Some(format!(
        "{}:\nalone: {alone}\ncompleted: {completed}",
        block.place()
    ))
}

#[test]
fn every_configuration_on_a_page_is_accepted() {
    let blocks: Vec<Block> = blocks()
        .into_iter()
        .filter(|block| block.language == "toml" && !block.is_excused())
        .collect();
    assert!(blocks.len() >= 10, "the pages contain configurations");
    let wrong: Vec<String> = blocks.iter().filter_map(configuration_error).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

#[test]
fn every_block_of_code_is_run_or_says_why_it_is_not() {
    let known = |block: &Block| {
        let language = block.language.as_str();
        match language {
            "toml" | "sh" => true,
            _ if RECIPES.contains(&language) => block.is_recipe() || block.is_excused(),
            _ => SAMPLES.contains(&language),
        }
    };
    let wrong: Vec<String> = blocks()
        .iter()
        .filter(|block| !known(block))
        .map(|block| {
            format!(
                "{}: `{}` is neither a recipe nor excused with a reason",
                block.place(),
                block.language
            )
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn each_recipe_occurs_once() {
    let mut seen = BTreeSet::new();
    for block in blocks().into_iter().filter(Block::is_recipe) {
        assert!(
            seen.insert(block.marker.clone()),
            "{}: {} again",
            block.place(),
            block.marker
        );
    }
    for name in [
        "curl",
        "openai",
        "anthropic",
        "usechat",
        "eventsource",
        "client",
    ] {
        assert!(
            seen.contains(&format!("<!-- recipe: {name} -->")),
            "no recipe `{name}`"
        );
    }
}

#[test]
fn errors_on_a_page_are_found() {
    let page = "# A `b` c\n[x](#a-b-c) [y](#nowhere) [z](missing.md)\n```toml\n[server]\nlistne = 1\n```\n";
    let found: Vec<String> = links(page)
        .iter()
        .filter_map(|link| link_error("README.md", link))
        .collect();
    assert_eq!(
        found.len(),
        3,
        "README.md has none of these targets: {found:?}"
    );
    assert!(anchors(page).contains("a-b-c"));
    let blocks = parse_blocks("README.md", page);
    assert!(
        configuration_error(&blocks[0]).unwrap().contains("listne"),
        "an unknown key is a problem"
    );
}
